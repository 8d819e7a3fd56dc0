"""The bank: every training clip, clean and changed, heard once by YAMNet and kept on disk.

Detector heads and the student are all trained from it. Pass 0 is clean; later passes follow a random recipe
(:mod:`pipeline.training.augment`). Each example remembers its clip and the clip mixed into it, so that a
protocol that leaves a source out can drop every example that source had a part in.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.embedding.base import FRAME_SAMPLES, frame_count, pad_to_frames
from pipeline.embedding.logmel import log_mel
from pipeline.embedding.yamnet import CRYING_CLASSES, YamnetEmbedder
from pipeline.errors import AudioError
from pipeline.training import augment, synthetic

if TYPE_CHECKING:
    from pipeline.training.data import Clip

BANK_VERSION = 3
SYNTHETIC_PER_KIND = 16
# Later passes also change the speed: grown voices, laughter and pets then reach into a baby's register.
FIRST_PASS_WITH_SPEED = 3
# Partners are drawn source by source, so that the largest source does not set what a home sounds like.
_LARGE_SOURCE_WEIGHT = {"esc50": 3.0}

# Recorded at 8 kHz, or by phones of which many did.
TELEPHONE_BAND = ("donateacry", "donateacry_raw")

FloatArray = NDArray[np.float32]
Task = tuple[int, augment.Recipe, int, np.random.Generator]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Entry:
    """One clip of the bank. ``path`` is None for a synthetic sound, whose ``label`` names its kind."""

    path: str | None
    kind: str
    label: str
    source: str
    group: str


@dataclass(frozen=True)
class Example:
    """One heard example: rows ``start:start+frames`` of the pass's arrays; ``partner`` is -1 for none."""

    entry: int
    partner: int
    start: int
    frames: int
    column_start: int


@dataclass
class BankPass:
    """One pass over the data, arrays memory-mapped.

    Attributes:
        examples: in entry order.
        embeddings: (frames, 1024) float16, YAMNet's on the sound as heard.
        scores: (frames, 3) float16, YAMNet's crying classes 19-21 on the sound as heard.
        clean_scores: (frames, 3) float16, the same on the same stretch before any change.
        columns: (columns, 64) float16 log-mel; frame i of an example is its columns 48*i to 48*i+96.
    """

    examples: list[Example]
    embeddings: np.ndarray
    scores: np.ndarray
    clean_scores: np.ndarray
    columns: np.ndarray


def entries_of(clips: Sequence[Clip]) -> list[Entry]:
    """The bank's clips: the recordings, then the synthetic non-cries."""
    recorded = [Entry(str(c.path), c.kind, c.label, c.source, c.group) for c in clips]
    made = [
        Entry(None, "not_cry", kind, "synthetic", f"synthetic-{kind}-{seed}")
        for kind in synthetic.KINDS
        for seed in range(SYNTHETIC_PER_KIND)
    ]
    return recorded + made


class Bank:
    """Builds missing passes, opens present ones. An interrupted build goes on at the first missing pass."""

    name = "pass"

    def __init__(self, clips: Sequence[Clip], *, cache_dir: Path, passes: int, seed: int = 0) -> None:
        """Name the bank after everything that changes its content: clips, seed and recipe version."""
        self.entries = entries_of(clips)
        self.passes = passes
        self.seed = seed
        names = [[Path(e.path).name if e.path else e.label, e.kind, e.source, e.group] for e in self.entries]
        key = hashlib.sha256(json.dumps([BANK_VERSION, seed, names]).encode()).hexdigest()[:16]
        self.folder = cache_dir / f"bank-{key}" / self.name

    @property
    def is_built(self) -> bool:
        """Whether every pass is on disk."""
        return all((self.folder / str(k)).is_dir() for k in range(self.passes))

    def build(self, yamnet: YamnetEmbedder, progress: Progress | None = None) -> None:
        """Hear every pass that is not on disk yet; each is moved into place whole."""
        missing = [k for k in range(self.passes) if not (self.folder / str(k)).is_dir()]
        if not missing:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        sounds = [self.sound(entry) for entry in self.entries]
        for k in missing:
            self._build_pass(k, sounds, yamnet, progress)

    def open(self, k: int) -> BankPass:
        """Open pass ``k`` with its arrays memory-mapped."""
        folder = self.folder / str(k)
        examples = [Example(**row) for row in json.loads((folder / "examples.json").read_text())]
        arrays = {
            name: np.load(folder / f"{name}.npy", mmap_mode="r")
            for name in ("embeddings", "scores", "clean_scores", "columns")
        }
        return BankPass(examples, **arrays)

    def __iter__(self) -> Iterator[BankPass]:
        return (self.open(k) for k in range(self.passes))

    def sound(self, entry: Entry) -> NDArray[np.float16]:
        """A clip's samples at 16 kHz, (n,); n is 0 for what is too short to be heard at all."""
        if entry.path is None:
            return synthetic.make(entry.label, int(entry.group.rsplit("-", 1)[1])).astype(np.float16)
        from pipeline.audio import load

        try:
            return load(entry.path).samples.astype(np.float16)
        except AudioError as error:
            if error.code != "too-short":
                raise
            return np.zeros(0, np.float16)  # a slip of the finger on the record button: not heard at all

    def _partner(self, rng: np.random.Generator) -> int:
        """A random non-cry, its source drawn first."""
        by_source: dict[str, list[int]] = {}
        for i, entry in enumerate(self.entries):
            if entry.kind == "not_cry":
                by_source.setdefault(entry.source, []).append(i)
        sources = sorted(by_source)
        weights = np.array([_LARGE_SOURCE_WEIGHT.get(s, 1.0) for s in sources])
        source = sources[int(rng.choice(len(sources), p=weights / weights.sum()))]
        return int(rng.choice(by_source[source]))

    def _plan(self, k: int) -> list[Task]:
        """(entry, recipe, partner, generator) of each example of pass k; changed passes hear cries twice."""
        plan = []
        for i, entry in enumerate(self.entries):
            repeats = 2 if k and entry.kind == "cry" else 1
            for repeat in range(repeats):
                rng = np.random.default_rng([self.seed, k, i, repeat])
                recipe = augment.Recipe.draw(rng) if k else augment.Recipe()
                if k >= FIRST_PASS_WITH_SPEED:
                    recipe = replace(recipe, speed=augment.draw_speed(rng, entry.kind != "not_cry"))
                partner = self._partner(rng) if recipe.partner_snr_db is not None else -1
                plan.append((i, recipe, partner, rng))
        return plan

    def _build_pass(
        self, k: int, sounds: list[NDArray[np.float16]], yamnet: YamnetEmbedder, progress: Progress | None
    ) -> None:
        plan = self._plan(k)
        examples: list[Example] = []
        parts: dict[str, list[np.ndarray]] = {
            "embeddings": [],
            "scores": [],
            "clean_scores": [],
            "columns": [],
        }
        start = column_start = 0
        for done, (i, recipe, partner, rng) in enumerate(plan):
            if not len(sounds[i]):
                continue
            clean = sounds[i].astype(np.float32)
            changed = recipe != augment.Recipe()
            if changed and len(clean) > 2 * FRAME_SAMPLES:
                clean = clean[int(rng.integers(0, 7680)) :]  # frames begin elsewhere in each pass
            other = sounds[partner].astype(np.float32) if partner >= 0 else None
            heard = augment.apply(clean, recipe, other, rng) if changed else clean
            embeddings, scores = yamnet.embed_and_score(heard)
            clean_scores = scores
            if changed and self.entries[i].kind != "not_cry":
                clean = augment.faster(clean, recipe.speed) if recipe.speed else clean
                clean_scores = yamnet.embed_and_score(clean)[1]
            columns = log_mel(pad_to_frames(heard))
            frames = frame_count(len(heard))
            examples.append(Example(i, partner, start, frames, column_start))
            parts["embeddings"].append(embeddings.astype(np.float16))
            parts["scores"].append(scores[:, CRYING_CLASSES].astype(np.float16))
            parts["clean_scores"].append(clean_scores[:, CRYING_CLASSES].astype(np.float16))
            parts["columns"].append(columns.astype(np.float16))
            start, column_start = start + frames, column_start + len(columns)
            if progress and done % 20 == 0:
                progress(f"hearing {self.name} {k + 1} of {self.passes}", done + 1, len(plan))
        self._write(k, examples, parts)

    def _write(self, k: int, examples: list[Example], parts: dict[str, list[np.ndarray]]) -> None:
        unfinished = self.folder / f"{k}.part-{os.getpid()}"
        unfinished.mkdir()
        for name, arrays in parts.items():
            np.save(unfinished / f"{name}.npy", np.concatenate(arrays))
        (unfinished / "examples.json").write_text(json.dumps([asdict(e) for e in examples]))
        unfinished.rename(self.folder / str(k))


class MixedBank(Bank):
    """Test conditions: each chosen clip over an unseen background, and over white noise, at known SNRs.

    Pass k is condition ``CONDITIONS[k]``. All cries of the smaller sources and one per donor of Donate-a-Cry;
    non-cries of every other source, drawn evenly. "bands swapped" has wide-band cries only (none of the
    telephone-band Donate-a-Cry), and every other sound through a telephone: a detector that learned the
    bandwidth instead of the cry fails there.
    """

    name = "mixed"
    CONDITIONS: tuple[tuple[str, float | None], ...] = (
        *((what, snr) for what in ("background", "white noise") for snr in (0.0, 5.0, 10.0)),
        ("bands swapped", None),
    )
    NEGATIVES_PER_SOURCE = 80

    def __init__(self, clips: Sequence[Clip], *, cache_dir: Path, backgrounds: str, seed: int = 0) -> None:
        """As for :class:`Bank`; ``backgrounds`` names the source whose clips are mixed in."""
        super().__init__(clips, cache_dir=cache_dir, passes=len(self.CONDITIONS), seed=seed)
        self.backgrounds = backgrounds

    @classmethod
    def suite(cls, k: int) -> str:
        """The name of condition ``k`` in reports."""
        what, snr = cls.CONDITIONS[k]
        return what if snr is None else f"{what}, {snr:g} dB"

    def _chosen(self) -> list[int]:
        rng = np.random.default_rng([self.seed, 99])
        left_out = {"synthetic", self.backgrounds}
        cries: dict[str, int] = {}
        others: dict[str, list[int]] = {}
        for i in rng.permutation(len(self.entries)):
            entry = self.entries[i]
            if entry.kind == "cry":
                # ESC-50 and the like name a group per recording, so only a donor's later clips are dropped.
                cries.setdefault(entry.group if entry.source == "donateacry" else str(i), int(i))
            elif entry.kind == "not_cry" and entry.source not in left_out and entry.label != "silence":
                others.setdefault(entry.source, []).append(int(i))
        return sorted(cries.values()) + sorted(
            i for found in others.values() for i in found[: self.NEGATIVES_PER_SOURCE]
        )

    def _plan(self, k: int) -> list[Task]:
        what, snr = self.CONDITIONS[k]
        behind = [
            i
            for i, e in enumerate(self.entries)
            if e.source == self.backgrounds and "white" not in str(e.path)
        ]
        plan: list[Task] = []
        for i in self._chosen():
            rng = np.random.default_rng([self.seed, 100 + k, i])
            if what == "bands swapped":
                if self.entries[i].kind == "not_cry":
                    plan.append((i, augment.Recipe(high_hz=3400.0, codec="ulaw8k"), -1, rng))
                elif self.entries[i].source not in TELEPHONE_BAND:
                    plan.append((i, augment.Recipe(), -1, rng))
            elif what == "background":
                plan.append((i, augment.Recipe(partner_snr_db=snr), int(rng.choice(behind)), rng))
            else:
                plan.append((i, augment.Recipe(noise="white", noise_snr_db=float(snr or 0.0)), -1, rng))
        return plan

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
from pipeline.training import augment, synthetic

if TYPE_CHECKING:
    from pipeline.training.data import Clip

BANK_VERSION = 3
SYNTHETIC_PER_KIND = 16
# Partners are drawn source by source, so that the largest source does not set what a home sounds like.
_LARGE_SOURCE_WEIGHT = {"esc50": 3.0}

FloatArray = NDArray[np.float32]
Progress = Callable[[int, int, str], None]


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

    def __init__(self, clips: Sequence[Clip], *, cache_dir: Path, passes: int, seed: int = 0) -> None:
        """Name the bank after everything that changes its content: clips, seed and recipe version."""
        self.entries = entries_of(clips)
        self.passes = passes
        self.seed = seed
        names = [[Path(e.path).name if e.path else e.label, e.kind, e.source, e.group] for e in self.entries]
        key = hashlib.sha256(json.dumps([BANK_VERSION, seed, names]).encode()).hexdigest()[:16]
        self.folder = cache_dir / f"bank-{key}"

    def build(self, yamnet: YamnetEmbedder, progress: Progress | None = None) -> None:
        """Hear every pass that is not on disk yet; each is moved into place whole."""
        missing = [k for k in range(self.passes) if not (self.folder / f"pass-{k}").is_dir()]
        if not missing:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        sounds = [self._sound(entry) for entry in self.entries]
        for k in missing:
            self._build_pass(k, sounds, yamnet, progress)

    def open(self, k: int) -> BankPass:
        """Open pass ``k`` with its arrays memory-mapped."""
        folder = self.folder / f"pass-{k}"
        examples = [Example(**row) for row in json.loads((folder / "examples.json").read_text())]
        arrays = {
            name: np.load(folder / f"{name}.npy", mmap_mode="r")
            for name in ("embeddings", "scores", "clean_scores", "columns")
        }
        return BankPass(examples, **arrays)

    def __iter__(self) -> Iterator[BankPass]:
        return (self.open(k) for k in range(self.passes))

    def _sound(self, entry: Entry) -> NDArray[np.float16]:
        if entry.path is None:
            return synthetic.make(entry.label, int(entry.group.rsplit("-", 1)[1])).astype(np.float16)
        from pipeline.audio import load

        return load(entry.path).samples.astype(np.float16)

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

    def _plan(self, k: int) -> list[tuple[int, augment.Recipe, int, np.random.Generator]]:
        """(entry, recipe, partner, generator) of each example of pass k; cries are heard twice in changed passes."""
        plan = []
        for i, entry in enumerate(self.entries):
            repeats = 2 if k and entry.kind == "cry" else 1
            for repeat in range(repeats):
                rng = np.random.default_rng([self.seed, k, i, repeat])
                recipe = augment.Recipe.draw(rng) if k else augment.Recipe()
                partner = self._partner(rng) if recipe.partner_snr_db is not None else -1
                plan.append((i, recipe, partner, rng))
        return plan

    def _build_pass(
        self, k: int, sounds: list[NDArray[np.float16]], yamnet: YamnetEmbedder, progress: Progress | None
    ) -> None:
        plan = self._plan(k)
        examples: list[Example] = []
        parts: dict[str, list[np.ndarray]] = {"embeddings": [], "scores": [], "clean_scores": [], "columns": []}
        start = column_start = 0
        for done, (i, recipe, partner, rng) in enumerate(plan):
            clean = sounds[i].astype(np.float32)
            if k and len(clean) > 2 * FRAME_SAMPLES:
                clean = clean[int(rng.integers(0, 7680)) :]  # frames begin elsewhere in each pass
            other = sounds[partner].astype(np.float32) if partner >= 0 else None
            heard = augment.apply(clean, recipe, other, rng) if k else clean
            embeddings, scores = yamnet.embed_and_score(heard)
            clean_scores = yamnet.embed_and_score(clean)[1] if k and self.entries[i].kind != "not_cry" else scores
            columns = log_mel(pad_to_frames(heard))
            frames = frame_count(len(heard))
            examples.append(Example(i, partner, start, frames, column_start))
            parts["embeddings"].append(embeddings.astype(np.float16))
            parts["scores"].append(scores[:, CRYING_CLASSES].astype(np.float16))
            parts["clean_scores"].append(clean_scores[:, CRYING_CLASSES].astype(np.float16))
            parts["columns"].append(columns.astype(np.float16))
            start, column_start = start + frames, column_start + len(columns)
            if progress and done % 20 == 0:
                progress(done + 1, len(plan), f"pass {k + 1} of {self.passes}")
        self._write(k, examples, parts)

    def _write(self, k: int, examples: list[Example], parts: dict[str, list[np.ndarray]]) -> None:
        unfinished = self.folder / f"pass-{k}.part-{os.getpid()}"
        unfinished.mkdir()
        for name, arrays in parts.items():
            np.save(unfinished / f"{name}.npy", np.concatenate(arrays))
        (unfinished / "examples.json").write_text(json.dumps([asdict(e) for e in examples]))
        unfinished.rename(self.folder / f"pass-{k}")


def relabel(entries: Sequence[Entry], kinds: dict[str, str]) -> list[Entry]:
    """Entries with the kind of some files (by file name) replaced: the outcome of checking unverified ones."""
    return [replace(e, kind=kinds.get(Path(e.path).name, e.kind)) if e.path else e for e in entries]

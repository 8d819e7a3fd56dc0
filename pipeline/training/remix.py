"""Remixes: stretches of the bank's clean sound, changed and mixed as spectrograms, and named by YAMNet.

A distilled network is as general as what it was taught with is varied (Beyer et al. 2022, "Knowledge
distillation: a good teacher is patient and consistent"). No recording has to sound like a remix: the teacher
says of each what it makes of it, and that is what the student is to say.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.embedding.base import EMBEDDING_SIZE
from pipeline.embedding.logmel import LOG_OFFSET, MEL_BANDS, columns_of
from pipeline.embedding.yamnet import YamnetEmbedder
from pipeline.training.bank import Bank, BankPass, Example

# Changes with what a remix is.
VERSION = 1
# Remixes that begin with one clip, in each pass; what is mixed in is any other.
PER_CLIP = 4
# Frames in a row of one remix, and the columns they need.
FRAMES = 4
COLUMNS = columns_of(FRAMES)
MIXED = 0.6

Progress = Callable[[str, int, int], None]
FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class RemixPass:
    """One pass of remixes, arrays memory-mapped.

    Attributes:
        examples: four frames each; ``partner`` is -1 where nothing was mixed in.
        embeddings: (4 n, 1024) float16, YAMNet's.
        columns: (240 n, 64) float16 log-mel.
    """

    examples: list[Example]
    embeddings: np.ndarray
    columns: np.ndarray


class Remixes:
    """Builds missing passes, opens present ones."""

    def __init__(self, bank: Bank, passes: int) -> None:
        """Remixes of a built bank; the bank's name and seed are theirs."""
        self.bank = bank
        self.passes = passes
        self.folder = bank.folder.parent / f"remix-{VERSION}"

    def build(self, yamnet: Callable[[], YamnetEmbedder], progress: Progress | None = None) -> None:
        """Make every pass that is not on disk yet; each is moved into place whole.

        Args:
            yamnet: gives the teacher, asked for only where a pass is missing.
        """
        missing = [k for k in range(self.passes) if not (self.folder / str(k)).is_dir()]
        if not missing:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        clean, teacher = self.bank.open(0), yamnet()
        for k in missing:
            self._build_pass(k, clean, teacher, progress)

    def _build_pass(
        self, k: int, clean: BankPass, teacher: YamnetEmbedder, progress: Progress | None
    ) -> None:
        rng = np.random.default_rng([self.bank.seed, 200 + k])
        sounds = clean.examples
        plan = [example for example in sounds for _ in range(PER_CLIP)]
        examples: list[Example] = []
        embeddings = np.empty((len(plan) * FRAMES, EMBEDDING_SIZE), np.float16)
        columns = np.empty((len(plan) * COLUMNS, MEL_BANDS), np.float16)
        for i, example in enumerate(plan):
            partner = sounds[int(rng.integers(len(sounds)))] if rng.random() < MIXED else None
            remix = _remix(_stretch(clean.columns, example, rng), rng)
            if partner:
                remix = _mixed(remix, _remix(_stretch(clean.columns, partner, rng), rng), rng)
            heard = _finished(remix, rng)
            columns[i * COLUMNS :][:COLUMNS] = heard
            embeddings[i * FRAMES :][:FRAMES] = teacher.embed_columns(heard)
            entry, other = example.entry, partner.entry if partner else -1
            examples.append(Example(entry, other, i * FRAMES, FRAMES, i * COLUMNS))
            if progress and i % 100 == 0:
                progress(f"remixing {k + 1} of {self.passes}", i, len(plan))
        self._write(k, examples, embeddings, columns)

    def _write(self, k: int, examples: list[Example], embeddings: np.ndarray, columns: np.ndarray) -> None:
        unfinished = self.folder / f"{k}.part-{os.getpid()}"
        unfinished.mkdir()
        np.save(unfinished / "embeddings.npy", embeddings)
        np.save(unfinished / "columns.npy", columns)
        (unfinished / "examples.json").write_text(json.dumps([asdict(e) for e in examples]))
        unfinished.rename(self.folder / str(k))

    def __iter__(self) -> Iterator[RemixPass]:
        for k in range(self.passes):
            folder = self.folder / str(k)
            examples = [Example(**row) for row in json.loads((folder / "examples.json").read_text())]
            arrays = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("embeddings", "columns"))
            yield RemixPass(examples, *arrays)


def _stretch(columns: np.ndarray, example: Example, rng: np.random.Generator) -> FloatArray:
    """Magnitudes of 240 columns from anywhere in a sound, played at another pace half of the time and
    backwards now and then: (240, 64). What is shorter begins again.
    """
    whole = columns[example.column_start :][: columns_of(example.frames)]
    pace = float(np.exp(rng.uniform(np.log(0.7), np.log(1.4)))) if rng.random() < 0.5 else 1.0
    at = rng.uniform(0, len(whole)) + pace * np.arange(COLUMNS)
    if rng.random() < 0.15:
        at = at[::-1]
    before = np.floor(at)
    share = (at - before)[:, None].astype(np.float32)
    before = before.astype(np.int64)
    low, high = (whole[i % len(whole)].astype(np.float32) for i in (before, before + 1))
    return _magnitudes(low + share * (high - low))


def _magnitudes(columns: FloatArray) -> FloatArray:
    return np.maximum(np.exp(columns) - LOG_OFFSET, 0.0)


def _curve(rng: np.random.Generator, most_db: float) -> FloatArray:
    """A random smooth filter over the bands, as factors: (64,)."""
    knots = rng.uniform(-most_db, most_db, int(rng.integers(3, 8)))
    decibel = np.interp(np.linspace(0, len(knots) - 1, MEL_BANDS), np.arange(len(knots)), knots)
    return (10 ** (decibel / 20)).astype(np.float32)


def _remix(sound: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Shifted along the bands, filtered, limited in band, each half of the time or less: (240, 64)."""
    if rng.random() < 0.5:
        # As a smaller or a larger throat would sound; nothing comes in from beyond the bands.
        at = np.arange(MEL_BANDS) - rng.uniform(-8, 8)
        before = np.floor(at).astype(np.int64)
        share = (at - before).astype(np.float32)
        padded = np.pad(sound, ((0, 0), (10, 10)))
        sound = padded[:, before + 10] * (1 - share) + padded[:, before + 11] * share
    if rng.random() < 0.5:
        sound = sound * _curve(rng, 15.0)
    if rng.random() < 0.2:
        edge = 1 / (1 + np.exp((np.arange(MEL_BANDS) - rng.uniform(30, 60)) * 3.0))
        sound = sound * edge.astype(np.float32)
    return sound


def _mixed(sound: FloatArray, other: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Both at once, 5 dB weaker to 20 dB stronger than the other, which begins or ends midway at times."""
    levels = [max(float(np.sqrt(np.mean(np.square(x)))), 1e-6) for x in (sound, other)]
    gain = levels[0] / levels[1] * 10 ** (-rng.uniform(-5, 20) / 20)
    if rng.random() < 0.3:
        cut = int(rng.integers(1, COLUMNS))
        other = other.copy()
        other[slice(cut) if rng.random() < 0.5 else slice(cut, None)] = 0.0
    return np.hypot(sound, gain * other)


def _finished(sound: FloatArray, rng: np.random.Generator) -> FloatArray:
    """At another level, with a hiss now and then, as log-mel columns: (240, 64) float32."""
    if rng.random() < 0.3:
        # Of noise, a band's magnitude varies the less the more bins it sums up.
        bins = np.linspace(1.5, 12, MEL_BANDS)
        hiss = np.sqrt(rng.gamma(bins, 1 / bins, (COLUMNS, MEL_BANDS)))
        level = max(float(np.sqrt(np.mean(np.square(sound)))), 1e-6) * 10 ** (-rng.uniform(0, 25) / 20)
        sound = np.hypot(sound, level * hiss * _curve(rng, 12.0))
    sound = sound * 10 ** (rng.uniform(-24, 12) / 20)
    return np.log(np.asarray(sound, np.float32) + LOG_OFFSET)

"""``melcnn4s``: cry or not on 4 s of log-mel, a small convolutional network: the classic of continuous
listening.

Recordings are cut into pieces of 4 s, which all carry the recording's label, and short ones are padded with
silence; 80 % of the groups teach, 10 % choose the epoch, 10 % are the in-domain test whose figures the model
folder keeps. In-domain figures say little about other homes: that is what leaving sources out is for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.embedding.logmel import LOG_OFFSET, MEL_BANDS, STFT_HOP, STFT_WINDOW, log_mel
from pipeline.errors import SettingsError
from pipeline.zoo.base import DETECTION_CLASSES, Example, Progress, Task, Timeline
from pipeline.zoo.deep import Recipe, set_aside
from pipeline.zoo.deep_model import DeepModel, Material
from pipeline.zoo.examples import FrontEnd, cached

SAMPLE_RATE = 16_000
WINDOW_S, HOP_S = 4.0, 0.96
WINDOW_SAMPLES = int(WINDOW_S * SAMPLE_RATE)
COLUMNS = 1 + (WINDOW_SAMPLES - STFT_WINDOW) // STFT_HOP
PIECE = WINDOW_SAMPLES // STFT_HOP  # columns from one training piece to the next
HOP = round(HOP_S * SAMPLE_RATE) // STFT_HOP
LEAST_REST = SAMPLE_RATE // STFT_HOP  # a rest of a second or more makes a last piece, at the end
FLOOR = np.float32(np.log(LOG_OFFSET))  # what silence gives
GAIN_DB = (-30.0, 6.0)
BLOCK = 512  # windows of a timeline worked on at once
CHANNELS = (16, 32, 64, 64)


def columns(samples: NDArray[np.float32]) -> NDArray[np.float16]:
    """Log-mel columns of (n,) samples at 16 kHz, 10 ms apart: (columns, 64) float16, 4 s at least."""
    short = max(0, WINDOW_SAMPLES - len(samples))
    return log_mel(np.pad(np.asarray(samples, np.float32), (0, short))).astype(np.float16)


def windows(heard: NDArray[np.float16]) -> NDArray[np.float16]:
    """All windows of 4 s along some columns, 0.96 s apart, the last filled up with silence: (k, 398, 64)."""
    k = 1 + -(-max(0, len(heard) - COLUMNS) // HOP)
    missing = (k - 1) * HOP + COLUMNS - len(heard)
    filled = np.pad(heard, ((0, missing), (0, 0)), constant_values=np.float16(FLOOR))
    return np.stack([filled[i * HOP : i * HOP + COLUMNS] for i in range(k)])


def pieces(heard: NDArray[np.float16]) -> NDArray[np.float16]:
    """Training pieces of 4 s that do not overlap, but for a last one at the end: (k, 398, 64)."""
    starts = list(range(0, len(heard) - COLUMNS + 1, PIECE))
    if len(heard) - COLUMNS - starts[-1] >= LEAST_REST:
        starts.append(len(heard) - COLUMNS)
    return np.stack([heard[start : start + COLUMNS] for start in starts])


def louder(log_mels: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Each piece as if its sound were 30 dB softer to 6 dB louder (exact: mel is linear in magnitude)."""
    decibels = rng.uniform(*GAIN_DB, (len(log_mels), 1, 1)).astype(np.float32)
    mels = np.maximum(np.exp(log_mels) - np.float32(LOG_OFFSET), 0)
    return np.log(mels * 10 ** (decibels / 20) + np.float32(LOG_OFFSET))


class MelCnn4s(DeepModel):
    """A small convolutional network on log-mel windows of 4 s, cry or not.

    Options: ``epochs``, ``patience``, ``rate``, ``gain`` (learn at random levels; off, the network knows the
    levels of its recordings only).

    Attributes:
        threshold: score from which a window counts as a cry; the even split of a two-class softmax.
    """

    name = "melcnn4s"
    task: Task = "detection"
    recipe = "1"
    about = (
        "A small convolutional network on log-mel windows of 4 s, cry or not: the classic of continuous "
        "listening. Pieces carry the label of the recording they are cut from."
    )
    front_end = FrontEnd("logmel64 1 16kHz 25/10 ms from 4s float16", columns)
    threshold = 0.5

    def __init__(
        self,
        classes: Sequence[str] = DETECTION_CLASSES,
        *,
        epochs: int = 12,
        patience: int = 3,
        rate: float = 1e-3,
        gain: bool = True,
    ) -> None:
        """Make an untrained model.

        Raises:
            SettingsError: other classes than ("not_cry", "cry"), or an option that cannot be used.
        """
        if tuple(classes) != DETECTION_CLASSES:
            raise SettingsError(f"melcnn4s tells {DETECTION_CLASSES} apart, not {tuple(classes)}.")
        if epochs < 1 or patience < 1 or not 0 < rate < 1:
            raise SettingsError("melcnn4s: epochs and patience are at least 1, rate lies between 0 and 1.")
        super().__init__(classes, {"epochs": epochs, "patience": patience, "rate": rate, "gain": gain})
        self._test: tuple[NDArray[np.bool_], list[NDArray[np.float16]]] | None = None

    def _recipe(self) -> Recipe:
        return Recipe(
            epochs=self.options["epochs"],
            batch=64,
            patience=self.options["patience"],
            watch="loss",
            weighted=True,
            rate=self.options["rate"],
        )

    def _material(
        self,
        examples: Sequence[Example],
        y: NDArray[np.int64],
        groups: NDArray[np.str_],
        *,
        seed: int,
        cache: Path,
        progress: Progress | None,
    ) -> Material:
        """Pieces of the recordings; 80/10/10 by group."""
        rest, test = set_aside(y, groups, 0.1, seed)
        among, chosen = set_aside(y[rest], groups[rest], 1 / 9, seed)
        heard = cached(examples, self.front_end, cache=cache, progress=progress)
        train, validation = rest[among], rest[chosen]
        cut = {int(i): pieces(heard[i]) for i in np.concatenate([train, validation])}
        ours = [int(i) for i in (*train, *validation)]
        kept = np.concatenate([cut[i] for i in ours])
        origin = np.repeat(np.arange(len(ours)), [len(cut[i]) for i in ours])
        teaches = origin < len(train)
        self._test = (y[test] == 1, [heard[i] for i in test])
        return Material(
            kept,
            y[np.array(ours)][origin],
            np.flatnonzero(teaches),
            np.flatnonzero(~teaches),
            {
                "recordings": {"train": len(train), "validation": len(validation), "test": len(test)},
                "pieces": {"train": int(teaches.sum()), "validation": int((~teaches).sum())},
            },
        )

    def fit(
        self,
        examples: Sequence[Example],
        y: NDArray[np.int64],
        groups: NDArray[np.str_],
        *,
        seed: int,
        work: Path,
        cache: Path,
        progress: Progress | None = None,
    ) -> None:
        """Learn from cries (1) and other sounds (0); 80 % of the groups teach, 10 % choose the epoch, and the
        figures on the last 10 % are in ``facts["test"]``.

        Raises:
            DataError: a single class or too few groups.
            AudioError: a recording cannot be read.
        """
        from pipeline.evaluation.metrics import detection_figures

        super().fit(examples, y, groups, seed=seed, work=work, cache=cache, progress=progress)
        assert self._test is not None  # _material sets it
        is_cry, heard = self._test
        self._test = None
        best = np.array([self._along(h).max() for h in heard])
        figures = {k: v for k, v in detection_figures(is_cry, best).items() if np.isfinite(v)}
        self.facts["test"] = {"clips": len(best), "cries": int(is_cry.sum()), **figures}

    def _inputs(self, kept: NDArray[Any], rng: np.random.Generator | None) -> NDArray[np.float32]:
        log_mels = kept.astype(np.float32)
        return louder(log_mels, rng) if rng is not None and self.options["gain"] else log_mels

    def _network(self, material: Material) -> Any:
        import keras
        from keras import layers

        del material
        inputs = keras.Input((COLUMNS, MEL_BANDS), name="log_mel")
        x = layers.Reshape((COLUMNS, MEL_BANDS, 1))(inputs)
        x = layers.Rescaling(0.4, offset=1.2)(x)  # log-mel lies between -7 and 2 or so
        for channels in CHANNELS:
            x = layers.Conv2D(channels, 3, strides=2, padding="same", use_bias=False)(x)
            x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
        x = layers.Dropout(0.3)(layers.GlobalAveragePooling2D()(x))
        return keras.Model(inputs, layers.Dense(len(self.classes), name="logits")(x))

    def _along(self, heard: NDArray[np.float16]) -> NDArray[np.float64]:
        """Cry scores of all windows along some columns."""
        return self._run(self._inputs(windows(heard), None))[:, 1]

    def scores(self, examples: Sequence[Example], *, cache: Path) -> NDArray[np.float64]:
        """(n, 2) float64: one minus, and, the score of the best window of the recording's timeline.

        Raises:
            ArtifactError: neither trained nor loaded.
            AudioError: a recording cannot be read.
        """
        self.onnx()
        best = [self._along(cached([e], self.front_end, cache=cache)[0]).max() for e in examples]
        cry = np.array(best, np.float64)
        return np.stack([1 - cry, cry], axis=1)

    def timeline(self, samples: NDArray[np.float32]) -> Timeline:
        """Scores along (n,) samples at 16 kHz: a window of 4 s every 0.96 s, the last filled with silence.

        Raises:
            ArtifactError: neither trained nor loaded.
        """
        step = HOP * STFT_HOP
        # As many windows as `windows` makes of the columns of the whole.
        whole = 1 + (max(len(samples), WINDOW_SAMPLES) - STFT_WINDOW) // STFT_HOP
        total = 1 + -(-(whole - COLUMNS) // HOP)
        parts = []
        for first in range(0, total, BLOCK):
            stop = min(first + BLOCK, total)
            block = samples[first * step : (stop - 1) * step + WINDOW_SAMPLES]
            heard = log_mel(block).astype(np.float16) if len(samples) >= WINDOW_SAMPLES else columns(block)
            parts.append(self._along(heard))
        return Timeline(np.concatenate(parts), HOP_S, WINDOW_S)


MODEL = MelCnn4s

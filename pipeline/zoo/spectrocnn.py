"""``spectrocnn``: a small convolutional network on a shrunken spectrogram, as in TensorFlow's audio tutorial.

Source of the recipe: "Simple audio recognition: Recognizing keywords" (TensorFlow tutorials): magnitude of a
short-time Fourier transform (frame 255, step 128), bilinear resize to 32×32, normalisation, two convolutions,
one pooling, two dropouts, Adam, early stopping on the validation loss. Projects that classify cries use it
with longer clips; here 8 s at 16 kHz.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import SettingsError
from pipeline.zoo.deep import Recipe
from pipeline.zoo.deep_model import DeepModel, Material
from pipeline.zoo.examples import FrontEnd

SAMPLE_RATE = 16_000
SAMPLES = 8 * SAMPLE_RATE
FRAME, STEP, FFT = 255, 128, 256
FRAMES = 1 + (SAMPLES - FRAME) // STEP
BINS = FFT // 2 + 1
SIZE = 32
# Real-time augmentation, training only.
SHIFT_S = 1.0
GAIN_DB = 6.0
NOISE_SNR_DB = (15.0, 40.0)


def waveform(samples: NDArray[np.float32]) -> NDArray[np.float16]:
    """(n,) samples at 16 kHz, cut or zero-padded at the end to 8 s: (128000,) float16."""
    cut = np.asarray(samples[:SAMPLES], np.float32)
    return np.pad(cut, (0, SAMPLES - len(cut))).astype(np.float16)


@lru_cache(maxsize=1)
def _window() -> NDArray[np.float32]:
    """TensorFlow's Hann window: periodic for even lengths, symmetric for odd ones such as 255."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / (FRAME - 1))).astype(np.float32)


def _taps(n: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Of 32 pixels out of n, half-pixel centres: lower and upper neighbours, share of the upper ones."""
    where = np.clip((np.arange(SIZE) + 0.5) * n / SIZE - 0.5, 0, n - 1)
    low = np.floor(where).astype(np.int64)
    return low, np.minimum(low + 1, n - 1), (where - low).astype(np.float32)


def pictures(waves: NDArray[np.float32]) -> NDArray[np.float32]:
    """(k, 128000) samples to (k, 32, 32, 1) resized magnitudes, time by frequency.

    The resize is bilinear without smoothing: each pixel mixes two frames and two bins, so only the 64 frames
    that reach a pixel are transformed; the result is the same.
    """
    low, high, share = _taps(FRAMES)
    frames = np.stack([low, high])[..., None] * STEP + np.arange(FRAME)  # (2, 32, 255)
    spectra = np.abs(np.fft.rfft(waves[:, frames] * _window(), FFT)).astype(np.float32)
    rows = spectra[:, 0] * (1 - share)[:, None] + spectra[:, 1] * share[:, None]
    low, high, share = _taps(BINS)
    return np.asarray((rows[..., low] * (1 - share) + rows[..., high] * share)[..., None], np.float32)


def changed(waves: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Each wave shifted in time by up to a second (what leaves at one end is gone), louder or softer by up to
    6 dB, with white noise 15 to 40 dB below it (each its own stretch of twice as much)."""
    out = np.zeros_like(waves)
    noise = rng.standard_normal(2 * SAMPLES, dtype=np.float32)
    for wave, target in zip(waves, out, strict=True):
        shift = int(rng.uniform(-SHIFT_S, SHIFT_S) * SAMPLE_RATE)
        moved = slice(max(shift, 0), SAMPLES + min(shift, 0))
        target[moved] = wave[max(-shift, 0) : SAMPLES - max(shift, 0)]
        target *= 10 ** (rng.uniform(-GAIN_DB, GAIN_DB) / 20)
        level = np.sqrt(target @ target / SAMPLES) * 10 ** (-rng.uniform(*NOISE_SNR_DB) / 20)
        start = int(rng.integers(0, SAMPLES))
        target += np.float32(level) * noise[start : start + SAMPLES]
    return out


class SpectroCnn(DeepModel):
    """A small convolutional network on a 32×32 spectrogram of 8 s (TensorFlow's audio tutorial, for cries).

    Options: ``weighted`` (classes count alike in the loss; the recipe does not ask for it), ``copies`` (learn
    from augmented copies too, beside the real-time augmentation), ``epochs``, ``patience``, ``rate``.
    """

    name = "spectrocnn"
    recipe = "2"
    about = (
        "A small convolutional network on a spectrogram of 8 s shrunk to 32×32, after TensorFlow's audio "
        "tutorial, with real-time augmentation (time shift, gain, noise)."
    )
    front_end = FrontEnd("waveform 1 16kHz 8s float16", waveform)

    def __init__(
        self,
        classes: Sequence[str],
        *,
        weighted: bool = False,
        copies: bool = False,
        epochs: int = 60,
        patience: int = 8,
        rate: float = 1e-3,
    ) -> None:
        """Make an untrained model.

        Raises:
            SettingsError: an option that cannot be used.
        """
        if epochs < 1 or patience < 1 or not 0 < rate < 1:
            raise SettingsError("spectrocnn: epochs and patience are at least 1, rate lies between 0 and 1.")
        options = {
            "weighted": weighted,
            "copies": copies,
            "epochs": epochs,
            "patience": patience,
            "rate": rate,
        }
        super().__init__(classes, options)

    def _recipe(self) -> Recipe:
        return Recipe(
            epochs=self.options["epochs"],
            batch=32,
            patience=self.options["patience"],
            watch="loss",
            weighted=self.options["weighted"],
            rate=self.options["rate"],
        )

    def _inputs(self, kept: NDArray[Any], rng: np.random.Generator | None) -> NDArray[np.float32]:
        waves = kept.astype(np.float32)
        return pictures(waves if rng is None else changed(waves, rng))

    def _network(self, material: Material) -> Any:
        import keras
        from keras import layers

        train = material.kept[material.train]
        seen = np.concatenate([self._inputs(train[i : i + 64], None) for i in range(0, len(train), 64)])
        deviation = max(float(seen.std()), 1e-6)
        return keras.Sequential(
            [
                keras.Input((SIZE, SIZE, 1), name="spectrogram"),
                # Normalisation adapted to the training rows alone: mean and deviation over all pixels.
                layers.Rescaling(1 / deviation, offset=-float(seen.mean()) / deviation, name="normalise"),
                layers.Conv2D(32, 3, activation="relu"),
                layers.Conv2D(64, 3, activation="relu"),
                layers.MaxPooling2D(),
                layers.Dropout(0.25),
                layers.Flatten(),
                layers.Dense(128, activation="relu"),
                layers.Dropout(0.5),
                layers.Dense(len(self.classes), name="logits"),
            ]
        )


MODEL = SpectroCnn

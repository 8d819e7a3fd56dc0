"""YAMNet's log-mel patches in numpy, so that the student hears exactly what its teacher heard.

Source of the recipe: the YAMNet model (TensorFlow Models, ``research/audioset/yamnet``): 25 ms periodic Hann
windows every 10 ms, 512-point FFT magnitude, 64 HTK-mel bands from 125 to 7500 Hz, natural log of
(mel + 0.001).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from pipeline.embedding.base import HOP_SAMPLES, SAMPLE_RATE, FloatArray, frame_count, pad_to_frames

STFT_WINDOW = 400
STFT_HOP = 160
FFT_SIZE = 512
MEL_BANDS = 64
MEL_LOW_HZ = 125.0
MEL_HIGH_HZ = 7500.0
LOG_OFFSET = 0.001
PATCH_COLUMNS = 96
PATCH_HOP_COLUMNS = HOP_SAMPLES // STFT_HOP
BLOCK = 128
# Neighbouring bands that are summed together: low ones need few bins, and none needs all.
BANDS_TOGETHER = 16


def _hz_to_mel(hz: np.ndarray | float) -> np.ndarray:
    return 1127.0 * np.log1p(np.asarray(hz, dtype=np.float64) / 700.0)


@lru_cache(maxsize=1)
def mel_matrix() -> FloatArray:
    """Triangular mel weights, (257, 64) float32, HTK scale, no area normalisation, DC bin left out."""
    bins = _hz_to_mel(np.linspace(0.0, SAMPLE_RATE / 2, FFT_SIZE // 2 + 1))[1:, None]
    edges = np.linspace(_hz_to_mel(MEL_LOW_HZ), _hz_to_mel(MEL_HIGH_HZ), MEL_BANDS + 2)
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    weights = np.maximum(0.0, np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)))
    return np.pad(weights, ((1, 0), (0, 0))).astype(np.float32)


@lru_cache(maxsize=1)
def _windows() -> FloatArray:
    """The window and zeros behind it for each row of a block: one long product takes half as long as many."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(STFT_WINDOW) / STFT_WINDOW)
    return np.tile(np.pad(window, (0, FFT_SIZE - STFT_WINDOW)).astype(np.float32), (BLOCK, 1))


@lru_cache(maxsize=1)
def _mel_products() -> tuple[tuple[slice, slice, FloatArray], ...]:
    """The mel matrix without most of its zeros: bins from and to, bands from and to, the weights between."""
    products = []
    for first in range(0, MEL_BANDS, BANDS_TOGETHER):
        bands = slice(first, first + BANDS_TOGETHER)
        heard = np.flatnonzero(mel_matrix()[:, bands].any(axis=1))
        bins = slice(int(heard[0]), int(heard[-1]) + 1)
        products.append((bins, bands, np.ascontiguousarray(mel_matrix()[bins, bands])))
    return tuple(products)


def log_mel(samples: FloatArray) -> FloatArray:
    """Log-mel columns of (n,) samples at 16 kHz, n >= 400: (1 + (n - 400) // 160, 64) float32."""
    # In single precision, as in TensorFlow; NumPy computes in double, in nearly twice the time.
    from scipy.fft import rfft

    frames = np.lib.stride_tricks.sliding_window_view(samples, STFT_WINDOW)[::STFT_HOP]
    out = np.empty((len(frames), MEL_BANDS), dtype=np.float32)
    # Blocks that stay in a core's cache, each in the same memory: twice as fast as larger ones.
    windowed = np.zeros((min(BLOCK, len(frames)), FFT_SIZE), dtype=np.float32)
    magnitudes = np.empty((len(windowed), FFT_SIZE // 2 + 1), dtype=np.float32)
    for start in range(0, len(frames), BLOCK):
        part = frames[start : start + BLOCK]
        padded, bands, loud = windowed[: len(part)], out[start : start + BLOCK], magnitudes[: len(part)]
        padded[:, :STFT_WINDOW] = part
        np.multiply(padded, _windows()[: len(part)], out=padded)
        np.abs(rfft(padded), out=loud)
        for bins, some, weights in _mel_products():
            np.matmul(loud[:, bins], weights, out=bands[:, some])
        bands += np.float32(LOG_OFFSET)
        np.log(bands, out=bands)
    return out


def columns_of(frames: int) -> int:
    """Log-mel columns that ``frames`` frames in a row are made of."""
    return PATCH_COLUMNS + (frames - 1) * PATCH_HOP_COLUMNS


def frames_of_log_mel(samples: FloatArray) -> FloatArray:
    """The student's input: log-mel of (n,) samples at 16 kHz, tail zero-padded as YAMNet does.

    Returns:
        (48 (k + 1), 64) float32 for k frames; frame i is columns 48 i to 48 i + 96.
    """
    columns = log_mel(pad_to_frames(np.asarray(samples, dtype=np.float32)))
    return columns[: columns_of(frame_count(len(samples)))]

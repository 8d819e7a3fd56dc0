"""Short-time spectra and mel bands, with librosa's conventions and numbers but without librosa.

Importing librosa costs a second and compiles; what the features need of it is little. Arrays are frames first
here, (frames, bins), so that each transform reads one stretch of memory. Frames are centred, the sound padded
with zeros, the window a periodic Hann.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
N_FFT, HOP = 2048, 512
BINS = N_FFT // 2 + 1
TINY = np.finfo(np.float32).tiny
_HOPS = N_FFT // HOP
_BLOCK = (
    32  # frames at a time in double precision: what fits a cache is faster, and no new memory is asked for
)

FloatArray = NDArray[np.float32]
ComplexArray = NDArray[np.complex64]


def frequencies() -> NDArray[np.float64]:
    """Centre of each bin in Hz, (1025,) float64."""
    return np.arange(BINS, dtype=np.float64) * (SAMPLE_RATE / N_FFT)


@lru_cache(maxsize=1)
def _window() -> NDArray[np.float64]:
    return hann(N_FFT)


def hann(size: int) -> NDArray[np.float64]:
    """Periodic Hann window, (size,) float64."""
    return 0.5 + 0.5 * np.cos(np.linspace(-np.pi, np.pi, size + 1)[:-1])


def frames_of(samples: FloatArray, size: int, hop: int) -> FloatArray:
    """(n,) samples, zero-padded by half a frame at both ends, as a (1 + n // hop, size) read-only view."""
    padded = np.pad(samples, size // 2)
    return np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]


def transform(samples: FloatArray) -> ComplexArray:
    """Short-time Fourier transform of (n,) float32 samples, (1 + n // 512, 1025) complex64."""
    from scipy.fft import rfft

    frames = frames_of(samples, N_FFT, HOP)
    spectrum = np.empty((len(frames), BINS), dtype=np.complex64)
    for start in range(0, len(frames), _BLOCK):
        block = slice(start, start + _BLOCK)
        spectrum[block] = rfft(frames[block] * _window(), axis=-1, overwrite_x=True)
    return spectrum


def inverse(spectrum: ComplexArray, n_samples: int) -> FloatArray:
    """The sound of a (1 + n // 512, 1025) spectrum, (n,) float32: overlap-add, the windows divided out."""
    from scipy.fft import irfft

    count = len(spectrum)
    sound = np.zeros((count + _HOPS - 1, HOP), dtype=np.float32)
    for start in range(0, count, _BLOCK):
        frames = irfft(spectrum[start : start + _BLOCK], n=N_FFT, axis=-1) * _window()
        _overlap(sound[start:], frames)
    inside = slice(N_FFT // 2, N_FFT // 2 + n_samples)
    return sound.ravel()[inside] / _overlapped_windows(count).ravel()[inside]


@lru_cache(maxsize=8)
def _overlapped_windows(count: int) -> FloatArray:
    """What overlapping frames add up to where each is the window squared, (count + 3, 512)."""
    total = np.zeros((count + _HOPS - 1, HOP), dtype=np.float32)
    _overlap(total, np.broadcast_to(_window() ** 2, (count, N_FFT)))
    return total


def _overlap(total: FloatArray, frames: NDArray[np.float64]) -> None:
    """Add frames, each 512 samples after the last, to (hops, 512); the earlier frame first in every place."""
    parts = frames.reshape(len(frames), _HOPS, HOP)
    for part in reversed(range(_HOPS)):
        total[part : part + len(frames)] += parts[:, part]


@lru_cache(maxsize=4)
def mel_bank(bands: int) -> FloatArray:
    """Triangles on Slaney's mel scale, of equal area, as ``librosa.filters.mel``; (1025, bands) float32."""
    edges = _mel_to_hz(np.linspace(0.0, float(_hz_to_mel(SAMPLE_RATE / 2)), bands + 2))
    widths = np.diff(edges)
    ramps = edges[:, None] - frequencies()
    rising, falling = -ramps[:-2] / widths[:-1, None], ramps[2:] / widths[1:, None]
    weights = np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)
    weights *= (2.0 / (edges[2:] - edges[:-2]))[:, None]
    return np.ascontiguousarray(weights.T)


# Slaney's scale: linear up to 1000 Hz, then 27 bands to a factor of 6.4.
_LINEAR_STEP, _LOG_FROM_HZ = 200.0 / 3, 1000.0
_LOG_FROM_MEL, _LOG_STEP = _LOG_FROM_HZ / _LINEAR_STEP, np.log(6.4) / 27.0


def _hz_to_mel(hz: float) -> float:
    if hz < _LOG_FROM_HZ:
        return hz / _LINEAR_STEP
    return _LOG_FROM_MEL + float(np.log(hz / _LOG_FROM_HZ)) / _LOG_STEP


def _mel_to_hz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    linear = mels * _LINEAR_STEP
    return np.where(mels < _LOG_FROM_MEL, linear, _LOG_FROM_HZ * np.exp(_LOG_STEP * (mels - _LOG_FROM_MEL)))


def mel_bands(power: FloatArray, bands: int) -> FloatArray:
    """(frames, 1025) powers to (frames, bands), in four parts as the bank is nearly all zeros."""
    bank = mel_bank(bands)
    mel = np.empty((len(power), bands), dtype=np.float32)
    for part in np.array_split(np.arange(bands), 4):
        used = np.flatnonzero(bank[:, part].any(axis=1))
        rows, columns = slice(used[0], used[-1] + 1), slice(part[0], part[-1] + 1)
        np.matmul(power[:, rows], bank[rows, columns], out=mel[:, columns])
    return mel


def decibels(power: NDArray[np.floating]) -> NDArray[np.floating]:
    """10 log10, nothing below 1e-10, nor more than 80 dB below the largest of all."""
    levels = 10.0 * np.log10(np.maximum(power.dtype.type(1e-10), power))
    return np.maximum(levels, levels.max() - 80.0)

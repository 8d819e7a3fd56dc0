"""Acoustic features of a cry: 108 named numbers (or 111), means over frames, at 16 kHz.

The recipe is the one usually published for telling a cry's reason. It lists 40 MFCC, 12 chroma, mel bands,
7 spectral contrast, 6 tonnetz, zero-crossing rate, RMS, spectral centroid, bandwidth, rolloff and flatness
and calls them 108, but its own sum (with 40 mel bands) is 111. ``acoustic108`` stops after the centroid;
``acoustic111`` is the whole list. A model keeps the names it was fitted on and refuses others.

They are librosa's numbers with librosa's defaults (n_fft 2048, hop 512, 128 mel bands of which the first 40
are kept, 7 contrast bands), computed here without it: one short-time Fourier transform serves all features,
filter banks are kept, and the running medians behind the tonnetz share their sorting (``_harmonic``). How far
the numbers and the times are from the library's is measured in ``benchmarks/features.py``.

Two things are met that librosa warns of: silence has no tuning to estimate (0 is used, as librosa does), and
the constant-Q transform wants about 2 s (shorter sounds are padded with silence, whose frames are dropped
again; tonnetz then differs from the plain call by less than 0.01).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline._harmonic import harmonic
from pipeline._spectrum import (
    BINS,
    HOP,
    N_FFT,
    SAMPLE_RATE,
    TINY,
    FloatArray,
    decibels,
    frequencies,
    inverse,
    mel_bands,
    transform,
)
from pipeline._threads import one_blas_thread
from pipeline._tonal import chroma, tonnetz_mean
from pipeline.errors import ArtifactError, AudioError

if TYPE_CHECKING:
    from pipeline.audio import Waveform

N_MFCC, N_CHROMA, N_MEL, N_MEL_KEPT, N_CONTRAST, N_TONNETZ = 40, 12, 128, 40, 7, 6

_NAMES_108: tuple[str, ...] = (
    *(f"mfcc_{i:02d}" for i in range(N_MFCC)),
    *(f"chroma_{i:02d}" for i in range(N_CHROMA)),
    *(f"mel_{i:03d}" for i in range(N_MEL_KEPT)),
    *(f"contrast_{i}" for i in range(N_CONTRAST)),
    *(f"tonnetz_{i}" for i in range(N_TONNETZ)),
    "zero_crossing_rate",
    "rms",
    "spectral_centroid",
)

SCHEMAS: dict[str, tuple[str, ...]] = {
    "acoustic108": _NAMES_108,
    "acoustic111": (*_NAMES_108, "spectral_bandwidth", "spectral_rolloff", "spectral_flatness"),
}


def feature_names(schema: str = "acoustic108") -> tuple[str, ...]:
    """Names of a schema's features, in the order :func:`extract` gives them.

    Raises:
        ArtifactError: no schema of that name.
    """
    try:
        return SCHEMAS[schema]
    except KeyError:
        known = ", ".join(SCHEMAS)
        raise ArtifactError(
            f"There is no feature schema '{schema}'; known are {known}.", code="unknown-schema"
        ) from None


def extract(sound: Waveform | np.ndarray, schema: str = "acoustic108") -> np.ndarray:
    """Features of one sound.

    Args:
        sound: a ``Waveform``, or (n,) samples, mono at 16 kHz in [-1, 1]; at least 2048 samples (0.128 s).
            Meant for some seconds of sound: the values are means over all of it.
        schema: ``acoustic108`` or ``acoustic111``.

    Returns:
        (108,) or (111,) float64, always finite (silence included).

    Raises:
        AudioError: not one row of samples, too short for one frame, or NaN or infinite samples.
        ArtifactError: unknown schema.
    """
    names = feature_names(schema)
    samples = _checked(sound)
    with one_blas_thread():
        values = _means(samples, with_extra=len(names) > len(_NAMES_108))
    if len(values) != len(names):
        raise AssertionError(f"{len(values)} values for {len(names)} names of '{schema}'")
    return values


def _checked(sound: Waveform | np.ndarray) -> np.ndarray:
    """The samples as (n,) float32, or an AudioError that says why not."""
    samples = np.asarray(getattr(sound, "samples", sound), dtype=np.float32)
    if samples.ndim != 1:
        raise AudioError(
            f"Features need one row of mono samples; got an array of shape {samples.shape}.", code="not-audio"
        )
    if len(samples) < N_FFT:
        raise AudioError(
            f"The sound is {len(samples) / SAMPLE_RATE:.3f} s long; features need at least "
            f"{N_FFT / SAMPLE_RATE:.3f} s ({N_FFT} samples at 16 kHz).",
            code="too-short",
        )
    if not np.isfinite(samples).all():
        raise AudioError(
            "The sound holds NaN or infinite samples; record or export it again.", code="non-finite"
        )
    return samples


def _means(samples: FloatArray, *, with_extra: bool) -> NDArray[np.float64]:
    """Means over frames of all features in schema order, from one shared transform; (108,) or (111,)."""
    spectrum = transform(samples)
    magnitude = np.abs(spectrum)
    power = magnitude * magnitude
    mel = mel_bands(power, N_MEL)
    centroid, bandwidth = _centroid_and_bandwidth(magnitude)
    harmonic_sound = inverse(harmonic(spectrum, magnitude), len(samples))
    parts: list[NDArray[np.floating]] = [
        decibels(mel).mean(axis=0, dtype=np.float64) @ _cosines(),
        chroma(power).mean(axis=0, dtype=np.float64),
        mel[:, :N_MEL_KEPT].mean(axis=0, dtype=np.float64),
        _contrast(magnitude),
        tonnetz_mean(harmonic_sound, np.abs(transform(harmonic_sound))),
        _crossings(samples).mean(keepdims=True),
        _loudness(samples).mean(keepdims=True),
        centroid.mean(keepdims=True),
    ]
    if with_extra:
        parts += [
            bandwidth.mean(keepdims=True),
            _rolloff(magnitude).mean(keepdims=True),
            _flatness(power).mean(keepdims=True),
        ]
    return np.concatenate(parts)


@lru_cache(maxsize=1)
def _cosines() -> NDArray[np.float64]:
    """The orthonormal cosine transform that makes cepstra of mel bands, (128, 40)."""
    turns = np.multiply.outer(np.arange(N_MEL) + 0.5, np.arange(N_MFCC)) * (np.pi / N_MEL)
    scale = np.full(N_MFCC, np.sqrt(2 / N_MEL))
    scale[0] = np.sqrt(1 / N_MEL)
    return np.cos(turns) * scale


@lru_cache(maxsize=1)
def _contrast_bands() -> tuple[tuple[slice, int], ...]:
    """Octave bands from 200 Hz: their bins, and how many of them count as peak and as valley (2 %)."""
    hz = frequencies()
    edges = [0.0, *(200.0 * 2.0**octave for octave in range(N_CONTRAST))]
    bands = []
    for number in range(N_CONTRAST):
        inside = np.flatnonzero((hz >= edges[number]) & (hz <= edges[number + 1]))
        # Bands begin a bin early, and the last goes on to the top; librosa counts before it drops one.
        first = int(inside[0]) - (number > 0)
        end = BINS if number == N_CONTRAST - 1 else int(inside[-1]) + 1
        counted = max(1, round(0.02 * (end - first)))
        bands.append((slice(first, end - (number < N_CONTRAST - 1)), counted))
    return tuple(bands)


def _contrast(magnitude: FloatArray) -> NDArray[np.float64]:
    """Mean level in dB by which peaks stand out of valleys in seven octave bands (Jiang 2002); (7,)."""
    valleys, peaks = [], []
    for band, counted in _contrast_bands():
        ordered = np.sort(magnitude[:, band], axis=1)
        valleys.append(ordered[:, :counted].mean(axis=1))
        peaks.append(ordered[:, -counted:].mean(axis=1))
    levels = decibels(np.stack(peaks)) - decibels(np.stack(valleys))
    return levels.mean(axis=1, dtype=np.float64)


def _frame_sums(values: NDArray[Any], n_samples: int) -> NDArray[np.float64]:
    """Sums over frames of (n + 2048,) values of a sound that was padded by half a frame; (frames,)."""
    hops = values[: (n_samples // HOP + N_FFT // HOP) * HOP].reshape(-1, HOP).sum(axis=1, dtype=np.float64)
    return np.lib.stride_tricks.sliding_window_view(hops, N_FFT // HOP).sum(axis=1)


def _crossings(samples: FloatArray) -> NDArray[np.float64]:
    """Share of each frame's samples whose sign is not that of the one before; (frames,)."""
    negative = samples < -1e-10
    changed = np.zeros(len(samples) + N_FFT, dtype=bool)
    changed[N_FFT // 2 + 1 : N_FFT // 2 + len(samples)] = negative[1:] != negative[:-1]
    firsts = changed[: len(samples) + 1 : HOP]  # a frame's first sample has none before it
    return (_frame_sums(changed, len(samples)) - firsts) / N_FFT


def _loudness(samples: FloatArray) -> NDArray[np.float64]:
    """Root mean square of each frame; (frames,)."""
    return np.sqrt(_frame_sums(np.pad(samples * samples, N_FFT // 2), len(samples)) / N_FFT)


def _centroid_and_bandwidth(magnitude: FloatArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and deviation in Hz of each frame's spectrum taken as a distribution; (frames,) each."""
    hz = frequencies()
    total, first, second = (magnitude @ np.stack([np.ones(BINS), hz, hz * hz], axis=1)).T
    total = np.where(total < TINY, 1.0, total)
    centroid = first / total
    return centroid, np.sqrt(np.maximum(second / total - centroid**2, 0.0))


def _rolloff(magnitude: FloatArray) -> NDArray[np.float64]:
    """Frequency in Hz below which 85 % of each frame's magnitude lies; (frames,)."""
    so_far = np.cumsum(magnitude, axis=1)
    return (so_far < np.float32(0.85) * so_far[:, -1:]).sum(axis=1) * (SAMPLE_RATE / N_FFT)


def _flatness(power: FloatArray) -> NDArray[np.float64]:
    """Geometric over arithmetic mean of each frame's powers, in (0, 1]; (frames,)."""
    floored = np.maximum(power, np.float32(1e-10))
    geometric = np.exp(np.log(floored).mean(axis=1, dtype=np.float64))
    return geometric / floored.mean(axis=1, dtype=np.float64)

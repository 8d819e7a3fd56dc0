"""Pitch classes: tuning, chroma from the spectrum, and tonal centroids from a constant-Q transform.

The same numbers as librosa's ``estimate_tuning``, ``chroma_stft`` and ``tonnetz``, without librosa. Filters
depend on the tuning alone, which comes in steps of 1/100 of a bin: they are kept.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import soxr
from numpy.typing import NDArray

from pipeline._spectrum import BINS, HOP, N_FFT, SAMPLE_RATE, TINY, FloatArray, frames_of, hann

CLASSES = 12
CQT_PER_OCTAVE, CQT_OCTAVES, CQT_FRAME = 36, 7, 512
_LOWEST_HZ = 440.0 * 2.0 ** ((24 - 69) / 12)  # C1
# Peaks are looked for from 150 to 4000 Hz, no lower than a tenth of their frame's largest value.
_PEAK_BINS = slice(int(np.ceil(150 * N_FFT / SAMPLE_RATE)), 4000 * N_FFT // SAMPLE_RATE)
_PEAK_FLOOR = np.float32(0.1)
_TUNINGS = np.linspace(-0.5, 0.5, 101)


def tuning(spectrogram: FloatArray, per_octave: int) -> float:
    """Deviation from A440 that most spectral peaks share, as ``librosa.estimate_tuning``.

    Args:
        spectrogram: (frames, 1025) magnitudes or powers.
        per_octave: bins per octave.

    Returns:
        Fraction of a bin in steps of 0.01, in [-0.5, 0.5); 0 where nothing has a pitch.
    """
    pitch, strength = _peaks(spectrogram)
    if not len(pitch):
        return 0.0
    strong = pitch[strength >= np.median(strength)]
    away = np.mod(per_octave * np.log2(strong / np.float32(440.0 / 16)), np.float32(1.0))
    away[away >= 0.5] -= 1.0
    counts, _edges = np.histogram(away, _TUNINGS)
    return float(_TUNINGS[np.argmax(counts)])


def _peaks(spectrogram: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Frequency in Hz and height of every peak, by a parabola through it (Smith 2011), as ``piptrack``."""
    low, high = _PEAK_BINS.start, _PEAK_BINS.stop
    middle = spectrogram[:, low:high]
    left, right = spectrogram[:, low - 1 : high - 1], spectrogram[:, low + 1 : high + 1]
    floor = _PEAK_FLOOR * spectrogram.max(axis=1, keepdims=True)
    found = middle > floor
    found &= middle > left
    found &= middle >= right
    frame, place = np.nonzero(found)
    here, before, after = middle[frame, place], left[frame, place], right[frame, place]
    curve = (after + before) - 2.0 * here.astype(np.float64)
    slope = (after - before).astype(np.float64) / 2
    beside = np.abs(slope) >= np.abs(curve)  # further than a bin away: no parabola of this peak
    shift = np.where(beside, 0.0, -slope / np.where(beside, 1.0, curve)).astype(np.float32)
    pitch = (place + low + shift) * (SAMPLE_RATE / N_FFT)
    height = here + np.float32(0.5) * ((after - before) / np.float32(2)) * shift
    return pitch.astype(np.float32), height


def chroma(power: FloatArray) -> FloatArray:
    """Energy by pitch class, (frames, 1025) powers to (frames, 12), largest of each frame 1."""
    raw = power @ _chroma_bank(tuning(power, CLASSES))
    peak = raw.max(axis=1, keepdims=True)
    np.copyto(peak, 1.0, where=peak < TINY)
    raw /= peak
    return raw


@lru_cache(maxsize=128)
def _chroma_bank(tuned: float) -> FloatArray:
    """Gaussian bumps around each pitch class, most weight near 880 Hz, as ``librosa.filters.chroma``."""
    hz = np.arange(1, BINS + 1) * (SAMPLE_RATE / N_FFT)
    classes = CLASSES * np.log2(hz / (440.0 * 2.0 ** (tuned / CLASSES) / 16))
    classes = np.concatenate([[classes[0] - 1.5 * CLASSES], classes])
    widths = np.maximum(np.diff(classes), 1.0)
    classes = classes[:BINS, None]
    away = np.remainder(classes - np.arange(CLASSES) + 10.5 * CLASSES, CLASSES) - CLASSES / 2
    weights = np.exp(-0.5 * (2 * away / widths[:, None]) ** 2)
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    weights *= np.exp(-0.5 * ((classes / CLASSES - 5.0) / 2.0) ** 2)
    return np.roll(weights, -3, axis=1).astype(np.float32)


def tonnetz_mean(sound: FloatArray, spectrogram: FloatArray) -> NDArray[np.float64]:
    """Mean tonal centroid (Harte 2006): fifths, minor and major thirds, sine and cosine each; (6,) float64.

    Args:
        sound: (n,) samples at 16 kHz.
        spectrogram: its (frames, 1025) magnitudes.
    """
    pitch_classes = _constant_q_chroma(sound, tuning(spectrogram, CQT_PER_OCTAVE))[: len(spectrogram)]
    total = pitch_classes.sum(axis=1, keepdims=True)
    np.copyto(total, 1.0, where=total < TINY)
    share = (pitch_classes / total).mean(axis=0, dtype=np.float64)
    turns = np.multiply.outer([7 / 6, 7 / 6, 3 / 2, 3 / 2, 2 / 3, 2 / 3], np.arange(CLASSES))
    turns[::2] -= 0.5
    return np.array([1, 1, 1, 1, 0.5, 0.5]) * (np.cos(np.pi * turns) @ share)


def _constant_q_chroma(sound: FloatArray, tuned: float) -> FloatArray:
    """Magnitudes of a constant-Q transform of seven octaves, added up by pitch class; (frames, 12).

    Octave by octave from the top, halving the rate each time (Schörkhuber and Klapuri 2010), so that one
    filter bank serves all. A sound shorter than 2 s is padded with silence: the lowest octave wants as much.
    """
    wanted = CQT_FRAME * 2 ** (CQT_OCTAVES - 1)
    if len(sound) < wanted:
        sound = np.pad(sound, (0, wanted - len(sound)))
    octaves = [sound]
    for _ in range(1, CQT_OCTAVES):
        octaves.append(_halved(octaves[-1]))
    parts = [frames_of(octave, CQT_FRAME, HOP >> number) for number, octave in enumerate(octaves)]
    count = min(len(part) for part in parts)
    answers = np.concatenate([part[:count] for part in parts]) @ _constant_q_bank(tuned)
    magnitude = np.abs(answers.view(np.complex64))
    by_bin = magnitude.reshape(CQT_OCTAVES, count, CQT_PER_OCTAVE).sum(axis=0)
    # Three bins per class, the middle one on the note.
    return np.roll(by_bin, 1, axis=1).reshape(count, CLASSES, -1).sum(axis=2)


def _halved(sound: FloatArray) -> FloatArray:
    """Every second sample after a low-pass, at the same energy, (n,) to (ceil(n / 2),)."""
    count = -(-len(sound) // 2)
    half = soxr.resample(sound, 2, 1, quality="HQ")[:count]
    half /= np.sqrt(0.5)
    return np.pad(half, (0, count - len(half)))


@lru_cache(maxsize=128)
def _constant_q_bank(tuned: float) -> FloatArray:
    """The top octave's 36 filters on 512 samples, real and imaginary parts in turns: one (512, 72) matrix.

    As librosa makes them: wavelets under a Hann window of their own length, of which the Fourier
    coefficients that hold 1 % of the weight are dropped, and with them all negative frequencies.
    """
    from scipy.fft import fft

    number = CQT_PER_OCTAVE * (CQT_OCTAVES - 1) + np.arange(CQT_PER_OCTAVE)
    hz = _LOWEST_HZ * 2.0 ** (tuned / CQT_PER_OCTAVE) * 2.0 ** (number / CQT_PER_OCTAVE)
    width = 2.0 ** (2 / CQT_PER_OCTAVE)
    lengths = (width + 1) / (width - 1) * SAMPLE_RATE / hz
    wavelets = np.zeros((CQT_PER_OCTAVE, CQT_FRAME), dtype=np.complex64)
    for row, length, frequency in zip(wavelets, lengths, hz, strict=True):
        at = np.arange(-length // 2, length // 2)
        wave = np.exp(2j * np.pi * frequency / SAMPLE_RATE * at) * hann(len(at))
        start = (CQT_FRAME - len(at)) // 2
        row[start : start + len(at)] = wave / np.abs(wave).sum() * (length / CQT_FRAME)
    spectra = fft(wavelets, axis=1)[:, : CQT_FRAME // 2 + 1]
    weight = np.abs(spectra)
    ordered = np.sort(weight, axis=1)
    share = np.cumsum(ordered / weight.sum(axis=1, keepdims=True), axis=1)
    least = np.take_along_axis(ordered, np.argmin(share < 0.01, axis=1)[:, None], axis=1)
    kept = np.where(weight >= least, spectra, 0) / np.sqrt(lengths)[:, None]
    # The product of a frame's spectrum with a filter's is one with that filter's own transform.
    bank = fft(kept, n=CQT_FRAME, axis=1).T
    return np.ascontiguousarray(bank, dtype=np.complex64).view(np.float32)

"""Fingerprints: whether two recordings hold the same audio, whatever was done to it on the way.

Two of them, both in plain numpy, at 16 kHz and one column per 16 ms:

* **Landmarks** find pairs: spectral peaks joined in twos, each pair hashed from its two frequencies and the
  time between them (A. Wang, "An industrial-strength audio search algorithm", ISMIR 2003). Equal hashes are
  looked up in sorted order, so the search is not quadratic; a pair of recordings with several hashes at one
  and the same shift is worth comparing.
* **Bits** compare: per column one bit for each pair of neighbouring semitone bands, the sign of the change of
  their energy difference over time (J. Haitsma and T. Kalker, "A highly robust audio fingerprinting system",
  ISMIR 2002). Unrelated recordings differ in half of their bits; the same audio in far fewer, and gain,
  codec, sample rate and trimming hardly matter.

Bands are a semitone wide, so a copy with its pitch shifted by whole semitones has the same bits some bands
higher or lower; a copy played slower or faster has them on a stretched time axis. ``compare_changed`` tries
both, which finds augmented copies by their sound.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
HOP = 256
COLUMN_S = HOP / SAMPLE_RATE
BANDS = 33
BITS = BANDS - 1
# A bit compares columns this far apart: neighbouring columns share most of their window and differ by noise.
BIT_STEP = 4
_BAND_WINDOW = 4096
_LOWEST_HZ = 300.0
_QUIET = 1e-6  # of the loudest column's energy; quieter columns say nothing

# Peaks: STFT of 1024 samples, bins 8 to 255 (125 to 4000 Hz, which telephone-band audio has too).
_PEAK_WINDOW, _LOW_BIN, _HIGH_BIN = 1024, 8, 256
_PEAK_SIZE = (11, 13)  # columns x bins in which a peak is the highest
PEAKS_PER_S = 20
_FAN = 10  # following peaks that a peak is joined to
_MAX_GAP, _MAX_RISE = 63, 63  # columns, bins

MIN_OVERLAP = 40
"""Columns (0.7 s) that two recordings must share, unless the shorter one has fewer."""
SAME_Z, SAME_Z_CHANGED = 22.0, 26.0  # the second: of many changes tried, the best
SAME_ERROR, SAME_ERROR_CHANGED = 0.40, 0.33
STANDS_OUT = 6.0
CERTAIN_Z = 45.0
MIN_SHIFTS = 20
_BESIDE = 16  # columns (0.26 s) around the best shift that belong to it
SHIFTS = (-4, -3, -2, -1, 1, 2, 3, 4)  # semitones
RATES = (0.8, 0.85, 0.875, 0.9, 0.925, 0.95, 1.05, 1.075, 1.1, 1.125, 1.15, 1.2, 1.25)
SPEEDS = (0.8, 0.9, 0.95, 1.05, 1.1, 1.2)

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Likeness:
    """How alike two recordings are at the shift where they agree best.

    Attributes:
        error: share of bits that differ, 0 (the same) to 0.5 (unrelated).
        z: standard deviations by which the agreement exceeds that of coin tosses (as if bits were
            independent; they are not quite, which ``SAME_Z`` allows for).
        overlap_s: seconds compared.
        lag_s: where the second recording begins in the first, seconds; negative when it begins before it.
        change: "" or how the second differs from the first, such as "pitch +2 semitones" or "tempo x0.9"
            (slower).
        stands_out: z over the root mean square of z at the other shifts; infinite when there are few. Steady
            and repeated sounds (one note held) agree at many shifts; the same audio agrees at one.
    """

    error: float
    z: float
    overlap_s: float
    lag_s: float
    change: str = ""
    stands_out: float = float("inf")

    @property
    def same(self) -> bool:
        """Whether this is the same audio: enough bits agree, at this shift and not at any.

        The lines were set on real recordings: 15 000 pairs of unrelated collections reached a z of 12 (14
        with pitch and tempo changed), copies through low-rate codecs 40 and more (``docs/audit.md``).
        """
        distinct = self.stands_out >= STANDS_OUT or self.z >= CERTAIN_Z
        z, error = (SAME_Z_CHANGED, SAME_ERROR_CHANGED) if self.change else (SAME_Z, SAME_ERROR)
        return self.z >= z and self.error <= error and distinct


def _spectra(samples: FloatArray, window: int) -> FloatArray:
    """Magnitude spectra, (columns, window // 2 + 1) float32, one per HOP samples."""
    from scipy.fft import rfft

    samples = np.asarray(samples, dtype=np.float32)
    if len(samples) < window:
        samples = np.pad(samples, (0, window - len(samples)))
    frames = np.lib.stride_tricks.sliding_window_view(samples, window)[::HOP]
    shape = np.hanning(window).astype(np.float32)
    out = np.empty((len(frames), window // 2 + 1), dtype=np.float32)
    for start in range(0, len(frames), 1024):  # bounds the memory of the windowed copy
        part = slice(start, start + 1024)
        out[part] = np.abs(rfft(frames[part] * shape))
    return out


def landmarks(samples: FloatArray) -> tuple[NDArray[np.uint32], NDArray[np.int32]]:
    """Hashes of pairs of spectral peaks.

    Args:
        samples: (n,) float32 mono at 16 kHz.

    Returns:
        (k,) uint32 hashes and (k,) int32 columns where each begins; k is 0 for silence.
    """
    from scipy.ndimage import maximum_filter1d

    magnitude = _spectra(samples, _PEAK_WINDOW)[:, _LOW_BIN:_HIGH_BIN]
    top = float(magnitude.max())
    if top <= 0:
        return np.zeros(0, np.uint32), np.zeros(0, np.int32)
    highest = maximum_filter1d(magnitude, _PEAK_SIZE[0], axis=0)
    highest = maximum_filter1d(highest, _PEAK_SIZE[1], axis=1)
    column, bin_ = np.nonzero((magnitude == highest) & (magnitude > 1e-3 * top))
    kept = _strongest(column, magnitude[column, bin_])
    column, bin_ = column[kept].astype(np.int32), bin_[kept].astype(np.int32)
    hashes, times = [np.zeros(0, np.uint32)], [np.zeros(0, np.int32)]
    for step in range(1, min(_FAN, len(column) - 1) + 1):
        gap, rise = column[step:] - column[:-step], bin_[step:] - bin_[:-step]
        near = (gap >= 2) & (gap <= _MAX_GAP) & (np.abs(rise) <= _MAX_RISE)
        packed = (bin_[:-step][near] << 13) | ((rise[near] + _MAX_RISE) << 6) | gap[near]
        hashes.append(packed.astype(np.uint32))
        times.append(column[:-step][near])
    return np.concatenate(hashes), np.concatenate(times)


def _strongest(column: NDArray[np.int64], height: FloatArray) -> NDArray[np.int64]:
    """Indices, ascending, of the strongest ``PEAKS_PER_S`` peaks of each second."""
    if not len(column):
        return np.zeros(0, np.int64)
    second = (column * COLUMN_S).astype(np.int64)
    order = np.lexsort((-height, second))
    first = np.r_[True, np.diff(second[order]) > 0]
    rank = np.arange(len(order)) - np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))
    return np.sort(order[rank < PEAKS_PER_S])


def band_energies(samples: FloatArray) -> NDArray[np.float16]:
    """Natural logarithm of the energy in 33 semitone bands from 300 Hz: (columns, 33) float16.

    Args:
        samples: (n,) float32 mono at 16 kHz; brought to a peak of 1 first, so float16 holds it.
    """
    peak = float(np.abs(samples).max(initial=0.0))
    power = _spectra(samples / peak if peak > 0 else samples, _BAND_WINDOW) ** 2
    edges = _LOWEST_HZ * 2 ** (np.arange(BANDS + 1) / 12) * _BAND_WINDOW / SAMPLE_RATE + 0.5
    whole = edges.astype(int)
    below = np.pad(np.cumsum(power, axis=1, dtype=np.float64), ((0, 0), (1, 0)))
    at_edge = below[:, whole] + (edges - whole) * power[:, whole]
    return np.log(np.maximum(np.diff(at_edge, axis=1), 0.0) + 1e-7).astype(np.float16)


def signs(bands: NDArray[np.floating]) -> FloatArray:
    """Bits of :func:`band_energies`: (columns - 4, 32) float32, -1, +1, or 0 where it is quiet."""
    energy = np.exp(np.asarray(bands, dtype=np.float32))
    if len(energy) <= BIT_STEP:
        return np.zeros((0, BITS), np.float32)
    total = energy.sum(axis=1)
    audible = total > max(_QUIET * float(total.max()), BANDS * 2e-7)
    slope = energy[:, :-1] - energy[:, 1:]
    bits = np.where(slope[BIT_STEP:] > slope[:-BIT_STEP], np.float32(1), np.float32(-1))
    return bits * (audible[BIT_STEP:] & audible[:-BIT_STEP])[:, None]


@dataclass(frozen=True, eq=False)
class Spectra:
    """Bits of a recording, ready to be compared at all shifts at once: Fourier transforms along time."""

    bits: NDArray[np.complex64]  # (size // 2 + 1, 32)
    heard: NDArray[np.complex64]  # (size // 2 + 1,), of the columns that are not quiet
    columns: int
    audible: int
    size: int

    @classmethod
    def of(cls, bits: FloatArray, size: int) -> Spectra:
        """Transform (columns, 32) bits, padded to ``size`` columns (at least those of both recordings)."""
        from scipy.fft import rfft

        heard = np.abs(bits[:, 0])
        return cls(rfft(bits, size, axis=0), rfft(heard, size), len(bits), int(heard.sum()), size)


def transform_size(columns: int, others: int) -> int:
    """A fast transform size in which two recordings of so many columns do not wrap around."""
    return int(2 ** np.ceil(np.log2(max(2, columns + others))))


def best_shift(one: Spectra, other: Spectra, semitones: int = 0, change: str = "") -> Likeness:
    """Compare two recordings at every shift, the second taken to be ``semitones`` higher than the first."""
    from scipy.fft import irfft

    low, high = max(0, -semitones), BITS - max(0, semitones)
    product = (one.bits[:, low:high] * np.conj(other.bits[:, low + semitones : high + semitones])).sum(axis=1)
    both = irfft(np.stack([product, one.heard * np.conj(other.heard)]), one.size)
    lags = np.r_[0 : one.columns, -other.columns + 1 : 0]
    agreement, overlap = both[0, lags], both[1, lags]
    needed = min(MIN_OVERLAP, one.audible, other.audible)
    usable = overlap > max(needed, 1) - 0.5
    if not usable.any():
        return Likeness(0.5, 0.0, 0.0, 0.0, change)
    compared = (high - low) * np.maximum(overlap, 1.0)
    z = np.where(usable, agreement / np.sqrt(compared), -np.inf)
    best = int(z.argmax())
    error = 0.5 - agreement[best] / compared[best] / 2
    rest = z[usable & (np.abs(lags - lags[best]) > _BESIDE)]
    usual = float(np.sqrt(np.mean(rest**2))) if len(rest) >= MIN_SHIFTS else 0.0
    return Likeness(
        error=float(error),
        z=float(z[best]),
        overlap_s=float(overlap[best] * COLUMN_S),
        lag_s=float(lags[best] * COLUMN_S),
        change=change,
        stands_out=float(z[best]) / usual if usual > 0 else float("inf"),
    )


def compare(one: NDArray[np.floating], other: NDArray[np.floating]) -> Likeness:
    """How alike two recordings are, from their :func:`band_energies`."""
    size = transform_size(len(one), len(other))
    return best_shift(Spectra.of(signs(one), size), Spectra.of(signs(other), size))


def changed_spectra(bands: NDArray[np.floating], size: int) -> list[tuple[str, Spectra]]:
    """The recording at other tempos and at other speeds (tempo and pitch together), by name of the change."""
    made = [(f"tempo x{rate:g}", signs(_retimed(bands, rate))) for rate in RATES]
    made += [(f"speed x{rate:g}", signs(_retimed(_repitched(bands, rate), rate))) for rate in SPEEDS]
    return [(name, Spectra.of(bits, size)) for name, bits in made]


def compare_changed(one: Spectra, changed: list[tuple[str, Spectra]], other: Spectra) -> Likeness:
    """The best likeness over pitch shifts, tempos and speeds; ``changed`` belongs to ``one``."""
    found = [best_shift(one, other, shift, f"pitch {shift:+d} semitones") for shift in SHIFTS]
    found += [best_shift(variant, other, 0, name) for name, variant in changed]
    return max(found, key=lambda likeness: likeness.z)


def longest_changed(columns: int) -> int:
    """Columns of the slowest variant that :func:`changed_spectra` makes."""
    return int(columns / min(*RATES, *SPEEDS)) + 1


def _retimed(bands: NDArray[np.floating], rate: float) -> FloatArray:
    """Columns at every ``rate``-th place, interpolated: the recording played ``rate`` times as fast."""
    energy = np.exp(np.asarray(bands, dtype=np.float32))
    at = np.arange(int(len(energy) / rate)) * rate
    at = at[at <= len(energy) - 1]
    if len(energy) < 2 or not len(at):
        return np.asarray(bands, dtype=np.float32)
    whole = np.minimum(at.astype(int), len(energy) - 2)
    part = (at - whole)[:, None].astype(np.float32)
    mixed = energy[whole] * (1 - part) + energy[whole + 1] * part
    return np.log(mixed + np.float32(1e-9))


def _repitched(bands: NDArray[np.floating], rate: float) -> FloatArray:
    """Band energies as they are when the recording is played ``rate`` times as fast: moved up in pitch."""
    weights = _moving(round(12 * float(np.log2(rate)), 6))
    return np.log(np.exp(np.asarray(bands, dtype=np.float32)) @ weights + np.float32(1e-9))


@lru_cache(maxsize=64)
def _moving(semitones: float) -> FloatArray:
    """(33, 33) weights that move band energies up by a fraction of semitones; what is unknown stays empty."""
    source = np.arange(BANDS) - semitones
    weights = np.maximum(0.0, 1 - np.abs(np.arange(BANDS)[:, None] - source[None, :]))
    return weights.astype(np.float32)

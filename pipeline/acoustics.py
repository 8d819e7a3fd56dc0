"""Acoustic features of a cry: 108 named numbers (or 111), means over frames, at 16 kHz.

The recipe is the one usually published for telling a cry's reason. It lists 40 MFCC, 12 chroma, mel bands,
7 spectral contrast, 6 tonnetz, zero-crossing rate, RMS, spectral centroid, bandwidth, rolloff and flatness
and calls them 108, but its own sum (with 40 mel bands) is 111. ``acoustic108`` stops after the centroid;
``acoustic111`` is the whole list. A model keeps the names it was fitted on and refuses others.

librosa's defaults hold throughout (n_fft 2048, hop 512, 128 mel bands of which the first 40 are kept,
7 contrast bands). One short-time Fourier transform serves all features, which gives librosa's own numbers.
Two of its complaints are met before they arise: silence has no tuning to estimate (0 is used, as librosa
does), and the constant-Q transform wants about 2 s (shorter sounds are padded with silence, whose frames are
dropped again; tonnetz then differs from the plain call by less than 0.01).
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import ArtifactError, AudioError

if TYPE_CHECKING:
    from pipeline.audio import Waveform

SAMPLE_RATE = 16_000
N_FFT, HOP = 2048, 512
N_MFCC, N_CHROMA, N_MEL, N_MEL_KEPT, N_CONTRAST, N_TONNETZ = 40, 12, 128, 40, 7, 6
# Seven octaves of constant-Q, each at half the rate of the one above, each with a window of 512 samples.
_CQT_BINS_PER_OCTAVE, _CQT_OCTAVES = 36, 7
_CQT_MIN_SAMPLES = 512 * 2 ** (_CQT_OCTAVES - 1)
_MEDIAN = 31  # frames, and bins: librosa's kernel for telling harmonic from percussive

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
    values = _frame_means(samples, with_extra=len(names) > len(_NAMES_108))
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


def _frame_means(samples: np.ndarray, *, with_extra: bool) -> np.ndarray:
    """All features in schema order from one shared transform; (108,) or (111,) float64."""
    import librosa

    feature = librosa.feature
    spectrum = librosa.stft(samples, n_fft=N_FFT)
    magnitude = np.abs(spectrum)
    power = magnitude**2
    mel = feature.melspectrogram(S=power, sr=SAMPLE_RATE, n_mels=N_MEL)
    blocks: list[Any] = [
        feature.mfcc(S=librosa.power_to_db(mel), sr=SAMPLE_RATE, n_mfcc=N_MFCC),
        feature.chroma_stft(S=power, sr=SAMPLE_RATE, n_chroma=N_CHROMA, tuning=_tuning(power, N_CHROMA)),
        mel[:N_MEL_KEPT],
        feature.spectral_contrast(S=magnitude, sr=SAMPLE_RATE, n_bands=N_CONTRAST - 1),
        _tonnetz(spectrum, len(samples)),
        feature.zero_crossing_rate(samples),
        feature.rms(y=samples),
        feature.spectral_centroid(S=magnitude, sr=SAMPLE_RATE),
    ]
    if with_extra:
        blocks += [
            feature.spectral_bandwidth(S=magnitude, sr=SAMPLE_RATE),
            feature.spectral_rolloff(S=magnitude, sr=SAMPLE_RATE),
            feature.spectral_flatness(S=magnitude),
        ]
    return np.concatenate([np.asarray(block, dtype=np.float64).mean(axis=-1) for block in blocks])


def _tonnetz(spectrum: np.ndarray, n_samples: int) -> np.ndarray:
    """Tonal centroids of the harmonic part, as ``tonnetz(y=effects.harmonic(y))``; (6, frames)."""
    import librosa

    sound = librosa.istft(_harmonic(spectrum), n_fft=N_FFT, dtype=np.float32, length=n_samples)
    frames = 1 + n_samples // HOP
    tuning = _tuning(np.abs(librosa.stft(sound, n_fft=N_FFT)), _CQT_BINS_PER_OCTAVE)
    if n_samples < _CQT_MIN_SAMPLES:
        sound = np.pad(sound, (0, _CQT_MIN_SAMPLES - n_samples))
    chroma = librosa.feature.chroma_cqt(C=np.abs(_constant_q(sound, tuning)), sr=SAMPLE_RATE)
    return librosa.feature.tonnetz(chroma=chroma[:, :frames], sr=SAMPLE_RATE)


def _constant_q(sound: np.ndarray, tuning: float) -> np.ndarray:
    """Constant-Q transform, as ``librosa.cqt(n_bins=252, bins_per_octave=36)``; (252, frames) complex64.

    Octave by octave from the top, halving the rate each time (Schörkhuber and Klapuri 2010). Most of the
    library call's time goes into building the filters, which depend on the tuning alone: they are kept.
    """
    import librosa

    octaves, lengths = _constant_q_filters(round(tuning, 6))
    hop, parts = HOP, []
    for number, (filters, n_fft) in enumerate(octaves):
        if number:
            sound = librosa.resample(sound, orig_sr=2, target_sr=1, res_type="soxr_hq", scale=True)
            hop //= 2
        spectrum = librosa.stft(sound, n_fft=n_fft, hop_length=hop, window="ones", pad_mode="constant")
        parts.append(filters.dot(spectrum))
    frames = min(part.shape[1] for part in parts)
    stacked = np.concatenate([part[:, :frames] for part in reversed(parts)])
    return stacked / np.sqrt(lengths)[:, None].astype(np.float32)


@functools.lru_cache(maxsize=128)  # tuning comes in steps of 1/100 of a bin
def _constant_q_filters(tuning: float) -> tuple[list[tuple[Any, int]], np.ndarray]:
    """Sparse filter bank and transform size of each octave, top first, and all filters' lengths (252,)."""
    import librosa
    from librosa.filters import wavelet, wavelet_lengths

    per_octave = _CQT_BINS_PER_OCTAVE
    lowest = librosa.note_to_hz("C1") * 2.0 ** (tuning / per_octave)
    frequencies = lowest * 2.0 ** (np.arange(_CQT_OCTAVES * per_octave) / per_octave)
    width = 2.0 ** (2 / per_octave)
    alpha = np.full(len(frequencies), (width - 1) / (width + 1))
    octaves = []
    for number in range(_CQT_OCTAVES):
        end = len(frequencies) - number * per_octave
        part = slice(end - per_octave, end)
        rate = SAMPLE_RATE / 2**number
        wavelets, lengths = wavelet(freqs=frequencies[part], sr=rate, norm=1, pad_fft=True, alpha=alpha[part])
        n_fft = wavelets.shape[1]
        wavelets *= lengths[:, None] / n_fft
        spectra = np.fft.fft(wavelets, axis=1)[:, : n_fft // 2 + 1]
        sparse = librosa.util.sparsify_rows(spectra, quantile=0.01, dtype=np.complex64)
        octaves.append((sparse * np.float32(np.sqrt(2**number)), n_fft))
    lengths, _cutoff = wavelet_lengths(freqs=frequencies, sr=SAMPLE_RATE, alpha=alpha)
    return octaves, lengths


def _harmonic(spectrum: np.ndarray) -> np.ndarray:
    """The harmonic part of a complex spectrum, as ``librosa.decompose.hpss(spectrum)[0]``, but faster."""
    import librosa

    magnitude, phase = librosa.magphase(spectrum)
    along_time = _running_median(magnitude)
    along_frequency = _running_median(np.ascontiguousarray(magnitude.T)).T
    return magnitude * librosa.util.softmask(along_time, along_frequency, power=2.0, split_zeros=True) * phase


def _running_median(rows: np.ndarray) -> np.ndarray:
    """Median over _MEDIAN neighbours along each row, as SciPy's 2-D filter with a (1, 31) window.

    SciPy has a far faster filter for one dimension: the rows are mirrored at their ends, laid end to end,
    filtered as one and cut apart again, so that no row sees its neighbour.
    """
    from scipy.ndimage import median_filter

    half = _MEDIAN // 2
    mirrored = np.pad(rows, ((0, 0), (half, half)), mode="symmetric")
    return median_filter(mirrored.ravel(), size=_MEDIAN).reshape(mirrored.shape)[:, half:-half]


def _tuning(spectrogram: np.ndarray, bins_per_octave: int) -> float:
    """Deviation from A440 in bins, as ``librosa.estimate_tuning``, and 0 where nothing has a pitch."""
    import librosa

    pitch, strength = librosa.piptrack(S=spectrogram, sr=SAMPLE_RATE, n_fft=N_FFT)
    pitched = pitch > 0
    if not pitched.any():
        return 0.0
    strong = pitch[pitched & (strength >= np.median(strength[pitched]))]
    return float(librosa.pitch_tuning(strong, bins_per_octave=bins_per_octave))

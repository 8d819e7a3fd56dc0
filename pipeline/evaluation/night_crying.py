"""What of a cry clip is crying, by a rule that no trained model has a say in.

Clips tagged as cries also hold handling noise, talk, or so little crying that nobody would hear it once
another sound is laid over it. Crying proper is phonated: its voice has a pitch well above an adult's speaking
one (Wasz-Höckert et al. 1968, "The Infant Cry"; LaGasse, Neal and Lester 2005, Mental Retardation and
Developmental Disabilities Research Reviews 11: mostly 300 to 600 Hz). The sound between 250 and 3900 Hz
(where cries are strong, and all recordings reach) is looked at in frames of 50 ms every 20 ms. A frame is
phonated when its autocorrelation, freed of the window's own (Boersma 1993, "Accurate short-term analysis of
the fundamental frequency and the harmonics-to-noise ratio of a sampled sound"), has a peak of 0.7 or more at
a period of 240 to 800 Hz (harmonics 3.7 dB over noise), and when it is within 20 dB of the loud frames (the
95th percentile). Where 0.26 s go by so without a break, that is a cry unit. What parents say to a baby is as
high, and so is laughter, but in shorter pieces: of 432 recordings of read speech none passes for crying, of
148 of laughter 3. Where 0.08 s were enough, 14 and 18 did, and many a cry clip's talk.

Units less than 2 s apart are one stretch of crying: a baby breathes in. It begins with the first of them and
ends with the last. Stretches with under 0.3 s of them are left out, and so are clips with under 1 s.
Hoarse crying without any pitch, and other voices as high and drawn out as a baby's, are beyond such a rule.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.night_room import SAMPLE_RATE

PAUSE_S = 2.0
CRY_BAND_HZ = (250.0, 3900.0)
PITCH_HZ = (240.0, 800.0)
PERIODIC = 0.7
UNIT_S = 0.26
STRETCH_VOICE_S, CLIP_VOICE_S = 0.3, 1.0
_FRAME, _HOP = 800, 320
_BELOW_LOUD_DB = 20.0
_SILENCE = 1e-4
_FFT = 2048


def phonated(samples: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Which frames (50 ms, every 20 ms) of a clip are phonated: (frames,), none for one under 100 ms.

    Args:
        samples: (n,) mono at 16 kHz.
    """
    from scipy.signal import butter, sosfiltfilt

    if len(samples) < 2 * _FRAME or float(np.max(np.abs(samples))) < _SILENCE:
        return np.zeros(0, bool)
    band = sosfiltfilt(butter(4, CRY_BAND_HZ, "bandpass", fs=SAMPLE_RATE, output="sos"), samples)
    frames = np.lib.stride_tricks.sliding_window_view(band, _FRAME)[::_HOP]
    level = 10 * np.log10(np.mean(np.square(frames), axis=1) + 1e-12)
    loud = level >= np.percentile(level, 95) - _BELOW_LOUD_DB
    return np.asarray(loud & (_periodicity(frames) >= PERIODIC))


def _periodicity(frames: NDArray[np.floating]) -> NDArray[np.float64]:
    """The highest autocorrelation peak at a period of the pitches in question, (frames,), 0 for none."""
    taper = np.hanning(_FRAME)
    shortest, longest = int(SAMPLE_RATE / PITCH_HZ[1]), int(SAMPLE_RATE / PITCH_HZ[0])

    def correlation(x: NDArray[np.floating]) -> NDArray[np.float64]:
        return np.fft.irfft(np.abs(np.fft.rfft(x, _FFT)) ** 2)[..., : longest + 2]

    lags = correlation(frames * taper) / correlation(taper)
    lags = lags[:, shortest - 1 :] / np.maximum(lags[:, :1], 1e-20)
    inner = lags[:, 1:-1]
    peaks = (inner >= lags[:, :-2]) & (inner >= lags[:, 2:])
    return np.asarray(np.where(peaks, inner, 0.0).max(axis=1))


def crying_stretches(samples: NDArray[np.floating]) -> list[tuple[int, int]]:
    """What of a cry clip is crying: sample ranges [start, end), sorted, at least 2 s apart.

    Args:
        samples: (n,) mono at 16 kHz.

    Returns:
        None at all for a clip with too little of it.
    """
    voiced = phonated(samples)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], voiced, [False]]).astype(int))).reshape(-1, 2)
    stretches: list[list[float]] = []
    for first, after in edges[(edges[:, 1] - edges[:, 0]) * _HOP >= UNIT_S * SAMPLE_RATE]:
        # A frame speaks for the hop around its centre; the last one's whole length is let in at the edges.
        start, end, voice_s = int(first) * _HOP, (int(after) - 1) * _HOP + _FRAME, (after - first) * _HOP
        if stretches and start - stretches[-1][1] < PAUSE_S * SAMPLE_RATE:
            stretches[-1][1:] = [end, stretches[-1][2] + voice_s]
        else:
            stretches.append([start, end, voice_s])
    kept = [s for s in stretches if s[2] >= STRETCH_VOICE_S * SAMPLE_RATE]
    if sum(s[2] for s in kept) < CLIP_VOICE_S * SAMPLE_RATE:
        return []
    return [(int(start), int(end)) for start, end, _ in kept]

"""A sound-level threshold: whatever is loud enough is a cry, as sound-activated monitors have it.

The level is A-weighted (IEC 61672-1, the analytic curve) over windows of 1 s, 0.5 s apart, in dB below full
scale; microphones of unknown sensitivity allow no better reference. The score is the level from -100 dB (0)
to 0 dB (1), so 0.6 stands for -40 dB; an episode holds until 3 dB below its threshold.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from pipeline.zoo.base import Timeline
from pipeline.zoo.listening import SAMPLE_RATE, Listener

HOP_S, WINDOW_S = 0.5, 1.0
_HOP, _WINDOW = int(HOP_S * SAMPLE_RATE), int(WINDOW_S * SAMPLE_RATE)
_QUIETEST_DB = -100.0
_BATCH = 256


@functools.cache
def _weights() -> NDArray[np.float64]:
    """Power gain of the A-weighting at the bins of one window, (8001,), 1 at 1 kHz."""
    f2 = np.square(np.fft.rfftfreq(_WINDOW, 1 / SAMPLE_RATE))
    rise = f2**2 * 12194.0**2
    fall = (f2 + 20.6**2) * np.sqrt((f2 + 107.7**2) * (f2 + 737.9**2)) * (f2 + 12194.0**2)
    return np.asarray(np.square(rise / fall * 10 ** (2.0 / 20)))


def a_weighted_db(samples: NDArray[np.floating]) -> NDArray[np.float64]:
    """A-weighted level of each window in dB below full scale (a full-scale sine at 1 kHz has -3).

    Args:
        samples: (n,) at 16 kHz; sound shorter than a window, or behind the last, is padded with zeros.

    Returns:
        (windows,), -100 at the least.
    """
    count = max(1, -(-(len(samples) - _WINDOW) // _HOP) + 1)
    padded = np.zeros((count - 1) * _HOP + _WINDOW)
    padded[: len(samples)] = samples
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP]
    taper = np.hanning(_WINDOW + 1)[:-1]
    scale = 2 / (_WINDOW * np.sum(np.square(taper)))
    power = [
        np.square(np.abs(np.fft.rfft(frames[i : i + _BATCH] * taper))) @ _weights() * scale
        for i in range(0, count, _BATCH)
    ]
    return np.asarray(np.maximum(10 * np.log10(np.concatenate(power) + 1e-30), _QUIETEST_DB))


class Level(Listener):
    """Loud is a cry."""

    name = "level"
    about = "No training: the A-weighted level of the sound, as sound-activated monitors use it."
    threshold = 0.6
    offset_ratio = 0.95

    def timeline(self, samples: NDArray[np.float32]) -> Timeline:
        """Levels along (n,) mono float32 samples at 16 kHz, as scores."""
        level = a_weighted_db(samples)
        return Timeline(np.clip(1 - level / _QUIETEST_DB, 0.0, 1.0), HOP_S, WINDOW_S)


MODEL = Level

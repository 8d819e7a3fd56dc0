"""How loud it is: level and peak in dBFS, clipping, and sound that is none."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.audio import SILENCE_PEAK

FLOOR_DBFS = -120.0
_CLIPPED = 0.999


@dataclass(frozen=True)
class Level:
    """The last half second or so.

    Attributes:
        level_dbfs: root mean square in dB of full scale, at least -120.
        peak_dbfs: largest absolute sample in dB of full scale, at least -120.
        clipped: samples at full scale since listening began.
        silent_s: how long nothing has been louder than -90 dBFS, seconds.
        stuck_s: how long every sample has had one and the same value, seconds.
    """

    level_dbfs: float = FLOOR_DBFS
    peak_dbfs: float = FLOOR_DBFS
    clipped: int = 0
    silent_s: float = 0.0
    stuck_s: float = 0.0


class LevelMeter:
    """Level of a stream, block by block."""

    def __init__(self, span_s: float = 0.5) -> None:
        """Begin; ``span_s``: over how many seconds the level is taken."""
        self._span_s = span_s
        self._energy = self._seconds = self._peak = 0.0
        self._last: float | None = None
        self.level = Level()

    def push(self, samples: NDArray[np.float32], rate: int) -> Level:
        """Take (n,) or (n, channels) float32 samples at ``rate`` Hz, n above 0."""
        seconds = len(samples) / rate
        highest, lowest = float(samples.max()), float(samples.min())
        peak = max(highest, -lowest)
        clipped = self.level.clipped
        if peak >= _CLIPPED:
            clipped += int(np.count_nonzero(np.abs(samples) >= _CLIPPED))
        stuck = highest == lowest and (self._last is None or self._last == highest)
        self._last = highest if highest == lowest else None
        self._energy += float(np.mean(np.square(samples, dtype=np.float64))) * seconds
        self._seconds += seconds
        self._peak = max(self._peak, peak)
        level, top = self.level.level_dbfs, self.level.peak_dbfs
        if self._seconds >= self._span_s:
            level, top = dbfs(math.sqrt(self._energy / self._seconds)), dbfs(self._peak)
            self._energy = self._seconds = self._peak = 0.0
        self.level = Level(
            level,
            top,
            clipped,
            self.level.silent_s + seconds if peak < SILENCE_PEAK else 0.0,
            self.level.stuck_s + seconds if stuck else 0.0,
        )
        return self.level


def dbfs(amplitude: float) -> float:
    """An amplitude, full scale 1.0, in dB of full scale, at least -120."""
    return max(FLOOR_DBFS, 20 * math.log10(amplitude)) if amplitude > 0 else FLOOR_DBFS

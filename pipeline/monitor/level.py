"""How loud it is: level and peak in dBFS, clipping, and sound that is none."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.audio import SILENCE_PEAK

FLOOR_DBFS = -120.0
_CLIPPED = 0.999
# Two stretches of so many seconds are compared; shorter ones would tell a breath from a cry.
RISE_S = 3.0


@dataclass(frozen=True)
class Level:
    """The last half second or so.

    Attributes:
        level_dbfs: root mean square in dB of full scale, at least -120.
        peak_dbfs: largest absolute sample in dB of full scale, at least -120.
        clipped: samples at full scale since listening began.
        silent_s: how long nothing has been louder than -90 dBFS, seconds.
        stuck_s: how long every sample has had one and the same value, seconds.
        rise_db: how much louder the last three seconds were than the three before them, dB; 0 until there are
            six.
    """

    level_dbfs: float = FLOOR_DBFS
    peak_dbfs: float = FLOOR_DBFS
    clipped: int = 0
    silent_s: float = 0.0
    stuck_s: float = 0.0
    rise_db: float = 0.0


class LevelMeter:
    """Level of a stream, block by block."""

    def __init__(self, span_s: float = 0.5) -> None:
        """Begin; ``span_s``: over how many seconds the level is taken."""
        self._span_s = span_s
        self._energy = self._seconds = self._peak = 0.0
        self._last: float | None = None
        self._trail = _Trail()
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
        level, top, rise = self.level.level_dbfs, self.level.peak_dbfs, self.level.rise_db
        if self._seconds >= self._span_s:
            level, top = dbfs(math.sqrt(self._energy / self._seconds)), dbfs(self._peak)
            rise = self._trail.push(self._energy, self._seconds)
            self._energy = self._seconds = self._peak = 0.0
        self.level = Level(
            level,
            top,
            clipped,
            self.level.silent_s + seconds if peak < SILENCE_PEAK else 0.0,
            self.level.stuck_s + seconds if stuck else 0.0,
            rise,
        )
        return self.level


class _Trail:
    """The energy of the last six seconds, in pieces."""

    def __init__(self) -> None:
        self._pieces: deque[tuple[float, float]] = deque()  # energy, seconds
        self._seconds = 0.0

    def push(self, energy: float, seconds: float) -> float:
        """How much louder the newer half is, dB."""
        self._pieces.append((energy, seconds))
        self._seconds += seconds
        while self._seconds - self._pieces[0][1] >= 2 * RISE_S:
            self._seconds -= self._pieces.popleft()[1]
        if self._seconds < 2 * RISE_S:
            return 0.0
        newer = [0.0, 0.0]
        older = [0.0, 0.0]
        for energy, seconds in reversed(self._pieces):
            half = newer if newer[1] < RISE_S else older
            half[0] += energy
            half[1] += seconds
        if not older[1]:
            return 0.0
        means = [max(half[0] / half[1], 1e-12) for half in (newer, older)]
        return 10 * math.log10(means[0] / means[1])


def dbfs(amplitude: float) -> float:
    """An amplitude, full scale 1.0, in dB of full scale, at least -120."""
    return max(FLOOR_DBFS, 20 * math.log10(amplitude)) if amplitude > 0 else FLOOR_DBFS

"""The sound of the episode that goes on, for a word on why: bounded, however long it lasts."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from pipeline.streaming import WindowScore

# An episode is told of once its first window is complete: that much lies before.
_BEFORE_S = 6.0
# Reasons are judged on the first minute of an episode; they need 7 s.
_MOST_S = 60.0


class Recent:
    """Sound and scores from a few seconds before an episode, for a minute at most."""

    def __init__(self, rate: int, window_s: float) -> None:
        """``rate`` of the sound in Hz; ``window_s``: seconds that a score hears."""
        self._rate, self._half_s = rate, window_s / 2
        self._sound: deque[NDArray[np.float32]] = deque()
        self._scores: deque[tuple[float, float]] = deque()  # where a window begins, its score
        self._first = self._end = 0  # frames
        self._full = False

    def push(self, samples: NDArray[np.float32], *, crying: bool) -> None:
        """Take (n,) or (n, channels) samples; ``crying``: during an episode nothing old is let go of."""
        self._end += len(samples)
        if self._full and crying:
            return
        if self._full:
            self.clear()
        self._sound.append(samples)
        if crying:
            self._full = self._end - self._first >= _MOST_S * self._rate
            return
        while self._end - self._first - len(self._sound[0]) >= _BEFORE_S * self._rate:
            self._first += len(self._sound.popleft())
        while self._scores and self._scores[0][0] < self._first / self._rate:
            self._scores.popleft()

    def score(self, window: WindowScore) -> None:
        """Take a window's score."""
        if not self._full:
            self._scores.append((window.time_s - self._half_s, window.score))

    def take(self, start_s: float, end_s: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Sound and scores of an episode: from its first whole window on, (n, ...) and (T,) float32."""
        inside = [
            (begin, score)
            for begin, score in self._scores
            if begin >= self._first / self._rate and start_s <= begin + self._half_s <= end_s
        ]
        if not inside:
            return np.empty(0, np.float32), np.empty(0, np.float32)
        sound = np.concatenate(list(self._sound))
        cut = round(inside[0][0] * self._rate) - self._first
        until = round((inside[-1][0] + 2 * self._half_s) * self._rate) - self._first
        return sound[max(0, cut) : until], np.array([score for _, score in inside], np.float32)

    def clear(self) -> None:
        """Begin anew from here."""
        self._sound.clear()
        self._scores.clear()
        self._first, self._full = self._end, False

"""The sound of one stretch of listening, cut into clips as episodes come and go. For one thread."""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.monitor.flac import FlacFile
from pipeline.monitor.store import Row

# An episode is told of a few seconds after its beginning, and over a few seconds after its end; until then
# nobody knows which clip that sound belongs to.
_HELD_S = 12.0
# After a clip that could not be written, sound is let go of for so long.
_PAUSE_S = 30.0


class Shelf(Protocol):
    """Where clips go."""

    def begin(
        self, room: str, episode: Row | None, began: datetime, rate: int, channels: int
    ) -> tuple[FlacFile, Row]:
        """A clip that begins, and the head of its row; raises OSError."""
        ...

    def add(self, row: Row) -> None:
        """A clip is in place."""
        ...

    def failed(self, room: str, words: str) -> None:
        """A clip could not be written."""
        ...


class Tape:
    """Cuts one stretch into clips: a clip per episode, and what lies between them where all is kept."""

    def __init__(
        self, shelf: Shelf, room: str, rate: int, channels: int, *, between: bool, before_s: float,
        after_s: float, longest_s: float,
    ) -> None:  # fmt: skip
        """Begin a stretch.

        Args:
            between: keep what lies between episodes too.
            before_s, after_s: how much of that is of an episode's clip, at most 8 and 2 s.
            longest_s: of a clip; an episode's own ends there, where all is kept another follows.
        """
        self._shelf, self._room, self._rate, self._channels = shelf, room, rate, channels
        self._between, self._before_s, self._after_s = between, before_s, after_s
        self._longest = round(longest_s * rate)
        self._held: deque[NDArray[np.float32]] = deque()
        self._first = self._end = 0  # frames of the stretch: what is held
        self._ends_at: datetime | None = None
        self._clip: tuple[FlacFile, Row] | None = None
        self._episode: Row | None = None
        self._enough = False  # of this episode is kept what may be
        self._paused_until = 0

    def sound(self, first: int, samples: NDArray[np.float32], end: datetime) -> None:
        """Sound from frame ``first`` on, (n,) or (n, channels), the last of which was heard at ``end``."""
        if first != self._end:  # some was lost on the way here: a clip has no hole in it
            self._advance(self._end)
            self._close()
            self._first = self._end = first
        # Not counting the new block: what it begins or ends is told after it.
        self._advance(self._end - round(_HELD_S * self._rate))
        self._held.append(samples)
        self._end, self._ends_at = first + len(samples), end

    def begin(self, episode: Row) -> None:
        """An episode has begun; as in the history."""
        self._advance(round((episode["start_s"] - self._before_s) * self._rate))
        self._close()
        self._episode, self._enough, self._paused_until = episode, False, 0

    def end(self, episode: Row) -> None:
        """It has ended."""
        self._episode = episode
        self._advance(round((episode["end_s"] + self._after_s) * self._rate))
        self._close()
        self._episode = None

    def over(self) -> None:
        """The stretch has ended."""
        self._advance(self._end)
        self._close()
        self._episode = None

    def _advance(self, upto: int) -> None:
        """Keep or let go of what lies before a frame."""
        upto = min(upto, self._end)
        while self._first < upto:
            samples = self._held.popleft()
            taken = min(len(samples), upto - self._first)
            if taken < len(samples):
                self._held.appendleft(samples[taken:])
            self._out(samples[:taken])
            self._first += taken

    def _out(self, samples: NDArray[np.float32]) -> None:
        """Sound that begins at ``_first``."""
        done = 0
        while done < len(samples):
            frame = self._first + done
            wanted = self._between if self._episode is None else self._between or not self._enough
            if not wanted or frame < self._paused_until:
                return
            try:
                if self._clip is None:
                    began = self._at(frame)
                    self._clip = self._shelf.begin(
                        self._room, self._episode, began, self._rate, self._channels
                    )
                file, _ = self._clip
                piece = samples[done : done + self._longest - file.frames]
                file.write(piece)
            except OSError as error:
                self._failed(frame, error)
                return
            done += len(piece)
            if file.frames >= self._longest:
                self._enough = True
                self._close(frame + len(piece))

    def _close(self, frame: int | None = None) -> None:
        """The clip that is being written ends, at what was put out so far."""
        if self._clip is None:
            return
        (file, head), self._clip = self._clip, None
        try:
            size = file.close()
        except OSError as error:
            self._failed(self._first, error)
            return
        ended = self._at(self._first if frame is None else frame)
        row: dict[str, Any] = {**head, "ended_at": max(ended, head["started_at"]), "bytes": size}
        self._shelf.add(row)

    def _failed(self, frame: int, error: OSError) -> None:
        if self._clip is not None:
            self._clip[0].discard()
            self._clip = None
        self._paused_until = frame + round(_PAUSE_S * self._rate)
        self._shelf.failed(self._room, error.strerror or str(error))

    def _at(self, frame: int) -> datetime:
        assert self._ends_at is not None
        return self._ends_at - timedelta(seconds=(self._end - frame) / self._rate)

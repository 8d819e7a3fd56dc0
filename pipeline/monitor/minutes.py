"""A row for each minute of a room: how loud it was, how near to a cry, and how long it cried."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from pipeline.monitor.level import dbfs
from pipeline.monitor.models import Minute
from pipeline.monitor.pen import Book
from pipeline.monitor.store import Row, Store

_MINUTE = timedelta(minutes=1)
# Crying is known for certain some seconds late, and scores of a silent beginning only once it is not silent.
_KEPT_OPEN = timedelta(minutes=15)


@dataclass
class _Sums:
    """A minute so far; ``power`` is the sum of squares over time."""

    heard_s: float = 0.0
    crying_s: float = 0.0
    power: float = 0.0
    peak: float = 0.0
    best: float = 0.0
    best_at: datetime | None = None


class Minutes:
    """The minutes of one room, on their way into the history; for the thread that listens to it."""

    def __init__(self, room: str, threshold: float, journal: Book, stored: Sequence[Row] = ()) -> None:
        """Begin.

        Args:
            threshold: that a score needs, [0, 1].
            stored: rows of minutes that may go on (:func:`going_on`).
        """
        self._room, self._threshold, self._journal = room, threshold, journal
        self._open: dict[datetime, _Sums] = {}
        self._counted: tuple[str, datetime] | None = None  # an episode, and up to when it is in them
        for row in stored:
            self._open[row["started_at"]] = _Sums(
                row["heard_s"],
                row["crying_s"],
                10 ** (row["level_dbfs"] / 10) * row["heard_s"],
                10 ** (row["peak_dbfs"] / 20),
                row["best"],
                row["best_at"],
            )

    def sound(self, samples: NDArray[np.float32], rate: int, end: datetime) -> None:
        """Sound (n,) or (n, channels) at ``rate`` Hz, the last of which was heard at ``end``."""
        begin, done = end - timedelta(seconds=len(samples) / rate), 0
        for minute, _, until in _split(begin, end):
            upto = len(samples) if until >= end else round((until - begin).total_seconds() * rate)
            piece = samples[done:upto]
            if not len(piece):
                continue
            done, sums = upto, self._sums(minute)
            sums.heard_s += len(piece) / rate
            sums.power += float(np.mean(np.square(piece, dtype=np.float64))) * len(piece) / rate
            sums.peak = max(sums.peak, float(piece.max()), -float(piece.min()))
            self._put(minute)

    def score(self, score: float, at: datetime) -> None:
        """A window that scored, [0, 1], with its centre at ``at``."""
        minute = _minute(at)
        sums = self._open.get(minute)
        if sums is None or (sums.best_at is not None and score <= sums.best):
            return
        sums.best, sums.best_at = score, at
        self._put(minute)

    def crying(self, episode: str, begin: datetime, end: datetime) -> None:
        """An episode goes on or has ended, as far as that is certain by now; ``episode``: its key."""
        if self._counted is not None and self._counted[0] == episode:
            begin = self._counted[1]
        for minute, since, until in _split(begin, end):
            if minute in self._open:
                self._open[minute].crying_s += (until - since).total_seconds()
                self._put(minute)
        self._counted = (episode, max(begin, end))

    def rows(self) -> list[Row]:
        """Those that may go on, for whoever listens to the room next."""
        return [self._row(minute) for minute, sums in list(self._open.items()) if sums.heard_s]

    def _sums(self, minute: datetime) -> _Sums:
        if minute not in self._open:
            self._open[minute] = _Sums()
            for old in [one for one in self._open if one < minute - _KEPT_OPEN]:
                del self._open[old]
        return self._open[minute]

    def _put(self, minute: datetime) -> None:
        row = self._row(minute)
        self._journal.put(Minute, row["id"], row)

    def _row(self, minute: datetime) -> Row:
        sums = self._open[minute]
        return {
            "id": f"{self._room} {minute.isoformat(timespec='minutes')}",
            "room": self._room,
            "started_at": minute,
            "heard_s": min(60.0, sums.heard_s),
            "crying_s": min(60.0, sums.crying_s),
            "level_dbfs": dbfs(math.sqrt(sums.power / sums.heard_s)),
            "peak_dbfs": dbfs(sums.peak),
            "best": sums.best,
            "best_at": sums.best_at,
            "threshold": self._threshold,
        }


def going_on(store: Store, now: datetime) -> dict[str, list[Row]]:
    """Minutes of each room that are not over by ``now``: another monitor began them.

    Raises:
        StoreError: the history cannot be read.
    """
    found: dict[str, list[Row]] = {}
    for row in store.rows(Minute, order_by="started_at", where=Minute.started_at > now - _MINUTE):
        found.setdefault(row["room"], []).append(row)
    return found


def _minute(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(second=0, microsecond=0)


def _split(begin: datetime, end: datetime) -> Iterator[tuple[datetime, datetime, datetime]]:
    """A span by minutes: the minute, and from when to when it is of it."""
    while begin < end:
        minute = _minute(begin)
        until = min(end, minute + _MINUTE)
        yield minute, begin, until
        begin = until

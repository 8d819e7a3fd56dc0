"""Rooms and their threads: one that has died or hangs is given up, and listening begins anew."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from pipeline.monitor.clock import Clock
from pipeline.monitor.journal import Journal
from pipeline.monitor.room import Room, Status

# A thread that has not shown itself for so long hangs; reasons of a long episode take a few seconds at most.
HANGS_S = 60.0
_MOST_ANEW, _WITHIN_S = 3, 3600.0
_PAUSED_S = 5.0
_ENDING_S = 30.0
_OVER = ("ended", "failed", "stopped")


class Tender:
    """Keeps rooms listening.

    Attributes:
        rooms: the one that counts of each.
        statuses: theirs; a list that stays the same, whatever is in it.
        gave_up: beginning anew did not help; the process should end, for another one to take its place.
    """

    def __init__(
        self,
        makers: list[Callable[[], Room]],
        journal: Journal,
        clock: Clock,
        *,
        hangs_s: float = HANGS_S,
        tell: Callable[[Status, str], None] = lambda status, words: None,
    ) -> None:
        """Make the rooms and begin.

        Args:
            makers: each makes one, and makes it again.
            tell: is told what was done, in words.
        """
        self._makers, self._journal, self._clock = makers, journal, clock
        self._hangs_s, self._tell = hangs_s, tell
        self.rooms = [make() for make in makers]
        self.statuses = [room.status for room in self.rooms]
        self.gave_up = False
        self._anew: list[deque[float]] = [deque() for _ in makers]
        self._looked_s = self._paused_s = clock.monotonic()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to listen."""
        self._threads = [_started(room) for room in self.rooms]

    @property
    def listening(self) -> bool:
        """Whether any room still does, or tries to."""
        return any(self._goes_on(number) for number in range(len(self.rooms)))

    def look(self) -> None:
        """See whether all are well; to be called about every second."""
        now_s = self._clock.monotonic()
        if now_s - self._looked_s > _PAUSED_S:  # the whole process was held up: no room is to blame
            self._paused_s = now_s
        self._looked_s = now_s
        for number, (room, thread) in enumerate(zip(self.rooms, self._threads, strict=True)):
            if room.status.state in _OVER:
                continue
            quiet_s = now_s - max(room.looked_s, self._paused_s)
            if not thread.is_alive():
                self._begin_anew(number, "Listening broke off unexpectedly")
            elif quiet_s > self._hangs_s:
                self._begin_anew(number, f"Listening hung for {quiet_s:.0f} s")

    def end(self) -> None:
        """Stop, and wait for what can be waited for."""
        for room in self.rooms:
            room.stop.set()
        for number, thread in enumerate(self._threads):
            if self._goes_on(number):
                thread.join(_ENDING_S)

    def _goes_on(self, number: int) -> bool:
        return self._threads[number].is_alive() and self.rooms[number].status.state not in _OVER

    def _begin_anew(self, number: int, what: str) -> None:
        old, times, now_s = self.rooms[number], self._anew[number], self._clock.monotonic()
        while times and now_s - times[0] > _WITHIN_S:
            times.popleft()
        if not old.reopens:
            over, words = True, f"{what}; a recording or standard input cannot be begun anew."
        elif len(times) >= _MOST_ANEW:
            over, words = True, f"{what}, and beginning anew has not helped {len(times)} times."
            self.gave_up = True
        else:
            over, words = False, f"{what} and is begun anew."
        old.abandon(words)
        self._journal.health(old.status.room, old.status.source, "restarted", words)
        self._tell(old.status, words)
        fresh, so_far = self._makers[number](), old.status
        fresh.status = replace(
            fresh.status,
            episodes=so_far.episodes,
            heard_s=so_far.heard_s,
            late=so_far.late,
            lost_s=so_far.lost_s,
            skipped=so_far.skipped,
        )
        self.rooms[number], self.statuses[number] = fresh, fresh.status
        if over:
            fresh.fail(words)
            return
        times.append(now_s)
        self._threads[number] = _started(fresh)


def _started(room: Room) -> threading.Thread:
    thread = threading.Thread(target=room.run, name=f"room {room.status.room}", daemon=True)
    thread.start()
    return thread

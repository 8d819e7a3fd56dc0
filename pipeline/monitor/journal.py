"""What is to be stored, and the one thread that stores it: nobody who listens ever waits for the disk.

Rows are kept by their key until they are on the disk, a newer version of a row in place of the older. While
the disk is full nothing is lost, then, but the order of writes; only changes of health are held to a number.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

from pipeline.monitor.clock import Clock
from pipeline.monitor.models import (
    Alert,
    Base,
    ChannelRow,
    Coverage,
    Delivery,
    EpisodeRow,
    Health,
    KeptSound,
    Minute,
    Pulse,
)
from pipeline.monitor.store import Store, StoreError

# The most that a kill or a power cut can take away, with the time of one write on top, in seconds.
FLUSH_EVERY_S = 0.5
_LONGEST_RETRY_S = 30.0
# A write that takes longer than this is trouble: SQLite itself gives up after 10 s.
_SLOW_S = 15.0
_MOST_HEALTH = 2_000
_ORDER: tuple[type[Base], ...] = (
    Coverage,
    EpisodeRow,
    Health,
    Alert,
    Delivery,
    Minute,
    KeptSound,
    ChannelRow,
    Pulse,
)


def new_id() -> str:
    """A key that no other row has, on any machine."""
    return str(uuid4())


class Journal:
    """Rows on their way into the history."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        run: str,
        tell: Callable[[str], None] = lambda words: None,
        flush_every_s: float = FLUSH_EVERY_S,
    ) -> None:
        """Begin; rows are stored once :meth:`start` was called, or when :meth:`flush` is.

        Args:
            run: names this run of the monitor.
            tell: is told, in words, when the history cannot be written and when it can again.
        """
        self.run = run
        self._trouble: str | None = None
        self._store, self._clock, self._tell = store, clock, tell
        self._flush_every_s = flush_every_s
        self._waiting: dict[type[Base], dict[str, dict[str, Any]]] = {table: {} for table in _ORDER}
        self._taken: dict[type[Base], dict[str, dict[str, Any]]] = {}  # being written just now
        self._write_since: float | None = None
        self._changing = threading.Lock()
        self._writing = threading.Lock()
        self._stop = threading.Event()
        self._failed_at: datetime | None = None
        self._thread = threading.Thread(target=self._keep_flushing, name="journal", daemon=True)

    @property
    def writing_s(self) -> float:
        """How long the write has lasted that goes on, seconds; 0 when none does."""
        since = self._write_since
        return 0.0 if since is None else self._clock.monotonic() - since

    @property
    def trouble(self) -> str | None:
        """Why nothing can be stored just now; None when it can."""
        if self.writing_s > _SLOW_S:
            return f"A write into the history has not come back for {self.writing_s:.0f} s: is its disk gone?"
        return self._trouble

    def put(self, table: type[Base], key: str, row: dict[str, Any]) -> None:
        """Have a row stored soon, in place of the one with that key (the primary key's value)."""
        self.put_together([(table, key, row)])

    def put_together(self, rows: Sequence[tuple[type[Base], str, dict[str, Any]]]) -> None:
        """As :meth:`put`, several rows of which a power cut leaves all or none."""
        with self._changing:
            for table, key, row in rows:
                waiting = self._waiting[table]
                waiting[key] = row
                if table is Health and len(waiting) > _MOST_HEALTH:
                    del waiting[next(iter(waiting))]

    def health(self, room: str, source: str, state: str, words: str) -> None:
        """Note that something changed."""
        key, at = new_id(), self._clock.now()
        self.put(
            Health,
            key,
            {
                "id": key,
                "run": self.run,
                "at": at,
                "room": room,
                "source": source,
                "state": state,
                "words": words,
            },
        )

    def is_stored(self, table: type[Base], key: str) -> bool:
        """Whether the row with that key is on the disk as it was last put; never waits for the disk."""
        with self._changing:
            return key not in self._waiting[table] and key not in self._taken.get(table, ())

    def flush(self) -> bool:
        """Store what waits; True when all of it is on the disk."""
        with self._writing:
            with self._changing:
                taken = self._taken = self._waiting
                self._waiting = {table: {} for table in _ORDER}
            rows = [(table, row) for table in _ORDER for row in taken[table].values()]
            if not rows:
                return True
            self._write_since = self._clock.monotonic()
            try:
                self._store.write(rows)
            except StoreError as error:
                with self._changing:  # what came meanwhile is newer
                    self._waiting = {table: taken[table] | self._waiting[table] for table in _ORDER}
                    self._taken = {}
                self._cannot_write(str(error))
                return False
            finally:
                self._write_since = None
            with self._changing:
                self._taken = {}
        self._could_write()
        return True

    def start(self) -> None:
        """Store from now on, about twice a second, in a thread of its own."""
        self._thread.start()

    def close(self) -> bool:
        """Stop, with a last write; True when everything is on the disk."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        return self.flush()

    def _keep_flushing(self) -> None:
        wait_s = self._flush_every_s
        while not self._clock.wait(self._stop, wait_s):
            wait_s = self._flush_every_s if self.flush() else min(max(1.0, 2 * wait_s), _LONGEST_RETRY_S)

    def _cannot_write(self, words: str) -> None:
        if self._trouble != words:
            self._tell(f"{words} Listening goes on; what is heard meanwhile is kept in memory.")
        self._trouble = words
        self._failed_at = self._failed_at or self._clock.now()

    def _could_write(self) -> None:
        if self._failed_at is None:
            return
        since = self._failed_at.isoformat(timespec="seconds")
        words = (
            f"It could not be written from {since} on ({self._trouble}) and can be again: nothing is missing."
        )
        self._trouble = self._failed_at = None
        self._tell(f"The history can be written again; what was heard since {since} is in it.")
        self.health("", "history", "restored", words)

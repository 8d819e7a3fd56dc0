"""A room's way into the journal, which can be taken from it once and for all."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from pipeline.monitor.journal import Journal
from pipeline.monitor.models import Base, Coverage, EpisodeRow


class Book(Protocol):
    """Where rows are put: the journal, or a pen. ``run`` names the run of the monitor."""

    run: str

    def put(self, table: type[Base], key: str, row: dict[str, Any]) -> None:
        """As :meth:`Journal.put`."""
        ...

    def health(self, room: str, source: str, state: str, words: str) -> None:
        """As :meth:`Journal.health`."""
        ...


class Abandoned(Exception):  # noqa: N818 - not an error: how a thread that was given up learns of it
    """The pen was taken away: another thread listens in this one's place."""


class Pen:
    """Writes for one room, until it is taken away; remembers what is open."""

    def __init__(self, journal: Journal) -> None:
        self.run = journal.run
        self._journal, self._lock, self._taken = journal, threading.Lock(), False
        self._open: dict[tuple[type[Base], str], dict[str, Any]] = {}

    def put(self, table: type[Base], key: str, row: dict[str, Any]) -> None:
        """As :meth:`Journal.put`.

        Raises:
            Abandoned: it was taken away.
        """
        with self._held():
            self._journal.put(table, key, row)
            if table in (Coverage, EpisodeRow):
                if row["state"] == "open":
                    self._open[table, key] = row
                else:
                    self._open.pop((table, key), None)

    def health(self, room: str, source: str, state: str, words: str) -> None:
        """As :meth:`Journal.health`; raises as :meth:`put`."""
        with self._held():
            self._journal.health(room, source, state, words)

    def take_away(self, why: str) -> None:
        """From here on nothing is written with it; what was open ends, as interrupted, where it was last."""
        with self._lock:
            self._taken = True
            for (table, key), row in self._open.items():
                more = {"why": why} if table is Coverage else {}
                self._journal.put(table, key, {**row, "state": "interrupted", **more})
            self._open.clear()

    @contextmanager
    def _held(self) -> Iterator[None]:
        with self._lock:
            if self._taken:
                raise Abandoned
            yield

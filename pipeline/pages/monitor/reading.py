"""What a view needs of the history. It is opened for each drawing of a view, and let go of after it.

So one that is made, moved, mended or brought up to date while the page is open is found at the next look.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from pipeline.pages.monitor.spans import Span, merged

if TYPE_CHECKING:
    from sqlalchemy import Executable

    from pipeline.monitor.liveness import Light, Verdict
    from pipeline.monitor.store import Row, Store

NEAR = timedelta(hours=12)
"""Longest episode, and longest silence about a stretch, that is looked for around a time."""
STORE = "CRY_MONITOR_STORE"


def store_address() -> str:
    """The history that the environment names, else the monitor's own default."""
    from pipeline.cli_monitor import DEFAULT_STORE

    return os.environ.get(STORE) or DEFAULT_STORE


_open: ContextVar[tuple[str, Store] | None] = ContextVar("history", default=None)


@contextmanager
def opened(url: str) -> Iterator[Store]:
    """The history, open to read. Inside of this it is not opened again, however many times it is read.

    Raises:
        StoreError: there is none that can be read.
    """
    from pipeline.monitor.store import read_store

    held = _open.get()
    if held is not None and held[0] == url:
        yield held[1]
        return
    with read_store(url) as store:
        token = _open.set((url, store))
        try:
            yield store
        finally:
            _open.reset(token)


def shown_address(url: str) -> str:
    """An address without the password in it."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url).render_as_string(hide_password=True) if "://" in url else url
    except ArgumentError:
        return "that address"


@dataclass(frozen=True)
class Marks:
    """The newest mark of each kind, by what it is about."""

    newest: Mapping[tuple[str, str], Row]

    def judged(self, episode: str) -> str | None:
        """``right``, ``wrong``, or None where nobody said."""
        return self._latest(episode, "right", "wrong")

    def starred(self, episode: str) -> bool:
        """Whether it is kept for good."""
        return self._latest(episode, "star", "unstar") == "star"

    def words(self, about: str, kind: str) -> str | None:
        """What was said: what helped, the cause."""
        row = self.newest.get((about, kind))
        return (row["words"] or None) if row else None

    def seen(self, alert: str) -> datetime | None:
        """When somebody saw an alert."""
        row = self.newest.get((alert, "seen"))
        return row["at"] if row else None

    def _latest(self, about: str, *kinds: str) -> str | None:
        rows = [(self.newest[about, kind]["at"], kind) for kind in kinds if (about, kind) in self.newest]
        return max(rows)[1] if rows else None


@dataclass(frozen=True)
class Part:
    """The history between two moments; rows as in its tables, by time.

    ``episodes`` and ``coverage`` also hold what began before or ends after.
    """

    span: Span
    coverage: list[Row] = field(default_factory=list)
    episodes: list[Row] = field(default_factory=list)
    minutes: list[Row] = field(default_factory=list)

    def rooms(self) -> list[str]:
        """Rooms that were listened to."""
        return sorted({row["room"] for row in self.coverage})

    def listened(self, room: str) -> list[Span]:
        """When a room was listened to, merged."""
        return merged((row["started_at"], row["ended_at"]) for row in self.coverage if row["room"] == room)

    def cried(self, room: str, *, but: Marks | None = None) -> list[Span]:
        """Crying in a room; without what was marked wrong, where marks are given."""
        return [
            (row["started_at"], row["ended_at"])
            for row in self.episodes
            if row["room"] == room and not (but and but.judged(row["id"]) == "wrong")
        ]

    def minutes_of(self, room: str) -> list[Row]:
        """Minutes of a room."""
        return [row for row in self.minutes if row["room"] == room]


@dataclass(frozen=True)
class Now:
    """How the newest run of the monitor is doing: what the liveness contract says ``at``, and its rows."""

    at: datetime
    light: Light
    verdicts: list[Verdict]
    pulses: list[Row]
    channels: list[Row]


def now(url: str, at: datetime) -> Now:
    """How the monitor is doing.

    Raises:
        StoreError: there is no history that can be read.
    """
    from pipeline.monitor.liveness import liveness, stored_signs, worst

    with opened(url) as store:
        signs = stored_signs(store)
    pulses = sorted(signs.pulses, key=lambda row: row["room"])
    run = max(pulses, key=lambda row: row["at"])["run"] if pulses else ""
    verdicts = liveness(signs, at)
    mine = [row for row in pulses if row["run"] == run]
    return Now(at, worst(verdicts), verdicts, mine, [row for row in signs.channels if row["run"] == run])


def part(url: str, start: datetime, end: datetime, *, minutes: bool = False) -> Part:
    """The history between two moments; ``minutes``: with those too.

    Raises:
        StoreError: it cannot be read.
    """
    from sqlalchemy import and_

    from pipeline.monitor.models import Coverage, EpisodeRow, Minute

    with opened(url) as store:
        coverage, episodes = (
            store.rows(
                table, order_by="started_at", where=and_(table.ended_at > start, table.started_at < end)
            )
            for table in (Coverage, EpisodeRow)
        )
        rooms = {row["room"] for row in coverage}  # named, so that the index is used
        inside = and_(Minute.started_at > start - timedelta(minutes=1), Minute.started_at < end)
        found = (
            store.rows(Minute, order_by="started_at", where=and_(Minute.room.in_(rooms), inside))
            if minutes
            else []
        )
    return Part((start, end), coverage, episodes, found)


def ends(url: str, at: datetime) -> Span | None:
    """From the first to the last that was heard, up to now at least; a replay runs ahead of the clock.

    None when nothing was heard yet.

    Raises:
        StoreError: it cannot be read.
    """
    from sqlalchemy import func, select

    from pipeline.monitor.models import Coverage

    ((first, last),) = _asked(url, select(func.min(Coverage.started_at), func.max(Coverage.ended_at)))
    return None if first is None else (first, max(last, at))


def rooms(url: str) -> list[str]:
    """Rooms that were ever listened to.

    Raises:
        StoreError: it cannot be read.
    """
    from sqlalchemy import select

    from pipeline.monitor.models import Coverage

    return [room for (room,) in _asked(url, select(Coverage.room).distinct().order_by(Coverage.room))]


def _asked(url: str, query: Executable) -> Sequence[Any]:
    """The rows that answer a query.

    Raises:
        StoreError: the history cannot be read.
    """
    from sqlalchemy.exc import SQLAlchemyError

    from pipeline.monitor.store import StoreError

    with opened(url) as store:
        try:
            with store.engine.connect() as connection:
                return connection.execute(query).all()
        except SQLAlchemyError as error:
            words = str(getattr(error, "orig", None) or error).splitlines()[0]
            raise StoreError(f"The history cannot be read just now: {words}") from error


def marks(url: str) -> Marks:
    """What people said so far.

    Raises:
        StoreError: it cannot be read.
    """
    from pipeline.monitor.models import Mark

    with opened(url) as store:
        return Marks({(row["about"], row["kind"]): row for row in store.rows(Mark, order_by="at")})


def told(
    url: str, start: datetime, end: datetime, episodes: Collection[str] = ()
) -> tuple[list[Row], dict[str, list[Row]]]:
    """Alerts between two moments, newest first, and the deliveries of each by its id.

    Args:
        episodes: ids; alerts of these are among them whenever they were: replayed faster than in real time,
            an episode's own times run ahead.

    Raises:
        StoreError: it cannot be read.
    """
    from sqlalchemy import and_, or_, select

    from pipeline.monitor.models import Alert, Delivery

    inside = and_(Alert.at >= start, Alert.at <= end)
    if episodes:
        inside = or_(inside, Alert.details["episode_id"].as_string().in_(episodes))
    with opened(url) as store:
        alerts = store.rows(Alert, order_by="at", where=inside)
        wanted = Delivery.alert_id.in_(select(Alert.id).where(inside))
        deliveries: dict[str, list[Row]] = {}
        for row in store.rows(Delivery, order_by="at", where=wanted):
            deliveries.setdefault(row["alert_id"], []).append(row)
    return alerts[::-1], deliveries


def changes(url: str, start: datetime, end: datetime) -> list[Row]:
    """What changed in the health of rooms and history, by time.

    Raises:
        StoreError: it cannot be read.
    """
    from sqlalchemy import and_

    from pipeline.monitor.models import Health

    with opened(url) as store:
        return store.rows(Health, order_by="at", where=and_(Health.at >= start, Health.at <= end))


def episode(url: str, key: str) -> dict[str, Any] | None:
    """One episode by its id.

    Raises:
        StoreError: it cannot be read.
    """
    from pipeline.monitor.models import EpisodeRow

    with opened(url) as store:
        rows = store.rows(EpisodeRow, where=EpisodeRow.id == key)
    return rows[0] if rows else None

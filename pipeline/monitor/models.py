"""The tables of the history, as the newest migration leaves them. All times are aware, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, ForeignKey, Index, Integer
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """An aware time, given back in UTC; SQLite has no type for it and keeps it without its zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone: times of the history are aware.")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        del dialect
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Base of all tables."""

    type_annotation_map: ClassVar = {
        datetime: UtcDateTime,
        dict[str, Any]: JSON,
        int: Integer().with_variant(BigInteger(), "postgresql"),  # samples of months
    }


class Coverage(Base):
    """A stretch of listening without a break: what no row covers was not heard.

    ``state``: "open", "ended", "failed" (the source did) or "interrupted" (the monitor did; the row says what
    was heard up to its last write). ``heard_s`` counts sound; ``lost_s`` what was lost on the way, ``late``
    how often.
    """

    __tablename__ = "coverage"

    id: Mapped[str] = mapped_column(primary_key=True)
    run: Mapped[str]
    room: Mapped[str]
    source: Mapped[str]
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime]
    heard_s: Mapped[float]
    lost_s: Mapped[float]
    late: Mapped[int]
    embedder: Mapped[str]
    models: Mapped[str]
    threshold: Mapped[float]
    state: Mapped[str]
    why: Mapped[str | None]

    __table_args__ = (Index("coverage_by_time", "room", "started_at"),)


class EpisodeRow(Base):
    """Crying. ``start_s`` and ``end_s`` are seconds from the start of its stretch of listening.

    ``state``: "open", "ended" or "interrupted" (cut short; it ends where it was last known to go on).
    """

    __tablename__ = "episodes"

    id: Mapped[str] = mapped_column(primary_key=True)
    coverage_id: Mapped[str] = mapped_column(ForeignKey("coverage.id"))
    room: Mapped[str]
    source: Mapped[str]
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime]
    start_s: Mapped[float]
    end_s: Mapped[float]
    peak: Mapped[float]
    mean: Mapped[float]
    threshold: Mapped[float]
    models: Mapped[str]
    reasons: Mapped[dict[str, Any] | None]
    state: Mapped[str]

    __table_args__ = (Index("episodes_by_time", "room", "started_at"),)


class Health(Base):
    """Something that changed: a source came, stalled, failed; the store could not be written."""

    __tablename__ = "health"

    id: Mapped[str] = mapped_column(primary_key=True)
    run: Mapped[str]
    at: Mapped[datetime]
    room: Mapped[str]
    source: Mapped[str]
    state: Mapped[str]
    words: Mapped[str]

    __table_args__ = (Index("health_by_time", "at"),)


class Pulse(Base):
    """How a room is doing just now, one row each, written about every second."""

    __tablename__ = "pulses"

    room: Mapped[str] = mapped_column(primary_key=True)
    run: Mapped[str]
    source: Mapped[str]
    at: Mapped[datetime]
    state: Mapped[str]
    words: Mapped[str]
    sound_at: Mapped[datetime | None]
    decided_at: Mapped[datetime | None]
    level_dbfs: Mapped[float]
    peak_dbfs: Mapped[float]
    clipped: Mapped[int]
    silent_s: Mapped[float]
    stuck_s: Mapped[float]
    score: Mapped[float]
    threshold: Mapped[float]
    late: Mapped[int]
    lost_s: Mapped[float]


class Alert(Base):
    """Something that somebody should know. ``held`` says why it was sent to nobody; None: it was."""

    __tablename__ = "alerts"

    id: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    room: Mapped[str]
    event: Mapped[str]
    words: Mapped[str]
    details: Mapped[dict[str, Any]]
    held: Mapped[str | None]

    __table_args__ = (Index("alerts_by_time", "room", "at"),)


class Delivery(Base):
    """One alert on its way to one channel: the outbox. ``state``: "waiting", "delivered" or "expired"."""

    __tablename__ = "deliveries"

    id: Mapped[str] = mapped_column(primary_key=True)
    alert_id: Mapped[str] = mapped_column(ForeignKey("alerts.id"))
    channel: Mapped[str]
    at: Mapped[datetime]
    state: Mapped[str]
    tries: Mapped[int]
    error: Mapped[str | None]
    delivered_at: Mapped[datetime | None]
    delay_s: Mapped[float | None]

    __table_args__ = (Index("deliveries_waiting", "state"),)


class ChannelRow(Base):
    """How a channel of the newest run is doing, one row each. ``at``: when something was last handed to it.

    ``accepted_at``: when it last took something, alert or probe; None: not yet. ``error``: why it did not
    take the newest; None: it did. ``probe_every_s``: it is asked so often; None: never, and then an old
    ``accepted_at`` only means that there was nothing to tell.
    """

    __tablename__ = "channels"

    name: Mapped[str] = mapped_column(primary_key=True)
    run: Mapped[str]
    at: Mapped[datetime | None]
    accepted_at: Mapped[datetime | None]
    error: Mapped[str | None]
    probe_every_s: Mapped[float | None]


class Minute(Base):
    """A minute of a room: how loud, and how near to a cry. ``best`` is its highest score, at ``best_at``.

    ``id`` is the room and the minute, so that a minute that goes on is one row.
    """

    __tablename__ = "minutes"

    id: Mapped[str] = mapped_column(primary_key=True)
    room: Mapped[str]
    started_at: Mapped[datetime]
    heard_s: Mapped[float]
    crying_s: Mapped[float]
    level_dbfs: Mapped[float]
    peak_dbfs: Mapped[float]
    best: Mapped[float]
    best_at: Mapped[datetime | None]
    threshold: Mapped[float]

    __table_args__ = (Index("minutes_by_time", "room", "started_at"),)


class KeptSound(Base):
    """Sound that was kept, by choice. ``path`` is relative to the folder of kept sound.

    ``episode_id`` is None for sound kept between episodes. ``gone_at`` and ``gone_why`` ("expired", "room",
    "missing": deleted by hand) once the file is no longer there; the row stays.
    """

    __tablename__ = "kept_sounds"

    id: Mapped[str] = mapped_column(primary_key=True)
    episode_id: Mapped[str | None] = mapped_column(ForeignKey("episodes.id"))
    room: Mapped[str]
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime]
    path: Mapped[str]
    bytes: Mapped[int]
    gone_at: Mapped[datetime | None]
    gone_why: Mapped[str | None]

    __table_args__ = (Index("kept_sounds_by_time", "room", "started_at"),)


class Mark(Base):
    """What a person says of something in the history. The newest of a kind counts; nothing is overwritten.

    ``about``: the id of an episode ("right", "wrong", "helped", "cause", "star", "unstar") or of an alert
    ("seen"), or "monitor" ("test": the running one is asked for a test alert). ``words``: what helped, the
    cause, or what it was instead.
    """

    __tablename__ = "marks"

    id: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    about: Mapped[str]
    kind: Mapped[str]
    words: Mapped[str | None]

    __table_args__ = (Index("marks_by_about", "about", "at"),)


# What is exported and imported, in an order in which rows can be put in.
HISTORY: tuple[type[Base], ...] = (
    Coverage,
    EpisodeRow,
    Health,
    Alert,
    Delivery,
    Minute,
    KeptSound,
    Mark,
)

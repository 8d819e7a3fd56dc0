"""A history of some weeks, made up: for what no replay of a few minutes shows."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from pipeline.monitor.models import (
    Alert,
    Base,
    ChannelRow,
    Coverage,
    Delivery,
    EpisodeRow,
    Health,
    Mark,
    Minute,
    Pulse,
)
from pipeline.monitor.store import open_store

Rows = list[tuple[type[Base], dict[str, Any]]]
ZONE = ZoneInfo("Europe/Berlin")
ROOM, SOURCE, MODELS = "nursery", "rtsp://camera.lan/audio", "detector-student 2026-11-21 0123456789ab"
MINUTE = timedelta(minutes=1)


def stretch(key: str, start: datetime, end: datetime, **more: Any) -> tuple[type[Base], dict[str, Any]]:
    """Listening."""
    row = {
        "id": key, "run": "run", "room": ROOM, "source": SOURCE, "started_at": start, "ended_at": end,
        "heard_s": (end - start).total_seconds(), "lost_s": 0.0, "late": 0, "embedder": "student",
        "models": MODELS, "threshold": 0.55, "state": "ended", "why": None,
    }  # fmt: skip
    return Coverage, {**row, **more}


def cry(
    key: str, coverage: str, start: datetime, end: datetime, **more: Any
) -> tuple[type[Base], dict[str, Any]]:
    """Crying."""
    row = {
        "id": key, "coverage_id": coverage, "room": ROOM, "source": SOURCE, "started_at": start,
        "ended_at": end, "start_s": 0.0, "end_s": (end - start).total_seconds(), "peak": 0.91, "mean": 0.72,
        "threshold": 0.55, "models": MODELS, "reasons": None, "state": "ended",
    }  # fmt: skip
    return EpisodeRow, {**row, **more}


def minute(start: datetime, **more: Any) -> tuple[type[Base], dict[str, Any]]:
    """A minute."""
    room = more.get("room", ROOM)
    row = {
        "id": f"{room} {start.isoformat(timespec='minutes')}", "room": room, "started_at": start,
        "heard_s": 60.0, "crying_s": 0.0, "level_dbfs": -52.0, "peak_dbfs": -34.0, "best": 0.04,
        "best_at": start + timedelta(seconds=23), "threshold": 0.55,
    }  # fmt: skip
    return Minute, {**row, **more}


def pulse(at: datetime, **more: Any) -> tuple[type[Base], dict[str, Any]]:
    """How a room is doing."""
    row = {
        "room": ROOM, "run": "run", "source": SOURCE, "at": at, "state": "listening",
        "words": f"Listening to {SOURCE}.", "sound_at": at, "decided_at": at, "level_dbfs": -48.0,
        "peak_dbfs": -31.0, "clipped": 0, "silent_s": 0.0, "stuck_s": 0.0, "score": 0.07, "threshold": 0.55,
        "late": 0, "lost_s": 0.0,
    }  # fmt: skip
    return Pulse, {**row, **more}


def alert(key: str, at: datetime, **more: Any) -> tuple[type[Base], dict[str, Any]]:
    """An alert."""
    row = {
        "id": key, "at": at, "room": ROOM, "event": "crying", "words": f"{ROOM}: crying for 10 s.",
        "details": {}, "held": None,
    }  # fmt: skip
    return Alert, {**row, **more}


def delivery(key: str, of: str, at: datetime, **more: Any) -> tuple[type[Base], dict[str, Any]]:
    """On its way to a channel, and there."""
    row = {
        "id": key, "alert_id": of, "channel": "https://home.lan #1a2b3c4d", "at": at, "state": "delivered",
        "tries": 1, "error": None, "delivered_at": at + timedelta(seconds=0.4), "delay_s": 0.4,
    }  # fmt: skip
    return Delivery, {**row, **more}


def mark(key: str, about: str, kind: str, words: str | None = None) -> tuple[type[Base], dict[str, Any]]:
    """What a person says."""
    return Mark, {"id": key, "at": datetime.now(UTC), "about": about, "kind": kind, "words": words}


def weeks(now: datetime, count: int = 5) -> Rows:
    """Nights from 19:00 to 07:30 and naps, some missed or cut short; more crying around two and five."""
    random = np.random.default_rng(5)
    rows: Rows = []
    today = now.astimezone(ZONE).date()
    for back in range(7 * count, -1, -1):
        day = today - timedelta(days=back)
        spans = [(time(0), time(7, 30)), (time(12), time(14, 30)), (time(19), time(23, 59, 59))]
        if back % 11 == 5:
            continue
        if back % 9 == 4:
            spans = spans[:1]
        if back % 6 == 0:
            spans = [(time(0), time(23, 59, 59))]
        for number, (begin, until) in enumerate(spans):
            start = datetime.combine(day, begin, ZONE).astimezone(UTC)
            end = min(now, datetime.combine(day, until, ZONE).astimezone(UTC))
            if start >= end:
                continue
            key = f"c-{back}-{number}"
            last = end == now
            rows.append(stretch(key, start, end, state="open" if last else "ended"))
            rows += _crying(key, start, end, random, minutes=back <= 1)
    for key, at, kind in (("hu", 3, "hungry"), ("bp", 2, "belly_pain")):
        rows.append(mark(f"m-{key}", _nth(rows, -at), "cause", kind))
    rows.append(mark("m-right", _nth(rows, -2), "right"))
    rows.append(mark("m-helped", _nth(rows, -2), "helped", "feeding, carrying"))
    rows.append(mark("m-wrong", _nth(rows, -4), "wrong", "the cat"))
    rows.append(mark("m-star", _nth(rows, -2), "star"))
    return [*rows, *_now(now, rows)]


def _nth(rows: Rows, place: int) -> str:
    return str([row["id"] for table, row in rows if table is EpisodeRow][place])


def _crying(key: str, start: datetime, end: datetime, random: np.random.Generator, *, minutes: bool) -> Rows:
    rows: Rows = []
    spans: list[tuple[datetime, datetime, float]] = []
    at = start + timedelta(minutes=float(random.uniform(5, 70)))
    while at < end - timedelta(minutes=1):
        hour = at.astimezone(ZONE).hour
        long = float(random.gamma(1.4, 5.0 if hour in (1, 2, 5) else 1.2))
        until = min(end, at + timedelta(minutes=min(24.0, max(0.1, long))))
        spans.append((at, until, float(random.uniform(0.6, 0.99))))
        at = until + timedelta(
            minutes=float(random.uniform(2, 4) if random.random() < 0.4 else random.uniform(25, 120))
        )
    for number, (first, last, peak) in enumerate(spans):
        rows.append(cry(f"e-{key}-{number}", key, first, last, peak=peak, mean=0.8 * peak, reasons=reasons()))
    if minutes:
        moment = start.replace(second=0, microsecond=0)
        while moment < end:
            crying = sum(
                max(0.0, (min(b, moment + MINUTE) - max(a, moment)).total_seconds()) for a, b, _ in spans
            )
            best = float(max(random.uniform(0.6, 0.98) if crying else 0.0, min(0.5, random.gamma(1.0, 0.05))))
            level = -56 + 14 * (crying > 0) + float(random.normal(0, 2))
            rows.append(
                minute(moment, best=best, crying_s=min(60.0, crying), level_dbfs=level, peak_dbfs=level + 15)
            )
            moment += MINUTE
    return rows


def reasons() -> dict[str, Any]:
    """As of a real cry: no lift, and it says so."""
    chances = {"belly_pain": 0.04, "burping": 0.02, "discomfort": 0.06, "hungry": 0.83, "tired": 0.05}
    return {
        "label": None, "threshold": 0.6, "scores": {**chances, "hungry": 0.52, "tired": 0.36},
        "probabilities": chances, "base_rate": {**chances, "hungry": 0.84, "tired": 0.04},
        "prediction_set": ["hungry", "discomfort"], "coverage": 0.9,
        "statement": "On babies it had not heard, this was no better than naming the usual reason.",
    }  # fmt: skip


def _now(now: datetime, rows: Rows) -> Rows:
    newest = [row for table, row in rows if table is EpisodeRow][-4:]
    told: Rows = []
    for number, row in enumerate(newest):
        key, at = f"a-{number}", row["started_at"] + timedelta(seconds=10)
        more: dict[str, Any] = {"details": {"episode_id": row["id"]}}
        if number == 1:
            more["held"] = "quiet hours"
        if number == 2:
            more["held"] = f"cooldown: the last was told at {at.isoformat(timespec='seconds')}"
        told.append(alert(key, at, **more))
        if "held" not in more:
            told.append(delivery(f"d-{number}-0", key, at))
            told.append(
                delivery(
                    f"d-{number}-1", key, at, channel="ntfys://ntfy.example.org #99aabbcc", tries=3,
                    delay_s=7.9, error="It answered 503.",
                )
            )  # fmt: skip
    channels = [
        (ChannelRow, {
            "name": name, "run": "run", "at": now, "accepted_at": now, "error": None, "probe_every_s": None,
        })
        for name in ("https://home.lan #1a2b3c4d", "ntfys://ntfy.example.org #99aabbcc")
    ]  # fmt: skip
    change = {
        "id": "h", "run": "run", "at": now - timedelta(hours=3), "room": ROOM, "source": SOURCE,
        "state": "listening", "words": f"Listening to {SOURCE}.",
    }  # fmt: skip
    return [*told, *channels, (Health, change), pulse(now)]


def write(path: Path, rows: Rows) -> str:
    """A history that holds these rows; its address."""
    url = f"sqlite:///{path}"
    with open_store(url) as store:
        store.write(rows)
    return url

"""A history with all that is awkward in it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from pipeline.monitor.models import (
    HISTORY,
    Alert,
    Base,
    Coverage,
    Delivery,
    EpisodeRow,
    Health,
    KeptSound,
    Mark,
    Minute,
)
from pipeline.monitor.store import Store

AT = datetime(2026, 3, 29, 1, 59, 59, 999_999, timezone(timedelta(hours=2)))


def rows() -> list[tuple[type[Base], dict[str, Any]]]:
    """Rows of each table."""
    common = {"room": "Lottes Zimmer, „oben“", "source": '=HYPERLINK("x")\n\'a', "started_at": AT}
    stretch = {
        **common, "id": "c", "run": "r", "ended_at": AT, "heard_s": 0.1 + 0.2, "lost_s": 1e-17, "late": 3,
        "embedder": "student", "models": "m", "threshold": 1 / 3, "state": "failed", "why": None,
    }  # fmt: skip
    cry = {
        **common, "coverage_id": "c", "ended_at": AT, "start_s": 0.0, "end_s": 86_400.123456789, "peak": 1.0,
        "mean": 0.1, "threshold": 1 / 3, "models": "m", "state": "ended",
    }  # fmt: skip
    change = {
        "id": "h",
        "run": "r",
        "at": AT,
        "room": "",
        "source": "history",
        "state": "restored",
        "words": "ü",
    }
    alert = {
        "id": "a", "at": AT, "room": "r", "event": "crying", "words": "w", "details": {"lasted_s": 0.1},
        "held": None,
    }  # fmt: skip
    delivery = {
        "id": "d", "alert_id": "a", "channel": "c", "at": AT, "state": "delivered", "tries": 2, "error": None,
        "delivered_at": AT, "delay_s": 0.25,
    }  # fmt: skip
    minute = {
        "id": "Lottes Zimmer, „oben“ 2026-03-28T23:59+00:00", "room": "r", "started_at": AT, "heard_s": 60.0,
        "crying_s": 0.1 + 0.2, "level_dbfs": -120.0, "peak_dbfs": -0.0, "best": 5e-324, "best_at": None,
        "threshold": 1 / 3,
    }  # fmt: skip
    kept = {
        "id": "k1", "episode_id": "e1", "room": "r", "started_at": AT, "ended_at": AT, "path": "r/ä 1.flac",
        "bytes": 2**40, "gone_at": None, "gone_why": None,
    }  # fmt: skip
    mark = {"id": "m1", "at": AT, "about": "e1", "kind": "helped", "words": "=1+1, „singen“\nund wiegen"}
    reasons = {"label": None, "probabilities": {"hungry": 0.1}, "prediction_set": ["hungry"]}
    return [
        (Coverage, stretch),
        (EpisodeRow, {**cry, "id": "e1", "reasons": reasons}),
        (EpisodeRow, {**cry, "id": "e2", "reasons": None}),
        (Health, change),
        (Alert, alert),
        (Delivery, delivery),
        (Minute, minute),
        (Minute, {**minute, "id": "n2", "best_at": AT}),
        (KeptSound, kept),
        (KeptSound, {**kept, "id": "k2", "episode_id": None, "gone_at": AT, "gone_why": "expired"}),
        (Mark, mark),
        (Mark, {**mark, "id": "m2", "kind": "star", "words": None}),
    ]


def everything(store: Store) -> list[list[dict[str, Any]]]:
    return [store.rows(table) for table in HISTORY]

"""Is it really listening? Green only while everything is known to work; else the cause, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pipeline.formats import clock as length
from pipeline.monitor.store import Row

Light = Literal["green", "amber", "red"]

_WRITES_S = 15.0
_SOUND_S = 10.0
_DECIDES_S = 10.0
_DEAD_S = 60.0
_WAITS_S = 60.0


@dataclass(frozen=True)
class Verdict:
    """A light and why; ``room`` is empty for the monitor as a whole."""

    room: str
    light: Light
    words: str


def liveness(pulses: Sequence[Row], waiting: Sequence[Row], now: datetime) -> list[Verdict]:
    """One verdict per room, and one on alerts where some have not arrived.

    Args:
        pulses: rows of the table of that name.
        waiting: deliveries that were not made yet.
        now: aware.
    """
    if not pulses:
        return [Verdict("", "red", "No monitor has listened yet.")]
    newest = max(row["at"] for row in pulses)
    latest_run = next(row["run"] for row in pulses if row["at"] == newest)
    told = [
        _room(row, now) for row in sorted(pulses, key=lambda row: row["room"]) if row["run"] == latest_run
    ]
    late = [row for row in waiting if (now - row["at"]).total_seconds() > _WAITS_S]
    if late:
        since = length((now - min(row["at"] for row in late)).total_seconds())
        told.append(
            Verdict(
                "",
                "amber",
                f"{len(late)} alerts have not arrived, the oldest for {since}: {late[0]['error']}",
            )
        )
    return told


def _room(row: Row, now: datetime) -> Verdict:
    def since(at: datetime | None) -> float:
        return float("inf") if at is None else (now - at).total_seconds()

    room = row["room"]
    if row["state"] in ("stopped", "ended", "failed"):
        return Verdict(room, "red", f"Not listening: {row['words']}")
    if since(row["at"]) > _WRITES_S:
        ago = length(since(row["at"]))
        return Verdict(room, "red", f"The monitor is not running, or cannot store anything, for {ago}.")
    if row["state"] == "starting":
        return Verdict(room, "amber", "It is starting.")
    if row["state"] != "listening":
        return Verdict(room, "red", f"Not listening: {row['words']}")
    if since(row["sound_at"]) > _SOUND_S:
        return Verdict(room, "red", f"No sound has come for {length(since(row['sound_at']))}.")
    if row["stuck_s"] > _DEAD_S:
        return Verdict(
            room, "red", f"The input has given one and the same value for {length(row['stuck_s'])}."
        )
    if row["silent_s"] > _DEAD_S:
        return Verdict(room, "amber", f"Silence for {length(row['silent_s'])}: is the microphone muted?")
    if row["decided_at"] is not None and not row["silent_s"] and since(row["decided_at"]) > _DECIDES_S:
        return Verdict(room, "red", f"Nothing has been decided for {length(since(row['decided_at']))}.")
    return Verdict(room, "green", f"Listening to {row['source']}, level {row['level_dbfs']:.0f} dBFS.")

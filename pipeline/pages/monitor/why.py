"""Why it fired at a moment, or why it did not, in words. Pure functions of rows of the history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from pipeline.pages.monitor.reading import Part
from pipeline.pages.monitor.times import Zone, clock, lasted, when

if TYPE_CHECKING:
    from pipeline.monitor.store import Row

Kind = Literal["cry", "below", "short", "unheard", "unknown"]
_MINUTE = timedelta(minutes=1)
NEAR_SHARE = 0.6
"""From this share of the threshold on a minute counts as a near miss."""


@dataclass(frozen=True)
class Answer:
    """``headline`` in a few words, ``detail`` in a few sentences."""

    kind: Kind
    headline: str
    detail: str


def explain(
    room: str,
    at: datetime,
    part: Part,
    alerts: Sequence[Row],
    deliveries: Mapping[str, Sequence[Row]],
    zone: Zone,
) -> Answer:
    """What the history says of a room at a moment.

    Args:
        part: with minutes, a few minutes around the moment at least.
        alerts: of the time from the episode's beginning to a while after it.
        deliveries: of those alerts, by their id.
    """
    here = [row for row in part.coverage if row["room"] == room]
    if not any(row["started_at"] <= at < row["ended_at"] for row in here):
        return _unheard(room, at, here, zone)
    # A clock time is read to the minute: an episode that lies in that minute is meant as well.
    meant = (at, at + _MINUTE) if not (at.second or at.microsecond) else (at, at)
    for row in part.episodes:
        inside = row["started_at"] <= meant[1] and row["ended_at"] > meant[0]
        if row["room"] == room and inside:
            return _fired(row, alerts, deliveries, zone)
    minute = next(
        (m for m in part.minutes_of(room) if m["started_at"] <= at < m["started_at"] + _MINUTE), None
    )
    return _quiet(at, minute, zone)


def _quiet(at: datetime, minute: Row | None, zone: Zone) -> Answer:
    if minute is None:
        return Answer(
            "unknown",
            "It listened, and heard no crying",
            "The history holds no score for that minute: it was written by an older version, or the minute "
            "is not over.",
        )
    best, line = minute["best"], minute["threshold"]
    found = clock(minute["best_at"] or at, zone, seconds=minute["best_at"] is not None)
    figures = f"{best:.2f} against {line:.2f}"
    if best >= line:
        return Answer(
            "short",
            "It heard something like a cry, but not for long enough",
            f"At {found} the score reached the line, {figures}, but no episode came of it: single sounds are "
            "left out on purpose.",
        )
    quiet = " It was nearly silent then." if minute["level_dbfs"] < -70 else ""
    return Answer(
        "below",
        f"Below threshold at {found}: {figures}",
        f"The highest score of that minute stayed under the line. Level {minute['level_dbfs']:.0f} dBFS, "
        f"loudest {minute['peak_dbfs']:.0f} dBFS.{quiet}",
    )


def _unheard(room: str, at: datetime, rows: Sequence[Row], zone: Zone) -> Answer:
    before = max(
        (row for row in rows if row["ended_at"] <= at), key=lambda row: row["ended_at"], default=None
    )
    after = min(
        (row for row in rows if row["started_at"] > at), key=lambda row: row["started_at"], default=None
    )
    said = []
    if before is not None:
        said.append(
            f"It had stopped at {clock(before['ended_at'], zone, seconds=True)}: {stopped_words(before)}"
        )
    if after is not None:
        again = " again" if before is not None else ""
        said.append(f"It listened{again} from {clock(after['started_at'], zone, seconds=True)} on.")
    if not said:
        said.append(f"Nothing was heard in {room} for twelve hours around that time.")
    return Answer("unheard", f"Not listening in {room} at {clock(at, zone)}", " ".join(said))


def stopped_words(row: Row) -> str:
    """Why a stretch of listening ended."""
    if row["why"]:
        return f"{row['why'].rstrip('.')}."
    return {
        "ended": "the sound ended, or the monitor was stopped.",
        "interrupted": "the monitor broke off, by a power cut or because it was killed.",
        "failed": "the source failed.",
    }.get(row["state"], "the cause is not known.")


def _fired(row: Row, alerts: Sequence[Row], deliveries: Mapping[str, Sequence[Row]], zone: Zone) -> Answer:
    start, end = (clock(row[name], zone, seconds=True) for name in ("started_at", "ended_at"))
    detail = (
        f"The score rose to {row['peak']:.2f}, over the line at {row['threshold']:.2f}, and stayed up for "
        f"{lasted((row['ended_at'] - row['started_at']).total_seconds())}. "
    )
    return Answer("cry", f"Crying from {start} to {end}", detail + told_words(row, alerts, deliveries, zone))


def told_words(
    episode: Row, alerts: Sequence[Row], deliveries: Mapping[str, Sequence[Row]], zone: Zone
) -> str:
    """Whether somebody was told of an episode, and why not."""
    mine = [row for row in alerts if (row["details"] or {}).get("episode_id") == episode["id"]]
    if not mine:
        return "No alert was raised: it was shorter than alerts wait for, or none are set up."
    held = next((row for row in mine if row["held"]), None)
    first = next((row for row in mine if not row["held"]), None)
    before = ""
    if held is not None:
        before = f"An alert was due at {clock(held['at'], zone, seconds=True)} but held: {held_words(held)} "
    if first is None:
        return before.rstrip()
    sent = deliveries.get(first["id"], [])
    took = [row for row in sent if row["state"] == "delivered"]
    waiting = f" {len(sent) - len(took)} have not arrived." if len(took) < len(sent) else ""
    at = clock(first["at"], zone, seconds=True)
    return f"{before}An alert was sent at {at}; {len(took)} of {len(sent)} channels took it.{waiting}"


def held_words(alert: Row) -> str:
    """Why an alert was sent to nobody, as a sentence."""
    held = str(alert["held"])
    if held.startswith("cooldown"):
        return "another had been sent a short while before (cooldown)."
    if held.startswith("quiet hours"):
        return "quiet hours."
    if held == "no channel is named":
        return "the monitor runs without a channel."
    return f"{held.rstrip('.')}."


def near_misses(part: Part, room: str, *, most: int = 5) -> list[Row]:
    """Minutes without crying whose best score came nearest to the line, nearest first."""
    found = [
        row
        for row in part.minutes_of(room)
        if not row["crying_s"] and row["best"] >= NEAR_SHARE * row["threshold"] > 0
    ]
    return sorted(found, key=lambda row: -row["best"] / row["threshold"])[:most]


def near_miss_words(row: Row, now: datetime, zone: Zone) -> str:
    """``03:12:23 0.41 against 0.55``."""
    at = when(row["best_at"] or row["started_at"], now, zone, seconds=True)
    short = ", too short" if row["best"] >= row["threshold"] else ""
    return f"{at}: {row['best']:.2f} against {row['threshold']:.2f}{short}"

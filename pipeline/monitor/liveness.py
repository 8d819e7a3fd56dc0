"""Is it really listening? Green only while everything is known to work; else the cause, in words.

One function judges, of what the history says (``monitor status``, the page) and of what the running monitor
knows of itself (its alerts, what it tells Home Assistant): there is no second opinion.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pipeline.formats import clock as length
from pipeline.monitor.models import ChannelRow, Delivery, Pulse
from pipeline.monitor.store import Row, Store

Light = Literal["green", "amber", "red"]

_WRITES_S = 15.0
_SOUND_S = 10.0
_LAGS_S, _DECIDES_S = 5.0, 15.0
_STUCK_S = 60.0
_SILENT_S, _MUTED_S = 60.0, 180.0
_WAITS_S = 60.0
# A channel that is asked must have said yes within so many of its rounds, and not less than so long, seconds.
_ROUNDS, _ROUNDS_S = 2.5, 60.0


@dataclass(frozen=True)
class Verdict:
    """A light and why; ``room`` is empty for the monitor as a whole."""

    room: str
    light: Light
    words: str


@dataclass(frozen=True)
class Signs:
    """What is known of a monitor just now.

    Attributes:
        pulses: rows of the table of that name.
        waiting: deliveries that were not made yet.
        channels: rows of the table of that name.
        trouble: why the history cannot be written, or empty; a reader of it cannot know that.
        within: the monitor itself asks, and so it runs.
    """

    pulses: Sequence[Row]
    waiting: Sequence[Row] = ()
    channels: Sequence[Row] = ()
    trouble: str = ""
    within: bool = False


def stored_signs(store: Store) -> Signs:
    """What the history says of the monitor that writes it, or wrote it last.

    Raises:
        StoreError: it cannot be read.
    """
    waiting = store.rows(Delivery, order_by="at", where=Delivery.state == "waiting")
    return Signs(store.rows(Pulse), waiting, store.rows(ChannelRow))


def liveness(signs: Signs, now: datetime) -> list[Verdict]:
    """One verdict per room, and one on the monitor as a whole where something is wrong with it.

    Args:
        signs: what is known.
        now: aware.
    """
    if not signs.pulses:
        return [Verdict("", "red", "No monitor has listened yet.")]
    newest = max(row["at"] for row in signs.pulses)
    run = next(row["run"] for row in signs.pulses if row["at"] == newest)
    pulses = sorted((row for row in signs.pulses if row["run"] == run), key=lambda row: row["room"])
    dead = not signs.within and _since(newest, now) > _WRITES_S
    told = [_room(row, now, dead) for row in pulses]
    whole = [*_history(signs), *_channels([row for row in signs.channels if row["run"] == run], now)]
    return told + (whole or list(_late(signs.waiting, now)))


def worst(verdicts: Sequence[Verdict]) -> Light:
    """The light of all together."""
    order: tuple[Light, ...] = ("green", "amber", "red")
    return max((verdict.light for verdict in verdicts), key=order.index)


def _since(at: datetime | None, now: datetime) -> float:
    return float("inf") if at is None else (now - at).total_seconds()


def _room(row: Row, now: datetime, dead: bool) -> Verdict:
    room, age_s = row["room"], _since(row["at"], now)
    if row["state"] in ("stopped", "ended", "failed"):
        return Verdict(room, "red", f"Not listening: {row['words']}")
    if dead:
        return Verdict(
            room, "red", f"The monitor is not running, or cannot store anything, for {length(age_s)}."
        )
    if age_s > _WRITES_S:
        return Verdict(room, "red", f"Listening hangs, for {length(age_s)}.")
    if row["state"] == "starting":
        return Verdict(room, "amber", "It is starting.")
    if row["state"] != "listening":
        return Verdict(room, "red", f"Not listening: {row['words']}")
    return _sound(row, now)


def _sound(row: Row, now: datetime) -> Verdict:
    """Of a room that says it listens."""
    room, sound_s, behind_s = row["room"], _since(row["sound_at"], now), _since(row["decided_at"], now)
    if sound_s > _SOUND_S:
        return Verdict(room, "red", f"No sound has come for {length(sound_s)}.")
    silent_s = row["silent_s"]
    if silent_s > _SILENT_S:
        light: Light = "red" if silent_s > _MUTED_S else "amber"
        return Verdict(room, light, f"Complete silence for {length(silent_s)}: is the microphone muted?")
    if row["stuck_s"] > _STUCK_S:
        return Verdict(room, "red", f"The input gives one and the same value for {length(row['stuck_s'])}.")
    if behind_s > _DECIDES_S:
        return Verdict(
            room,
            "red",
            f"Sound that came {length(behind_s)} ago is not decided on yet: this computer does not keep up.",
        )
    if behind_s > _LAGS_S:
        return Verdict(room, "amber", f"Decisions are {behind_s:.0f} s behind the sound.")
    return Verdict(room, "green", f"Listening to {row['source']}, level {row['level_dbfs']:.0f} dBFS.")


def _history(signs: Signs) -> Iterator[Verdict]:
    if signs.trouble:
        yield Verdict("", "red", f"What is heard cannot be stored. {signs.trouble}")


def _channels(channels: Sequence[Row], now: datetime) -> Iterator[Verdict]:
    """Somebody can be told while one channel takes what it is given."""
    asked = [row for row in channels if row["at"] is not None]
    failing = [row for row in asked if row["error"] is not None or _is_lost(row, now)]
    if not failing:
        return
    words = " ".join(row["error"] or f"{row['name']} has taken nothing for long." for row in failing)
    if all(_is_lost(row, now) for row in asked):
        taken = [row["accepted_at"] for row in failing if row["accepted_at"] is not None]
        ago = f" for {length(_since(max(taken), now))}" if taken else ""
        yield Verdict("", "red", f"Nobody can be told{ago}: no channel takes alerts. {words}")
    else:
        yield Verdict("", "amber", f"Not every channel takes alerts. {words}")


def _is_lost(row: Row, now: datetime) -> bool:
    """Whether a channel has not taken anything within its time."""
    if row["probe_every_s"] is None:  # it is only given alerts: nothing can be known in between
        return row["error"] is not None
    return _since(row["accepted_at"], now) > max(_ROUNDS * row["probe_every_s"], _ROUNDS_S)


def _late(waiting: Sequence[Row], now: datetime) -> Iterator[Verdict]:
    late = [row for row in waiting if _since(row["at"], now) > _WAITS_S]
    if late:
        oldest = min(late, key=lambda row: row["at"])
        since = length(_since(oldest["at"], now))
        yield Verdict(
            "", "amber", f"{len(late)} alerts have not arrived, the oldest for {since}: {oldest['error']}"
        )

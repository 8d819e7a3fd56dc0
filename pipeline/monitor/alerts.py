"""When somebody is told: rules, and an outbox that is stored before anything is sent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, tzinfo
from typing import Any

from pipeline.errors import CryError
from pipeline.monitor.clock import Clock
from pipeline.monitor.journal import Journal, new_id
from pipeline.monitor.models import Alert, Delivery
from pipeline.monitor.store import Row, Store
from pipeline.monitor.webhook import Channel, ChannelError

_LOOK_S = 0.25
_FIRST_RETRY_S, _LONGEST_RETRY_S = 1.0, 60.0
_EXPIRES_S = 24 * 3600.0
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Rules:
    """When crying is told.

    Attributes:
        after_s: once it has gone on for so long, seconds.
        cooldown_s: after an alert, none of the same room and event for so long, seconds.
        quiet: no alert of crying from the one time of day to the other, in ``zone``; None: always.
        zone: of the times of day; None for the computer's.
        trouble_after_s: a room that is not heard for so long is told as well, seconds.
    """

    after_s: float = 10.0
    cooldown_s: float = 300.0
    quiet: tuple[time, time] | None = None
    zone: tzinfo | None = None
    trouble_after_s: float = 60.0

    def is_quiet(self, at: datetime) -> bool:
        """Whether a moment lies in the quiet hours (which may go over midnight)."""
        if self.quiet is None:
            return False
        begin, end = self.quiet
        now = at.astimezone(self.zone).time()
        return begin <= now < end if begin <= end else now >= begin or now < end


@dataclass
class _Sending:
    """A delivery under way."""

    row: Row
    message: Mapping[str, Any]
    next_s: float = 0.0
    wait_s: float = _FIRST_RETRY_S


@dataclass
class _Told:
    """What was told already."""

    last: dict[tuple[str, str], datetime] = field(default_factory=dict)
    episodes: dict[str, str] = field(default_factory=dict)  # room to episode


class Alerts:
    """Decides what is told, stores it, and sends it from a thread of its own."""

    def __init__(
        self,
        store: Store,
        journal: Journal,
        clock: Clock,
        channels: Sequence[Channel],
        rules: Rules,
        *,
        tell: Callable[[str], None] = lambda words: None,
    ) -> None:
        """Go on where the last monitor stopped: with what it had not delivered, and its cooldowns."""
        self.rules = rules
        self._journal, self._clock, self._tell = journal, clock, tell
        self._channels = {channel.name: channel for channel in channels}
        self._told, self._lock, self._stop = _Told(), threading.Lock(), threading.Event()
        alerts = {row["id"]: row for row in store.rows(Alert, order_by="at")}
        for row in alerts.values():
            if row["held"] is None:
                self._told.last[row["room"], row["event"]] = row["at"]
        self._sending = [
            _Sending(row, _message(alerts[row["alert_id"]]))
            for row in store.rows(Delivery, order_by="at")
            if row["state"] == "waiting"
        ]
        self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)

    def crying(self, episode: Row, now: datetime) -> None:
        """An episode goes on, or has just ended; ``episode`` as in the history."""
        lasted_s = episode["end_s"] - episode["start_s"]
        with self._lock:
            if lasted_s < self.rules.after_s or self._told.episodes.get(episode["room"]) == episode["id"]:
                return
            self._told.episodes[episode["room"]] = episode["id"]
        details = {
            "episode_id": episode["id"],
            "started_at": episode["started_at"].isoformat(),
            "lasted_s": round(lasted_s, 2),
            "peak": round(episode["peak"], 4),
        }
        words = f"{episode['room']}: crying for {lasted_s:.0f} s."
        self._raise(episode["room"], "crying", words, details, now)

    def trouble(self, room: str, words: str, now: datetime) -> bool:
        """A room is not heard, or ("") the monitor fails; quiet hours do not hold this back. Whether it is
        told: a cooldown may hold it.
        """
        return self._raise(room, "trouble", f"{room}: {words}" if room else words, {}, now)

    def all_clear(self, room: str, words: str, now: datetime) -> None:
        """What was told as trouble is over."""
        self._raise(room, "all-clear", f"{room}: {words}" if room else words, {}, now)

    def in_trouble(self) -> set[str]:
        """Rooms of which trouble was told, by earlier monitors too, and no all-clear since."""
        with self._lock:
            last = dict(self._told.last)
        return {
            room
            for (room, event), at in last.items()
            if event == "trouble" and last.get((room, "all-clear"), _NEVER) < at
        }

    def waiting(self) -> list[Row]:
        """The deliveries that were not made yet, as in the history."""
        with self._lock:
            return [one.row for one in self._sending]

    def start(self) -> None:
        """Send from now on."""
        self._thread.start()

    def close(self) -> int:
        """Stop sending, after a last try; how many deliveries wait for the next start."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._deliver(float("inf"))
        return len(self._sending)

    def _raise(self, room: str, event: str, words: str, details: dict[str, Any], now: datetime) -> bool:
        """Whether it goes out."""
        with self._lock:
            last = self._told.last.get((room, event))
            held = None
            if not self._channels:
                held = "no channel is named"
            elif (
                event != "all-clear"
                and last is not None
                and (now - last).total_seconds() < self.rules.cooldown_s
            ):
                held = f"cooldown: the last was told at {last.isoformat(timespec='seconds')}"
            elif event == "crying" and self.rules.is_quiet(now):
                held = "quiet hours"
            else:
                self._told.last[room, event] = now
            alert: Row = {
                "id": new_id(),
                "at": now,
                "room": room,
                "event": event,
                "words": words,
                "details": details,
                "held": held,
            }
            self._journal.put(Alert, alert["id"], alert)
            for name in self._channels if held is None else ():
                row = {
                    "id": new_id(),
                    "alert_id": alert["id"],
                    "channel": name,
                    "at": now,
                    "state": "waiting",
                }
                row |= {"tries": 0, "error": None, "delivered_at": None, "delay_s": None}
                self._journal.put(Delivery, row["id"], row)
                self._sending.append(_Sending(row, _message(alert)))
        if self._channels:
            self._tell(f"Alert{f' (not sent, {held})' if held else ''}: {words}")
        return held is None

    def _run(self) -> None:
        while not self._clock.wait(self._stop, _LOOK_S):
            self._deliver(self._clock.monotonic())

    def _deliver(self, until_s: float) -> None:
        """Try all that are due."""
        with self._lock:
            due = [one for one in self._sending if one.next_s <= until_s]
        for one in due:
            channel = self._channels.get(one.row["channel"])
            if channel is None:  # not among this run's channels; it may be among the next one's
                one.next_s = self._clock.monotonic() + _LONGEST_RETRY_S
                continue
            # Stored first; but a disk that is full must not keep a cry from being told.
            if not self._journal.is_stored(Delivery, one.row["id"]) and not self._journal.trouble:
                continue
            self._try(channel, one)
        with self._lock:
            self._sending = [one for one in self._sending if one.row["state"] == "waiting"]

    def _try(self, channel: Channel, one: _Sending) -> None:
        now = self._clock.now()
        waited_s = (now - one.row["at"]).total_seconds()
        changed: Row = {"tries": one.row["tries"] + 1}
        try:
            channel.send({**one.message, "delay_s": round(waited_s, 3)}, now.timestamp())
        except ChannelError as error:
            if one.row["tries"] == 0:
                self._tell(f"{error} It is tried again.")
            changed |= {"error": str(error), "state": "expired" if waited_s > _EXPIRES_S else "waiting"}
            one.next_s = self._clock.monotonic() + one.wait_s
            one.wait_s = min(2 * one.wait_s, _LONGEST_RETRY_S)
        else:
            done = self._clock.now()
            delay_s = (done - one.row["at"]).total_seconds()
            changed |= {"state": "delivered", "delivered_at": done, "delay_s": delay_s}
        one.row = one.row | changed
        self._journal.put(Delivery, one.row["id"], one.row)


def parse_quiet(text: str) -> tuple[time, time]:
    """Quiet hours as ``22:00-06:30``.

    Raises:
        CryError: they are not written so.
    """
    begin, _, end = text.partition("-")
    try:
        return time.fromisoformat(begin.strip()), time.fromisoformat(end.strip())
    except ValueError as error:
        raise CryError(
            f"Quiet hours cannot be '{text}': write them as 22:00-06:30.", "setting-invalid"
        ) from error


def test_message(now: datetime) -> dict[str, Any]:
    """What a test of a channel sends."""
    alert = {
        "id": new_id(),
        "at": now,
        "room": "",
        "event": "test",
        "words": "A test: alerts arrive.",
        "details": {},
    }
    return _message(alert)


def _message(alert: Row) -> dict[str, Any]:
    same = {name: alert[name] for name in ("id", "event", "room", "words")}
    return {**same, "at": alert["at"].isoformat(), **alert["details"]}

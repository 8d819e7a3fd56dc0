"""Somebody is told: by the rules, stored before it is sent, and others too where nobody has seen it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import and_, or_

from pipeline.monitor.channels import Channel
from pipeline.monitor.clock import Clock
from pipeline.monitor.escalation import Escalation, recent
from pipeline.monitor.journal import Journal, new_id
from pipeline.monitor.models import Alert, Base, ChannelRow, Delivery, EpisodeRow, Mark
from pipeline.monitor.outbox import Outbox
from pipeline.monitor.rules import Rules
from pipeline.monitor.store import Row, Store, StoreError

_LOOK_S = 2.0
# A test that was asked for while no monitor was running is not sent hours later.
_ASKED_S = 60.0
_NEVER = datetime.min.replace(tzinfo=UTC)
_COOL_DOWN = ("crying", "trouble")


@dataclass
class _Told:
    """What was told already."""

    last: dict[tuple[str, str], datetime] = field(default_factory=dict)
    episodes: dict[str, str] = field(default_factory=dict)  # room to the episode that was told
    held: dict[str, str] = field(default_factory=dict)  # room to the episode that was held back
    to_second: set[str] = field(default_factory=set)  # rooms whose trouble went to the second channels
    tests: set[str] = field(default_factory=set)


class Alerts:
    """Decides what is told, stores it, and has it sent."""

    def __init__(
        self,
        store: Store,
        journal: Journal,
        clock: Clock,
        channels: Sequence[Channel],
        rules: Rules,
        *,
        second: Sequence[Channel] = (),
        tell: Callable[[str], None] = lambda words: None,
    ) -> None:
        """Go on where the last monitor stopped: with what it had not delivered, its cooldowns, and what is
        not seen yet.

        Args:
            second: are told of what nobody has seen in time.
        """
        self.rules = rules
        self._store, self._journal, self._clock, self._tell = store, journal, clock, tell
        self._first = [channel.name for channel in channels]
        self._second = [channel.name for channel in second if channel.name not in self._first]
        self._channels = list({channel.name: channel for channel in (*channels, *second)}.values())
        self._told, self._lock, self._stop = _Told(), threading.Lock(), threading.Event()
        self._unreadable = False
        alerts = {row["id"]: row for row in store.rows(Alert, order_by="at")}
        self._remember(alerts.values())
        self._outbox = Outbox(journal, clock, self._channels, store.rows(ChannelRow), tell=tell)
        for row in store.rows(Delivery, order_by="at", where=Delivery.state == "waiting"):
            self._outbox.put(row, _message(alerts[row["alert_id"]], row["at"]))
        told = recent(alerts.values(), clock.now())
        episodes = [row["details"].get("episode_id") for row in told]
        ended = store.rows(EpisodeRow, where=and_(EpisodeRow.id.in_(episodes), EpisodeRow.state == "ended"))
        self._escalation = Escalation(rules, told, {row["id"]: row["ended_at"] for row in ended})
        self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)

    def crying(self, episode: Row, now: datetime, *, rise_db: float = 0.0) -> None:
        """An episode goes on, or has just ended; ``episode`` as in the history.

        Args:
            rise_db: how much louder the room has grown, see :class:`pipeline.monitor.level.Level`.
        """
        room, lasted_s = episode["room"], episode["end_s"] - episode["start_s"]
        rising = lasted_s < self.rules.after_s and self.rules.is_rising(lasted_s, rise_db)
        with self._lock:
            self._escalation.heard(episode)
            if self._told.episodes.get(room) == episode["id"] or (
                lasted_s < self.rules.after_s and not rising
            ):
                return
            # What was held back is told once nothing holds it any more, if it still goes on.
            if self._why_held(room, "crying", now) is None:
                self._told.episodes[room] = episode["id"]
            elif self._told.held.get(room) == episode["id"]:
                return
            else:
                self._told.held[room] = episode["id"]
        details = {
            "episode_id": episode["id"],
            "started_at": episode["started_at"].isoformat(),
            "lasted_s": round(lasted_s, 2),
            "peak": round(episode["peak"], 4),
        }
        words = f"{room}: crying for {lasted_s:.0f} s"
        if rising:
            details["rise_db"] = round(rise_db, 1)
            words += ", and growing louder"
        self._raise(room, "crying", f"{words}.", details, now)

    def trouble(self, room: str, words: str, now: datetime) -> bool:
        """A room is not heard, or ("") the monitor fails; quiet hours do not hold this back. Whether it is
        told: a cooldown may hold it.
        """
        return self._raise(room, "trouble", f"{room}: {words}" if room else words, {}, now)

    def all_clear(self, room: str, words: str, now: datetime) -> None:
        """What was told as trouble is over; whoever was told of that is told of this."""
        with self._lock:
            self._escalation.cleared(room, now)
            more = self._second if room in self._told.to_second else []
            self._told.to_second.discard(room)
        self._raise(room, "all-clear", f"{room}: {words}" if room else words, {}, now, more=more)

    def in_trouble(self) -> set[str]:
        """Rooms of which trouble was told, by earlier monitors too, and no all-clear since."""
        with self._lock:
            last = dict(self._told.last)
        return {
            room
            for (room, event), at in last.items()
            if event == "trouble" and last.get((room, "all-clear"), _NEVER) < at
        }

    def show(self, room: str, *, crying: bool, score: float, level_dbfs: float) -> None:
        """How a room is doing just now, for channels that show it; never waits."""
        for channel in self._channels:
            channel.show(room, crying=crying, score=score, level_dbfs=level_dbfs)

    def set_available(self, room: str, available: bool, words: str) -> None:
        """Whether a room is really listened to, and why not, for channels that show it; never waits."""
        for channel in self._channels:
            channel.set_available(room, available, words)

    def waiting(self) -> list[Row]:
        """The deliveries that were not made yet, as in the history."""
        return self._outbox.waiting()

    def channel_rows(self) -> list[Row]:
        """How each channel is doing, as in the history."""
        return self._outbox.rows()

    def start(self, rooms: Sequence[str] = ()) -> None:
        """Send from now on; ``rooms``: those that are listened to."""
        self._outbox.start(rooms)
        self._thread.start()

    def close(self) -> int:
        """Stop sending, after a last try; how many deliveries wait for the next start."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        return self._outbox.close()

    def _remember(self, alerts: Any) -> None:
        for row in alerts:
            room, note = row["room"], row["details"].get("escalation")
            if row["event"] == "test":
                self._told.tests.add(row["id"])
            if row["held"] is not None:
                continue
            self._told.last[room, row["event"]] = row["at"]
            if row["event"] == "trouble" and note and note["told"]:
                self._told.to_second.add(room)
            elif row["event"] == "all-clear":
                self._told.to_second.discard(room)

    def _why_held(self, room: str, event: str, now: datetime) -> str | None:
        if not self._first:
            return "no channel is named"
        last = self._told.last.get((room, event))
        if event in _COOL_DOWN and last is not None and (now - last).total_seconds() < self.rules.cooldown_s:
            return f"cooldown: the last was told at {last.isoformat(timespec='seconds')}"
        return "quiet hours" if event == "crying" and self.rules.is_quiet(now) else None

    def _raise(
        self,
        room: str,
        event: str,
        words: str,
        details: dict[str, Any],
        now: datetime,
        *,
        key: str | None = None,
        more: Sequence[str] = (),
    ) -> bool:
        """Whether it goes out: to the first channels and ``more``."""
        with self._lock:
            held = self._why_held(room, event, now)
            alert: Row = {
                "id": key or new_id(),
                "at": now,
                "room": room,
                "event": event,
                "words": words,
                "details": details,
                "held": held,
            }
            if held is None:
                self._told.last[room, event] = now
                if self._second:
                    self._escalation.add(alert)
            self._send(alert, [*self._first, *more] if held is None else [], now)
        if self._first:
            self._tell(f"Alert{f' (not sent, {held})' if held else ''}: {words}")
        return held is None

    def _send(self, alert: Row, names: Sequence[str], now: datetime) -> None:
        """Store an alert with its deliveries, and have those made."""
        same = {"alert_id": alert["id"], "at": now, "state": "waiting", "tries": 0}
        same |= {"error": None, "delivered_at": None, "delay_s": None}
        deliveries = [{"id": new_id(), "channel": name, **same} for name in names]
        rows: list[tuple[type[Base], str, Row]] = [(Alert, alert["id"], alert)]
        self._journal.put_together(rows + [(Delivery, row["id"], row) for row in deliveries])
        for row in deliveries:
            self._outbox.put(row, _message(alert, now))

    def _run(self) -> None:
        next_s = 0.0
        while not self._clock.wait(self._stop, _LOOK_S / 4):
            if self._clock.monotonic() >= next_s:
                next_s = self._clock.monotonic() + _LOOK_S
                self._look(self._clock.now())

    def _look(self, now: datetime) -> None:
        """See what people have said since, and decide what is due."""
        self._outbox.tidy()
        marks = self._marks(now)
        for mark in marks:
            if mark["kind"] == "test" and mark["id"] not in self._told.tests:
                self._told.tests.add(mark["id"])
                self._raise("", "test", TEST_WORDS, {}, now, key=mark["id"], more=self._second)
        if not self._second:
            return
        seen = {mark["about"]: mark["at"] for mark in marks if mark["kind"] == "seen"}
        with self._lock:
            outcomes = self._escalation.decide(seen, now)
            for outcome in outcomes:
                self._send(outcome.noted(now), self._second if outcome.tell else [], now)
                if outcome.tell and outcome.alert["event"] == "trouble":
                    self._told.to_second.add(outcome.alert["room"])
        for outcome in outcomes:
            whom = "The second channels are told too" if outcome.tell else "The second channels are not told"
            self._tell(f"{whom} ({outcome.why}): {outcome.alert['words']}")

    def _marks(self, now: datetime) -> list[Row]:
        """Tests that were asked for, and what was seen of what waits for that."""
        with self._lock:
            waiting = list(self._escalation.waiting) if self._second else []
        asked = and_(Mark.kind == "test", Mark.at >= now - timedelta(seconds=_ASKED_S))
        seen = and_(Mark.kind == "seen", Mark.about.in_(waiting))
        try:
            marks = self._store.rows(Mark, order_by="at", where=or_(asked, seen) if waiting else asked)
        except StoreError as error:
            if not self._unreadable:
                self._tell(f"Whether alerts were seen cannot be known. {error}")
            self._unreadable = True
            return []
        self._unreadable = False
        return marks


TEST_WORDS = "A test: alerts arrive."


def trial_message(now: datetime) -> dict[str, Any]:
    """What a test of a channel sends."""
    alert = {"id": new_id(), "at": now, "room": "", "event": "test", "words": TEST_WORDS, "details": {}}
    return {**_message(alert, now), "delay_s": 0.0}


def _message(alert: Row, sent_at: datetime) -> dict[str, Any]:
    """What is sent of an alert; what is sent later than it was raised goes to the second channels."""
    message = {name: alert[name] for name in ("id", "event", "room", "words")}
    details = {name: value for name, value in alert["details"].items() if name != "escalation"}
    message |= {"at": alert["at"].isoformat(), **details}
    if sent_at > alert["at"]:
        unseen_s = (sent_at - alert["at"]).total_seconds()
        message |= {"escalated": True, "words": f"Not seen for {unseen_s:.0f} s. {alert['words']}"}
    return message

"""What is on its way: each channel has a thread of its own, so that a slow one holds up no other.

A delivery is stored first and sent then, again and again until it is taken, for a day, by the next monitor
too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.monitor.channels import Channel, ChannelError
from pipeline.monitor.clock import Clock
from pipeline.monitor.journal import Journal, new_id
from pipeline.monitor.models import ChannelRow, Delivery
from pipeline.monitor.store import Row

EXPIRES_S = 24 * 3600.0
_LOOK_S = 0.25
_FIRST_RETRY_S, _LONGEST_RETRY_S = 1.0, 60.0
# How long the end of a monitor waits for what is just being handed over.
_ENDING_S = 12.0


@dataclass
class _Sending:
    """A delivery under way."""

    row: Row
    message: Mapping[str, Any]
    next_s: float = 0.0
    wait_s: float = _FIRST_RETRY_S


class Outbox:
    """Deliveries on their way to their channels."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        channels: Sequence[Channel],
        known: Sequence[Row],
        *,
        tell: Callable[[str], None],
    ) -> None:
        """``known``: rows of the table of channels, as earlier monitors left them."""
        self._journal, self._clock, self._tell = journal, clock, tell
        before = {row["name"]: row for row in known}
        self._lines = {
            channel.name: _Line(channel, journal, clock, before.get(channel.name), tell)
            for channel in channels
        }
        # To channels that this run does not have; the next one may.
        self._elsewhere: list[Row] = []

    def put(self, row: Row, message: Mapping[str, Any]) -> None:
        """Have a delivery made; its row is on its way into the history."""
        line = self._lines.get(row["channel"])
        if line is None:
            self._elsewhere.append(row)
        else:
            line.put(_Sending(row, message))

    def start(self, rooms: Sequence[str]) -> None:
        """Send from now on."""
        for line in self._lines.values():
            line.channel.open(rooms, line.hurry)
            line.thread.start()

    def tidy(self) -> None:
        """Let go of what is to go to channels that are no longer there, once it is a day old."""
        now = self._clock.now()
        old = [row for row in self._elsewhere if (now - row["at"]).total_seconds() > EXPIRES_S]
        for row in old:
            self._elsewhere.remove(row)
            self._journal.put(
                Delivery, row["id"], row | {"state": "expired", "error": "This channel is not used."}
            )
        if old:
            names = ", ".join(sorted({row["channel"] for row in old}))
            self._tell(f"{len(old)} alerts of more than a day ago are given up: {names} is no longer used.")

    def waiting(self) -> list[Row]:
        """The deliveries to channels of this run that were not made yet, as in the history."""
        return [one.row for line in self._lines.values() for one in line.left()]

    def rows(self) -> list[Row]:
        """How each channel is doing, as in the history."""
        return [line.row for line in self._lines.values()]

    def close(self) -> int:
        """Stop, after a last try of each; how many deliveries wait for the next start."""
        for line in self._lines.values():
            line.stop.set()
        until_s = self._clock.monotonic() + _ENDING_S
        for line in self._lines.values():
            if line.thread.ident is not None:
                line.thread.join(max(0.1, until_s - self._clock.monotonic()))
        for line in self._lines.values():
            line.channel.close()
        return len(self.waiting()) + len(self._elsewhere)


class _Line:
    """What goes to one channel, and the thread that hands it over."""

    def __init__(
        self, channel: Channel, journal: Journal, clock: Clock, known: Row | None, tell: Callable[[str], None]
    ) -> None:
        self.channel, self.stop = channel, threading.Event()
        self.thread = threading.Thread(target=self._run, name=f"channel {channel.name}", daemon=True)
        self._journal, self._clock, self._tell = journal, clock, tell
        self._sending: list[_Sending] = []
        self._lock = threading.Lock()
        accepted = known and known["accepted_at"]
        self.row: Row = {
            "name": channel.name,
            "run": journal.run,
            "at": None,
            "accepted_at": accepted or None,
            "error": None,
            "probe_every_s": channel.probe_every_s,
        }
        journal.put(ChannelRow, channel.name, self.row)
        # A monitor that is restarted does not ask anew what it asked a moment ago.
        age_s = (clock.now() - accepted).total_seconds() if accepted else float("inf")
        self._probe_s = clock.monotonic() + max(0.0, (channel.probe_every_s or 0.0) - age_s)

    def put(self, one: _Sending) -> None:
        with self._lock:
            self._sending.append(one)

    def left(self) -> list[_Sending]:
        with self._lock:
            return list(self._sending)

    def hurry(self) -> None:
        """It can be reached again: nothing need wait for its next time."""
        with self._lock:
            for one in self._sending:
                one.next_s, one.wait_s = 0.0, _FIRST_RETRY_S

    def _run(self) -> None:
        while not self._clock.wait(self.stop, _LOOK_S):
            self._deliver(self._clock.monotonic())
            self._probe()
        self._deliver(float("inf"))

    def _deliver(self, until_s: float) -> None:
        """Try all that are due, the oldest first."""
        for one in self.left():
            # Stored first; but a disk that is full must not keep a cry from being told.
            if one.next_s <= until_s and (
                self._journal.is_stored(Delivery, one.row["id"]) or self._journal.trouble
            ):
                self._try(one)
        with self._lock:
            self._sending = [one for one in self._sending if one.row["state"] == "waiting"]

    def _try(self, one: _Sending) -> None:
        now = self._clock.now()
        waited_s = (now - one.row["at"]).total_seconds()
        if waited_s > EXPIRES_S:
            self._tell(f"{self.channel.name} has not taken an alert for a day: it is given up.")
            error = one.row["error"] or "The monitor was not running."
            self._put(one, {"state": "expired", "error": error})
            return
        changed: Row = {"tries": one.row["tries"] + 1}
        error = self._hand_over(self.channel.send, {**one.message, "delay_s": round(waited_s, 3)})
        if error is not None:
            if one.row["tries"] == 0:
                self._tell(f"{error} It is tried again.")
            one.next_s = self._clock.monotonic() + one.wait_s
            one.wait_s = min(2 * one.wait_s, _LONGEST_RETRY_S)
            self._put(one, changed | {"error": error})
            return
        done = self._clock.now()
        delay_s = (done - one.row["at"]).total_seconds()
        self._put(one, changed | {"state": "delivered", "delivered_at": done, "delay_s": delay_s})
        if one.row["tries"] > 1:
            self.hurry()  # what takes one again takes the others, too

    def _put(self, one: _Sending, changed: Row) -> None:
        one.row = one.row | changed
        self._journal.put(Delivery, one.row["id"], one.row)

    def _probe(self) -> None:
        every_s = self.channel.probe_every_s
        if every_s is None or self._clock.monotonic() < self._probe_s:
            return
        now = self._clock.now()
        message = {
            "id": new_id(),
            "event": "probe",
            "room": "",
            "words": "The monitor is there.",
            "at": now.isoformat(),
            "delay_s": 0.0,
        }
        well = self.row["error"] is None
        error = self._hand_over(self.channel.probe, message)
        if error is not None and well:
            self._tell(error)
        elif error is None and not well:
            self.hurry()
        if error is not None:
            self._probe_s = self._clock.monotonic() + min(every_s, _LONGEST_RETRY_S)

    def _hand_over(
        self, way: Callable[[Mapping[str, Any], float], None], message: Mapping[str, Any]
    ) -> str | None:
        """Why it was not taken; None: it was."""
        now, error = self._clock.now(), None
        try:
            way(message, now.timestamp())
        except ChannelError as failed:
            error = str(failed)
        except Exception as broken:  # noqa: BLE001 - or nobody would hear of anything from here on
            # Its own words may hold an address.
            error = f"{self.channel.name} did not take it: it broke off with {type(broken).__name__}."
        accepted = self.row["accepted_at"]
        if error is None:
            accepted = self._clock.now()
            self._probe_s = self._clock.monotonic() + (self.channel.probe_every_s or 0.0)
        self.row = self.row | {"at": now, "accepted_at": accepted, "error": error}
        self._journal.put(ChannelRow, self.channel.name, self.row)
        return error

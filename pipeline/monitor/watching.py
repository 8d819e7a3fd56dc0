"""Somebody who looks whether all is well, and tells when it is not, and when it is again."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.monitor.alerts import Alerts
from pipeline.monitor.clock import Clock
from pipeline.monitor.journal import Journal
from pipeline.monitor.liveness import Signs, Verdict, liveness
from pipeline.monitor.store import Row

_EVERY_S = 1.0
# All is clear again once it has not been red for so long: what fails every minute is not.
_CLEAR_S = 30.0
_OVER = ("ended", "stopped")


class Watcher:
    """Judges by :func:`liveness`, and tells of each red that lasts, once, and once when it is over."""

    def __init__(self, alerts: Alerts, journal: Journal, clock: Clock) -> None:
        """Go on where the last monitor stopped: with what it had told."""
        self._alerts, self._journal, self._clock = alerts, journal, clock
        self._next_s = 0.0
        self._red_since: dict[str, float] = {}
        self._well_since: dict[str, float] = {}
        self._again: dict[str, float] = {}
        self._told = alerts.in_trouble()
        self.verdicts: list[Verdict] = []

    def look(self, pulses: Sequence[Row]) -> list[Verdict]:
        """Judge, about once a second; ``pulses``: of the rooms, as they are for the history."""
        now_s = self._clock.monotonic()
        if now_s < self._next_s:
            return self.verdicts
        self._next_s = now_s + _EVERY_S
        # A recording that has come to its end is not missed.
        going_on = [pulse for pulse in pulses if pulse and pulse["state"] not in _OVER]
        if not going_on:
            return self.verdicts
        trouble = self._journal.trouble or ""
        channels = self._alerts.channel_rows()
        signs = Signs(going_on, self._alerts.waiting(), channels, trouble, within=True)
        self.verdicts = liveness(signs, self._clock.now())
        found = {verdict.room: verdict for verdict in self.verdicts}
        for room in {*found, *self._red_since, *self._told}:
            self._judge(room, found.get(room), now_s)
        return self.verdicts

    def _judge(self, room: str, verdict: Verdict | None, now_s: float) -> None:
        if verdict is not None and verdict.light == "red":
            self._well_since.pop(room, None)
            since_s = self._red_since.setdefault(room, now_s)
            if (
                now_s - since_s >= self._alerts.rules.trouble_after_s
                and room not in self._told
                and now_s >= self._again.get(room, 0.0)
            ):
                self._tell(room, verdict.words, now_s)
        elif verdict is not None or room == "":
            if now_s - self._well_since.setdefault(room, now_s) < _CLEAR_S:
                return
            self._red_since.pop(room, None)
            if room in self._told:
                self._told.discard(room)
                words = verdict.words if verdict else "The monitor works again as it should."
                self._alerts.all_clear(room, f"All clear. {words}", self._clock.now())

    def _tell(self, room: str, words: str, now_s: float) -> None:
        if self._alerts.trouble(room, words, self._clock.now()) or not self._alerts.channel_rows():
            self._told.add(room)
        else:  # held by a cooldown
            self._again[room] = now_s + self._alerts.rules.cooldown_s

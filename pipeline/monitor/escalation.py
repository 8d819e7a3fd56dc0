"""Alerts that nobody has seen yet, and what becomes of them: decided from what is stored."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from pipeline.monitor.rules import Rules
from pipeline.monitor.store import Row

EVENTS = ("crying", "trouble")
# An alert that turns up later than this, after a time without a monitor, is old news.
_TOO_LATE_S = 3600.0


@dataclass(frozen=True)
class Outcome:
    """What became of an alert: whether the second channels are told, and why, for people."""

    alert: Row
    tell: bool
    why: str

    def noted(self, now: datetime) -> Row:
        """The alert's row with this in its details."""
        note = {"at": now.isoformat(), "told": self.tell, "why": self.why}
        return self.alert | {"details": self.alert["details"] | {"escalation": note}}


class Escalation:
    """Alerts on which something is yet to be decided. Not safe to be used by several threads at once."""

    def __init__(self, rules: Rules, alerts: Iterable[Row], ended: Mapping[str, datetime]) -> None:
        """Go on with what is stored.

        Args:
            alerts: those that went out.
            ended: when episodes that have ended in the proper way did, by their key. What broke off with an
                earlier monitor counts as crying that goes on: nobody knows better.
        """
        self._rules = rules
        self._open: dict[str, Row] = {}
        # Since when a room is quiet; None: it cries.
        self._quiet: dict[str, datetime | None] = {}
        self._over: dict[str, datetime] = {}  # trouble
        for row in alerts:
            if row["event"] == "all-clear":
                self._over[row["room"]] = row["at"]
            elif "escalation" not in row["details"]:
                self.add(row)
                self._quiet[row["room"]] = ended.get(row["details"].get("episode_id", ""))

    def add(self, alert: Row) -> None:
        """An alert goes out."""
        if alert["event"] in EVENTS:
            self._open[alert["id"]] = alert

    def heard(self, episode: Row) -> None:
        """An episode goes on, or has ended."""
        self._quiet[episode["room"]] = episode["ended_at"] if episode["state"] == "ended" else None

    def cleared(self, room: str, now: datetime) -> None:
        """Trouble is over."""
        self._over[room] = now

    @property
    def waiting(self) -> Collection[str]:
        """Keys of the alerts on which nothing is decided yet."""
        return self._open.keys()

    def decide(self, seen: Mapping[str, datetime], now: datetime) -> list[Outcome]:
        """What is decided by now; asked for again and again.

        Args:
            seen: when somebody marked an alert as seen, by its key.
        """
        found = []
        for alert in list(self._open.values()):
            outcome = self._outcome(alert, seen.get(alert["id"]), now)
            if outcome is not None:
                del self._open[alert["id"]]
                found.append(outcome)
        return found

    def _outcome(self, alert: Row, seen: datetime | None, now: datetime) -> Outcome | None:
        age_s, after_s = (now - alert["at"]).total_seconds(), self._rules.escalate_after_s
        if seen is not None:
            return Outcome(alert, False, f"seen at {_time(seen)}")
        if age_s < after_s:
            return None
        if age_s > after_s + max(_TOO_LATE_S, self._rules.cooldown_s):
            return Outcome(alert, False, "no monitor told them in time")
        if alert["event"] == "trouble":
            over = self._over.get(alert["room"])
            if over is not None and over >= alert["at"]:
                return Outcome(alert, False, f"over at {_time(over)}")
            return Outcome(alert, True, f"not seen for {age_s:.0f} s")
        if self._rules.is_quiet(now):
            return Outcome(alert, False, "quiet hours")
        quiet = self._quiet.get(alert["room"])
        if quiet is None:
            return Outcome(alert, True, f"not seen for {age_s:.0f} s")
        # Should it cry again before an alert of its own may go out, nobody would be told of that one.
        if age_s < self._rules.cooldown_s:
            return None
        return Outcome(alert, False, f"the crying had ended at {_time(quiet)}")


def recent(alerts: Iterable[Row], now: datetime) -> list[Row]:
    """Those of the last day that went out."""
    since = now - timedelta(days=1)
    return [row for row in alerts if row["held"] is None and row["at"] >= since]


def _time(at: datetime) -> str:
    return at.isoformat(timespec="seconds")

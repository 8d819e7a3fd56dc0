"""Alerts with a clock that is set by hand, and a journal that is flushed as in the monitor."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.monitor.alerts import Alerts
from pipeline.monitor.channels import Channel
from pipeline.monitor.journal import Journal
from pipeline.monitor.models import Delivery
from pipeline.monitor.rules import Rules
from pipeline.monitor.store import Row, Store

AT = datetime(2026, 6, 1, 20, 0, tzinfo=UTC)


class SetClock:
    """Set by hand; waits are short."""

    def __init__(self, passed_s: float = 0.0) -> None:
        self.passed_s = passed_s

    def now(self) -> datetime:
        return AT + timedelta(seconds=self.passed_s)

    def monotonic(self) -> float:
        return self.passed_s

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        del seconds
        return stop.wait(0.01)


class Telling:
    """What decides and tells, in a monitor that has run for ``after_s``."""

    def __init__(
        self,
        store: Store,
        *channels: Channel,
        rules: Rules | None = None,
        second: Sequence[Channel] = (),
        after_s: float = 0.0,
    ) -> None:
        self.clock, self.store, self.said = SetClock(after_s), store, list[str]()
        self.journal = Journal(store, self.clock, run="r")
        self.alerts = Alerts(
            store, self.journal, self.clock, channels, rules or Rules(), second=second, tell=self.said.append
        )
        self.journal.start()
        self.alerts.start()

    def cry(
        self, key: str, lasted_s: float, room: str = "nursery", *, state: str = "open", rise_db: float = 0.0
    ) -> None:
        now = self.clock.now()
        row: Row = {"id": key, "room": room, "start_s": 0.0, "end_s": lasted_s, "peak": 0.9}
        row |= {"started_at": now, "ended_at": now, "state": state}
        self.alerts.crying(row, now, rise_db=rise_db)

    def close(self) -> list[dict[str, Any]]:
        """The deliveries."""
        self.alerts.close()
        assert self.journal.close()
        return self.store.rows(Delivery, order_by="at")

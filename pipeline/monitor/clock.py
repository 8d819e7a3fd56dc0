"""What time it is, handed in: the rooms of the monitor never ask the machine themselves."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from threading import Event
from typing import Protocol


class Clock(Protocol):
    """Time as the monitor needs it."""

    def now(self) -> datetime:
        """The time of day, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean something."""
        ...

    def wait(self, stop: Event, seconds: float) -> bool:
        """Let time pass; True at once when ``stop`` is set meanwhile."""
        ...


class SystemClock:
    """The machine's own time."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def wait(self, stop: Event, seconds: float) -> bool:
        return stop.wait(max(0.0, seconds))

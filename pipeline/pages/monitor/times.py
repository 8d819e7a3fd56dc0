"""Local time, and what it is called: the history is in UTC, people are not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pipeline.pages.monitor.spans import Span


@dataclass(frozen=True)
class Zone:
    """Where the clock on the wall is; ``tz`` None is this computer's own."""

    name: str
    tz: tzinfo | None

    @classmethod
    def named(cls, name: str | None) -> Zone:
        """That zone; the computer's own where there is no name, or none that is known."""
        try:
            if name:
                return cls(name, ZoneInfo(name))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            pass
        return cls("the computer that runs this page", None)

    def local(self, at: datetime) -> datetime:
        """A moment as the clock shows it."""
        return at.astimezone(self.tz)

    def moment(self, day: date, at: time) -> datetime:
        """The moment, in UTC, that a clock shows; the first where it shows it twice."""
        naive = datetime.combine(day, at)
        return (naive.replace(tzinfo=self.tz) if self.tz else naive.astimezone()).astimezone(UTC)

    def today(self, now: datetime) -> date:
        """The date just now."""
        return self.local(now).date()

    def day(self, day: date) -> Span:
        """A day from midnight to midnight, which may last 23 or 25 hours."""
        return self.moment(day, time()), self.moment(day + timedelta(days=1), time())

    def hours(self, span: Span) -> Iterator[tuple[date, int, Span]]:
        """A span cut where the clock strikes: date, hour of day, and the part. Together they are the span."""
        at, end = (moment.astimezone(UTC) for moment in span)
        while at < end:
            shown = self.local(at)
            rest = timedelta(
                hours=1, minutes=-shown.minute, seconds=-shown.second, microseconds=-shown.microsecond
            )
            until = min(end, at + rest)
            yield shown.date(), shown.hour, (at, until)
            at = until


def clock(at: datetime, zone: Zone, *, seconds: bool = False) -> str:
    """``03:12`` or ``03:12:04``."""
    return zone.local(at).strftime("%H:%M:%S" if seconds else "%H:%M")


def day_name(day: date, today: date) -> str:
    """``today``, ``yesterday``, else ``Mon 3 Nov``, with the year when it is another."""
    if day == today:
        return "today"
    if day == today - timedelta(days=1):
        return "yesterday"
    return f"{day:%a} {day.day} {day:%b}" + (f" {day.year}" if day.year != today.year else "")


def when(at: datetime, now: datetime, zone: Zone, *, seconds: bool = False) -> str:
    """A time of day, and the day where it is not today: ``03:12``, ``yesterday 23:50``."""
    day = day_name(zone.local(at).date(), zone.today(now))
    shown = clock(at, zone, seconds=seconds)
    return shown if day == "today" else f"{day} {shown}"


def lasted(total_s: float) -> str:
    """A length as people say it: ``8 s``, ``1 min 20 s``, ``25 min``, ``1 h 05 min``, ``3 days``."""
    whole = max(0, round(total_s))
    if whole < 60:
        return f"{whole} s"
    if whole < 600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    minutes = round(whole / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h" + (f" {minutes % 60:02d} min" if minutes % 60 else "")
    return f"{round(minutes / 1440)} days"

"""Sums over days and hours, each beside how long was listened. Pure functions.

Nothing is made up for what was not heard: a day half listened to is shown as one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from pipeline.pages.monitor.spans import Span, clipped, gaps, merged, seconds
from pipeline.pages.monitor.times import Zone

PAUSE = timedelta(minutes=5)
"""Episodes nearer than this to each other are one bout, as in cry diaries."""
_UNHEARD = timedelta(seconds=10)
WHOLE = 0.95
"""From this share of a day on it counts as listened to."""


def part_words(share: float) -> str:
    """How much of a time that is: ``84%``, ``less than 1%``; never all of it where some is missing."""
    percent = round(100 * share)
    if share and not percent:
        return "less than 1%"
    return f"{min(99, percent) if share < 1 else 100}%"


@dataclass(frozen=True)
class Heard:
    """What was heard in some time.

    Attributes:
        possible_s: how long it has lasted so far, seconds.
        heard_s: of that, listened, seconds.
        crying_s: of that, crying, seconds.
        episodes: how many began in it.
        longest: the longest bout that began in it, and how much of it was crying, seconds.
    """

    possible_s: float
    heard_s: float
    crying_s: float
    episodes: int
    longest: tuple[Span, float] | None = None

    @property
    def share(self) -> float:
        """How much of it was listened to, in [0, 1]."""
        return min(1.0, self.heard_s / self.possible_s) if self.possible_s else 0.0


def bouts(episodes: Iterable[Span], listened: Sequence[Span]) -> list[tuple[Span, float]]:
    """Bouts, by time, each with its seconds of crying: episodes less than ``PAUSE`` apart, heard throughout.

    Args:
        episodes: of one room.
        listened: when that room was listened to, merged.
    """
    found: list[tuple[Span, float]] = []
    for start, end in merged(episodes):
        if found:
            (first, last), crying_s = found[-1]
            unheard = seconds(gaps(listened, last, start)) if start - last < PAUSE else 0.0
            if start - last < PAUSE and unheard <= _UNHEARD.total_seconds():
                found[-1] = ((first, end), crying_s + (end - start).total_seconds())
                continue
        found.append(((start, end), (end - start).total_seconds()))
    return found


def heard_in(span: Span, listened: Sequence[Span], episodes: Sequence[Span]) -> Heard:
    """What was heard between two moments.

    Args:
        listened: when that room was listened to, merged.
        episodes: its crying, whole, also what began before or ends after.
    """
    start, end = span
    crying = merged(episodes)
    began = [bout for bout in bouts(crying, listened) if start <= bout[0][0] < end]
    return Heard(
        possible_s=max(0.0, (end - start).total_seconds()),
        heard_s=seconds(clipped(listened, start, end)),
        crying_s=seconds(clipped(crying, start, end)),
        episodes=sum(start <= first < end for first, _ in episodes),
        longest=max(began, key=lambda bout: bout[0][1] - bout[0][0], default=None),
    )


def by_day(
    days: Iterable[date], zone: Zone, until: datetime, listened: Sequence[Span], episodes: Sequence[Span]
) -> dict[date, Heard]:
    """Each day's sums; of the last one only what has passed by ``until``."""
    found = {}
    for day in days:
        start, end = zone.day(day)
        found[day] = heard_in((start, min(end, max(start, until))), listened, episodes)
    return found


def by_hour(
    span: Span, zone: Zone, listened: Sequence[Span], episodes: Sequence[Span]
) -> dict[tuple[date, int], tuple[float, float]]:
    """Seconds listened and seconds of crying for each date and hour of day in which anything was heard.

    An hour that a clock shows twice holds both.
    """
    found: dict[tuple[date, int], tuple[float, float]] = {}
    for place, spans in ((0, listened), (1, merged(episodes))):
        for part in clipped(spans, *span):
            for day, hour, piece in zone.hours(part):
                both = list(found.get((day, hour), (0.0, 0.0)))
                both[place] += seconds([piece])
                found[day, hour] = (both[0], both[1])
    return found


def by_hour_of_day(hours: dict[tuple[date, int], tuple[float, float]]) -> list[tuple[float, float]]:
    """Seconds listened and crying at each of the 24 hours of the day, all days together."""
    found = [(0.0, 0.0)] * 24
    for (_, hour), (heard_s, crying_s) in hours.items():
        found[hour] = (found[hour][0] + heard_s, found[hour][1] + crying_s)
    return found


def days_before(last: date, count: int) -> list[date]:
    """``count`` days, the last one included, by date."""
    return [last - timedelta(days=back) for back in range(count - 1, -1, -1)]

"""Stretches of time as (start, end) pairs of aware times, end excluded. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

Span = tuple[datetime, datetime]


def merged(spans: Iterable[Span]) -> list[Span]:
    """The same time as sorted spans that neither touch nor overlap; empty ones are dropped."""
    found: list[Span] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def clipped(spans: Iterable[Span], start: datetime, end: datetime) -> list[Span]:
    """The parts between two moments."""
    cut = ((max(start, first), min(end, last)) for first, last in spans)
    return [(first, last) for first, last in cut if first < last]


def gaps(spans: Iterable[Span], start: datetime, end: datetime) -> list[Span]:
    """What the spans leave open between two moments."""
    found, at = [], start
    for first, last in clipped(merged(spans), start, end):
        if first > at:
            found.append((at, first))
        at = last
    return [*found, (at, end)] if at < end else found


def seconds(spans: Iterable[Span]) -> float:
    """How long they are together; those that overlap count twice (see :func:`merged`)."""
    return sum((end - start).total_seconds() for start, end in spans)


def within(spans: Sequence[Span], at: datetime) -> bool:
    """Whether a moment lies in one of them."""
    return any(start <= at < end for start, end in spans)

"""Sums by day and hour hold across midnight and changes of the clock, and never claim what was not heard."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.pages.monitor.spans import Span, clipped, gaps, merged, seconds
from pipeline.pages.monitor.sums import bouts, by_day, by_hour, by_hour_of_day, days_before, heard_in
from pipeline.pages.monitor.times import Zone, day_name, lasted, when

BERLIN = Zone.named("Europe/Berlin")
# Whole hours, half hours, a shift of half an hour, no shift, and the computer's own.
ZONES = [BERLIN, *map(Zone.named, ("Asia/Kolkata", "Australia/Lord_Howe", "America/St_Johns", "UTC", None))]
MOMENTS = st.datetimes(datetime(2026, 3, 20), datetime(2026, 11, 5), timezones=st.just(UTC))
LENGTHS = st.floats(0, 100_000).map(lambda s: timedelta(seconds=round(s, 3)))
SPANS = st.lists(st.tuples(MOMENTS, LENGTHS).map(lambda pair: (pair[0], pair[0] + pair[1])), max_size=6)


def at(text: str) -> datetime:
    """A moment in Berlin."""
    shown = datetime.fromisoformat(text)
    return BERLIN.moment(shown.date(), shown.time())


@given(MOMENTS, LENGTHS, st.sampled_from(ZONES))
def test_hours_are_the_whole_span_and_each_lies_in_its_own(
    start: datetime, length: timedelta, zone: Zone
) -> None:
    pieces = list(zone.hours((start, start + length)))
    assert sum((b - a for _, _, (a, b) in pieces), timedelta()) == length
    for (_, _, (_, end)), (_, _, (begin, _)) in pairwise(pieces):
        assert end == begin
    for day, hour, (begin, end) in pieces:
        for moment in (begin, end - timedelta(microseconds=1)):
            shown = zone.local(moment)
            assert (shown.date(), shown.hour) == (day, hour)


@given(SPANS, MOMENTS, LENGTHS)
def test_spans_and_gaps_fill_a_time_between_them(
    spans: list[Span], start: datetime, length: timedelta
) -> None:
    end = start + length
    found, left = clipped(merged(spans), start, end), gaps(spans, start, end)
    assert merged([*found, *left]) == ([(start, end)] if length else [])
    assert seconds(found) + seconds(left) == pytest.approx(length.total_seconds())


@given(SPANS, SPANS)
def test_days_and_hours_add_up_to_the_whole(listened: list[Span], cried: list[Span]) -> None:
    days = days_before(date(2026, 11, 7), 260)
    until = BERLIN.day(days[-1])[1]
    whole = heard_in((BERLIN.day(days[0])[0], until), merged(listened), cried)
    found = by_day(days, BERLIN, until, merged(listened), cried)
    hours = by_hour_of_day(by_hour((BERLIN.day(days[0])[0], until), BERLIN, merged(listened), cried))
    for sums in ([(h.heard_s, h.crying_s) for h in found.values()], hours):
        assert sum(heard for heard, _ in sums) == pytest.approx(whole.heard_s)
        assert sum(crying for _, crying in sums) == pytest.approx(whole.crying_s)
    assert sum(day.episodes for day in found.values()) == whole.episodes == len(cried)


def test_days_of_23_and_25_hours_and_crying_over_midnight() -> None:
    listened = [(at("2026-03-27 00:00"), at("2026-03-31 00:00"))]
    cried = [(at("2026-03-28 23:50"), at("2026-03-29 00:20"))]
    found = by_day(days_before(date(2026, 3, 30), 3), BERLIN, at("2026-03-31 00:00"), listened, cried)
    assert [day.possible_s / 3600 for day in found.values()] == [24, 23, 24]
    assert [day.share for day in found.values()] == [1, 1, 1]
    assert [day.crying_s / 60 for day in found.values()] == [10, 20, 0]
    assert [day.episodes for day in found.values()] == [1, 0, 0]
    autumn = by_day([date(2026, 10, 25)], BERLIN, at("2026-10-26 00:00"), [], [])
    assert autumn[date(2026, 10, 25)].possible_s == 25 * 3600
    assert autumn[date(2026, 10, 25)].share == 0


def test_the_hour_that_comes_twice_holds_both() -> None:
    night = (at("2026-10-25 00:00"), at("2026-10-25 06:00"))
    hours = by_hour(night, BERLIN, [night], [night])
    assert {hour: heard / 3600 for (_, hour), (heard, _) in hours.items()} == {
        0: 1,
        1: 1,
        2: 2,
        3: 1,
        4: 1,
        5: 1,
    }


def test_a_day_half_listened_to_and_a_day_not_over_say_so() -> None:
    day = date(2026, 5, 4)
    half = [(at("2026-05-04 00:00"), at("2026-05-04 12:00"))]
    assert by_day([day], BERLIN, at("2026-05-05 00:00"), half, [])[day].share == pytest.approx(0.5)
    assert by_day([day], BERLIN, at("2026-05-04 12:00"), half, [])[day].share == 1
    assert by_day([day], BERLIN, at("2026-05-03 12:00"), half, [])[day].heard_s == 0


def test_bouts_join_what_is_near_and_was_heard_between() -> None:
    def span(first: str, last: str) -> Span:
        return at(f"2026-05-04 {first}"), at(f"2026-05-04 {last}")

    near = [span("02:00", "02:06"), span("02:10", "02:20"), span("02:26", "02:30")]
    heard = [span("00:00", "06:00")]
    assert bouts(near, heard) == [(span("02:00", "02:20"), 16 * 60), (span("02:26", "02:30"), 4 * 60)]
    deaf = [span("00:00", "02:07"), span("02:09", "06:00")]
    assert [crying_s for _, crying_s in bouts(near, deaf)] == [6 * 60, 10 * 60, 4 * 60]
    assert heard_in(span("00:00", "06:00"), heard, near).longest == (span("02:00", "02:20"), 16 * 60)
    assert heard_in(span("02:21", "06:00"), heard, near).longest == (span("02:26", "02:30"), 4 * 60)


def test_times_are_called_as_people_call_them() -> None:
    now = at("2026-05-04 01:00")
    assert when(at("2026-05-04 00:12"), now, BERLIN) == "00:12"
    assert when(at("2026-05-03 23:59"), now, BERLIN) == "yesterday 23:59"
    assert when(at("2026-04-30 03:12:04"), now, BERLIN, seconds=True) == "Thu 30 Apr 03:12:04"
    assert day_name(date(2025, 12, 31), date(2026, 1, 2)) == "Wed 31 Dec 2025"
    told = [lasted(s) for s in (0.4, 59.7, 80, 120, 1500, 3600, 3900, 200_000)]
    assert told == ["0 s", "1 min", "1 min 20 s", "2 min", "25 min", "1 h", "1 h 05 min", "2 days"]


def test_an_unknown_zone_is_the_computers() -> None:
    for name in (None, "", "Middle/Earth", "../../etc/passwd"):
        assert Zone.named(name).tz is None
    assert Zone.named("Europe/Berlin").moment(date(2026, 1, 1), time(12)) == datetime(
        2026, 1, 1, 11, tzinfo=UTC
    )

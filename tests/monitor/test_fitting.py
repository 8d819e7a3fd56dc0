"""Hours without crying name a lower threshold for a home, and only a lower one."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from listening import crylens

from pipeline.monitor.fitting import LOWEST, MARGIN, above, fit_without_crying
from pipeline.monitor.marks import MarkError
from pipeline.monitor.models import Base, Coverage, Minute
from pipeline.monitor.store import open_store, read_store

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
Rows = list[tuple[type[Base], dict[str, Any]]]


def listened(
    first: int, last: int, best: dict[int, float], *, room: str = "a", models: str = "new; reasons"
) -> Rows:
    """A stretch of listening from one minute after nine to another; 0.05 where ``best`` names no score."""
    begin, end = AT + timedelta(minutes=first), AT + timedelta(minutes=last)
    coverage = {
        "id": f"{room}{models}{first}", "run": "r", "room": room, "source": "s", "started_at": begin,
        "ended_at": end, "heard_s": 60.0 * (last - first), "lost_s": 0.0, "late": 0, "embedder": "student",
        "models": models, "threshold": 0.8, "state": "ended", "why": None,
    }  # fmt: skip
    rows: Rows = [(Coverage, coverage)]
    for minute in range(first, last):
        at = AT + timedelta(minutes=minute)
        row = {
            "id": f"{room} {at}", "room": room, "started_at": at, "heard_s": 60.0, "crying_s": 0.0,
            "level_dbfs": -50.0, "peak_dbfs": -30.0, "best": best.get(minute, 0.05),
            "best_at": at + timedelta(seconds=7), "threshold": 0.8,
        }  # fmt: skip
        rows.append((Minute, row))
    return rows


def history(folder: Path, *rows: Rows) -> str:
    path = str(folder / "h.db")
    with open_store(path) as store:
        store.write([row for each in rows for row in each])
    return path


def hours(first: float, last: float) -> tuple[datetime, datetime]:
    return AT + timedelta(hours=first), AT + timedelta(hours=last)


def test_the_threshold_stays_above_all_that_the_home_sounded_like(tmp_path: Path) -> None:
    path = history(tmp_path, listened(0, 240, {77: 0.2, 200: 0.7}))
    with read_store(path) as store:
        found = fit_without_crying(store, *hours(0, 3))
    assert found.threshold == pytest.approx(1 / (1 + 4 * math.exp(-MARGIN)), abs=1e-3)
    assert found.threshold is not None
    assert found.nearest == pytest.approx(0.2)
    assert (found.at, found.where) == (AT + timedelta(minutes=77, seconds=7), "a")
    assert (found.heard_s, found.in_use, found.detector) == (3 * 3600, 0.8, "new")
    local = [f"{each.astimezone():%Y-%m-%dT%H:%M}" for each in hours(0, 3)]
    told = crylens("history", "fit", "--no-crying", *local, "--store", path).stdout
    assert "3.0 hours without crying" in told
    assert f"--detection-threshold {found.threshold:.12g} stays well above it" in told


def test_a_home_that_sounds_like_crying_lowers_nothing(tmp_path: Path) -> None:
    path = history(tmp_path, listened(0, 240, {100: 0.5}))
    with read_store(path) as store:
        assert fit_without_crying(store, *hours(0, 4)).threshold is None
    local = [f"{each.astimezone():%Y-%m-%d %H:%M}" for each in hours(0, 4)]
    told = crylens("history", "fit", "--no-crying", *local, "--store", path).stdout
    assert "too near to lower the threshold in use, 0.8" in told


def test_only_what_the_detector_in_use_heard_in_that_room_and_time_counts(tmp_path: Path) -> None:
    path = history(
        tmp_path,
        listened(0, 180, {5: 0.6}, models="old; reasons"),
        listened(180, 360, {200: 0.1}),
        listened(180, 360, {300: 0.3}, room="b"),
    )
    with read_store(path) as store:
        assert fit_without_crying(store, *hours(0, 6)).nearest == pytest.approx(0.3)
        alone = fit_without_crying(store, *hours(0, 6), room="a")
        assert (alone.nearest, alone.heard_s) == (pytest.approx(0.1), 3 * 3600)
        with pytest.raises(MarkError, match=r"0\.0 hours of that time were heard by the detector in use"):
            fit_without_crying(store, *hours(0, 3))
        with pytest.raises(MarkError, match=r"1\.9 hours of that time"):
            fit_without_crying(store, *hours(4.1, 9), room="b")
        with pytest.raises(MarkError, match=r"0\.0 hours"):
            fit_without_crying(store, *hours(0, 6), room="c")


def test_each_room_must_have_been_heard_long_enough(tmp_path: Path) -> None:
    path = history(tmp_path, listened(0, 180, {5: 0.1}), listened(0, 90, {7: 0.2}, room="b"))
    with read_store(path) as store:
        with pytest.raises(MarkError, match=r"1\.5 hours of that time were heard in b .* 2 .* in each room"):
            fit_without_crying(store, *hours(0, 3))
        assert fit_without_crying(store, *hours(0, 3), room="a").nearest == pytest.approx(0.1)


def test_hours_the_wrong_way_round_are_named(tmp_path: Path) -> None:
    path = history(tmp_path, listened(0, 5, {}))
    times = ["2026-03-02T17:00", "2026-03-02T09:00"]
    told = crylens("history", "fit", "--no-crying", *times, "--store", path, status=2).stderr
    assert "2026-03-02T17:00 2026-03-02T09:00: it ends first" in told


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_threshold_follows_the_nearest_sound(one: float, other: float) -> None:
    assert above(min(one, other)) <= above(max(one, other))
    assert LOWEST <= above(one) <= 1
    if 0.03 < one < 0.99:
        odds = math.log(above(one) / (1 - above(one))) - math.log(one / (1 - one))
        assert odds >= MARGIN - 1e-6 or above(one) == LOWEST

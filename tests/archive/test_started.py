"""When a recording began: names as recorders write them, else the time of the file."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.archive.plan import Job
from pipeline.archive.started import started

AT = datetime(2026, 3, 1, 22, 15, 7)


@pytest.fixture
def in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def job(path: str, mtime: float = 0.0) -> Job:
    return Job(path, path.rpartition("/")[2], 1, round(mtime * 1e9))


@pytest.mark.parametrize(
    "path",
    [
        "/a/2026-03-01_22-15-07.wav",
        "/a/20260301T221507.wav",
        "/a/20260301_221507.WAV",
        "/a/20260301221507.mp3",
        "/a/2026-03-01T22:15:07.flac",
        "/a/2026-03-01 22.15.07.m4a",
        "/a/room-4_2026-03-01_22-15-07_left.wav",
        "/a/20260301T221507Z.wav",
        "/rooms/2026-03-01/22-15-07.wav",
        "s3://bucket/room 7/2026-03-01_22-15-07.wav",
        "/2025-01-01_00-00-00/2026-03-01_22-15-07.wav",
        "C:\\rooms\\2026-03-01_22-15-07.wav",
    ],
)
def test_names_say_when(path: str) -> None:
    assert started(job(path), 10.0) == (AT, "name")


@pytest.mark.parametrize(
    "written", ["%Y-%m-%d_%H-%M-%S", "%Y%m%dT%H%M%S", "%Y%m%d_%H%M%S", "%Y.%m.%d-%H.%M.%S"]
)
@given(at=st.datetimes(datetime(1990, 1, 1), datetime(2099, 12, 31)))
def test_every_time_is_read_back(written: str, at: datetime) -> None:
    at = at.replace(microsecond=0)
    assert started(job(f"/r/{at.strftime(written)}.wav"), 1.0) == (at, "name")


def test_seconds_may_be_left_out() -> None:
    assert started(job("/a/2026-03-01_22-15.wav"), 1.0) == (AT.replace(second=0), "name")


@pytest.mark.parametrize(
    "name",
    [
        "A-1435948197257-1.7-m-04-hu.flac",
        "20261301T221500.wav",
        "2026-03-01.wav",
        "20260301T251500.wav",
        "1-22694-A.ogg",
        "120260301T2215000.wav",
    ],
)
def test_other_digits_are_no_time_and_the_files_own_counts_less_its_length(name: str, in_utc: None) -> None:
    found: Any = started(job(f"/a/{name}", 1_772_403_307.0), 7.0)
    assert (found.at, found.source) == (datetime(2026, 3, 1, 22, 15), "modified")
    assert started(job(f"/a/{name}"), 7.0) is None

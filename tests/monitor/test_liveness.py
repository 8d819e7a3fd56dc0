"""Green means that it listens; what is red is told, once, and what hangs is begun anew or ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from listening import ROOT, Monitor, crylens
from receiving import Receiver

from pipeline.audio import SAMPLE_RATE
from pipeline.monitor.alerts import Alerts, Rules
from pipeline.monitor.clock import SystemClock
from pipeline.monitor.ears import Ears
from pipeline.monitor.journal import Journal
from pipeline.monitor.liveness import Signs, Verdict, liveness, worst
from pipeline.monitor.models import Alert, Coverage, Delivery, EpisodeRow, Health, Pulse
from pipeline.monitor.run import Ran, run
from pipeline.monitor.sources import Block, Skipped
from pipeline.monitor.store import Store, StoreError, open_store, read_store
from pipeline.monitor.watching import Watcher
from pipeline.monitor.webhook import Webhook
from pipeline.settings import get_settings
from pipeline.synthesis import DEMOS

AT = datetime(2026, 6, 1, 20, 0, tzinfo=UTC)
PULSE = {
    "room": "nursery",
    "run": "r",
    "source": "mic",
    "state": "listening",
    "words": "w",
    "at": AT,
    "sound_at": AT,
    "decided_at": AT,
    "level_dbfs": -40.0,
    "peak_dbfs": -30.0,
    "clipped": 0,
    "silent_s": 0.0,
    "stuck_s": 0.0,
    "score": 0.0,
    "threshold": 0.5,
    "late": 0,
    "lost_s": 0.0,
}
CHANNEL = {"name": "ntfy", "run": "r", "at": AT, "accepted_at": AT, "error": None, "probe_every_s": 300.0}


def ago(**time: float) -> datetime:
    return AT - timedelta(**time)


@pytest.mark.parametrize(
    ("changed", "light", "words"),
    [
        ({}, "green", "Listening to mic, level -40 dBFS"),
        ({"at": ago(minutes=5)}, "red", "not running, or cannot store anything, for 5:00"),
        ({"sound_at": ago(seconds=30)}, "red", "No sound has come for 0:30"),
        ({"decided_at": ago(seconds=8)}, "amber", "Decisions are 8 s behind"),
        ({"decided_at": ago(seconds=30)}, "red", "Sound that came 0:30 ago is not decided on"),
        ({"silent_s": 30.0, "stuck_s": 30.0}, "green", "Listening"),
        ({"silent_s": 90.0, "stuck_s": 90.0}, "amber", "Complete silence for 1:30: is the microphone muted?"),
        ({"silent_s": 3600.0, "stuck_s": 3600.0}, "red", "Complete silence for 1:00:00"),
        ({"stuck_s": 90.0}, "red", "one and the same value for 1:30"),
        ({"state": "retrying", "words": "Unplugged."}, "red", "Not listening: Unplugged."),
        ({"state": "stopped", "at": ago(days=1)}, "red", "Not listening"),
        ({"state": "starting"}, "amber", "starting"),
    ],
)
def test_green_means_that_it_listens(changed: dict[str, Any], light: str, words: str) -> None:
    (verdict,) = liveness(Signs([{**PULSE, **changed}]), AT)
    assert (verdict.light, words in verdict.words) == (light, True), verdict


def test_one_room_that_hangs_is_told_apart_from_a_monitor_that_is_dead() -> None:
    hung = {**PULSE, "room": "attic", "at": ago(seconds=40)}
    verdicts = liveness(Signs([PULSE, hung]), AT)
    assert [(one.room, one.light) for one in verdicts] == [("attic", "red"), ("nursery", "green")]
    assert "hangs" in verdicts[0].words
    assert "hangs" in liveness(Signs([hung], within=True), AT)[0].words  # it runs, since it asks
    old = {**PULSE, "room": "cellar", "run": "older", "at": ago(days=3)}
    assert [one.room for one in liveness(Signs([PULSE, old]), AT)] == ["nursery"]


@pytest.mark.parametrize(
    ("changed", "light"),
    [
        ([{}], None),
        ([{"at": None, "accepted_at": None}], None),  # nothing was asked of it yet
        ([{"error": "It answered 500."}], "amber"),  # it took something a moment ago
        ([{"error": "It answered 500.", "accepted_at": ago(minutes=20)}], "red"),
        ([{"error": "It answered 500.", "probe_every_s": None}], "red"),
        ([{"accepted_at": ago(minutes=20)}], "red"),
        ([{"accepted_at": ago(minutes=20), "probe_every_s": None}], None),
        ([{}, {"name": "mqtt", "error": "The broker is gone."}], "amber"),
        ([{"error": "no", "accepted_at": None}, {"name": "mqtt", "accepted_at": ago(days=1)}], "red"),
        ([{"error": "no", "run": "an older one"}], None),
    ],
)
def test_somebody_can_be_told_or_it_is_no_green(changed: list[dict[str, Any]], light: str | None) -> None:
    verdicts = liveness(Signs([PULSE], channels=[{**CHANNEL, **one} for one in changed]), AT)
    assert [one.light for one in verdicts] == ["green", *([light] if light else [])]
    assert [one.room for one in verdicts[1:]] == ([""] if light else [])


def test_alerts_that_do_not_arrive_and_a_history_that_cannot_be_written_are_no_green() -> None:
    waiting = [{"at": AT - timedelta(minutes=3), "error": "It answered 500."}]
    assert [verdict.light for verdict in liveness(Signs([PULSE], waiting), AT)] == ["green", "amber"]
    full = liveness(Signs([PULSE], trouble="The disk is full."), AT)
    assert full[1] == Verdict("", "red", "What is heard cannot be stored. The disk is full.")
    assert (worst(full), worst(full[:1])) == ("red", "green")
    assert liveness(Signs([]), AT)[0].light == "red"


def test_the_status_of_a_monitor_that_runs_and_of_one_that_was_killed(
    night: Path, tmp_path: Path, monitor: Callable[..., Monitor]
) -> None:
    store = tmp_path / "history.db"
    running = monitor("--source", night, "--store", store, "--room", "cot")
    running.wait_for("Listening to")
    time.sleep(1.5)
    assert "cot: green: Listening to" in crylens("monitor", "status", "--store", store).stdout
    told = json.loads(
        crylens("monitor", "status", "--store", store, "--room", "cot", "--format", "json").stdout
    )
    assert (told["light"], [one["room"] for one in told["verdicts"]]) == ("green", ["cot"])
    asked = crylens("monitor", "status", "--store", store, "--room", "attic", status=2)
    assert "no room 'attic'" in asked.stderr
    running.kill()
    # What the last write said is true for a while; then it is not. No need to wait for it here.
    with read_store(str(store)) as opened:
        (pulse,) = opened.rows(Pulse)
    (verdict,) = liveness(Signs([pulse]), datetime.now(UTC) + timedelta(seconds=20))
    assert verdict.light == "red"


def test_the_self_test_hears_its_cry_and_says_so_when_it_cannot(another_cry: Path) -> None:
    assert "Heard and stored" in crylens("monitor", "self-test").stderr
    assert "Heard and stored" in crylens("monitor", "self-test", "--cry", another_cry).stderr
    failed = crylens("monitor", "self-test", "--detection-threshold", "1", status=2)
    assert "The self-test failed" in failed.stderr

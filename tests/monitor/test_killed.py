"""The power goes, the disk fills up: what was heard stays."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from listening import Monitor, episodes

from pipeline.audio import SAMPLE_RATE, load
from pipeline.monitor.models import Coverage, EpisodeRow, Health
from pipeline.monitor.store import StoreError, open_store, read_store

Start = Callable[..., Monitor]


def test_kills_at_any_moment_lose_no_more_than_the_open_second(tmp_path: Path) -> None:
    """Real processes that write as a monitor does, sound too, killed at random, migrations included."""
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("killing.py"), tmp_path, "20"],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    told = json.loads(done.stdout)
    assert told["kills"] == 20
    assert told["while_writing"] >= 16
    assert told["clips"] > 0
    assert told["most_lost_s"] < 1.5  # the open second, on a machine that is busy with other tests


def test_a_killed_monitor_is_told_from_one_that_ended(
    another_cry: Path, tmp_path: Path, monitor: Start
) -> None:
    store, source = tmp_path / "history.db", tmp_path / "long.wav"
    soundfile.write(source, np.tile(load(another_cry).samples, 12), SAMPLE_RATE)
    running = monitor("--source", source, "--speed", "5", "--store", store)
    running.wait_for("crying since")
    time.sleep(1.0)
    with pytest.raises(StoreError, match="another monitor"):
        open_store(str(store))
    running.kill()
    (last,) = [e for e in episodes(store) if e["state"] == "open"]
    with open_store(str(store)) as opened:  # as the next monitor does
        rows = {row["id"]: row for row in opened.rows(EpisodeRow)}
        assert rows[last["id"]]["state"] == "interrupted"
        assert rows[last["id"]]["end_s"] == last["end_s"]
        assert [row["state"] for row in opened.rows(Coverage)] == ["interrupted"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of four megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() or not mount:
        pytest.skip("a small disk can be mounted by root only")
    made = subprocess.run([mount, "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], check=False)
    if made.returncode:
        pytest.skip("no disk can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(path: Path) -> None:
    """Write until the disk refuses."""
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(512))


def test_a_full_disk_is_told_and_nothing_heard_meanwhile_is_missing(
    night: Path, small_disk: Path, monitor: Start
) -> None:
    store = small_disk / "history.db"
    running = monitor("--source", night, "--speed", "10", "--store", store, "--report-every", "0")
    running.wait_for("Listening to")
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space"):
        fill(filler)
    # SQLite goes on in the part of its log that it has already; what is new needs more.
    running.wait_for("is full. Make room on that disk. Listening goes on")
    heard = running.said.count("crying since")
    running.wait_for("crying since", times=heard + 1)
    running.wait_for("cried from", times=heard + 1)
    filler.unlink()
    running.wait_for("can be written again")
    assert running.end(signal.SIGTERM) == 0
    with read_store(str(store)) as opened:
        (stretch,) = opened.rows(Coverage)
        assert stretch["state"] == "ended"
        assert len(opened.rows(EpisodeRow)) == running.said.count("cried from") > heard
        assert [row["room"] for row in opened.rows(Health) if row["state"] == "restored"] == [""]


def test_a_disk_that_stays_full_is_told_by_the_exit_status(
    night: Path, tmp_path: Path, monitor: Start
) -> None:
    """Here no file may grow: what a quota does."""
    store = tmp_path / "history.db"
    running = monitor("--source", night, "--speed", "4", "--store", store)
    running.wait_for("Listening to")
    resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    running.wait_for("Listening goes on")
    assert running.end(signal.SIGTERM) == 1
    assert "could not be stored" in running.said
    with sqlite3.connect(store) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)

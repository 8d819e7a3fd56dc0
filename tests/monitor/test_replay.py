"""A monitor says of a recording what an analysis says of it, however the sound gets to it."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from listening import Monitor, crylens, episodes

Start = Callable[..., Monitor]


@pytest.fixture(scope="module")
def analysed(night: Path) -> dict[str, Any]:
    record = json.loads(crylens("analyze", night, "--format", "jsonl").stdout)
    assert len(record["episodes"]) >= 4
    assert record["duration_s"] > 180
    return dict(record)


def assert_same(found: list[dict[str, Any]], analysed: dict[str, Any]) -> None:
    wanted = analysed["episodes"]
    times = [(round(e["start_s"], 3), round(e["end_s"], 3)) for e in found]
    assert times == [(e["start_s"], e["end_s"]) for e in wanted]
    assert [e["peak"] for e in found] == pytest.approx([e["peak"] for e in wanted], abs=2e-5)
    assert [e["mean"] for e in found] == pytest.approx([e["mean"] for e in wanted], abs=2e-5)
    assert {e["state"] for e in found} == {"ended"}


def test_replaying_gives_the_episodes_of_an_analysis(
    night: Path, analysed: dict[str, Any], tmp_path: Path
) -> None:
    store = tmp_path / "history.db"
    done = crylens("monitor", "--source", night, "--room", "nursery", "--speed", "max", "--until-end",
                   "--store", store)  # fmt: skip
    found = episodes(store)
    assert_same(found, analysed)
    assert done.stdout.count("nursery: cried from") == len(found)
    assert all(e["threshold"] == analysed["threshold"] for e in found)
    assert all("detector-student" in e["models"] for e in found)
    sure = max(found, key=lambda e: e["end_s"] - e["start_s"])
    assert sum(sure["reasons"]["probabilities"].values()) == pytest.approx(1, abs=1e-3)
    crylens("history", "export", "--store", store, "--output", tmp_path / "out", "--format", "jsonl")
    (stretch,) = map(json.loads, (tmp_path / "out" / "coverage.jsonl").read_text().splitlines())
    assert stretch["heard_s"] == pytest.approx(analysed["duration_s"], abs=1e-3)
    assert (stretch["state"], stretch["late"], stretch["room"]) == ("ended", 0, "nursery")


def test_raw_sound_on_standard_input_beside_a_folder(
    night: Path, analysed: dict[str, Any], tmp_path: Path, monitor: Start
) -> None:
    """Two rooms at once: the same night as stereo samples through a pipe, and as a folder with a bad file."""
    samples, rate = soundfile.read(night, dtype="int16")
    (tmp_path / "rooms").mkdir()
    (tmp_path / "rooms" / "1.wav").write_bytes(night.read_bytes())
    (tmp_path / "rooms" / "0.wav").write_bytes(b"no sound at all")
    store = tmp_path / "history.db"
    running = monitor(
        *("--source", f"pcm:s16le:{rate}:2", "--room", "pipe"),
        *("--source", tmp_path / "rooms", "--room", "folder"),
        *("--speed", "max", "--until-end", "--store", store),
        stdin=subprocess.PIPE,
    )
    assert running.process.stdin is not None
    running.process.stdin.write(np.repeat(samples[:, None], 2, axis=1).tobytes())
    running.process.stdin.close()
    assert running.end() == 1  # one recording could not be used, and that is said
    assert "0.wav: not a readable sound file" in running.said
    found = episodes(store)
    for room in ("pipe", "folder"):
        assert_same([e for e in found if e["room"] == room], analysed)


def test_stopping_keeps_what_was_heard(night: Path, tmp_path: Path, monitor: Start) -> None:
    store = tmp_path / "history.db"
    running = monitor("--source", night, "--speed", "30", "--store", store, "--report-every", "0.3")
    running.wait_for("crying since")
    running.wait_for("dBFS")
    assert running.end(signal.SIGINT) == 130
    found = episodes(store)
    assert len(found) == running.said.count("cried from") >= 1
    assert {e["state"] for e in found} == {"ended"}


def test_the_clip_mode_judges_each_clip_as_an_analysis_of_its_file(night: Path, tmp_path: Path) -> None:
    short, clips = tmp_path / "short.wav", tmp_path / "clips"
    soundfile.write(short, soundfile.read(night, frames=27 * 16_000, dtype="int16")[0], 16_000)
    command = ("monitor", "--source", short, "--speed", "max", "--clip-seconds", "4", "--clips", clips)
    told = crylens(*command).stdout.splitlines()
    assert len(told) == 6  # what is left at the end is no clip
    crylens(*command)  # adds to what is there
    rows = list(csv.DictReader((clips / "clips.csv").open()))
    assert len(rows) == 12
    assert list(rows[0]) == ["timestamp", "clip_path", "probability"]
    paths = [clips / row["clip_path"] for row in rows]
    done = crylens("analyze", *paths, "--format", "jsonl").stdout.splitlines()
    judged = [json.loads(line)["cry_probability"] for line in done]
    assert [float(row["probability"]) for row in rows] == pytest.approx(judged, abs=1e-6)
    assert max(judged) > 0.9 > 0.1 > min(judged)
    times = [datetime.fromisoformat(row["timestamp"]) for row in rows[:6]]
    assert [(b - a).total_seconds() for a, b in pairwise(times)] == pytest.approx([4.0] * 5)

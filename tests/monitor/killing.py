"""Kills processes that write a history, again and again, and looks at what is left: ``killing.py DIR N``."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import soundfile

from pipeline.monitor.clock import SystemClock
from pipeline.monitor.journal import Journal, new_id
from pipeline.monitor.minutes import Minutes
from pipeline.monitor.models import Coverage, EpisodeRow, KeptSound, Minute
from pipeline.monitor.recording import Recorder
from pipeline.monitor.shelf import Keep
from pipeline.monitor.store import Store, open_store

RATE = 4_000
# Sound that shows which part of it is there; it goes round.
SOUND = np.random.default_rng(0).integers(-9_000, 9_000, 70 * RATE).astype(np.int16)
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
STEP = RATE // 10


def keep(path: Path) -> Keep:
    """Clips of three seconds, of which the newest hundred or so have room."""
    return Keep("all", path.with_suffix(".sound"), longest_s=3, days=10**5, most_mb=2, free_mb=0)


def write(path: Path, begun: int) -> None:
    """As a room does, only faster; ``heard_s`` is the machine's clock, ``start_s`` counts the episodes.

    Each process has a day of its own, and ``late`` counts its frames of sound. A byte goes to the pipe
    ``begun`` once something is stored.
    """
    store = open_store(str(path))
    began = BEGAN + timedelta(days=len(store.rows(Coverage)))
    journal = Journal(store, SystemClock(), run=new_id())
    recorder = Recorder(store, journal, SystemClock(), keep(path))
    minutes = Minutes("a", 0.5, journal)
    journal.start()
    recorder.start()
    recording = recorder.recording("a", RATE, 1, arrives=True)
    key, first, number = new_id(), "", 0
    while True:
        now, frames = time.monotonic(), STEP * (number + 1)
        at = began + timedelta(seconds=frames / RATE)
        piece = np.take(SOUND, np.arange(frames - STEP, frames), mode="wrap").astype(np.float32) / 32768
        minutes.sound(piece, RATE, at)
        recording.sound(piece, at)
        same = {
            "room": "a",
            "source": "b",
            "models": "c",
            "threshold": 0.5,
            "started_at": began,
            "ended_at": at,
        }
        stretch = {**same, "id": key, "run": "r", "heard_s": now, "lost_s": 0.0, "late": frames,
                   "embedder": "d", "state": "open", "why": None}  # fmt: skip
        journal.put(Coverage, key, stretch)
        one = new_id()
        row = {**same, "id": one, "coverage_id": key, "start_s": float(number), "end_s": now, "peak": 1.0,
               "mean": 1.0, "reasons": None, "state": "ended"}  # fmt: skip
        journal.put(EpisodeRow, one, row)
        if number % 100 == 20:  # one in ten seconds is of sound as well
            recording.cry("start", {**row, "start_s": frames / RATE})
        if number % 100 == 70:
            recording.cry("end", {**row, "end_s": frames / RATE})
        number += 1
        first = first or one
        if begun >= 0 and journal.is_stored(EpisodeRow, first):
            os.write(begun, b"!")
            begun = -1
        time.sleep(0.005)


def check(path: Path) -> dict[str, float]:
    """Each stretch's newest write; raises when anything is broken or missing in between."""
    with open_store(str(path)) as store:  # the lock is free, and what was open is closed
        assert not [row for row in store.rows(Coverage) if row["state"] == "open"]
        numbers: dict[str, list[float]] = {row["id"]: [] for row in store.rows(Coverage)}
        for row in store.rows(EpisodeRow):
            numbers[row["coverage_id"]].append(row["start_s"])
        for found in numbers.values():
            assert sorted(found) == list(range(len(found))), "an episode is missing in between"
        newest = {row["id"]: row["heard_s"] for row in store.rows(Coverage)}
        check_minutes(store)
        check_sound(store, path)
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    return newest


def check_minutes(store: Store) -> None:
    """The minutes of a stretch hold all that it has heard."""
    heard: dict[datetime, float] = {}
    for row in store.rows(Minute):
        day = row["started_at"].replace(hour=0, minute=0)
        heard[day] = heard.get(day, 0.0) + row["heard_s"]
    for row in store.rows(Coverage):
        assert abs(heard[row["started_at"]] - row["late"] / RATE) < 0.5, "a minute is missing"


def check_sound(store: Store, path: Path) -> None:
    """Once stock was taken, files and rows agree, and each holds what was heard then, without a gap."""
    journal = Journal(store, SystemClock(), run="check")
    recorder = Recorder(store, journal, SystemClock(), keep(path))
    recorder.start()
    recorder.close()
    assert journal.flush()
    assert recorder.failures == 0
    there = [row for row in store.rows(KeptSound, order_by="started_at") if row["gone_at"] is None]
    assert {row["gone_why"] for row in store.rows(KeptSound)} <= {None, "room"}, "a file is missing"
    folder = keep(path).folder
    assert {folder / row["path"] for row in there} == {
        p for p in folder.rglob("*") if p.suffix in (".flac", ".part")
    }
    for row in there:
        sound, rate = soundfile.read(folder / row["path"], dtype="int16")
        began = row["started_at"].replace(hour=0, minute=0, second=0, microsecond=0)
        first = round((row["started_at"] - began).total_seconds() * rate)
        assert np.array_equal(sound, np.take(SOUND, np.arange(first, first + len(sound)), mode="wrap"))


def kill(path: Path, *, fresh: bool) -> float:
    """Start a writer and kill it: at any moment, or at one when it writes. When that was."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            write(path, writing)
        finally:
            os._exit(1)
    os.close(writing)
    if not fresh:
        os.read(reading, 1)
    os.close(reading)
    time.sleep(random.uniform(0.0, 0.6))
    killed_at = time.monotonic()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return killed_at


def main(folder: Path, kills: int) -> None:
    """Every fifth kill hits a history that is just being made. Ctrl-C ends it early."""
    told = {"kills": 0, "while_writing": 0, "most_lost_s": 0.0, "clips": 0, "unfinished_clips": 0}
    path, seen = folder / "0.db", 0
    try:
        for number in range(kills):
            fresh = number % 5 == 0
            if fresh:
                path, seen = folder / f"{number}.db", 0
            killed_at = kill(path, fresh=fresh)
            told["unfinished_clips"] += len(list(keep(path).folder.rglob(".*.part")))
            newest = check(path)
            told["clips"] += len(list(keep(path).folder.rglob("*.flac")))
            if len(newest) > seen:
                told["while_writing"] += 1
                told["most_lost_s"] = max(told["most_lost_s"], killed_at - max(newest.values()))
            seen = len(newest)
            told["kills"] += 1
    except KeyboardInterrupt:
        pass
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))

"""Kills processes that write a history, again and again, and looks at what is left: ``killing.py DIR N``."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from pipeline.monitor.clock import SystemClock
from pipeline.monitor.journal import Journal, new_id
from pipeline.monitor.models import Coverage, EpisodeRow
from pipeline.monitor.store import open_store


def write(path: Path) -> None:
    """As a room does, only faster; ``heard_s`` is the machine's clock, ``start_s`` counts the episodes."""
    journal = Journal(open_store(str(path)), SystemClock(), run=new_id())
    journal.start()
    key, number = new_id(), 0
    while True:
        now, at = time.monotonic(), datetime.now(UTC)
        same = {"room": "a", "source": "b", "models": "c", "threshold": 0.5, "started_at": at, "ended_at": at}
        journal.put(Coverage, key, {**same, "id": key, "run": journal.run, "heard_s": now, "lost_s": 0.0,
                                    "late": 0, "embedder": "d", "state": "open", "why": None})  # fmt: skip
        one = new_id()
        journal.put(EpisodeRow, one, {**same, "id": one, "coverage_id": key, "start_s": float(number),
                                      "end_s": now, "peak": 1.0, "mean": 1.0, "reasons": None,
                                      "state": "ended"})  # fmt: skip
        number += 1
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
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    return newest


def main(folder: Path, kills: int) -> None:
    """Every fifth kill hits a history that is just being made."""
    most_lost, while_writing = 0.0, 0
    path, seen = folder / "0.db", 0
    for number in range(kills):
        fresh = number % 5 == 0
        if fresh:
            path, seen = folder / f"{number}.db", 0
        child = os.fork()
        if not child:
            write(path)
        time.sleep(random.uniform(0.0, 0.3) if fresh else random.uniform(0.5, 1.1))
        killed_at = time.monotonic()
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        newest = check(path)
        if len(newest) > seen:
            while_writing += 1
            most_lost = max(most_lost, killed_at - max(newest.values()))
        seen = len(newest)
    told = {"kills": kills, "while_writing": while_writing, "most_lost_s": round(most_lost, 3)}
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))

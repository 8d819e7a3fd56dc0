"""``batch`` with one worker and with two, against ``analyze``, over the same archives, with either embedder.

    python benchmarks/batch_workers.py

Three archives, written to a temporary folder from real clips: a folder of recordings of half an hour (FLAC,
16 kHz), one recording of four hours, which is heard in parts, and the clips of Donate-a-Cry as they are. What
an hour of processor buys is counted from processor time, so it does not depend on what else the machine does.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _bench
import long_recordings

HALF_HOUR_S = 1800.0
CLIPS = _bench.DATA / "donateacry" / "hungry"


def write_archives(folder: Path) -> None:
    """The archives, each in a folder of its own."""
    for name in ("rooms", "yamnet", "long", "clips"):
        (folder / name).mkdir()
    first = folder / "rooms" / "2026-03-01_00-00-00.flac"
    long_recordings.recorded(first, HALF_HOUR_S)
    for number in range(1, 10):
        shutil.copy(first, first.with_name(f"2026-03-01_{number // 2:02}-{number % 2 * 30:02}-00.flac"))
    for path in sorted(first.parent.iterdir())[:4]:
        shutil.copy(path, folder / "yamnet")
    long_recordings.recorded(folder / "long" / "2026-03-01_00-00-00.flac", 8 * HALF_HOUR_S)
    for clip in sorted(CLIPS.iterdir())[:200]:
        shutil.copy(clip, folder / "clips")


def compared(archive: Path, out: Path, embedder: str) -> dict[str, Any]:
    """One archive heard in three ways, and whether all found the same."""
    out.mkdir()
    jsonl = out / "analyze.jsonl"
    of_all = ["--embedder", embedder, str(archive)]
    ways = {
        "analyze": (["analyze", *of_all, "--format", "jsonl", "-o", str(jsonl)], jsonl),
        "one_worker": (
            ["batch", *of_all, "--workers", "1", "--out", str(out / "one")],
            out / "one" / "files.jsonl",
        ),
        "two_workers": (
            ["batch", *of_all, "--workers", "2", "--out", str(out / "two")],
            out / "two" / "files.jsonl",
        ),
    }
    taken = {
        name: _bench.child([sys.executable, "-m", "pipeline", *arguments], cores=2)
        for name, (arguments, _) in ways.items()
    }
    records = {name: read(results) for name, (_, results) in ways.items()}
    if any(told(found) != told(records["analyze"]) for found in records.values()):
        sys.exit(f"batch and analyze do not agree on {archive.name}: {records}")
    hours = sum(record["duration_s"] for record in records["analyze"]) / 3600
    recordings = len(records["analyze"])
    return {
        "audio_hours": round(hours, 2),
        "recordings": recordings,
        **{name: figures(found, hours, recordings) for name, found in taken.items()},
        "two_workers_times_as_fast_as_one": round(
            taken["one_worker"].wall_s / taken["two_workers"].wall_s, 2
        ),
        "same_episodes": True,
    }


def figures(found: _bench.Child, hours: float, recordings: int) -> dict[str, Any]:
    """What a run took, and what that comes to; ``peak_mb`` is that of its largest process."""
    return {
        "wall_s": round(found.wall_s, 1),
        "cpu_s": round(found.cpu_s, 1),
        "peak_mb": found.peak_mb,
        "audio_hours_per_core_hour": round(hours * 3600 / found.cpu_s),
        "recordings_per_core_second": round(recordings / found.cpu_s, 2),
    }


def bookkeeping(results: Path, out: Path) -> dict[str, float]:
    """Seconds that 5,000 results take to be kept, looked up and told in every format, on one thread."""
    from pipeline.archive import summary, tables
    from pipeline.archive.plan import Job
    from pipeline.archive.store import Store

    found = read(results)
    store = Store(out, "0" * 12)
    jobs = [Job(f"/rooms/{n:05}/2026-03-01_00-00-00.flac", f"{n:05}.flac", 1, 1) for n in range(5000)]
    seconds = {}

    def timed(name: str, call: Callable[[], Any]) -> None:
        start = time.perf_counter()
        call()
        seconds[name] = round(time.perf_counter() - start, 2)

    def keep() -> None:
        for number, job in enumerate(jobs):
            store.put(job, {**found[number % len(found)], "path": job.path}, code=None, took_s=1.0)

    of_all = tables.results_of(jobs, store)
    timed("kept", keep)
    timed("looked_up", lambda: [store.is_done(job) for job in jobs])
    timed("tables", lambda: tables.write(of_all, store, tables.FORMATS, reason_names=("hungry",)))
    timed("summary", lambda: summary.to_html(summary.summarise(of_all), about={}))
    return {"results": len(jobs), "results_per_s": round(len(jobs) / sum(seconds.values())), **seconds}


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def told(records: list[dict[str, Any]]) -> list[Any]:
    return [(Path(record["path"]).name, record["episodes"], record["cry_probability"]) for record in records]


def main() -> None:
    _bench.need(CLIPS, _bench.YAMNET)
    _bench.convert_yamnet()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_archives(folder)
        results = folder / "results"
        results.mkdir()
        found = {
            "rooms_student": compared(folder / "rooms", results / "rooms", "student"),
            "long_student": compared(folder / "long", results / "long", "student"),
            "clips_student": compared(folder / "clips", results / "clips", "student"),
            "rooms_yamnet": compared(folder / "yamnet", results / "yamnet", "yamnet"),
            "bookkeeping_s": bookkeeping(results / "clips" / "one" / "files.jsonl", results / "made up"),
        }
    _bench.save("batch", found)


if __name__ == "__main__":
    main()

"""One clip of 7 s, cold and warm: ours with either embedder, and the usual script.

    python benchmarks/clip.py

Cold: a new process from its start to its answer, ``python -m pipeline analyze CLIP --format jsonl`` against
``python benchmarks/usual_script.py CLIP``, in turns, with the peak of its memory. Warm: models loaded, the
same clip again and again, each side in its own process. Two cores.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import _bench

SIDES = ("usual", "yamnet", "student")


def warm(side: str, rounds: int) -> dict[str, float]:
    """Milliseconds per clip in this process, models loaded."""
    analyze: Callable[[str], Any]
    if side == "usual":
        from usual_script import UsualScript

        analyze = UsualScript()
    else:
        from pipeline import CryPipeline

        analyze = CryPipeline.load(side).analyze
    seconds = []
    for _ in range(rounds + 2):
        start = time.perf_counter()
        analyze(str(_bench.CLIP))
        seconds.append(time.perf_counter() - start)
    kept = seconds[2:]
    return {"median_ms": round(1e3 * statistics.median(kept), 1), "best_ms": round(1e3 * min(kept), 1)}


def cold_command(side: str) -> list[str]:
    """What answers for the clip from a standing start."""
    if side == "usual":
        return [sys.executable, str(_bench.ROOT / "benchmarks" / "usual_script.py"), str(_bench.CLIP)]
    return [sys.executable, "-m", "pipeline", "analyze", str(_bench.CLIP), "--embedder", side, "-f", "jsonl"]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=3, help="cold starts of each side")
    options.add_argument("--warm", choices=SIDES, help=argparse.SUPPRESS)
    given = options.parse_args()
    _bench.need(_bench.CLIP, _bench.YAMNET)
    if given.warm:
        print(json.dumps(warm(given.warm, 20)))
        return
    for side in SIDES:  # from the disk once, unmeasured
        _bench.child(cold_command(side), cores=2)
    runs: dict[str, list[_bench.Child]] = {side: [] for side in SIDES}
    for _ in range(given.rounds):
        for side in SIDES:
            runs[side].append(_bench.child(cold_command(side), cores=2))
    found: dict[str, Any] = {}
    for side in SIDES:
        command = [sys.executable, __file__, "--warm", side]
        found[side] = {
            "cold_s": round(statistics.median(run.wall_s for run in runs[side]), 2),
            "cold_cpu_s": round(statistics.median(run.cpu_s for run in runs[side]), 2),
            "peak_mb": max(run.peak_mb for run in runs[side]),
            "warm": json.loads(_bench.child(command, cores=2).out.splitlines()[-1]),
            "is_cry": json.loads(runs[side][0].out.splitlines()[-1])["is_cry"],
        }
    for side in SIDES:
        found[side]["times_as_fast_cold"] = round(found["usual"]["cold_s"] / found[side]["cold_s"], 2)
        ratio = found["usual"]["warm"]["median_ms"] / found[side]["warm"]["median_ms"]
        found[side]["times_as_fast_warm"] = round(ratio, 2)
        found[side]["share_of_memory"] = round(found[side]["peak_mb"] / found["usual"]["peak_mb"], 2)
    _bench.save("clip", {"clip_s": 6.96, "sides": found})


if __name__ == "__main__":
    main()

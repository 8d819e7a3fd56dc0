"""Our acoustic features against the usual librosa code: the same numbers on a whole corpus, how much faster.

    python benchmarks/features.py            every recording of Donate-a-Cry, about four minutes
    python benchmarks/features.py --clips 40

One core, in a process that has the pipeline loaded, as ``analyze`` does. One 7 s clip is timed warm, turn by
turn; the corpus is run once by both sides, clip by clip, filter banks of new tunings included.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import time
from collections.abc import Callable
from typing import Any

import _bench
import numpy as np
from usual_features import usual_features

from pipeline import CryPipeline, acoustics
from pipeline.audio import load

NAMES = acoustics.feature_names("acoustic111")


def ours(samples: np.ndarray) -> np.ndarray:
    return acoustics.extract(samples, "acoustic111")


def corpus(limit: int | None) -> dict[str, Any]:
    """Both sides over the recordings: largest difference of each feature over its spread, and total times."""
    paths = sorted((_bench.DATA / "donateacry").glob("*/*"))[:limit]
    usual_rows, our_rows = [], []
    seconds = {"usual": 0.0, "ours": 0.0}
    for path in paths:
        samples = load(path).samples
        for name, function, rows in (("usual", usual_features, usual_rows), ("ours", ours, our_rows)):
            start = time.perf_counter()
            rows.append(function(samples))
            seconds[name] += time.perf_counter() - start
    usual_table, our_table = np.stack(usual_rows), np.stack(our_rows)
    parts = np.abs(our_table - usual_table).max(axis=0) / usual_table.std(axis=0)
    worst = np.argsort(-parts)[:5]
    return {
        "recordings": len(paths),
        "largest_difference_over_spread": float(f"{parts.max():.2g}"),
        "worst_features": {NAMES[i]: float(f"{parts[i]:.2g}") for i in worst},
        "usual_s": round(seconds["usual"], 2),
        "ours_s": round(seconds["ours"], 2),
        "times_as_fast": round(seconds["usual"] / seconds["ours"], 2),
    }


def profile(entry: str, inside: str, function: Callable[[], Any], runs: int = 10) -> dict[str, float]:
    """Milliseconds in each function that ``entry`` calls, one clip, and in ``inside``, called anywhere."""
    function()
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(runs):
        function()
    profiler.disable()
    rows = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
    steps: dict[str, float] = {}
    for (_file, _line, name), (_calls, _first, _own, cumulative, callers) in rows.items():
        if name == inside:
            steps[f"(of all: {name})"] = cumulative
        for caller, (*_counts, within) in callers.items():
            if caller[2] == entry and within > 1e-4 * runs:
                steps[name] = steps.get(name, 0.0) + within
        if name == entry:
            steps["whole"] = cumulative
    ordered = sorted(steps.items(), key=lambda step: -step[1])
    return {name: round(1e3 * seconds / runs, 2) for name, seconds in ordered}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--clips", type=int, help="only the first so many recordings of the corpus")
    options.add_argument("--rounds", type=int, default=25, help="turns of the timing")
    given = options.parse_args()
    _bench.need(_bench.CLIP)
    _bench.keep_to(1)
    loaded = CryPipeline.load("student")
    samples = load(_bench.CLIP).samples
    seconds = _bench.turn_by_turn(
        {
            "usual_108": lambda: usual_features(samples, 108),
            "ours_108": lambda: acoustics.extract(samples),
            "usual_111": lambda: usual_features(samples),
            "ours_111": lambda: ours(samples),
        },
        given.rounds,
    )
    of_108 = _bench.summary({k: v for k, v in seconds.items() if k.endswith("108")}, "usual_108")
    of_111 = _bench.summary({k: v for k, v in seconds.items() if k.endswith("111")}, "usual_111")
    del loaded
    _bench.save(
        "features",
        {
            "clip_s": round(len(samples) / acoustics.SAMPLE_RATE, 2),
            "one_clip": {**of_108, **of_111},
            "corpus": corpus(given.clips),
            "profile_ms": {
                "usual": profile("usual_features", "_rank_filter", lambda: usual_features(samples, 108)),
                "ours": profile("_means", "running_median", lambda: acoustics.extract(samples)),
            },
        },
    )


if __name__ == "__main__":
    main()

"""Ten minutes and 24 hours: ``analyze`` from a standing start, with either embedder, and the usual script.

    python benchmarks/long_recordings.py              with YAMNet over 24 hours, minutes
    python benchmarks/long_recordings.py --no-yamnet-day

The recordings are FLAC at 16 kHz, written to a temporary folder: real cries, cats, vacuum cleaners, rain and
near silence at changing levels. Two cores. The usual script hears ten minutes only: it holds all of a
recording in memory, several times.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _bench

DAY_S, TEN_MINUTES_S = 86_400.0, 600.0


def recorded(path: Path, seconds: float) -> None:
    """:func:`write_recording` in another process: a child's peak memory counts its parent's at the fork."""
    _bench.child([sys.executable, __file__, "--write", str(path), str(seconds)], cores=2)


def write_recording(path: Path, seconds: float) -> None:
    """A recording of a room, out of real clips; an hour of it, again and again at other levels."""
    import numpy as np
    import soundfile

    from pipeline.audio import load

    rng = np.random.default_rng(0)
    folders = ("donateacry/hungry", "esc50/crying_baby", "esc50/vacuum_cleaner", "esc50/rain", "catsdogs/cat")
    clips = [
        load(file).samples for folder in folders for file in sorted((_bench.DATA / folder).iterdir())[:12]
    ]
    parts, held = [], 0
    while held < min(seconds, 3600.0) * 16_000:
        still = rng.normal(0, 1e-3, rng.integers(0, 20 * 16_000)).astype(np.float32)
        parts += [clips[rng.integers(len(clips))] * np.float32(rng.uniform(0.1, 1.0)), still]
        held += len(parts[-2]) + len(still)
    hour = np.concatenate(parts)[: int(min(seconds, 3600.0) * 16_000)]
    left = int(seconds * 16_000)
    with soundfile.SoundFile(path, "w", 16_000, 1, format="FLAC") as out:
        while left:
            part = hour[:left] * np.float32(rng.uniform(0.3, 0.9))
            out.write(part)
            left -= len(part)


def analyzed(path: Path, embedder: str) -> dict[str, Any]:
    """``python -m pipeline analyze`` over a recording, in a process of its own."""
    command = [sys.executable, "-m", "pipeline", "analyze", str(path), "--embedder", embedder, "-f", "jsonl"]
    run = _bench.child(command, cores=2)
    answer = json.loads(run.out.splitlines()[-1])
    return {
        "wall_s": round(run.wall_s, 1),
        "cpu_s": round(run.cpu_s, 1),
        "peak_mb": run.peak_mb,
        "times_real_time": round(answer["duration_s"] / run.wall_s),
        "episodes": len(answer["episodes"]),
    }


def stages(path: Path) -> dict[str, float]:
    """Seconds that an hour takes in each stage with the student, one after the other on one thread."""
    from pipeline import audio
    from pipeline.detection import load_head
    from pipeline.embedding.logmel import frames_of_log_mel
    from pipeline.embedding.student import StudentEmbedder
    from pipeline.settings import get_settings

    settings = get_settings(threads=1)
    student = StudentEmbedder.bundled(settings)
    head = load_head("student", settings, student.checksum)

    def decoded() -> list[Any]:
        with audio.open_stream(path) as stream:
            return list(stream)

    found: dict[str, float] = {}

    def timed(name: str, call: Callable[[], Any]) -> Any:
        call()
        start = time.perf_counter()
        result = call()
        found[name] = round((time.perf_counter() - start) * 3600.0 / TEN_MINUTES_S, 2)
        return result

    blocks = timed("decoding FLAC", decoded)
    inputs = timed("log-mel", lambda: [frames_of_log_mel(block) for block in blocks])
    embedded = timed("network", lambda: [student.embed_columns(each) for each in inputs])
    timed("detection head", lambda: list(head.score_blocks(embedded)))
    return found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--no-yamnet-day", action="store_true", help="leave YAMNet over 24 hours out")
    options.add_argument("--write", nargs=2, help=argparse.SUPPRESS)
    given = options.parse_args()
    _bench.need(_bench.CLIP, _bench.YAMNET)
    if given.write:
        write_recording(Path(given.write[0]), float(given.write[1]))
        return
    _bench.convert_yamnet()
    with tempfile.TemporaryDirectory() as folder:
        ten, day = Path(folder) / "ten.flac", Path(folder) / "day.flac"
        recorded(ten, TEN_MINUTES_S)
        usual = _bench.child([sys.executable, "benchmarks/usual_script.py", str(ten)], cores=2)
        of_ten = {
            "usual": {
                "wall_s": round(usual.wall_s, 1),
                "cpu_s": round(usual.cpu_s, 1),
                "peak_mb": usual.peak_mb,
            },
            "yamnet": analyzed(ten, "yamnet"),
            "student": analyzed(ten, "student"),
        }
        for side in of_ten.values():
            side["times_as_fast"] = round(of_ten["usual"]["wall_s"] / side["wall_s"], 2)
        recorded(day, DAY_S)
        of_day = {"student": analyzed(day, "student")}
        if not given.no_yamnet_day:
            of_day["yamnet"] = analyzed(day, "yamnet")
        of_an_hour = stages(ten)
    _bench.save("long", {"ten_minutes": of_ten, "day": of_day, "stages_s_per_hour": of_an_hour})


if __name__ == "__main__":
    main()

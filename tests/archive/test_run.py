"""A run with worker processes: long recordings in parts, and what happens when those do not fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from running import RATE, SEGFAULTS, plain, write_killer

from pipeline.analysis import CryPipeline
from pipeline.archive import parts, plan
from pipeline.archive.local_engine import LocalEngine
from pipeline.archive.plan import Job
from pipeline.archive.run import Run
from pipeline.archive.store import Store
from pipeline.archive.worker import Answer, Task
from pipeline.cli import find_recordings
from pipeline.errors import CryError
from pipeline.settings import Settings


class Watched(LocalEngine):
    """The local engine, and what it was asked to do."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Task] = []

    def run(self, tasks: Iterable[Task], *, alone: bool = False) -> Iterator[tuple[Task, Answer]]:
        tasks = list(tasks)
        self.asked += tasks
        return super().run(tasks, alone=alone)

    @property
    def done(self) -> list[str]:
        return [task["do"] for task in self.asked]


@pytest.fixture(autouse=True)
def _short_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recordings longer than 50 s are split, at 30 s."""
    monkeypatch.setattr(parts, "LONG_S", 50.0)
    monkeypatch.setattr(parts, "PART_WINDOWS", 63)


@pytest.fixture
def config(settings: Settings) -> dict[str, Any]:
    return {"settings": plan.hearing_settings(settings), "fingerprint": None}


@pytest.fixture
def rooms(tmp_path: Path, evening: np.ndarray) -> Path:
    """A long WAV at 16 kHz, a long FLAC at 44.1 kHz in stereo, a short one, a long one that is damaged."""
    root = tmp_path / "rooms"
    root.mkdir()
    soundfile.write(root / "long.wav", evening[: 130 * RATE], RATE, subtype="PCM_16")
    other = soxr.resample(evening[130 * RATE : 220 * RATE], RATE, 44_100)
    soundfile.write(root / "other.flac", np.stack([other, -0.3 * other], axis=1), 44_100)
    soundfile.write(root / "short.wav", evening[: 20 * RATE], RATE)
    cut = root / "cut.flac"
    soundfile.write(cut, evening[: 110 * RATE], RATE)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 2 // 3])
    return root


def run(root: Path, store: Store, engine: LocalEngine, config: dict[str, Any], workers: int = 2) -> list[Job]:
    jobs = plan.gather([str(root)], find_recordings)
    engine.prepare(config, workers, "student")
    for tally in Run(jobs, store, embedder="student").work(engine):
        assert tally.bytes_done <= tally.bytes
    assert tally.done == len(jobs)
    return jobs


def test_long_recordings_in_parts_say_what_analyze_says(
    rooms: Path, tmp_path: Path, config: dict[str, Any], student: CryPipeline
) -> None:
    store = Store(tmp_path / "results", "abc")
    with Watched() as engine:
        jobs = run(rooms, store, engine, config, workers=5)
    by_path = {
        path: [task["do"] for task in engine.asked if task["path"] == str(path)] for path in rooms.iterdir()
    }
    assert by_path[rooms / "long.wav"] == ["hear", "part", "part", "part", "part", "join"]
    assert by_path[rooms / "other.flac"].count("part") >= 3
    assert by_path[rooms / "cut.flac"][-1] == "hear", "parts that do not fit are heard again, whole"
    assert by_path[rooms / "short.wav"] == ["hear"]
    for job in jobs:
        found = store.read(job)
        assert found is not None
        assert plain(found) == plain(student.analyze(job.path).to_dict()), job.name
        if job.name != "short.wav":
            assert found["episodes"]
    assert not list(store.partial.rglob("*.json"))


def test_parts_kept_from_an_interrupted_run_are_not_heard_again(
    rooms: Path, tmp_path: Path, config: dict[str, Any], student: CryPipeline
) -> None:
    for name in ("short.wav", "cut.flac", "other.flac"):
        (rooms / name).unlink()
    store, (job,) = Store(tmp_path / "results", "abc"), plan.gather([str(rooms)], find_recordings)
    with Watched() as engine:
        engine.prepare(config, 2, "student")
        working = Run([job], store, embedder="student").work(engine)
        while len(store.parts(job)) < 2:
            next(working)
        working.close()
    kept = {part["first"] for part in store.parts(job)}
    with Watched() as engine:
        run(rooms, store, engine, config)
    assert {task["first"] for task in engine.asked if task["do"] == "part"}.isdisjoint(kept)
    found = store.read(job)
    assert found is not None
    assert plain(found) == plain(student.analyze(job.path).to_dict())


def test_what_kills_in_parts_is_recorded_too(
    tmp_path: Path, config: dict[str, Any], surroundings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", surroundings["PYTHONPATH"])
    monkeypatch.setattr(parts, "LONG_S", 0.1)
    root = tmp_path / "rooms"
    write_killer(root / "killer.wav", SEGFAULTS)
    store = Store(tmp_path / "results", "abc")
    with Watched() as engine:
        (job,) = run(root, store, engine, config)
    found = store.read(job)
    assert found is not None
    assert found["archive"]["code"] == "worker-killed"
    assert engine.done == ["hear", "hear"], "tried twice, the second time alone"


def test_workers_with_other_models_stop_the_run(rooms: Path, tmp_path: Path, config: dict[str, Any]) -> None:
    with LocalEngine() as engine, pytest.raises(CryError, match="other models or settings"):
        run(rooms, Store(tmp_path / "results", "abc"), engine, {**config, "fingerprint": "0123456789ab"})

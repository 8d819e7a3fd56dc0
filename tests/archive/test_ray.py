"""``--engine ray`` on real Ray clusters on loopback: two nodes, and one of its own."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile
import soxr
from running import IS_SLOW, RATE, SEGFAULTS, Ran, plain, write_killer
from s3_server import s3_server

from pipeline.analysis import CryPipeline
from pipeline.archive import parts, plan
from pipeline.archive.ray_engine import RayEngine
from pipeline.archive.run import Run
from pipeline.archive.store import Store
from pipeline.cli import find_recordings
from pipeline.errors import SettingsError
from pipeline.settings import Settings

ray = pytest.importorskip("ray", reason="Ray is not installed (pip install 'crylens[ray]')")


@pytest.fixture(scope="module")
def cluster(surroundings: dict[str, str]) -> Iterator[str]:
    """The address of a cluster of two nodes with one core each, in which some files are deadly."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", surroundings["PYTHONPATH"])
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        node = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
        running = Cluster(initialize_head=True, head_node_args=node)
        try:
            running.add_node(**node)
            running.wait_for_nodes()
            # Ray makes the machine's own address of it; tests themselves connect to loopback only.
            yield "127.0.0.1:" + running.address.rpartition(":")[2]
        finally:
            running.shutdown()


def ray_workers() -> list[psutil.Process]:
    """The actors' processes, wherever they are in the tree."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        if line.startswith("ray::") and "_Actor" in line:
            found.append(process)
    return found


def kill_one(workers: list[psutil.Process]) -> bool:
    """Kill the first that is still there; the deadly file may have been quicker."""
    for worker in workers:
        with contextlib.suppress(psutil.NoSuchProcess):
            worker.send_signal(signal.SIGKILL)
            return True
    return False


def test_two_nodes_say_what_analyze_says_though_one_of_their_workers_is_killed(
    cluster: str,
    tmp_path: Path,
    evening: np.ndarray,
    settings: Settings,
    student: CryPipeline,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parts, "LONG_S", 50.0)
    monkeypatch.setattr(parts, "PART_WINDOWS", 63)
    rooms = tmp_path / "rooms"
    rooms.mkdir()
    soundfile.write(rooms / "long.wav", evening[: 130 * RATE], RATE, subtype="PCM_16")
    other = soxr.resample(evening[130 * RATE : 220 * RATE], RATE, 44_100)
    soundfile.write(rooms / "other.flac", np.stack([other, -0.3 * other], axis=1), 44_100)
    for number in range(5):
        write_killer(rooms / f"slow-{number}.wav", IS_SLOW)
    write_killer(rooms / "segfault.wav", SEGFAULTS)
    store = Store(tmp_path / "results", "abc")
    jobs = plan.gather([str(rooms)], find_recordings)
    killed = False
    with RayEngine(cluster) as engine:
        engine.prepare({"settings": plan.hearing_settings(settings), "fingerprint": None}, None, "student")
        assert engine.workers == 2, "one per core of both nodes"
        for tally in Run(jobs, store, embedder="student").work(engine):
            if tally.done >= 2 and not killed:
                killed = kill_one(ray_workers())
    assert killed
    assert tally.done == len(jobs)
    for job in jobs:
        found = store.read(job)
        assert found is not None
        if job.name == "segfault.wav":
            assert found["archive"]["code"] == "worker-killed"
        else:
            assert plain(found) == plain(student.analyze(job.path).to_dict()), job.name
    assert not list(store.partial.rglob("*.json"))


def test_recordings_in_s3_by_a_cluster_of_its_own(
    tmp_path: Path,
    a_cry: Path,
    a_non_cry: Path,
    student: CryPipeline,
    batch: Callable[..., Ran],
) -> None:
    rooms = tmp_path / "s3" / "archive" / "rooms"
    (rooms / "room 2").mkdir(parents=True)
    shutil.copy(a_cry, rooms / "room 2" / "a cry.flac")
    shutil.copy(a_non_cry, rooms / "vacuum.ogg")
    (rooms / "broken.wav").write_text("this is no sound")
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y", "AWS_DEFAULT_REGION": "us-east-1"}
    with s3_server(tmp_path / "s3") as (address, seen):
        ran = batch(
            "s3://archive/rooms",
            *("--engine", "ray", "--workers", "2"),
            out=tmp_path / "results",
            AWS_ENDPOINT_URL=address,
            **keys,
        )
    assert ran.status == 1, ran.err
    assert "1 of 3 recordings could not be used" in ran.err
    here = "s3://archive/rooms"
    by_path = {record["path"]: record for record in ran.records}
    assert sorted(by_path) == [f"{here}/broken.wav", f"{here}/room 2/a cry.flac", f"{here}/vacuum.ogg"]
    for name in ("room 2/a cry.flac", "vacuum.ogg"):
        assert plain(by_path[f"{here}/{name}"]) == plain(student.analyze(rooms / name).to_dict())
    assert any(line.startswith("GET /archive/rooms/room%202/a%20cry.flac bytes=") for line in seen)
    assert {row["name"]: row["started_from"] for row in ran.files}["vacuum.ogg"] == "modified"


def test_without_ray_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SettingsError, match=r"pip install 'crylens\[ray\]'"), RayEngine():
        pass


@pytest.mark.parametrize("address", ["127.0.0.1:9", "somewhere"])
def test_a_cluster_that_is_not_there(address: str) -> None:
    with pytest.raises(SettingsError, match=address), RayEngine(address):
        pass

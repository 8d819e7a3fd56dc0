"""``batch`` as people run it: real recordings, real worker processes, real deaths of both."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from running import IS_SLOW, RUNS_OUT_OF_MEMORY, SEGFAULTS, Ran, command, plain, read_results, write_killer

from pipeline.analysis import CryPipeline


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, a_cry: Path, another_cry: Path, a_non_cry: Path) -> Path:
    """Crying, other sounds, a file that is no sound, and two whose reader dies."""
    root = tmp_path_factory.mktemp("archive")
    (root / "room 2").mkdir()
    shutil.copy(a_cry, root / "2026-03-01_22-15-00.flac")
    shutil.copy(another_cry, root / "room 2" / "20260302T031500.ogg")
    shutil.copy(a_non_cry, root / "room 2" / "vacuum.ogg")
    (root / "broken.wav").write_text("this is no sound")
    write_killer(root / "room 2" / "segfault.wav", SEGFAULTS)
    write_killer(root / "room 2" / "memory.wav", RUNS_OUT_OF_MEMORY)
    return root


@pytest.fixture(scope="module")
def ran(folder: Path, batch: Callable[..., Ran], tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return batch(folder, "--workers", "2", out=tmp_path_factory.mktemp("out") / "results")


def test_the_same_as_analyze(ran: Ran, folder: Path, student: CryPipeline) -> None:
    good = [record for record in ran.records if record["error"] is None]
    assert len(good) == 3
    for record in good:
        assert plain(record) == plain(student.analyze(record["path"]).to_dict())
    assert sum(record["is_cry"] for record in good) == 2
    assert {Path(record["path"]).name for record in ran.records} == {p.name for p in folder.rglob("*.*")}


def test_a_file_that_kills_its_worker_is_recorded_and_the_others_go_on(ran: Ran) -> None:
    assert ran.status == 1
    assert "3 of 6 recordings could not be used" in ran.err
    rows = {Path(row["path"]).name: row for row in ran.files}
    assert "signal 11, SIGSEGV" in rows["segfault.wav"]["error"]
    assert "MemoryError" in rows["memory.wav"]["error"]
    assert {rows[name]["error_code"] for name in ("segfault.wav", "memory.wav")} == {"worker-killed"}
    assert rows["broken.wav"]["error_code"] == "not-audio"


def test_everything_is_there(ran: Ran) -> None:
    names = {path.name for path in ran.out.iterdir()}
    assert names >= {"files.parquet", "episodes.parquet", "files.csv", "episodes.csv", "files.jsonl"}
    assert names >= {"episodes.rttm", "episodes.raven.txt", "labels", "summary.html", "settings"}
    assert (ran.out / "labels" / "room 2" / "20260302T031500.ogg.txt").is_file()
    (about,) = (ran.out / "settings").glob("*.json")
    told = json.loads(about.read_text("utf-8"))
    assert told["embedder"] == "student"
    assert told["versions"]["numpy"]
    assert all(record["archive"]["fingerprint"] == about.stem for record in ran.records)
    rows = {Path(row["path"]).name: row for row in ran.files}
    assert rows["2026-03-01_22-15-00.flac"]["started_at"] == "2026-03-01T22:15:00.000"
    assert rows["vacuum.ogg"]["started_from"] == "modified"


def test_only_what_changed_is_done_again(
    folder: Path, batch: Callable[..., Ran], tmp_path: Path, a_cry: Path
) -> None:
    out, rooms = tmp_path / "results", tmp_path / "rooms"
    shutil.copytree(folder, rooms, ignore=shutil.ignore_patterns("*.wav"))
    assert batch(rooms, "--workers", "1", "-f", "csv", out=out).status == 0
    before = {path: path.stat().st_mtime_ns for path, _ in read_results(out)}
    os.utime(rooms / "room 2" / "vacuum.ogg")
    shutil.copy(a_cry, rooms / "new.flac")
    again = batch(rooms, "--workers", "1", "-f", "csv", out=out)
    assert "2 of 4 recordings are done already" in again.err
    fresh = {Path(found["path"]).name for path, found in read_results(out) if path not in before}
    assert fresh == {"vacuum.ogg", "new.flac"}
    assert all(path.stat().st_mtime_ns == time_ns for path, time_ns in before.items())
    assert len(again.files) == 4, "the table tells what is there now"
    assert not (out / "files.parquet").exists(), "only what was asked for"


@pytest.fixture
def slow_folder(tmp_path: Path, a_cry: Path) -> Path:
    root = tmp_path / "slow"
    for number in range(12):
        write_killer(root / f"{number:02}.wav", IS_SLOW)
    shutil.copy(a_cry, root / "a cry.flac")
    return root


def started(folder: Path, out: Path, surroundings: dict[str, str], results: int) -> subprocess.Popen[str]:
    """A run in full work: some results are there, others are not."""
    process = subprocess.Popen(
        command(folder, "--out", out, "--workers", "2"),
        # A job in a script's background is started deaf to Ctrl-C, and so would be whatever it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        env=surroundings,
        stderr=subprocess.PIPE,
        text=True,
    )
    until_there_are(results, out, process)
    return process


def until_there_are(results: int, out: Path, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 120
    while len(list(out.glob("recordings/*/*.json"))) < results:
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)


def test_killed_in_the_middle_and_gone_on_with(
    slow_folder: Path,
    tmp_path: Path,
    surroundings: dict[str, str],
    batch: Callable[..., Ran],
    student: CryPipeline,
) -> None:
    out = tmp_path / "results"
    process = started(slow_folder, out, surroundings, results=3)
    workers = psutil.Process(process.pid).children(recursive=True)
    assert len(workers) == 2
    workers[0].kill()  # the run gets over this,
    until_there_are(5, out, process)
    workers += psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)  # and over this it is gone on with
    process.communicate()
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert alive == [], "no worker outlives the run"
    before = {path: path.stat().st_mtime_ns for path, _ in read_results(out)}
    assert 5 <= len(before) < 13
    ran = batch(slow_folder, "--workers", "2", out=out)
    assert ran.status == 0
    assert f"{len(before)} of 13 recordings are done already" in ran.err
    assert {path: path.stat().st_mtime_ns for path in before} == before, "nothing is done twice"
    for record in ran.records:
        assert plain(record) == plain(student.analyze(record["path"]).to_dict())
    assert not [path for path in (out / ".partial").rglob("*") if path.is_file()]


def test_ctrl_c_stops_at_once_and_says_how_to_go_on(
    slow_folder: Path, tmp_path: Path, surroundings: dict[str, str]
) -> None:
    process = started(slow_folder, tmp_path / "results", surroundings, results=1)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "the same command goes on from there" in err
    assert "Traceback" not in err
    assert psutil.wait_procs(workers, timeout=20)[1] == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--engine", "local", "--address", "auto"], "--address auto is for --engine ray"),
        (["--format", "mp3"], "Format cannot be 'mp3'"),
        (["--embedder", "yamnet"], "CRY_YAMNET_HANDLE"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    arguments: list[str], told: str, folder: Path, tmp_path: Path, batch: Callable[..., Ran]
) -> None:
    ran = batch(folder, *arguments, out=tmp_path / "out", CRY_YAMNET_HANDLE=str(tmp_path))
    assert ran.status == 2
    assert told in ran.err

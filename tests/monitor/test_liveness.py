"""Green means that it listens; what is red is told, once, and what hangs is begun anew or ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from listening import ROOT, Monitor, crylens
from receiving import Receiver
from typer.testing import CliRunner

from pipeline.audio import SAMPLE_RATE
from pipeline.cli import app
from pipeline.monitor.alerts import Alerts, Rules
from pipeline.monitor.clock import SystemClock
from pipeline.monitor.ears import Ears
from pipeline.monitor.journal import Journal
from pipeline.monitor.liveness import Signs, Verdict, liveness, worst
from pipeline.monitor.models import Alert, Coverage, Health, Pulse
from pipeline.monitor.run import Ran, run
from pipeline.monitor.sources import Block, Skipped
from pipeline.monitor.store import Store, open_store
from pipeline.monitor.webhook import Webhook
from pipeline.settings import get_settings

AT = datetime(2026, 6, 1, 20, 0, tzinfo=UTC)
PULSE = {
    "room": "nursery",
    "run": "r",
    "source": "mic",
    "state": "listening",
    "words": "w",
    "at": AT,
    "sound_at": AT,
    "decided_at": AT,
    "level_dbfs": -40.0,
    "peak_dbfs": -30.0,
    "clipped": 0,
    "silent_s": 0.0,
    "stuck_s": 0.0,
    "score": 0.0,
    "threshold": 0.5,
    "late": 0,
    "lost_s": 0.0,
}
CHANNEL = {"name": "ntfy", "run": "r", "at": AT, "accepted_at": AT, "error": None, "probe_every_s": 300.0}


def ago(**time: float) -> datetime:
    return AT - timedelta(**time)


@pytest.mark.parametrize(
    ("changed", "light", "words"),
    [
        ({}, "green", "Listening to mic, level -40 dBFS"),
        ({"at": ago(minutes=5)}, "red", "not running, or cannot store anything, for 5:00"),
        ({"sound_at": ago(seconds=30)}, "red", "No sound has come for 0:30"),
        ({"decided_at": ago(seconds=8)}, "amber", "Decisions are 8 s behind"),
        ({"decided_at": ago(seconds=30)}, "red", "Sound that came 0:30 ago is not decided on"),
        ({"silent_s": 30.0, "stuck_s": 30.0}, "green", "Listening"),
        ({"silent_s": 90.0, "stuck_s": 90.0}, "amber", "Complete silence for 1:30: is the microphone muted?"),
        ({"silent_s": 3600.0, "stuck_s": 3600.0}, "red", "Complete silence for 1:00:00"),
        ({"stuck_s": 90.0}, "red", "one and the same value for 1:30"),
        ({"state": "retrying", "words": "Unplugged."}, "red", "Not listening: Unplugged."),
        ({"state": "stopped", "at": ago(days=1)}, "red", "Not listening"),
        ({"state": "starting"}, "amber", "starting"),
    ],
)
def test_green_means_that_it_listens(changed: dict[str, Any], light: str, words: str) -> None:
    (verdict,) = liveness(Signs([{**PULSE, **changed}]), AT)
    assert (verdict.light, words in verdict.words) == (light, True), verdict


def test_one_room_that_hangs_is_told_apart_from_a_monitor_that_is_dead() -> None:
    hung = {**PULSE, "room": "attic", "at": ago(seconds=40)}
    verdicts = liveness(Signs([PULSE, hung]), AT)
    assert [(one.room, one.light) for one in verdicts] == [("attic", "red"), ("nursery", "green")]
    assert "hangs" in verdicts[0].words
    assert "hangs" in liveness(Signs([hung], within=True), AT)[0].words  # it runs, since it asks
    old = {**PULSE, "room": "cellar", "run": "older", "at": ago(days=3)}
    assert [one.room for one in liveness(Signs([PULSE, old]), AT)] == ["nursery"]


@pytest.mark.parametrize(
    ("changed", "light"),
    [
        ([{}], None),
        ([{"at": None, "accepted_at": None}], None),  # nothing was asked of it yet
        ([{"error": "It answered 500."}], "amber"),  # it took something a moment ago
        ([{"error": "It answered 500.", "accepted_at": ago(minutes=20)}], "red"),
        ([{"error": "It answered 500.", "probe_every_s": None}], "red"),
        ([{"accepted_at": ago(minutes=20)}], "red"),
        ([{"accepted_at": ago(minutes=20), "probe_every_s": None}], None),
        ([{}, {"name": "mqtt", "error": "The broker is gone."}], "amber"),
        ([{"error": "no", "accepted_at": None}, {"name": "mqtt", "accepted_at": ago(days=1)}], "red"),
        ([{"error": "no", "run": "an older one"}], None),
    ],
)
def test_somebody_can_be_told_or_it_is_no_green(changed: list[dict[str, Any]], light: str | None) -> None:
    verdicts = liveness(Signs([PULSE], channels=[{**CHANNEL, **one} for one in changed]), AT)
    assert [one.light for one in verdicts] == ["green", *([light] if light else [])]
    assert [one.room for one in verdicts[1:]] == ([""] if light else [])


def test_alerts_that_do_not_arrive_and_a_history_that_cannot_be_written_are_no_green() -> None:
    waiting = [{"at": AT - timedelta(minutes=3), "error": "It answered 500."}]
    assert [verdict.light for verdict in liveness(Signs([PULSE], waiting), AT)] == ["green", "amber"]
    full = liveness(Signs([PULSE], trouble="The disk is full."), AT)
    assert full[1] == Verdict("", "red", "What is heard cannot be stored. The disk is full.")
    assert (worst(full), worst(full[:1])) == ("red", "green")
    assert liveness(Signs([]), AT)[0].light == "red"


class Pipe:
    """A source that gives ``sound`` in real time, again and again."""

    reopens = arrives = True

    def __init__(self, name: str = "cable") -> None:
        self.name = name
        self.sound = 0.01 * np.random.default_rng(0).standard_normal(SAMPLE_RATE // 10).astype(np.float32)

    def blocks(self) -> Iterator[Block | Skipped]:
        while True:
            time.sleep(0.1)
            yield Block(self.sound, SAMPLE_RATE, self.name)


class Hanging:
    """An embedder that, once told to, hangs in a system call as a driver or a native library does."""

    def __init__(self, embedder: Any) -> None:
        self._embedder = embedder
        self._read, self._write = os.pipe()
        self.times = 0
        self.hung = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._embedder, name)

    def embed_blocks(self, blocks: Any) -> Iterator[Any]:
        for frames in self._embedder.embed_blocks(blocks):
            if self.hung < self.times:
                self.hung += 1
                os.read(self._read, 1)
            yield frames

    def release(self) -> None:
        """All that hang go on."""
        os.write(self._write, b"x" * max(1, self.hung))


@pytest.fixture(scope="module")
def ears() -> Ears:
    return Ears.load(get_settings(embedder="student"), reasons=False)


class Running:
    """The loop, in a thread, on a history of its own."""

    def __init__(self, store: Store, ears: Ears, source: Any, **keywords: Any) -> None:
        self.store, self.stop, self.ran = store, threading.Event(), None
        self.verdicts: list[Verdict] = []

        def alive(verdicts: Any) -> None:
            self.verdicts = list(verdicts)

        def loop() -> None:
            self.ran = run(
                [("cot", source)], ears, store, SystemClock(), stop=self.stop, report_every_s=0, alive=alive,
                **keywords,
            )  # fmt: skip

        self._thread = threading.Thread(target=loop)
        self._thread.start()

    def until(self, there: Callable[[], object], timeout_s: float = 60.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not there():
            assert time.monotonic() < deadline, self.verdicts
            time.sleep(0.05)

    def end(self) -> Ran:
        self.stop.set()
        self._thread.join(60)
        assert self.ran is not None
        return self.ran


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(str(tmp_path / "history.db")) as opened:
        yield opened


def test_a_room_that_hangs_is_begun_anew_and_the_old_one_never_writes_again(store: Store, ears: Ears) -> None:
    embedder = Hanging(ears.embedder)
    running = Running(store, replace(ears, embedder=embedder), Pipe(), hangs_s=1.0)
    running.until(lambda: [one.light for one in running.verdicts] == ["green"])
    embedder.times = 1
    running.until(lambda: len(store.rows(Coverage)) == 2)
    first, second = store.rows(Coverage, order_by="started_at")
    assert (first["state"], second["state"]) == ("interrupted", "open")
    assert "Listening hung" in first["why"]
    assert [row["state"] for row in store.rows(Health)].count("restarted") == 1
    embedder.release()  # what hung goes on, hours later: it is none of its business any more
    time.sleep(1.5)
    assert running.end().hung is False
    stretches = store.rows(Coverage, order_by="started_at")
    assert stretches[0] == first
    assert (len(stretches), stretches[1]["state"]) == (2, "ended")
    assert stretches[1]["heard_s"] > second["heard_s"]


def test_a_monitor_whose_rooms_hang_again_and_again_ends(store: Store, ears: Ears) -> None:
    embedder = Hanging(ears.embedder)
    embedder.times = 99
    running = Running(store, replace(ears, embedder=embedder), Pipe(), hangs_s=0.5)
    running.until(lambda: running.ran is not None)
    ran = running.end()
    embedder.release()
    assert (ran.hung, ran.failed, ran.stored) == (True, 1, True)
    assert [row["state"] for row in store.rows(Coverage)] == ["interrupted"] * 4
    (pulse,) = store.rows(Pulse)
    assert "has not helped 3 times" in pulse["words"]


class Slow:
    """An embedder that takes twice as long as the sound it hears, as long as ``slow``."""

    def __init__(self, embedder: Any) -> None:
        self._embedder, self.slow = embedder, True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._embedder, name)

    def embed_blocks(self, blocks: Any) -> Iterator[Any]:
        for frames in self._embedder.embed_blocks(blocks):
            if self.slow:
                time.sleep(2 * 0.48 * len(frames))
            yield frames


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        ("muted", "cot: Complete silence for"),
        ("slow", "this computer does not keep up"),
        ("disk", "A write into the history has not come back for"),
    ],
)
def test_red_that_lasts_is_told_once_and_so_is_its_end(
    cause: str, words: str, store: Store, ears: Ears, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each a real one: zeros, a model that takes its time, a write that hangs in the kernel."""
    for name, seconds in {
        "liveness._SILENT_S": 0.5, "liveness._MUTED_S": 1.0, "liveness._LAGS_S": 1.0,
        "liveness._DECIDES_S": 2.0, "journal._SLOW_S": 1.0, "watching._CLEAR_S": 1.0,
    }.items():  # fmt: skip
        monkeypatch.setattr(f"pipeline.monitor.{name}", seconds)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    source, slow, write = Pipe(), Slow(ears.embedder), store.write
    slow.slow = cause == "slow"
    loud, (end, begin) = source.sound, os.pipe()
    if cause == "muted":
        source.sound = np.zeros_like(loud)
    with Receiver() as receiver:
        told = Running(
            store,
            replace(ears, embedder=slow),
            source,
            channels=[Webhook(receiver.address)],
            rules=Rules(trouble_after_s=1.0, cooldown_s=0.0),
        )
        if cause == "disk":
            told.until(lambda: told.verdicts)
            monkeypatch.setattr(store, "write", lambda rows: (os.read(end, 1), write(rows)))
        told.until(lambda: receiver.taken)
        slow.slow, source.sound = False, loud
        monkeypatch.setattr(store, "write", write)
        os.write(begin, b"x")
        told.until(lambda: len(receiver.taken) == 2)
        time.sleep(1.5)
        assert told.end().stored
    assert [message["event"] for message in receiver.taken] == ["trouble", "all-clear"]
    assert words in receiver.taken[0]["words"]
    assert [row["held"] for row in store.rows(Alert)] == [None, None]


def test_trouble_that_an_earlier_monitor_told_of_is_cleared_by_the_next(
    store: Store, ears: Ears, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.monitor.watching._CLEAR_S", 0.5)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Receiver() as receiver:
        journal = Journal(store, SystemClock(), run="earlier")
        earlier = Alerts(store, journal, SystemClock(), [Webhook(receiver.address)], Rules())
        assert earlier.trouble("cot", "Unplugged.", SystemClock().now())
        earlier.close()
        assert journal.close()
        running = Running(store, ears, Pipe(), channels=[Webhook(receiver.address)])
        running.until(lambda: len(receiver.taken) == 2)
        running.end()
    assert [message["event"] for message in receiver.taken] == ["trouble", "all-clear"]


def test_systemd_is_told_that_it_runs_and_how_things_are(
    night: Path, tmp_path: Path, monitor: Callable[..., Monitor], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(180)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        running = monitor("--source", night, "--room", "cot", "--store", tmp_path / "history.db")
        assert systemd.recv(4096) == b"READY=1"
        status = ""
        while "STATUS=green" not in status:  # at first it may be amber: it is starting
            first, _, status = systemd.recv(4096).decode().partition("\n")
            assert first == "WATCHDOG=1"
        assert running.end(signal.SIGTERM) == 0


STUCK = """
import sys, threading
from pathlib import Path
from pipeline.monitor.clock import SystemClock
from pipeline.monitor.watchdog import Watchdog
watchdog = Watchdog(SystemClock(), ends_s=2.0)
watchdog.ready()
if sys.argv[1] == "native":  # as in a library that never comes back, and never lets go of the interpreter
    import ctypes
    ctypes.PyDLL(None).sleep(600)
from pipeline.monitor.ears import Ears
from pipeline.monitor.run import run
from pipeline.monitor.source_files import FilesSource
from pipeline.monitor.store import open_store
from pipeline.settings import get_settings
watchdog._ends_s = 30.0
watchdog.alive([])
ears = Ears.load(get_settings(embedder="student"), reasons=False)
watchdog._ends_s, watchdog._next_s = 3.0, 0.0
with open_store(sys.argv[2]) as store:
    run([("cot", FilesSource(Path(sys.argv[3])))], ears, store, SystemClock(), stop=threading.Event(),
        report_every_s=1e-3, started=watchdog.ready, alive=watchdog.alive)
"""


@pytest.mark.parametrize("what", ["native", "terminal"])
def test_a_monitor_that_no_longer_gets_round_ends(what: str, night: Path, tmp_path: Path) -> None:
    """In a native call, and at a terminal that takes no more: standard error is a pipe that nobody reads."""
    read, write = os.pipe()
    stuck = subprocess.Popen(
        [sys.executable, "-c", STUCK, what, str(tmp_path / "h.db"), str(night)], cwd=ROOT, stderr=write
    )
    try:
        if what == "terminal":
            os.set_blocking(write, False)
            with suppress(BlockingIOError):
                while os.write(write, bytes(4096)):
                    pass
            os.set_blocking(write, True)
        assert stuck.wait(90) == 1
    finally:
        stuck.kill()
        os.close(read)
        os.close(write)


def test_the_status_of_a_monitor_that_runs_and_of_one_that_is_dead(
    store: Store, ears: Ears, tmp_path: Path
) -> None:
    def status(*more: str) -> Any:
        return CliRunner().invoke(app, ["monitor", "status", "--store", str(tmp_path / "history.db"), *more])

    running = Running(store, ears, Pipe())
    running.until(lambda: status().exit_code == 0)
    told = json.loads(status("--room", "cot", "--format", "json").stdout)
    assert [one["room"] for one in told["verdicts"]] == ["cot"]
    assert "no room 'attic'" in str(status("--room", "attic").exception)
    running.end()
    ended = status()
    assert (ended.exit_code, "cot: red: Not listening" in ended.stdout) == (1, True)
    # What the last write of a monitor that was killed said is true for a while; then it is not.
    (pulse,) = store.rows(Pulse)
    killed = Signs([{**pulse, "state": "listening"}])
    (verdict,) = liveness(killed, datetime.now(UTC) + timedelta(seconds=20))
    assert (verdict.light, "The monitor is not running" in verdict.words) == ("red", True)


def test_the_self_test_hears_its_cry_and_says_so_when_it_cannot(another_cry: Path) -> None:
    assert "Heard and stored" in crylens("monitor", "self-test").stderr
    assert "Heard and stored" in crylens("monitor", "self-test", "--cry", another_cry).stderr
    failed = crylens("monitor", "self-test", "--detection-threshold", "1", status=2)
    assert "The self-test failed" in failed.stderr

"""Sources that fail, stall and come back, each a real one; and names that mean no source."""

from __future__ import annotations

import importlib.util
import io
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soundfile
from listening import Monitor, crylens

from pipeline.audio import SAMPLE_RATE, load
from pipeline.errors import AudioError, CryError
from pipeline.monitor.clock import SystemClock
from pipeline.monitor.ears import Ears
from pipeline.monitor.journal import Journal
from pipeline.monitor.models import Coverage, EpisodeRow, Health, Pulse
from pipeline.monitor.room import Patience, Room
from pipeline.monitor.source_mic import MicrophoneSource
from pipeline.monitor.source_stream import StreamSource
from pipeline.monitor.sources import Block, Skipped, Source, parse_source
from pipeline.monitor.store import open_store
from pipeline.settings import get_settings

Start = Callable[..., Monitor]
QUICK = Patience(stall_s=1.0, first_s=0.1, longest_s=0.4, good_s=60.0)


@pytest.fixture(scope="module")
def ears() -> Ears:
    return Ears.load(get_settings(embedder="student"), reasons=False)


class Listening:
    """A room that listens in a thread, and its history."""

    def __init__(self, folder: Path, ears: Ears, source: Source) -> None:
        self.store = open_store(str(folder / "history.db"))
        self.journal = Journal(self.store, SystemClock(), run="test")
        self.room = Room("nursery", source, ears, self.journal, SystemClock(), patience=QUICK)
        self.thread = threading.Thread(target=self.room.run, daemon=True)
        self.thread.start()

    def until(self, there: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not there():
            assert time.monotonic() < deadline, self.room.status
            time.sleep(0.02)
            self.journal.flush()

    def count(self, table: Any, **wanted: object) -> int:
        return sum(wanted.items() <= row.items() for row in self.store.rows(table))

    def end(self) -> None:
        self.room.stop.set()
        self.thread.join(30)
        self.journal.close()
        self.store.close()


@pytest.fixture
def listen(tmp_path: Path, ears: Ears) -> Iterator[Callable[[Source], Listening]]:
    begun: list[Listening] = []

    def start(source: Source) -> Listening:
        begun.append(Listening(tmp_path, ears, source))
        return begun[-1]

    yield start
    for one in begun:
        one.end()


class Camera:
    """A server of one sound; ``stalls``: it then holds the connection without a word."""

    def __init__(self, sound: bytes, *, stalls: bool = False, port: int = 0) -> None:
        self.asked = 0
        self.released = threading.Event()
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                camera.asked += 1
                self.send_response(200)
                self.end_headers()
                self.wfile.write(sound)
                self.wfile.flush()
                if stalls:
                    camera.released.wait(60)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.released.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def cry_mp3(another_cry: Path) -> bytes:
    """A cry, twice over, as a web radio sends it."""
    samples = np.tile(load(another_cry).samples, 2)
    with io.BytesIO() as file:
        soundfile.write(file, np.stack([samples, samples], 1), SAMPLE_RATE, format="MP3")
        return file.getvalue()


def test_a_stream_that_breaks_off_is_opened_again_and_again(
    listen: Callable[[Source], Listening], cry_mp3: bytes
) -> None:
    camera = Camera(cry_mp3)
    try:
        heard = listen(StreamSource(f"http://user:secret@127.0.0.1:{camera.port}/cam.mp3?key=hidden"))
        heard.until(lambda: heard.count(EpisodeRow, state="ended") >= 3)
        heard.until(lambda: heard.count(Health, state="retrying") >= 3)
    finally:
        camera.close()
    assert camera.asked >= 3
    assert len(heard.store.rows(Coverage)) >= 3
    assert heard.count(Coverage, state="open") <= 1
    kept = [str(row) for table in (Coverage, EpisodeRow, Health, Pulse) for row in heard.store.rows(table)]
    assert f"http://127.0.0.1:{camera.port}/cam.mp3" in kept[0]
    assert not [row for row in kept if "secret" in row or "hidden" in row]


def test_a_stalled_stream_is_shown_and_tried_again(
    listen: Callable[[Source], Listening], cry_mp3: bytes
) -> None:
    camera = Camera(cry_mp3, stalls=True)
    try:
        address = f"http://127.0.0.1:{camera.port}/cam.mp3"
        heard = listen(StreamSource(address, read_s=30.0))
        heard.until(lambda: heard.count(Health, state="retrying") >= 2)
        states = [row for row in heard.store.rows(Health) if row["state"] == "retrying"]
        assert all("no sound has come for 1 s" in row["words"] for row in states)
        # What was open when it stalled is not lost: the coverage says that listening failed, and why.
        assert heard.count(Coverage, state="failed") >= 2
        assert heard.count(EpisodeRow) >= 2
    finally:
        camera.close()


def test_a_camera_that_is_switched_on_later_is_found(
    listen: Callable[[Source], Listening], cry_mp3: bytes
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    heard = listen(StreamSource(f"http://127.0.0.1:{port}/cam.mp3"))
    heard.until(lambda: heard.count(Health, state="retrying") >= 2)
    assert not heard.store.rows(Coverage)
    camera = Camera(cry_mp3, port=port)
    try:
        heard.until(lambda: heard.count(EpisodeRow) >= 1)
    finally:
        camera.close()


class Muted:
    """A microphone that gives nothing but zeros for a while, then a cry; as fast as it goes."""

    name, reopens, arrives = "microphone", False, True

    def __init__(self, silent_s: float, cry: Path) -> None:
        self._sound = np.concatenate([np.zeros(round(silent_s * SAMPLE_RATE), np.float32), load(cry).samples])

    def blocks(self) -> Iterator[Block | Skipped]:
        for block in np.array_split(self._sound, len(self._sound) // 1600):
            yield Block(block, SAMPLE_RATE, self.name)


def test_a_microphone_that_is_muted_for_long_needs_no_more_and_more_memory(
    listen: Callable[[Source], Listening], another_cry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a silent stretch holds back is let go of after an hour, here ten seconds; nothing is missed."""
    monkeypatch.setattr("pipeline.monitor.room._SILENT_S", 10.0)
    heard = listen(Muted(25.0, another_cry))
    heard.until(lambda: heard.count(Health, state="ended") == 1)
    stretches = heard.store.rows(Coverage, order_by="started_at")
    assert [round(row["heard_s"]) for row in stretches[:2]] == [10, 10]
    assert heard.count(EpisodeRow, coverage_id=stretches[2]["id"]) >= 1


def test_waits_grow_from_try_to_try(listen: Callable[[Source], Listening]) -> None:
    heard = listen(StreamSource("http://127.0.0.1:9/none"))
    heard.until(lambda: heard.count(Health, state="retrying") >= 4)
    words = [row["words"] for row in heard.store.rows(Health, order_by="at") if row["state"] == "retrying"]
    assert [line.rpartition("Next try in ")[2] for line in words][:4] == [
        "0.1 s.",
        "0.2 s.",
        "0.4 s.",
        "0.4 s.",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no-such-file.wav", "is not there"),
        ("pcm:s24:16000:1", "pcm:FORMAT:RATE:CHANNELS"),
        ("pcm:s16le:10:1", "from 1000 to 192000 Hz"),
        ("", "is not there"),
    ],
)
def test_what_is_no_source_is_said(text: str, said: str) -> None:
    with pytest.raises(CryError, match=said):
        parse_source(text)


def test_a_folder_without_recordings_is_said(tmp_path: Path) -> None:
    with pytest.raises(CryError, match="No recordings in"):
        parse_source(str(tmp_path))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing to listen to"),
        (["--source", "mic", "--room", "a", "--room", "b"], "2 rooms are named for 1 sources"),
        (["--source", "mic", "--room", "=cmd()"], "cannot be called so"),
        (["--source", "mic", "--source", "mic", "--room", "room 2"], "Two rooms are called"),
        (["--source", "-", "--source", "-"], "one room only"),
        (["--source", "mic", "--speed", "fast"], "Speed cannot be 'fast'"),
        (["--source", "mic", "--store", "mysql://here/there"], "is no place for a history"),
    ],
)
def test_what_cannot_be_begun_is_one_line(arguments: list[str], said: str, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from pipeline.cli import app

    store = [] if "--store" in arguments else ["--store", str(tmp_path / "h.db")]
    error = CliRunner().invoke(app, ["monitor", *arguments, *store]).exception
    assert isinstance(error, CryError)
    assert said in str(error)


def has_portaudio() -> bool:
    if importlib.util.find_spec("sounddevice") is None:
        return False
    try:
        import sounddevice  # noqa: F401
    except OSError:
        return False
    return True


@pytest.mark.skipif(has_portaudio(), reason="PortAudio is installed here")
def test_without_portaudio_all_other_rooms_are_heard(
    another_cry: Path, tmp_path: Path, monitor: Start
) -> None:
    assert "libportaudio2" in crylens("monitor", "--list-devices", status=2).stderr
    running = monitor(
        *("--source", "mic", "--room", "cot", "--source", another_cry, "--room", "file"),
        *("--speed", "max", "--store", tmp_path / "history.db"),
    )
    running.wait_for("cot: No microphone can be used")
    running.wait_for("file: cried from")
    running.wait_for("Next try in 2 s")
    assert running.end(signal.SIGTERM) == 0


class Device:
    """Stands for a sound card: gives blocks faster than they are taken, then is unplugged."""

    def __init__(
        self, *, callback: Callable[..., None], samplerate: int, blocksize: int, **_: object
    ) -> None:
        self._callback, self._block = callback, np.zeros((blocksize, 1), np.float32)
        assert samplerate == SAMPLE_RATE

    def __enter__(self) -> Device:
        overflow = type("Flags", (), {"input_overflow": False})()
        began = time.monotonic()
        for _ in range(50):
            self._callback(self._block, len(self._block), None, overflow)
        assert time.monotonic() - began < 1.0  # it never waits, though nobody takes them
        return self

    def __exit__(self, *_: object) -> None:
        pass


def test_what_a_microphone_loses_is_counted_and_one_unplugged_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    library = ModuleType("sounddevice")
    for name in ("_terminate", "_initialize", "check_input_settings"):
        setattr(library, name, lambda **_: None)
    library.PortAudioError = RuntimeError  # type: ignore[attr-defined]
    library.InputStream = Device  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sounddevice", library)
    monkeypatch.setattr("pipeline.monitor.source_mic._GONE_S", 0.2)
    blocks: list[Any] = []
    with pytest.raises(AudioError, match="still plugged in"):
        blocks.extend(MicrophoneSource(waiting_s=2.0).blocks())
    assert len(blocks) == 20
    assert sum(block.late for block in blocks) == 30
    assert sum(block.lost_s for block in blocks) == pytest.approx(3.0)

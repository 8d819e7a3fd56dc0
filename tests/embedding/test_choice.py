"""Which embedder is chosen: auto never fails nor waits long; one asked for by name is had or refused."""

from __future__ import annotations

import http.server
import io
import socket
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.embedding import first_wait, load_embedder
from pipeline.errors import EmbedderError, SettingsError
from pipeline.settings import PROJECT_ROOT, get_settings

NOBODY = "http://127.0.0.1:9/yamnet"


@pytest.fixture(autouse=True)
def _empty_hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "hub"))


@pytest.fixture
def silent_server() -> Iterator[str]:
    """An address that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/yamnet"


@contextmanager
def serving(archive: bytes | None) -> Iterator[str]:
    """A model home that answers at once whether it has the model, and then sends it, or (None) nothing."""
    over = threading.Event()

    class Home(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200)
            self.end_headers()

        def do_GET(self) -> None:
            if archive is None:
                over.wait(60)
                return
            self.send_response(200)
            self.end_headers()
            self.wfile.write(archive)

        def log_message(self, *_: object) -> None:
            """Keep the test's output clean."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Home)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/yamnet"
    finally:
        over.set()
        server.shutdown()
        server.server_close()


def test_auto_with_nothing_at_hand_is_the_student_and_says_so() -> None:
    chosen = load_embedder("auto", get_settings(yamnet_handle=NOBODY))
    assert chosen.name == "student"
    assert chosen.notice is not None
    assert NOBODY in chosen.notice
    assert "bundled embedder" in chosen.notice


def test_auto_gives_up_on_a_server_that_never_answers(silent_server: str) -> None:
    settings = get_settings(yamnet_handle=silent_server, yamnet_timeout_s=1)
    load_embedder("student", settings)  # so that only the waiting is timed
    started = time.monotonic()
    chosen = load_embedder("auto", settings)
    assert time.monotonic() - started < 3
    assert chosen.name == "student"
    assert "within 1 s" in str(chosen.notice)


def test_auto_gives_up_on_a_download_that_never_comes() -> None:
    with serving(None) as handle:
        started = time.monotonic()
        chosen = load_embedder("auto", get_settings(yamnet_handle=handle, yamnet_timeout_s=1))
        assert time.monotonic() - started < 45, "TensorFlow's own start is most of it; the server waits 60 s"
    assert chosen.name == "student"
    assert handle in str(chosen.notice)


def test_auto_downloads_once_where_the_address_answers(yamnet_dir: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as archive:
        archive.add(yamnet_dir, arcname=".")
    with serving(packed.getvalue()) as handle:
        settings = get_settings(yamnet_handle=handle, yamnet_timeout_s=30)
        assert load_embedder("auto", settings).name == "yamnet"
    again = load_embedder("auto", settings)
    assert (again.name, again.notice) == ("yamnet", None), "kept from the first time; the server is gone"


def test_auto_with_a_model_configured_is_yamnet_without_a_word(yamnet_dir: Path) -> None:
    settings = get_settings(yamnet_handle=str(yamnet_dir))
    chosen = load_embedder("auto", settings)
    assert (chosen.name, chosen.notice) == ("yamnet", None)
    assert first_wait("auto", settings) is None, "it is ready now"


def test_a_long_wait_is_announced(yamnet_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    at_hand, away = (get_settings(yamnet_handle=handle) for handle in (str(yamnet_dir), NOBODY))
    assert "first use" in str(first_wait("auto", at_hand))
    assert "fetching" in str(first_wait("yamnet", away))
    assert first_wait("student", at_hand) is None
    assert first_wait("yamnet", get_settings(yamnet_handle=str(tmp_path))) is None, "refused at once"


@pytest.mark.parametrize("content", [None, b"", b"not a model"])
def test_auto_with_a_broken_model_configured_says_so(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "saved_model.pb").write_bytes(content)
    chosen = load_embedder("auto", get_settings(yamnet_handle=str(tmp_path)))
    assert chosen.name == "student"
    assert str(tmp_path) in str(chosen.notice)


def test_the_student_by_name_asks_nobody(silent_server: str) -> None:
    chosen = load_embedder("student", get_settings(yamnet_handle=silent_server, yamnet_timeout_s=300))
    assert (chosen.name, chosen.notice) == ("student", None)


def test_the_setting_decides_when_no_name_is_given() -> None:
    chosen = load_embedder(None, get_settings(embedder="student", yamnet_handle=NOBODY))
    assert (chosen.name, chosen.notice) == ("student", None)


def test_yamnet_by_name_is_had_or_refused() -> None:
    with pytest.raises(EmbedderError, match=NOBODY):
        load_embedder("yamnet", get_settings(yamnet_handle=NOBODY, yamnet_timeout_s=1))


def test_an_unknown_name() -> None:
    with pytest.raises(SettingsError, match=r"'vggish'.*auto, yamnet, student"):
        load_embedder("vggish", get_settings())


def heard_without_tensorflow(yamnet_dir: Path, environment: dict[str, str]) -> list[str]:
    """Name and notice of what ``auto`` chooses, and what YAMNet by name says, as on a machine without it."""
    code = f"""
from pipeline.embedding import load_embedder
from pipeline.errors import EmbedderError
from pipeline.settings import get_settings
settings = get_settings(yamnet_handle={str(yamnet_dir)!r})
chosen = load_embedder("auto", settings)
print(chosen.name, chosen.notice, sep="\\n")
try:
    print(load_embedder("yamnet", settings).name)
except EmbedderError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT_ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_without_tensorflow(yamnet_dir: Path, tmp_path: Path, without_tensorflow: dict[str, str]) -> None:
    """In a fresh process where importing it fails, as on a machine set up from requirements-lite.txt."""
    nothing_kept = {**without_tensorflow, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    name, notice, refusal = heard_without_tensorflow(yamnet_dir, nothing_kept)
    assert name == "student"
    assert "TensorFlow, which YAMNet needs, is not installed" in notice
    assert "requirements.txt" in refusal
    assert "--embedder student" in refusal


def test_without_tensorflow_but_converted_before(
    yamnet: object, yamnet_dir: Path, without_tensorflow: dict[str, str]
) -> None:
    del yamnet  # loading it has left the converted network in the cache
    assert heard_without_tensorflow(yamnet_dir, without_tensorflow) == ["yamnet", "None", "yamnet"]

"""Fetching corpora, from a server on this machine that can resume, break off, lie and refuse."""

from __future__ import annotations

import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.errors import DataError, SettingsError
from pipeline.training.data import prepare, read_manifest
from pipeline.training.fetch import fetch

DONOR = "0D1AD73E-4C5E-45F3-85C4-9A3CB71E8856"
CLEANED = "donateacry-corpus-master/donateacry_corpus_cleaned_and_updated_data"


@dataclass
class Site:
    """What the server does; tests change it."""

    address: str = ""
    content: bytes = b""
    ranges: bool = True
    tag: str = '"one"'
    break_at: list[int] = field(default_factory=list)  # bytes of body per answer, then the line is cut
    status: int = 200
    announce_length: bool = True
    asked: list[str | None] = field(default_factory=list)  # Range of each request


@pytest.fixture
def site() -> Iterator[Site]:
    state = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            state.asked.append(asked)
            if state.status != 200:
                self.send_error(state.status)
                return
            start = 0
            if asked and state.ranges and self.headers.get("If-Range") == state.tag:
                start = int(asked.removeprefix("bytes=").rstrip("-"))
                self.send_response(206)
                self.send_header(
                    "Content-Range", f"bytes {start}-{len(state.content) - 1}/{len(state.content)}"
                )
            else:
                self.send_response(200)
            if state.announce_length:
                self.send_header("Content-Length", str(len(state.content) - start))
            self.send_header("ETag", state.tag)
            self.end_headers()
            body = state.content[start:]
            self.wfile.write(body[: state.break_at.pop(0)] if state.break_at else body)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    state.address = f"http://127.0.0.1:{server.server_port}/archive.zip"
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


def wav(seed: int) -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(seed).normal(0, 0.1, 8000)
    soundfile.write(buffer, noise, 8000, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def packed(files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as pack:
        for name, content in files.items():
            pack.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def donateacry() -> bytes:
    return packed(
        {
            f"{CLEANED}/hungry/{DONOR}-1434281991-1.1-f-04-hu.wav": wav(1),
            f"{CLEANED}/hungry/549a46d8-9c84-430e-ade8-97eae2bef787-1430130772174-1.7-m-48-hu.wav": wav(2),
            f"{CLEANED}/tired/{DONOR}-1434282085-1.1-f-04-ti.wav": wav(3),
            "donateacry-corpus-master/README.md": b"words",
            "donateacry-corpus-master/other/hungry/x.wav": wav(4),
        }
    )


@pytest.fixture(scope="module")
def esc50() -> bytes:
    table = (
        "filename,fold,target,category,esc10,src_file,take\n"
        "1-22694-A-20.wav,1,20,crying_baby,True,22694,A\n"
        "1-22694-B-20.wav,1,20,crying_baby,True,22694,B\n"
        "1-100032-A-0.wav,1,0,dog,True,100032,A\n"
        "9-missing-A-0.wav,1,0,dog,True,9,A\n"
    )
    names = ["1-22694-A-20.wav", "1-22694-B-20.wav", "1-100032-A-0.wav"]
    return packed(
        {"ESC-50-master/meta/esc50.csv": table.encode()}
        | {f"ESC-50-master/audio/{name}": wav(seed) for seed, name in enumerate(names)},
        zipfile.ZIP_DEFLATED,
    )


def get(site: Site, dest: Path, name: str = "donateacry", **options: object) -> list:
    return fetch([name], dest, {name: site.address}, timeout_s=5, **options)  # type: ignore[arg-type]


def test_donateacry_with_donors_and_licence(site: Site, donateacry: bytes, tmp_path: Path) -> None:
    site.content = donateacry
    heard: list[tuple[str, int, int | None]] = []
    (result,) = get(site, tmp_path, progress=lambda *step: heard.append(step))
    assert (result.clips, result.fresh) == (3, True)
    assert result.sha256 == hashlib.sha256(donateacry).hexdigest()
    assert heard[-1] == ("donateacry", len(donateacry), len(donateacry))
    clips = read_manifest(tmp_path)
    assert sorted(clip.label for clip in clips) == ["hungry", "hungry", "tired"]
    assert {clip.group for clip in clips} == {DONOR.lower(), "549a46d8-9c84-430e-ade8-97eae2bef787"}
    assert {(clip.kind, clip.source) for clip in clips} == {("cry", "donateacry")}
    assert all("ODbL" in clip.licence for clip in clips)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "donateacry",
        "donateacry.json",
        "manifest.csv",
    ]


def test_both_corpora_go_on_to_prepare(site: Site, donateacry: bytes, esc50: bytes, tmp_path: Path) -> None:
    site.content = donateacry
    get(site, tmp_path / "d")
    site.content = esc50
    get(site, tmp_path / "d", "esc50")
    clips = read_manifest(tmp_path / "d")
    assert {(c.kind, c.label, c.group) for c in clips if c.source == "esc50"} == {
        ("cry", "crying_baby", "22694"),
        ("not_cry", "dog", "100032"),
    }
    done = prepare(tmp_path / "d", tmp_path / "dataset", tmp_path / "det")
    assert done.reasons == {"hungry": 2, "tired": 1}
    assert done.kinds == {"cry": 5, "not_cry": 1}


def test_what_is_here_is_not_fetched_again(site: Site, donateacry: bytes, tmp_path: Path) -> None:
    site.content = donateacry
    get(site, tmp_path)
    (again,) = get(site, tmp_path)
    assert not again.fresh
    assert len(site.asked) == 1


def test_a_broken_line_is_resumed_in_the_same_call(site: Site, donateacry: bytes, tmp_path: Path) -> None:
    site.content = donateacry
    site.break_at = [10_000, 15_000]
    (result,) = get(site, tmp_path)
    assert result.sha256 == hashlib.sha256(donateacry).hexdigest()
    assert site.asked == [None, "bytes=10000-", "bytes=25000-"]


def test_an_interrupted_download_is_resumed_by_the_next_call(
    site: Site, donateacry: bytes, tmp_path: Path
) -> None:
    site.content = donateacry

    def stop(_name: str, done: int, _total: int | None) -> None:
        raise KeyboardInterrupt

    site.break_at = [20_000]
    with pytest.raises(KeyboardInterrupt):
        get(site, tmp_path, progress=stop)
    kept = (tmp_path / "donateacry.zip.part").stat().st_size
    assert 0 < kept <= 20_000
    (result,) = get(site, tmp_path)
    assert result.clips == 3
    assert site.asked == [None, f"bytes={kept}-"]


def test_halves_of_two_archives_are_not_joined(site: Site, donateacry: bytes, tmp_path: Path) -> None:
    site.content, site.break_at = b"x" * 5000, [100, 0, 0, 0, 0]
    with pytest.raises(DataError) as caught:
        get(site, tmp_path)
    assert caught.value.code == "fetch-failed"
    site.content, site.tag, site.break_at = donateacry, '"two"', []
    assert get(site, tmp_path)[0].clips == 3


@pytest.mark.parametrize("change", ["no ranges", "weak tag"])
def test_servers_that_cannot_resume(change: str, site: Site, donateacry: bytes, tmp_path: Path) -> None:
    site.content, site.break_at = donateacry, [10_000]
    if change == "no ranges":
        site.ranges = False
    else:
        site.tag = 'W/"one"'
    assert get(site, tmp_path)[0].clips == 3


def test_short_bodies_without_end(site: Site, donateacry: bytes, tmp_path: Path) -> None:
    site.content, site.break_at = donateacry, [5000, 500, 500, 500, 500]
    with pytest.raises(DataError, match="6,500 bytes are kept") as caught:
        get(site, tmp_path)
    assert caught.value.code == "fetch-failed"


def test_a_short_body_of_unknown_length(site: Site, donateacry: bytes, tmp_path: Path) -> None:
    site.content, site.break_at, site.announce_length = donateacry, [30_000], False
    with pytest.raises(DataError, match="damaged") as caught:
        get(site, tmp_path)
    assert caught.value.code == "checksum-mismatch"
    assert get(site, tmp_path)[0].clips == 3


def test_a_corrupted_body_is_found_by_its_crc(site: Site, donateacry: bytes, tmp_path: Path) -> None:
    spoilt = bytearray(donateacry)
    spoilt[5000] ^= 0xFF
    site.content = bytes(spoilt)
    with pytest.raises(DataError, match="CRC") as caught:
        get(site, tmp_path)
    assert caught.value.code == "checksum-mismatch"
    assert list(tmp_path.iterdir()) == []


def test_an_expected_checksum_is_held(site: Site, donateacry: bytes, tmp_path: Path) -> None:
    site.content = donateacry
    with pytest.raises(DataError, match="SHA-256") as caught:
        get(site, tmp_path, sha256={"donateacry": "0" * 64})
    assert caught.value.code == "checksum-mismatch"
    assert list(tmp_path.iterdir()) == []
    right = hashlib.sha256(donateacry).hexdigest().upper()
    assert get(site, tmp_path, sha256={"donateacry": right})[0].clips == 3


def test_not_found_refused_and_no_address(site: Site, tmp_path: Path) -> None:
    site.status = 404
    with pytest.raises(DataError, match="404") as caught:
        get(site, tmp_path)
    assert caught.value.code == "fetch-failed"
    for address in ("http://127.0.0.1:9/a.zip", "file:///etc/hosts", "ftp://127.0.0.1/a"):
        with pytest.raises(DataError) as caught:
            fetch(["esc50"], tmp_path, {"esc50": address}, timeout_s=2)
        assert caught.value.code == "fetch-failed"
        assert address in str(caught.value)


def test_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*_: object, **__: object) -> None:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr("socket.create_connection", nobody)
    monkeypatch.delenv("https_proxy", raising=False)
    monkeypatch.delenv("HTTPS_PROXY", raising=False)
    with pytest.raises(DataError, match="Check the network") as caught:
        fetch(["donateacry"], tmp_path, timeout_s=2)
    assert caught.value.code == "fetch-failed"


def test_unknown_names(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="esc50"):
        fetch(["esc-5000"], tmp_path)


@pytest.mark.parametrize("evil", ["../../evil.wav", "/tmp/evil.wav", "..\\evil.wav", "C:/evil.wav"])
def test_paths_that_lead_out_are_refused(evil: str, site: Site, tmp_path: Path) -> None:
    site.content = packed({f"{CLEANED}/hungry/a.wav": wav(0), evil: wav(1)})
    with pytest.raises(DataError, match="leads out") as caught:
        get(site, tmp_path / "in")
    assert caught.value.code == "archive-unsafe"
    assert not list(tmp_path.rglob("*.wav"))


def test_bombs_are_refused(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.training.fetch.MAX_MEMBER_BYTES", 10_000)
    site.content = packed({f"{CLEANED}/hungry/a.wav": bytes(10**6)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(DataError) as caught:
        get(site, tmp_path)
    assert caught.value.code == "archive-unsafe"
    monkeypatch.setattr("pipeline.training.fetch.MAX_MEMBERS", 2)
    site.content = packed({f"{CLEANED}/hungry/{n}.wav": b"" for n in range(3)})
    with pytest.raises(DataError) as caught:
        get(site, tmp_path)
    assert caught.value.code == "archive-unsafe"
    assert list(tmp_path.iterdir()) == []


def test_archives_of_something_else(site: Site, tmp_path: Path) -> None:
    site.content = packed({"readme.txt": b"hello"})
    for name in ("donateacry", "esc50"):
        with pytest.raises(DataError, match="none of the recordings"):
            get(site, tmp_path, name)
    site.content = b"<html>Log in to this hotel's network</html>"
    with pytest.raises(DataError, match="damaged"):
        get(site, tmp_path)

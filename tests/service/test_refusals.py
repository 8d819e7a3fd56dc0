"""What the service refuses, and how; nothing stops it: every refusal is followed by an answer."""

from __future__ import annotations

import io
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile
from serving import ROOT, Server, assert_problem, send

from pipeline.audio import SAMPLE_RATE
from pipeline.synthesis import DEMOS

MOST_BYTES = 1_000_000


def wav(seconds: float = 3.0, rate: int = SAMPLE_RATE) -> bytes:
    buffer = io.BytesIO()
    cry = np.tile(DEMOS["cry"].make().samples, 2)[: round(seconds * rate)]
    soundfile.write(buffer, cry, rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def tight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with narrow limits."""
    from serving import serving

    limits: dict[str, object] = {
        "max_upload_bytes": MOST_BYTES,
        "max_duration_s": 60,
        "decode_timeout_s": 5,
        "decode_memory_mb": 200,
        "body_timeout_s": 1.5,
        "workers": 1,
    }
    with serving(tmp_path_factory.mktemp("tight") / "log.jsonl", **limits) as server:  # type: ignore[arg-type]
        yield server


@pytest.fixture(autouse=True)
def _still_answers(tight: Server) -> Iterator[None]:
    yield
    with tight.client() as client:
        answer = send(client, "/classify", wav(1.0))
        assert answer.status_code == 200, answer.text


@pytest.fixture
def client(tight: Server) -> Iterator[httpx.Client]:
    with tight.client() as opened:
        yield opened


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.wav", b"\0" * 50_000_000)
    return buffer.getvalue()


def flac_bomb(seconds: int, rate: int = 8_000) -> bytes:
    """Silence in FLAC: hours in a few hundred kilobytes."""
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", rate, 1, format="FLAC", subtype="PCM_16") as file:
        for _ in range(seconds // 60):
            file.write(np.zeros(60 * rate, np.int16))
    return buffer.getvalue()


def with_nan() -> bytes:
    buffer = io.BytesIO()
    soundfile.write(
        buffer, np.full(SAMPLE_RATE, np.nan, np.float32), SAMPLE_RATE, format="WAV", subtype="FLOAT"
    )
    return buffer.getvalue()


def wav_claiming(rate: int, channels: int) -> bytes:
    data = b"\1\0" * 50_000
    head = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", 36 + len(data), b"WAVE", b"fmt ", 16, 1, channels, rate,
                       rate * channels * 2 & 0xFFFFFFFF, channels * 2 & 0xFFFF, 16)  # fmt: skip
    return head + b"data" + struct.pack("<I", len(data)) + data


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (lambda: b"", 400, "audio/empty"),
        (lambda: b"just some text", 415, "audio/not-audio"),
        (lambda: bytes(range(256)) * 20, 415, "audio/not-audio"),
        (zipped, 415, "audio/not-audio"),
        (lambda: b"\x1f\x8b\x08" + bytes(500), 415, "audio/not-audio"),
        (lambda: b"#EXTM3U\nhttp://127.0.0.1:1/a.wav\n", 415, "audio/not-audio"),
        (lambda: b"ffconcat version 1.0\nfile /etc/passwd\n", 415, "audio/not-audio"),
        (lambda: wav(0.05), 422, "audio/too-short"),
        (lambda: flac_bomb(120), 413, "audio/too-long"),
        (with_nan, 422, "audio/non-finite"),
        (lambda: wav_claiming(2_000_000_000, 1), 415, "audio/not-audio"),
        (lambda: wav_claiming(16_000, 65_000), 415, "audio/not-audio"),
        (lambda: bytes(MOST_BYTES + 200_000), 413, "audio/too-large"),
    ],
)
def test_what_is_no_recording(
    client: httpx.Client, content: Callable[[], bytes], status: int, code: str
) -> None:
    document = assert_problem(send(client, "/classify", content(), "thing.wav"), status, code)
    assert document["detail"]


def test_a_video_without_sound(client: httpx.Client, tmp_path: Path) -> None:
    import av

    path = tmp_path / "silent.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        for packet in [*stream.encode(av.VideoFrame(64, 64, "yuv420p")), *stream.encode(None)]:
            output.mux(packet)
    assert_problem(send(client, "/v1/analyze", path), 415, "audio/no-audio-track")


def test_a_damaged_recording_is_heard_as_far_as_it_goes(client: httpx.Client, another_cry: Path) -> None:
    whole = another_cry.read_bytes()
    answer = send(client, "/classify", whole[: len(whole) // 2]).json()
    assert 1 < answer["duration_s"] < 4
    assert "cut short" in answer["warnings"][0]


@pytest.mark.parametrize("seed", range(6))
def test_noise_in_the_file_of_a_recording(client: httpx.Client, another_cry: Path, seed: int) -> None:
    """Whatever a flipped byte does to a decoder, it is an answer or a refusal."""
    rng = np.random.default_rng(seed)
    content = bytearray(another_cry.read_bytes() if seed % 2 else wav())
    for where in rng.integers(0, len(content), 300 if seed % 2 else 20):
        content[where] = rng.integers(256)
    answer = send(client, "/classify", bytes(content))
    assert answer.status_code in (200, 400, 413, 415, 422)


def raw(server: Server, request: bytes, *, read_s: float = 10.0) -> bytes:
    """What a server answers to bytes as they are."""
    with socket.create_connection(("127.0.0.1", server.port), 5) as connection:
        connection.sendall(request)
        connection.settimeout(read_s)
        answer = b""
        while b"\r\n\r\n" not in answer or b"request_id" not in answer:
            got = connection.recv(65_536)
            if not got:
                break
            answer += got
        return answer


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("multipart/form-data", b"no boundary at all"),
        ("multipart/form-data; boundary=x", b"nothing of the kind"),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="file"'),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; filename="a"\r\n\r\nabc\r\n--x--',
        ),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\nabc\r\n--x--\r\n"),
        ("multipart/form-data; boundary=" + "y" * 300, b"--x--"),
    ],
)
def test_malformed_multipart(tight: Server, head: str, body: bytes) -> None:
    answer = raw(
        tight,
        f"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: {head}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
        + body,
    )
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 422")), answer
    assert b"application/problem+json" in answer
    assert b"request/" in answer


def test_what_is_no_http(tight: Server) -> None:
    get = b"GET /health HTTP/1.1\r\n"
    twice = get + b"Host: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc"
    for request in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", get + b"\r\n", twice):
        answer = raw(tight, request)
        assert answer.startswith(b"HTTP/1.1 400 Bad Request"), answer
        assert b"application/problem+json" in answer
        assert b'"code":"request/malformed"' in answer


def test_a_length_told_twice_hides_no_second_request(tight: Server) -> None:
    """Somebody before the service may have gone by the other length, and taken the rest for this body."""
    with socket.create_connection(("127.0.0.1", tight.port), 5) as connection:
        connection.sendall(
            b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 5\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n"
        )
        connection.settimeout(10)
        answers = b""
        while got := connection.recv(65_536):
            answers += got
    assert answers.count(b"HTTP/1.1 ") == 1
    assert answers.startswith(b"HTTP/1.1 400")


def test_many_large_uploads_at_once_do_not_fill_the_disk(tight: Server) -> None:
    """Eight that each may come, but not all at once: some are told to come back, and there is room again."""
    head = (
        b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        b"Content-Length: 990000\r\n\r\n--x\r\n"
        b'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    )
    open_ones = [socket.create_connection(("127.0.0.1", tight.port), 5) for _ in range(8)]
    try:
        for connection in open_ones:
            connection.sendall(head + bytes(980_000 - len(head)))
        told = []
        for connection in open_ones:
            connection.settimeout(15)
            told.append(connection.recv(65_536)[:12])
    finally:
        for connection in open_ones:
            connection.close()
    assert sorted(set(told)) == [b"HTTP/1.1 408", b"HTTP/1.1 503"], told
    assert 1 <= told.count(b"HTTP/1.1 503") <= 2


def test_it_may_have_as_many_connections_as_the_system_allows(tight: Server) -> None:
    import resource

    soft, hard = resource.prlimit(tight.process.pid, resource.RLIMIT_NOFILE)
    assert soft == min(hard, 65_536)


def test_forms_without_the_file_or_with_too_many(client: httpx.Client) -> None:
    assert_problem(client.post("/classify", files={"sound": b"x"}), 422, "request/invalid")
    several = [("file", ("a.wav", wav())), ("file", ("b.wav", wav()))]
    assert_problem(client.post("/classify", files=several), 400, "request/malformed")
    text = client.post("/classify", files={"x": (None, "y")}, data={"file": "text"})
    assert_problem(text, 422, "request/invalid")
    assert_problem(client.post("/classify", content=wav()), 415, "request/unsupported-media-type")
    assert_problem(client.post("/classify", json={"file": "x"}), 415, "request/unsupported-media-type")
    packed = send(client, "/classify", wav(), headers={"Content-Encoding": "gzip"})
    assert_problem(packed, 415, "request/unsupported-media-type")


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/classify", {"top_k": "0"}),
        ("/classify", {"top_k": "many"}),
        ("/classify", {"detection_threshold": "1.5"}),
        ("/v1/analyze", {"reason_threshold": "nan"}),
        ("/v1/analyze", {"detection_threshold": "-0.1"}),
    ],
)
def test_parameters_out_of_range(client: httpx.Client, path: str, query: dict[str, str]) -> None:
    document = assert_problem(send(client, path, wav(), params=query), 422, "request/invalid")
    [error] = document["errors"]  # type: ignore[misc]
    assert error["where"] == f"query.{next(iter(query))}"


def test_unknown_schema_and_long_recordings_have_no_features(client: httpx.Client) -> None:
    unknown = send(client, "/preprocess", wav(), params={"schema": "acoustic9000"})
    assert "mfccmel336" in str(assert_problem(unknown, 422, "features/unknown-schema")["detail"])


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "request/malformed"),
        (b"\xff\xfe", 400, "request/malformed"),
        (b"[]", 422, "request/invalid"),
        (b"{}", 422, "features/invalid"),
        (b'{"features": []}', 422, "features/invalid"),
        (b'{"features": [1, 2, 3]}', 422, "features/schema-mismatch"),
        (b'{"features": [1, 2, "x"]}', 422, "features/invalid"),
        (b'{"features": [' + b"0," * 107 + b"NaN]}", 422, "features/invalid"),
        (b'{"features": [' + b"0," * 107 + b"1e39]}", 422, "features/invalid"),
        (b'{"features": [' + b"0," * 107 + b'0], "schema": "mfccmel336"}', 422, "features/schema-mismatch"),
        (b'{"features": [' + b"0," * 107 + b'0], "reason_threshold": 2}', 422, "request/invalid"),
        (b'{"features": [' + b"0, " * 600_000 + b"0]}", 413, "request/too-large"),
        (b"[" * 100_000, 400, "request/malformed"),
    ],
)  # fmt: skip
def test_features_that_cannot_be_judged(client: httpx.Client, body: bytes, status: int, code: str) -> None:
    answer = client.post("/predict", content=body, headers={"Content-Type": "application/json"})
    assert_problem(answer, status, code)


@pytest.mark.parametrize("value", [-1e9, 1e9])
def test_extreme_features_are_judged(client: httpx.Client, value: float) -> None:
    answer = client.post("/predict", json={"features": [value] * 108})
    assert answer.status_code == 200
    assert sum(answer.json()["probabilities"].values()) == pytest.approx(1)


def test_there_is_nothing_else_here(client: httpx.Client) -> None:
    assert_problem(client.get("/nothing"), 404, "request/not-found")
    assert_problem(client.get("/classify/"), 404, "request/not-found")
    refused = client.get("/classify")
    assert_problem(refused, 405, "request/method-not-allowed")
    assert refused.headers["allow"] == "POST"
    assert_problem(client.post("/v1/hear"), 404, "request/not-found")


def test_too_large_is_refused_by_its_head(tight: Server) -> None:
    began = time.monotonic()
    answer = raw(
        tight,
        b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        b"Content-Length: 90000000000\r\n\r\n",
    )
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"audio/too-large" in answer
    assert time.monotonic() - began < 1


def test_too_large_is_refused_as_it_comes(tight: Server) -> None:
    """Chunked, so nothing in the head tells; refused long before the end of 500 MB."""
    sent = 0
    with socket.create_connection(("127.0.0.1", tight.port), 5) as connection:
        connection.sendall(
            b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        connection.sendall(b"%x\r\n%s\r\n" % (len(part), part))
        connection.settimeout(0.001)
        answer = b""
        while b"request_id" not in answer and sent < 500_000_000:
            try:
                answer += connection.recv(65_536)
            except TimeoutError:
                connection.settimeout(5)
                connection.sendall(b"%x\r\n%s\r\n" % (100_000, bytes(100_000)))
                connection.settimeout(0.001)
                sent += 100_000
    assert answer.startswith(b"HTTP/1.1 413")
    assert sent < 20 * MOST_BYTES


def test_slow_clients_are_given_up_on_and_hold_up_nobody(tight: Server) -> None:
    slow = [socket.create_connection(("127.0.0.1", tight.port), 5) for _ in range(30)]
    try:
        for number, connection in enumerate(slow):
            head = b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
            full = head + b"Content-Length: 500000\r\n\r\n--x\r\n"
            connection.sendall(full if number % 2 else head[:40])
        with tight.client() as client:
            began = time.monotonic()
            assert send(client, "/classify", wav()).status_code == 200
            assert time.monotonic() - began < 10
        slow[1].settimeout(15)
        assert b"408" in slow[1].recv(65_536)[:20]
    finally:
        for connection in slow:
            connection.close()


def test_a_head_that_never_ends(tight: Server) -> None:
    with socket.create_connection(("127.0.0.1", tight.port), 5) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\n")
        connection.settimeout(20)
        assert connection.recv(1000) == b""


def test_a_client_that_hangs_up_in_the_middle(tight: Server) -> None:
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", tight.port), 5) as connection:
            connection.sendall(
                b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
                b"Content-Length: 500000\r\n\r\n--x\r\n"
                b'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\nRIFF'
            )


def test_a_decoder_bomb_takes_its_process_and_nothing_else(start: Callable[..., Server]) -> None:
    """Hours of silence in few bytes, with a second to decode them."""
    server = start(decode_timeout_s=1, max_duration_s=360_000, workers=1)
    with server.client() as client:
        bomb = send(client, "/classify", flac_bomb(4 * 3600), "bomb.flac")
        assert_problem(bomb, 422, "audio/decoding-stopped")
        assert send(client, "/classify", wav()).status_code == 200
        assert 'crylens_decoders_replaced_total{reason="time"} 1.0' in client.get("/metrics").text


def test_decoders_that_are_killed_are_replaced_and_nobody_notices(tight: Server) -> None:
    killed = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == tight.process.pid and b"decoder_child" in (folder / "cmdline").read_bytes():
                os.kill(int(folder.name), signal.SIGKILL)
                killed += 1
        except (OSError, ProcessLookupError):
            continue
    assert killed == 1
    time.sleep(0.5)
    with tight.client() as client:
        assert send(client, "/classify", wav(1.0)).status_code == 200
        assert 'crylens_decoders_replaced_total{reason="died"} 1.0' in client.get("/metrics").text


def test_a_decoder_has_no_more_memory_than_it_is_given() -> None:
    code = (
        "from pipeline.service.decoder_child import _limit; _limit(64)\n"
        "try: bytearray(100 * 2**20)\n"
        "except MemoryError: print('no')\n"
        "bytearray(20 * 2**20)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "no\n"), done.stderr

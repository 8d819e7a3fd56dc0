"""Clients that speak no HTTP, send too much, too slowly or what blows up: the service goes on answering."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from made_recordings import flac_bomb, wav
from serving import MOST_BYTES, ROOT, Server, assert_problem, send

pytestmark = pytest.mark.usefixtures("still_answers")


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

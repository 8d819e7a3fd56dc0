"""Real servers on the loopback: each is a process of its own, as a user would start it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parent.parent.parent
MOST_BYTES = 1_000_000  # of an upload, where the limits are narrow
STARTING_S = 240.0  # seconds on an idle machine, minutes on a busy one


@dataclass
class Server:
    """A running service."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def client(self, timeout: float = 60.0) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=timeout, trust_env=False, verify=False)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def stop(self, sign: int = signal.SIGTERM) -> int:
        """Ask it to stop; its exit status."""
        self.process.send_signal(sign)
        return self.process.wait(30)

    def wait_ready(self) -> None:
        deadline = time.monotonic() + STARTING_S
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()[-2000:]
            try:
                with self.client() as client:
                    if client.get("/ready").status_code == 200:
                        return
            except httpx.TransportError:
                pass
            time.sleep(0.2)
        raise AssertionError(f"not ready: {self.log.read_text()[-2000:]}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(
    log: Path, role: str = "all", port: int | None = None, wait: bool = True, **settings: object
) -> Iterator[Server]:
    """A service with ``CRY_SERVE_…`` settings, ended at the end."""
    port = port or free_port()
    environment = {**os.environ, "CRY_EMBEDDER": "student", "CRY_SERVE_RATE_PER_MINUTE": "0"}
    environment |= {f"CRY_SERVE_{name.upper()}": str(value) for name, value in settings.items()}
    command = [sys.executable, "-m", "pipeline", "serve", "--port", str(port), "--role", role]
    with log.open("ab") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
    server = Server(process, f"http://127.0.0.1:{port}", log)
    try:
        if wait:
            server.wait_ready()
        yield server
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def send(
    client: httpx.Client, path: str, recording: Path | bytes, name: str = "cry.wav", **options: object
) -> httpx.Response:
    """Post a recording as the part "file"."""
    content = recording if isinstance(recording, bytes) else recording.read_bytes()
    return client.post(path, files={"file": (name, content)}, **options)  # type: ignore[arg-type]


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, object]:
    """A well-formed problem document of that code; its members."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document["code"] == code
    assert document["status"] == status
    assert document["type"] == f"urn:crylens:problem:{code.replace('/', ':')}"
    assert document["title"]
    assert document["request_id"] == answer.headers["x-request-id"]
    told = answer.text
    assert "Traceback" not in told
    assert "/tmp" not in told
    assert "pipeline/" not in told
    return document

"""Monitors as processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
STARTING_S = 90.0


def crylens(*arguments: object, status: int = 0) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself, with that exit status."""
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "CRY_EMBEDDER": "student", "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == status, done.stderr[-3000:]
    return done


def episodes(store: Path) -> list[dict[str, Any]]:
    """What the history says was cried, by time."""
    return [json.loads(line) for line in crylens("history", "export", "--store", store).stdout.splitlines()]


class Monitor:
    """``python -m pipeline monitor`` with the bundled embedder, while the context lasts."""

    def __init__(self, *arguments: str, stdin: int | None = subprocess.DEVNULL) -> None:
        self.lines: list[str] = []
        self._arguments, self._stdin = arguments, stdin

    def __enter__(self) -> Monitor:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pipeline", "monitor", "--no-reasons", *self._arguments],
            cwd=ROOT,
            stdin=self._stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "CRY_EMBEDDER": "student", "OMP_NUM_THREADS": "1"},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(30)
        self._reader.join(10)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()

    @property
    def said(self) -> str:
        return "\n".join(self.lines)

    def wait_for(self, words: str, times: int = 1, timeout_s: float = STARTING_S) -> None:
        """Until it has said something so often."""
        deadline = time.monotonic() + timeout_s
        while self.said.count(words) < times:
            over = self.process.poll() is not None and not self._reader.is_alive()
            assert not over, self.said
            assert time.monotonic() < deadline, f"waited for {words!r}:\n{self.said}"
            time.sleep(0.05)

    def end(self, sign: int | None = None) -> int:
        """Its exit status, after a signal or by itself."""
        if sign is not None:
            self.process.send_signal(sign)
        status = self.process.wait(120)
        self._reader.join(10)
        return status

    def kill(self) -> None:
        """As a power cut would."""
        self.end(signal.SIGKILL)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.decode().rstrip())

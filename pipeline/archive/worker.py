"""A worker process from the side of who started it, and how many of them a machine can take."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pipeline

Task = Mapping[str, Any]
Answer = dict[str, Any]

# Peak memory of one worker, measured (docs/scaling.md), with a quarter to spare.
_BYTES_PER_WORKER = {"student": 550 * 2**20, "yamnet": 640 * 2**20}
# Libraries count the cores of the host and would each start as many threads; one worker is one thread.
_ONE_THREAD = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"),
    *("NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS"),
)


class WorkerDied(Exception):  # noqa: N818 - told, not raised to people
    """The process ended during a task; the message says how."""


class Worker:
    """One worker process; started at the first task, and again after it died."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Start nothing yet.

        Args:
            config: what to hear with, as in :mod:`pipeline.archive.ears`.
        """
        self._config = json.dumps(config)
        self._process: subprocess.Popen[bytes] | None = None
        self._killed = False
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()

    def ask(self, task: Task) -> Answer:
        """Have a task done.

        Raises:
            WorkerDied: the process ended without an answer.
        """
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(task).encode() + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError:  # a broken pipe
            line = b""
        if not line.endswith(b"\n"):
            raise WorkerDied(self._last_words(process))
        answer: Answer = json.loads(line)
        return answer

    def kill(self) -> None:
        """End the process for good, in the middle of a task as well; from any thread."""
        self._killed = True
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        """End the process and let go of everything; nobody may be asking meanwhile."""
        self.kill()
        if self._process is not None:
            self._reap(self._process)
        self._said.close()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        if self._process is not None:
            self._reap(self._process)
        self._said.seek(0)
        self._said.truncate()
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.archive.ears"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=_environment(),
            start_new_session=True,  # Ctrl-C is for who started it, who ends the worker then
        )
        self._process = process
        if self._killed:
            process.kill()
        assert process.stdin is not None
        with suppress(OSError):  # it is gone already: ask() finds that out
            process.stdin.write(self._config.encode() + b"\n")
        return process

    @staticmethod
    def _reap(process: subprocess.Popen[bytes]) -> None:
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):  # what it did not take any more
                    pipe.close()

    def _last_words(self, process: subprocess.Popen[bytes]) -> str:
        status = process.wait()
        if status < 0:
            name = signal.Signals(-status).name if -status in set(signal.Signals) else "unknown"
            return f"signal {-status}, {name}"
        self._said.seek(0)
        lines = self._said.read()[-2000:].decode("utf-8", "replace").strip().splitlines()
        return f"exit status {status}" + (f": {lines[-1]}" if lines else "")


def usable_workers(embedder: str) -> int:
    """How many workers this machine can take: one per core that is ours, as far as memory reaches."""
    from joblib import cpu_count

    cores = int(cpu_count())  # minds affinity and the limits of containers
    memory = _available_bytes()
    if memory is None:
        return cores
    return max(1, min(cores, memory // _BYTES_PER_WORKER[embedder]))


def _available_bytes() -> int | None:
    """Memory to be had without swapping, of the machine or the container; None where nobody says."""
    found = []
    with suppress(OSError):  # another system, or no limit
        lines = Path("/proc/meminfo").read_text().splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        if limit != "max":
            used = Path("/sys/fs/cgroup/memory.current").read_text()
            found.append(max(0, int(limit) - int(used)))
    return min(found) if found else None


def _environment() -> dict[str, str]:
    """Ours, with one thread per library and this very package to be found first."""
    root = str(Path(pipeline.__file__).resolve().parent.parent)
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": path}
    return {**os.environ, **dict.fromkeys(_ONE_THREAD, "1"), **quiet}

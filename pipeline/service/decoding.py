"""Decoding in other processes: a few that wait for uploads, and one for each live stream.

What they answer is held to be as untrustworthy as what they were given: lengths are checked, samples too, and
nothing is unpickled. One that dies, overruns its memory or takes too long is replaced.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
import uuid
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.audio import Waveform
from pipeline.errors import AudioError
from pipeline.service import DECODER_OUT_OF_MEMORY
from pipeline.service.logs import say
from pipeline.service.metrics import Metrics
from pipeline.service.problems import Problem, busy
from pipeline.settings import PROJECT_ROOT, Settings

_START_S = 60.0
_JOBS_PER_PROCESS = 1_000  # then it is replaced, whatever it leaked
_LONGEST_LINE = 1 << 20
_SECRETS = ("TOKEN", "SECRET", "PASSWORD", "KEY", "CREDENTIAL")


@dataclass(frozen=True)
class Upload:
    """A file that came in: where it is spooled, what the client calls it, its size in bytes."""

    path: Path
    name: str
    size: int


class Decoders:
    """A pool of decoding processes.

    Args:
        settings: how many, and their limits.
        metrics: where time and losses are counted.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings, self._metrics = settings, metrics
        self._idle: asyncio.Queue[_Child] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._folder = tempfile.TemporaryDirectory(prefix="crylens-")
        self._children: set[_Child] = set()

    @property
    def folder(self) -> Path:
        """Where uploads and samples lie while they are worked on."""
        return Path(self._folder.name)

    async def start(self) -> None:
        """Start the processes; returns when one can work."""
        for _ in range(self._settings.serve_workers):
            self._later(self._add())
        child = await asyncio.wait_for(self._idle.get(), _START_S)
        self._idle.put_nowait(child)

    async def stop(self) -> None:
        """End them, and remove what they left."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(child.kill() for child in list(self._children)))
        self._folder.cleanup()

    @asynccontextmanager
    async def decoded(self, upload: Upload, most_s: float | None = None) -> AsyncIterator[Waveform]:
        """The sound of an upload, on disk rather than in memory, while the context lasts.

        Args:
            most_s: longest sound accepted, in seconds, where that is less than the setting.

        Raises:
            AudioError: it cannot be used.
            Problem: decoding took too much memory or time; or no process was free for long (503).
        """
        out = self.folder / f"{uuid.uuid4().hex}.f32"
        most_s = min(self._settings.serve_max_duration_s, most_s or np.inf)
        given = {"max_duration_s": most_s, "min_duration_s": self._settings.min_duration_s}
        job = {"path": str(upload.path), "out": str(out), "name": upload.name, "settings": given}
        began = time.monotonic()
        try:
            reply = await self._ask(job)
            self._metrics.decode_seconds.observe(time.monotonic() - began)
            yield _waveform(reply, out, upload.name)
        finally:
            out.unlink(missing_ok=True)

    async def _ask(self, job: dict[str, Any]) -> dict[str, Any]:
        child = await self._free()
        try:
            reply = await asyncio.wait_for(child.ask(job), self._settings.serve_decode_timeout_s)
        except TimeoutError:
            await self._replace(child, "time")
            raise _stopped(f"{self._settings.serve_decode_timeout_s:g} s") from None
        except _ChildGone as gone:
            await self._replace(child, gone.reason)
            raise _stopped("is allowed") from None
        except BaseException:  # cancelled in between: what it would answer next belongs to this job
            await self._replace(child, "cancelled")
            raise
        if child.jobs >= _JOBS_PER_PROCESS:
            await self._replace(child, "age")
        else:
            self._idle.put_nowait(child)
        return reply

    async def _free(self) -> _Child:
        """A process that lives and has nothing to do."""
        while True:
            try:
                child = await asyncio.wait_for(self._idle.get(), _START_S)
            except TimeoutError:
                raise busy(5) from None
            if not child.is_gone:
                return child
            await self._replace(child, "died")  # while it waited: no upload is to blame

    async def _replace(self, child: _Child, reason: str) -> None:
        self._metrics.decoders_replaced.labels(reason).inc()
        if reason != "age":
            say("decoder replaced", reason=reason, jobs=child.jobs)
        self._children.discard(child)
        self._later(self._add())
        await child.kill()

    def _later(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _add(self) -> None:
        """Start a process, again and again until it works."""
        while True:
            child = _Child(await _spawn(self._settings, "files", stderr=DEVNULL))
            self._children.add(child)
            with suppress(_ChildGone, TimeoutError):
                await asyncio.wait_for(child.answer(), _START_S)
                self._idle.put_nowait(child)
                return
            self._children.discard(child)
            await child.kill()
            say("decoder did not start")
            await asyncio.sleep(1)


class _ChildGone(Exception):  # noqa: N818 - not an error of ours
    """The process ended instead of answering."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Child:
    """One decoding process."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.jobs = 0

    @property
    def is_gone(self) -> bool:
        """Whether it has ended."""
        return self._process.returncode is not None

    async def ask(self, job: dict[str, Any]) -> dict[str, Any]:
        """Its answer to a job."""
        self.jobs += 1
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(job).encode() + b"\n")
            await self._process.stdin.drain()
        except ConnectionError as error:
            raise _ChildGone(await self._why()) from error
        return await self.answer()

    async def answer(self) -> dict[str, Any]:
        """The next line it writes."""
        assert self._process.stdout is not None
        try:
            line = await self._process.stdout.readline()
            reply = json.loads(line) if line.endswith(b"\n") else None
        except (ValueError, ConnectionError):
            reply = None
        if not isinstance(reply, dict):
            raise _ChildGone(await self._why())
        return reply

    async def _why(self) -> str:
        with suppress(TimeoutError):
            status = await asyncio.wait_for(self._process.wait(), 1)
            if status == DECODER_OUT_OF_MEMORY:
                return "memory"
            if status == -signal.SIGXCPU:
                return "time"
        return "died"

    async def kill(self) -> None:
        """End it, and wait for its end."""
        await end(self._process)


async def end(process: Process) -> None:
    """Kill a process that may be gone already, and collect it."""
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()


async def _spawn(settings: Settings, mode: str, *more: str, stderr: int) -> Process:
    """A decoding process, without this one's secrets."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("CRY_") and not any(word in name.upper() for word in _SECRETS)
    }
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    limits = (str(settings.serve_decode_memory_mb), str(settings.serve_decode_timeout_s))
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pipeline.service.decoder_child", mode, *limits, *more),
        stdin=PIPE,
        stdout=PIPE,
        stderr=stderr,
        env=environment | threads,
        cwd=PROJECT_ROOT,
        limit=_LONGEST_LINE,
        start_new_session=True,  # Ctrl-C is for the service, which then ends its decoders itself
    )


async def spawn_stream(settings: Settings) -> Process:
    """A process that decodes one live stream, from its standard input to its standard output."""
    given = {"max_duration_s": settings.max_duration_s, "min_duration_s": settings.min_duration_s}
    return await _spawn(settings, "stream", json.dumps(given), stderr=PIPE)


def _waveform(reply: dict[str, Any], out: Path, name: str) -> Waveform:
    if "error" in reply:
        raise AudioError(str(reply.get("message")), str(reply["error"]))
    count, rate, warnings = reply.get("samples"), reply.get("rate"), reply.get("warnings")
    if not isinstance(count, int) or not 0 < count == out.stat().st_size // 4:
        raise AudioError(f"{name}: it could not be decoded.", "decoding-stopped")
    samples = np.memmap(out, np.float32, mode="r", shape=(count,))
    notes = tuple(str(note) for note in warnings) if isinstance(warnings, list) else ()
    return Waveform(samples, name, rate if isinstance(rate, int) else None, notes)


def _stopped(limit: str) -> Problem:
    return Problem(
        "audio/decoding-stopped", f"Decoding it took more memory or time than {limit}, so it was stopped."
    )

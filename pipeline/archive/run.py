"""An archive run: what is not done yet is done, and every result kept as soon as it is there.

Recordings go to the engine one by one. Those that turn out long are heard in parts by all workers, and then
put together. A recording whose worker dies is tried once more at the end, alone, in a fresh worker: the
memory that ran out may have been its neighbours'. If that one dies as well, the recording is recorded as the
cause.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pipeline import formats
from pipeline.archive import parts
from pipeline.archive.parts import Length, Part
from pipeline.archive.plan import Job
from pipeline.archive.store import Store
from pipeline.archive.worker import Answer, Task
from pipeline.embedding.base import FRAME_HOP_S

KILLED = "worker-killed"


class Engine(Protocol):
    """Whatever has tasks done by worker processes; it answers in any order, and every task once."""

    workers: int

    def prepare(self, config: Mapping[str, Any], workers: int | None, embedder: str | None) -> None:
        """As :meth:`pipeline.archive.local_engine.LocalEngine.prepare`."""
        ...

    def run(self, tasks: Iterable[Task], *, alone: bool = False) -> Iterator[tuple[Task, Answer]]:
        """As :meth:`pipeline.archive.local_engine.LocalEngine.run`."""
        ...


@dataclass(slots=True)
class Tally:
    """How far a run is.

    Attributes:
        jobs, done: recordings in all, and with a result (earlier runs' included).
        bytes, bytes_done: of what this run has to do.
        heard_s: seconds of audio heard by this run.
    """

    jobs: int
    done: int
    bytes: int
    bytes_done: float = 0.0
    heard_s: float = 0.0

    def count(self, bytes_done: float, heard_s: float) -> None:
        """Add to what was done; recordings heard again after an accident count once."""
        self.bytes_done = min(self.bytes, self.bytes_done + bytes_done)
        self.heard_s += heard_s


class Run:
    """The recordings of one run on their way through an engine into a store."""

    def __init__(
        self, jobs: Iterable[Job], store: Store, *, embedder: str, retry_errors: bool = False
    ) -> None:
        """See what is left to do.

        Args:
            embedder: its name, for the records of recordings that could not be used.
            retry_errors: analyse again what could not be used last time.
        """
        known = list(jobs)
        self._store, self._embedder = store, embedder
        left = [job for job in known if not store.is_done(job, retry_errors=retry_errors)]
        # The largest first: none is left for one worker at the end while the others have nothing to do.
        self._left = {job.path: job for job in sorted(left, key=lambda job: -job.size)}
        self._dead: list[Job] = []
        self.tally = Tally(len(known), len(known) - len(left), sum(job.size for job in left))

    def work(self, engine: Engine) -> Iterator[Tally]:
        """Do what is left.

        Yields:
            How far it is, after every answer; always the same object.

        Raises:
            CryError: the models cannot be had, or the engine broke down.
        """
        long: dict[str, Length] = {}
        for job, answer in self._answers(engine, [_hear(job) for job in self._left.values()]):
            if "long" in answer:
                long[job.path] = Length(**answer["long"])
            else:
                self._take(job, answer)
            yield self.tally
        yield from self._work_on_long_ones(engine, long)
        again, self._dead = self._dead, []
        for job, answer in self._answers(engine, [_hear(job, whole=True) for job in again], alone=True):
            self._take(job, answer, last_try=True)
            yield self.tally

    def _work_on_long_ones(self, engine: Engine, long: Mapping[str, Length]) -> Iterator[Tally]:
        """Parts of each by all workers, then each put together, or heard whole where that cannot be."""
        plans = {path: _planned(length, engine.workers, len(long)) for path, length in long.items()}
        tasks = [task for path, planned in plans.items() for task in self._tasks(path, planned, long[path])]
        for job, answer in self._answers(engine, tasks):
            if "part" in answer:
                part = answer["part"]
                self._store.put_part(job, {**part, "took_s": answer["took_s"]})
                self.tally.count(job.size / len(plans[job.path]), len(part["scores"]) * FRAME_HOP_S)
            elif "record" in answer or "died" in answer:
                self._take(job, answer)
            yield self.tally
        dead = {job.path for job in self._dead}
        last = [
            self._last_task(p, planned) for p, planned in plans.items() if p in self._left and p not in dead
        ]
        for job, answer in self._answers(engine, last):
            self._take(job, answer, heard_already=True)
            yield self.tally

    def _tasks(self, path: str, planned: list[Part], length: Length) -> list[Task]:
        """What is to be done about a long recording: it, whole, or its parts but those kept from before."""
        job = self._left[path]
        if not planned:
            return [_hear(job, whole=True)]
        kept = {(part["first"], part["count"]) for part in self._store.parts(job)}
        missing = [part for part in planned if (part.first, part.count) not in kept]
        self.tally.count(job.size * (1 - len(missing) / len(planned)), 0.0)
        return [
            {"do": "part", "path": path, "first": part.first, "count": part.count, "direct": length.direct}
            for part in missing
        ]

    def _last_task(self, path: str, planned: list[Part]) -> Task:
        job = self._left[path]
        kept = {(part["first"], part["count"]): part for part in self._store.parts(job)}
        found = [kept[part.first, part.count] for part in planned if (part.first, part.count) in kept]
        if found and len(found) == len(planned) and all(part["regular"] for part in found):
            return {"do": "join", "path": path, "parts": found}
        return _hear(job, whole=True)

    def _answers(
        self, engine: Engine, tasks: list[Task], *, alone: bool = False
    ) -> Iterator[tuple[Job, Answer]]:
        """The engine's answers to tasks of recordings that are still left when the answer comes."""
        if not tasks:
            return
        for task, answer in engine.run(tasks, alone=alone):
            if job := self._left.get(task["path"]):
                yield job, answer

    def _take(self, job: Job, answer: Answer, *, last_try: bool = False, heard_already: bool = False) -> None:
        """Keep a result, good or bad; put aside what killed its worker, the first time."""
        if "died" in answer and not last_try:
            if job not in self._dead:
                self._dead.append(job)
            return
        code, record = answer.get("code"), answer.get("record")
        if record is None:
            error = answer.get("error")
            if error is None:
                code = KILLED
                error = (
                    f"{job.path}: the process that analysed it ended twice ({answer['died']}), so it was "
                    "left out. The others are not affected."
                )
            record = formats.error_record(job.path, error, embedder=self._embedder)
        self._store.put(job, record, code=code, took_s=answer.get("took_s", 0.0))
        del self._left[job.path]
        self.tally.done += 1
        self.tally.count(job.size, 0.0 if heard_already else record["duration_s"] or 0.0)


def _hear(job: Job, *, whole: bool = False) -> Task:
    return {"do": "hear", "path": job.path, "size": job.size, "longest_s": None if whole else parts.LONG_S}


def _planned(length: Length, workers: int, long_ones: int) -> list[Part]:
    """The parts of a long recording; none where it is best heard whole.

    Decoding each part from the recording's beginning is worth it only where workers would otherwise be idle.
    """
    if workers == 1 or (not length.direct and long_ones >= workers):
        return []
    return parts.divided(length, workers)

"""Tasks done by worker processes of this machine."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

from pipeline.archive.worker import Answer, Task, Worker, WorkerDied, usable_workers
from pipeline.errors import CryError


class LocalEngine:
    """Worker processes, each with its own pipeline; a context manager that ends them."""

    def __init__(self) -> None:
        self.workers = 0
        self._all: list[Worker] = []

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def prepare(self, config: Mapping[str, Any], workers: int | None, embedder: str | None) -> None:
        """Have the next tasks done in another way.

        Args:
            config: what to hear with, as in :mod:`pipeline.archive.ears`.
            workers: processes, at least 1; each starts at its first task. None: what the machine can take.
            embedder: whose need of memory counts then.
        """
        self._close()
        self.workers = workers or usable_workers(embedder or "student")
        self._all = [Worker(config) for _ in range(self.workers)]

    def _close(self) -> None:
        for worker in self._all:
            worker.kill()
        for worker in self._all:
            worker.close()
        self._all = []

    def run(self, tasks: Iterable[Task], *, alone: bool = False) -> Iterator[tuple[Task, Answer]]:
        """Do tasks in their order, and give each with its answer when it is there.

        Args:
            alone: one after the other.

        Yields:
            The answers of :mod:`pipeline.archive.ears`; ``{"died": how}`` for a task that ended its worker.

        Raises:
            CryError: the models cannot be had.
        """
        waiting = deque(tasks)
        answers: SimpleQueue[tuple[Task, Answer] | None] = SimpleQueue()
        team = self._all[:1] if alone else self._all[: max(1, len(waiting))]
        with ThreadPoolExecutor(len(team)) as threads:
            working = [threads.submit(_work, worker, waiting, answers) for worker in team]
            busy = len(working)
            try:
                while busy:
                    found = answers.get()
                    if found is None:
                        busy -= 1
                        continue
                    if "fatal" in found[1]:
                        raise CryError(found[1]["fatal"], found[1]["code"])
                    yield found
            finally:
                waiting.clear()
                if busy:  # stopped before the end: do not wait for what is being done
                    for worker in team:
                        worker.kill()
            for done in working:
                done.result()


def _work(worker: Worker, waiting: deque[Task], answers: SimpleQueue[tuple[Task, Answer] | None]) -> None:
    """Have one worker do what waits, until nothing does."""
    try:
        while True:
            try:
                task = waiting.popleft()
            except IndexError:
                return
            try:
                answers.put((task, worker.ask(task)))
            except WorkerDied as death:
                answers.put((task, {"died": str(death)}))
    finally:
        answers.put(None)

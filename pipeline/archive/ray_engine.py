"""The same tasks on Ray Data: processes of this machine, or of all machines of a cluster.

Each Ray actor has one worker process of ours (:mod:`pipeline.archive.worker`) and passes tasks on to it. So a
recording that kills its worker does not kill the actor, and is told from an actor or a machine that died for
other reasons: Ray starts those again somewhere and gives them their tasks again.

Every machine needs this package with its models, and has to see the recordings under the same paths or
addresses. Results come back to where the command runs; only that machine writes them.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pipeline
from pipeline.archive.worker import Answer, Task, Worker, WorkerDied, usable_workers
from pipeline.errors import CryError, SettingsError

# Tasks that go to an actor together, and whose answers come back together: about half a minute of work.
_BYTES_AT_ONCE, _TASKS_AT_ONCE = 32 * 2**20, 200
_ANSWERS_WITHIN_S = 10.0
_OBJECT_STORE_BYTES = 256 * 2**20  # tasks and answers are small; Ray would take a third of the memory


class RayEngine:
    """A Ray cluster: one that is there, or one of its own for as long as the context lasts."""

    def __init__(self, address: str | None = None, workers: int | None = None) -> None:
        """Connect to nothing yet.

        Args:
            address: of the cluster ("host:port", or "auto" for one on this machine); None: one of its own.
            workers: processes that a cluster of its own has place for; None: what this machine can take.
        """
        self.workers = 0
        self._address, self._wanted = address, workers
        self._config: Mapping[str, Any] = {}

    def __enter__(self) -> RayEngine:
        """Connect.

        Raises:
            SettingsError: Ray is not installed, or there is no cluster at the address.
        """
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # it warns of what Ray Data itself does
        try:
            import ray
        except ImportError as error:
            raise SettingsError(
                "--engine ray needs Ray, which is not installed. Run: pip install 'crylens[ray]'."
            ) from error
        options = self._options()
        try:
            with _quiet():
                ray.init(**options, log_to_driver=False, logging_level="ERROR")
        except Exception as error:  # Ray raises bare exceptions when its processes do not come up
            ray.shutdown()
            what = f"reached at {self._address}" if self._address else "started on this machine"
            raise SettingsError(f"Ray cannot be {what}: {_first_line(error)}") from error
        ray.data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)  # each step is announced otherwise
        return self

    def __exit__(self, *_: object) -> None:
        import ray

        ray.shutdown()

    def _options(self) -> dict[str, Any]:
        # Where the package is not installed but run from its folder, actors find it there too.
        root = str(Path(pipeline.__file__).resolve().parent.parent)
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        options: dict[str, Any] = {"runtime_env": {"env_vars": {"PYTHONPATH": path}}}
        if self._address is not None:
            _require_somebody(self._address)
            return {**options, "address": self._address}
        return {
            **options,
            "address": "local",
            "num_cpus": self._wanted or usable_workers("student"),
            "object_store_memory": _OBJECT_STORE_BYTES,
            "include_dashboard": False,
        }

    def prepare(self, config: Mapping[str, Any], workers: int | None, embedder: str | None) -> None:
        """As :meth:`pipeline.archive.local_engine.LocalEngine.prepare`; at most one worker per core."""
        import ray

        cores = max(1, int(ray.cluster_resources().get("CPU", 1)))
        if workers is None and embedder is not None and self._address is None:
            workers = usable_workers(embedder)
        self.workers = min(workers or cores, cores)
        self._config = dict(config)

    def run(self, tasks: Iterable[Task], *, alone: bool = False) -> Iterator[tuple[Task, Answer]]:
        """As :meth:`pipeline.archive.local_engine.LocalEngine.run`.

        Raises:
            CryError: the models cannot be had, or Ray gave up.
        """
        import ray

        answers = self._one_by_one(tasks) if alone else self._shared_out(list(tasks))
        try:
            for task, answer in answers:
                if "fatal" in answer:
                    raise CryError(answer["fatal"], answer["code"])
                yield task, answer
        except ray.exceptions.RayError as error:
            raise CryError(
                f"Ray gave up: {_first_line(error)}. What is done is kept: the same command goes on from "
                "there.",
                "engine-failed",
            ) from error

    def _one_by_one(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Answer]]:
        import ray

        actor = ray.remote(_Actor).options(num_cpus=1, max_restarts=-1, max_task_retries=-1).remote()
        try:
            for task in tasks:
                yield task, ray.get(actor.ask.remote(self._config, task))
        finally:
            ray.kill(actor)

    def _shared_out(self, tasks: list[Task]) -> Iterator[tuple[Task, Answer]]:
        import ray

        bundles = [{"bundle": json.dumps([self._config, some])} for some in _bundled(tasks, self.workers)]
        actors = ray.data.ActorPoolStrategy(size=min(self.workers, len(bundles)))
        found = ray.data.from_items(bundles, override_num_blocks=len(bundles)).map_batches(
            _Actor, compute=actors, num_cpus=1, batch_size=1, batch_format="numpy"
        )
        for batch in found.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=0):
            for text in batch["answered"]:
                task, answer = json.loads(text)
                yield task, answer


class _Actor:
    """What a Ray actor does: pass tasks on to a worker process of its own."""

    def __init__(self) -> None:
        self._worker: Worker | None = None

    def ask(self, config: Mapping[str, Any], task: Task) -> Answer:
        self._worker = self._worker or Worker(config)
        try:
            return self._worker.ask(task)
        except WorkerDied as death:
            return {"died": str(death)}

    def __call__(self, batch: Mapping[str, Any]) -> Iterator[dict[str, list[str]]]:
        """One row: a bundle of tasks. Gives a row for each task."""
        config, tasks = json.loads(str(batch["bundle"][0]))
        for task in tasks:
            yield {"answered": [json.dumps([task, self.ask(config, task)])]}


def _bundled(tasks: list[Task], workers: int) -> Iterator[list[Task]]:
    """Short recordings together, everything else by itself; at least a few bundles for each worker."""
    total = sum(task.get("size", 0) for task in tasks)
    most = min(_BYTES_AT_ONCE, total // (4 * workers))
    bundle: list[Task] = []
    size = 0
    for task in tasks:
        bundle.append(task)
        size += task.get("size", 0)
        if "size" not in task or size > most or len(bundle) == _TASKS_AT_ONCE:
            yield bundle
            bundle, size = [], 0
    if bundle:
        yield bundle


def _require_somebody(address: str) -> None:
    """Refuse an address where nobody answers; Ray itself would try for a quarter of an hour.

    Raises:
        SettingsError: nobody does.
    """
    host, _, port = address.rpartition(":")
    if not port.isdecimal():
        return  # "auto", or something that Ray refuses at once
    try:
        socket.create_connection((host, int(port)), timeout=_ANSWERS_WITHIN_S).close()
    except (OSError, OverflowError) as error:
        raise SettingsError(f"There is no Ray cluster at {address}: {error}.") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what Ray's C++ says of its own logging, past Python, off standard error."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

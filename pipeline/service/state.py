"""What a running service holds: its role's engine, its limits, its figures."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

from pipeline.errors import CryError
from pipeline.service.engine import Engine, LocalEngine
from pipeline.service.limits import Admission
from pipeline.service.logs import say
from pipeline.service.metrics import Metrics
from pipeline.service.problems import Problem
from pipeline.settings import Settings

Role = Literal["all", "orchestrator", "preprocessor", "predictor"]
ROLES: tuple[Role, ...] = get_args(Role)
# An orchestrator waits for others rather than works.
_ORCHESTRATED_AT_ONCE = 32


class State:
    """Made once per application; models are loaded after the server has begun to listen.

    Args:
        role: what this process does.
        settings: limits, models, peers.
        failed: called when the models cannot be had; the service ends then.
    """

    def __init__(
        self, role: Role, settings: Settings, failed: Callable[[CryError], None] | None = None
    ) -> None:
        self.role: Role = role
        self.settings = settings
        self.metrics = Metrics(role)
        workers = _ORCHESTRATED_AT_ONCE if role == "orchestrator" else settings.serve_workers
        self.admission = Admission(workers, settings.serve_queue)
        self.metrics.watch("crylens_queue_waiting", "Requests waiting.", lambda: self.admission.waiting)
        self.metrics.watch("crylens_queue_running", "Requests at work.", lambda: self.admission.running)
        self.engine: Engine = self._engine()
        self.streams = 0
        self._failed = failed
        self._ready = False
        self._starting: asyncio.Task[None] | None = None

    def _engine(self) -> Engine:
        if self.role == "orchestrator":
            from pipeline.service.remote import RemoteEngine

            return RemoteEngine(self.settings, self.metrics)
        hears, judges = self.role != "predictor", self.role != "preprocessor"
        return LocalEngine(self.settings, self.metrics, hears=hears, judges=judges)

    @property
    def spool(self) -> Path:
        """Where uploads lie while they are worked on."""
        return self.engine.spool

    def require_ready(self) -> None:
        """Refuse until the models are loaded.

        Raises:
            Problem: they are not (503).
        """
        if not self._ready:
            raise Problem("service/starting", "Ask again in some seconds.", headers={"Retry-After": "5"})

    def begin(self) -> None:
        """Load the models, meanwhile."""
        self._starting = asyncio.get_running_loop().create_task(self._start())

    async def _start(self) -> None:
        try:
            await self.engine.start()
        except (CryError, TimeoutError, OSError) as error:
            told = error if isinstance(error, CryError) else CryError(f"The service cannot start: {error}")
            say("cannot start", logging.ERROR, reason=str(told))
            if self._failed:
                self._failed(told)
            return
        self._ready = True
        say("ready", role=self.role)

    async def end(self) -> None:
        """Stop taking requests, let go of models and processes."""
        self._ready = False
        if self._starting:
            await asyncio.gather(self._starting, return_exceptions=True)
        await self.engine.stop()

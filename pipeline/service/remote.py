"""The orchestrator's engine: it holds no model, and asks the preprocessor and the predictor over HTTP.

A call that found nobody is made again after a moment (with jitter, so that many callers do not come back at
once). A peer that fails again and again is not asked for a while: callers are told at once, and it is left
alone to recover.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from pipeline import __version__
from pipeline.service.answers import Hearing, reasons_of
from pipeline.service.decoding import Upload
from pipeline.service.logs import say
from pipeline.service.metrics import Metrics
from pipeline.service.problems import Problem, internal, of_document
from pipeline.settings import Settings

_TRIES = 4
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0
_CONNECT_S = 2.0
_FAILURES_TO_OPEN = 5
_OPEN_S = 2.0


class Breaker:
    """Circuit breaker: after some failures in a row nobody is let through for a while, then one to try.

    Args:
        failures: in a row, until it opens.
        open_s: for how long.
        clock: seconds, never going back.
    """

    def __init__(
        self,
        failures: int = _FAILURES_TO_OPEN,
        open_s: float = _OPEN_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most, self._open_s, self._clock = failures, open_s, clock
        self._failures = 0
        self._until = 0.0

    def lets_through(self) -> bool:
        """Whether to call now. While open, one caller per period is let through to try."""
        if self._failures < self._most:
            return True
        now = self._clock()
        if now < self._until:
            return False
        self._until = now + self._open_s
        return True

    def succeeded(self) -> None:
        """The peer answered: all is forgiven."""
        self._failures = 0

    def failed(self) -> bool:
        """The peer did not answer; true if that opened it."""
        self._failures += 1
        self._until = self._clock() + self._open_s
        return self._failures == self._most


class Peer:
    """Another role of this service.

    Args:
        name: "preprocessor" or "predictor".
        url: its address.
        settings: token and time-out.
        calls: counts calls by outcome.
    """

    def __init__(self, name: str, url: str, settings: Settings) -> None:
        self.name = name
        self.url = url.rstrip("/")
        self.headers = {"User-Agent": f"crylens/{__version__}"}
        if settings.serve_token:
            self.headers["Authorization"] = f"Bearer {settings.serve_token.get_secret_value()}"
        self._breaker = Breaker()
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=32, keepalive_expiry=3.0)
        timeout = httpx.Timeout(settings.serve_peer_timeout_s, connect=_CONNECT_S, pool=None)
        self._client = httpx.AsyncClient(
            base_url=self.url, headers=self.headers, limits=limits, timeout=timeout, trust_env=False
        )

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.aclose()

    async def ask(self, method: str, path: str, *, upload: Upload | None = None, **options: Any) -> Any:
        """The JSON of its answer.

        Args:
            upload: sent as the part "file".
            options: for httpx.

        Raises:
            Problem: it cannot be reached (503), or what it refused the call with.
        """
        for attempt in range(_TRIES):
            if not self._breaker.lets_through():
                raise self.unavailable()
            try:
                answer = await self._send(method, path, upload, options)
            except httpx.TransportError as error:
                if self._breaker.failed():
                    say("circuit open", peer=self.name)
                # What timed out is still being worked on there: asking again would double the load.
                if isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout) or attempt == _TRIES - 1:
                    raise self.unavailable() from error
                await _pause(attempt)
                continue
            self._breaker.succeeded()
            if answer.status_code == 200:
                return answer.json()
            problem = self._problem(answer)
            if problem.status_code != 503 or attempt == _TRIES - 1:
                raise problem
            await _pause(attempt)
        raise AssertionError("every attempt returns, raises or goes on")

    async def _send(
        self, method: str, path: str, upload: Upload | None, options: dict[str, Any]
    ) -> httpx.Response:
        if upload is None:
            return await self._client.request(method, path, **options)
        with upload.path.open("rb") as file:
            return await self._client.request(method, path, files={"file": (upload.name, file)}, **options)

    def _problem(self, answer: httpx.Response) -> Problem:
        try:
            document = answer.json()
        except ValueError:
            document = None
        told = (
            of_document(document, answer.headers.get("Retry-After")) if isinstance(document, dict) else None
        )
        if told is None or told.status_code in (401, 500):  # between us, and nothing a client could mend
            say("peer refused", peer=self.name, status=answer.status_code)
            return internal()
        return self.unavailable() if told.code == "service/starting" else told

    def unavailable(self) -> Problem:
        """What a caller is told when it does not answer (503)."""
        return Problem(
            f"service/{self.name}-unavailable",
            f"The {self.name} does not answer just now. Ask again in some seconds.",
            headers={"Retry-After": "3"},
        )


async def _pause(attempt: int) -> None:
    longest = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**attempt)
    await asyncio.sleep(random.uniform(longest / 2, longest))


class RemoteEngine:
    """Asks others; see :class:`pipeline.service.engine.Engine`."""

    def __init__(self, settings: Settings, _metrics: Metrics) -> None:
        self.preprocessor = Peer("preprocessor", settings.serve_preprocessor_url, settings)
        self.predictor = Peer("predictor", settings.serve_predictor_url, settings)
        self._folder = tempfile.TemporaryDirectory(prefix="crylens-")

    @property
    def spool(self) -> Path:
        """Where uploads lie until they were passed on."""
        return Path(self._folder.name)

    async def start(self) -> None:
        """Nothing to load: others may come later."""

    async def stop(self) -> None:
        """Let go of connections."""
        await asyncio.gather(self.preprocessor.close(), self.predictor.close())
        self._folder.cleanup()

    async def about(self) -> dict[str, Any]:
        """What the others say of themselves."""
        first, second = await asyncio.gather(
            self.preprocessor.ask("GET", "/ready"), self.predictor.ask("GET", "/ready")
        )
        return {**second, **first, "version": __version__, "role": "orchestrator"}

    async def hear(self, upload: Upload, threshold: float | None, *, describe_always: bool) -> Hearing:
        """By the preprocessor."""
        asked: dict[str, Any] = {"describe_always": describe_always}
        asked |= {} if threshold is None else {"detection_threshold": threshold}
        found = await self.preprocessor.ask("POST", "/v1/hear", upload=upload, params=asked)
        windows = [(float(time_s), float(score)) for time_s, score in found["windows"]]
        return Hearing(found["record"], windows, found["described"], found["reason_names"])

    async def describe(self, upload: Upload, schema: str) -> dict[str, Any]:
        """By the preprocessor."""
        found: dict[str, Any] = await self.preprocessor.ask(
            "POST", "/preprocess", upload=upload, params={"schema": schema}
        )
        return found

    async def judge(self, features: list[float], schema: str, threshold: float | None) -> dict[str, Any]:
        """By the predictor."""
        body: dict[str, Any] = {"features": features, "schema": schema}
        body |= {} if threshold is None else {"reason_threshold": threshold}
        return reasons_of(await self.predictor.ask("POST", "/predict", json=body))

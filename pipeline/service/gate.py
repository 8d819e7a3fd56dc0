"""What every request passes before anything is read of it, and what is noted of every answer.

Plain ASGI, so that bodies are refused by their head, counted as they arrive and given up on when they dawdle.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import re
import time
import uuid
from collections.abc import Callable, Set
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.service.kinds import MEDIA_TYPE
from pipeline.service.limits import Admission, RateLimit
from pipeline.service.logs import say
from pipeline.service.metrics import Metrics
from pipeline.service.problems import Problem, busy, internal
from pipeline.settings import Settings

UPLOADS = frozenset({"/preprocess", "/classify", "/v1/analyze", "/v1/hear"})
JSON = frozenset({"/predict"})
DOCS_FILES = "/docs/files"
_DOCS = {f"{DOCS_FILES}/{name}" for name in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png")}
OPEN = frozenset({"/health", "/ready", "/docs", "/openapi.json", *_DOCS})
_UNCOUNTED = OPEN | {"/metrics"}
ROUTES = UPLOADS | JSON | _UNCOUNTED | {"/v1/stream"}
_MOST_JSON = 2**20
_FORM_OVERHEAD = 64 * 2**10
_MOST_BODIES = 256  # uploads coming in at once; each may take its time
_MOST_HELD = 6  # so many of the largest uploads may lie on the disk at once
_LEAST_BYTES_PER_S = 4_096
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "WS"})
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Gate:
    """Identifier, token, origin, rate, size and pace of requests; log line and figures of answers.

    Args:
        app: what comes behind it.
        paths: those that there are.
        limits_rate: whether clients are told apart and held to the rate (roles behind an orchestrator have
            one client).
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: Settings,
        metrics: Metrics,
        admission: Admission,
        paths: Set[str],
        limits_rate: bool,
    ) -> None:
        self._app, self._settings, self._metrics, self._admission = app, settings, metrics, admission
        self._rate = RateLimit(settings.serve_rate_per_minute if limits_rate else 0)
        token = settings.serve_token
        self._token = hashlib.sha256(token.get_secret_value().encode()).digest() if token else None
        self._origins = origins_of(settings)
        self._bodies = self._held = 0
        self._with_body = (UPLOADS | JSON) & paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it here."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        note = _Note(scope, send, self._metrics, request_id)
        try:
            await self._through(scope, headers, receive, note)
        except Problem as problem:
            await note.answer(problem, receive)
        except Exception as error:  # noqa: BLE001 - the last line: whatever it is, it is logged and stays inside
            say("failed", logging.ERROR, exc_info=error, request_id=request_id)
            await note.answer(internal(), receive)
        finally:
            note.done()

    async def _through(self, scope: Scope, headers: Headers, receive: Receive, note: _Note) -> None:
        path = scope["path"]
        if "transfer-encoding" in headers and "content-length" in headers:
            # Whoever stands before this service may have gone by the other one (RFC 9112, 6.3).
            raise Problem("request/malformed", "Its length is told twice.", headers={"Connection": "close"})
        if path not in OPEN:
            self._require_token(headers)
        if path not in _UNCOUNTED:
            client = scope.get("client")
            self._rate.take(client[0] if client else "")
        if scope["type"] == "websocket":
            self._require_origin(headers)
        if scope["type"] != "http" or scope["method"] != "POST" or path not in self._with_body:
            await self._app(scope, receive, note.send)
            return
        most = self._most_bytes(path)
        _require_form(path, headers, most)
        self._admission.require_room()
        if self._bodies >= _MOST_BODIES:
            raise busy(self._admission.retry_after_s)
        self._bodies += 1
        body = _Body(receive, most, self._settings.serve_body_timeout_s, path, self._hold)
        try:
            await self._app(scope, body.receive, note.send)
        finally:
            self._bodies -= 1
            self._held -= body.held

    def _hold(self, more: int) -> None:
        if self._held + more > _MOST_HELD * self._settings.serve_max_upload_bytes:
            raise busy(self._admission.retry_after_s)
        self._held += more

    def _most_bytes(self, path: str) -> int:
        return self._settings.serve_max_upload_bytes + _FORM_OVERHEAD if path in UPLOADS else _MOST_JSON

    def _require_token(self, headers: Headers) -> None:
        if self._token is None:
            return
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not given:
            raise Problem(
                "access/token-missing",
                "Send it as 'Authorization: Bearer TOKEN'.",
                headers={"WWW-Authenticate": "Bearer"},
            )
        # Hashed first, so that not even the length shows in the time it takes.
        if not hmac.compare_digest(hashlib.sha256(given.strip().encode()).digest(), self._token):
            raise Problem(
                "access/token-wrong",
                "Ask whoever runs this service for the right one.",
                headers={"WWW-Authenticate": 'Bearer error="invalid_token"'},
            )

    def _require_origin(self, headers: Headers) -> None:
        """Browsers do not hold WebSockets to the same-origin rule, so the server has to."""
        origin = headers.get("origin")
        if origin is None or origin in self._origins or "*" in self._origins:
            return
        if urlsplit(origin).netloc != headers.get("host"):
            raise Problem(
                "access/origin-refused", "Whoever runs this service can allow it: CRY_SERVE_CORS_ORIGINS."
            )


def origins_of(settings: Settings) -> list[str]:
    """The origins whose pages may call."""
    return [origin.strip() for origin in settings.serve_cors_origins.split(",") if origin.strip()]


def _require_form(path: str, headers: Headers, most: int) -> None:
    """Refuse by the head alone what could not be used anyway."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem("request/unsupported-media-type", "Send the body without a content encoding.")
    if path in UPLOADS and kind != "multipart/form-data":
        raise Problem(
            "request/unsupported-media-type",
            "Send the recording as multipart/form-data, in a part named 'file': "
            "curl -F file=@cry.wav …/classify",
        )
    if path in JSON and kind != "application/json" and not kind.endswith("+json"):
        raise Problem("request/unsupported-media-type", "Send JSON, with Content-Type: application/json.")
    length = headers.get("content-length", "0")
    if length.isdecimal() and int(length) > most:
        raise _too_large(path, most)


def _too_large(path: str, most: int) -> Problem:
    family = "audio" if path in UPLOADS else "request"
    return Problem(f"{family}/too-large", f"At most {most:,} bytes are accepted.")


class _Body:
    """A body as it arrives: counted, and given up on when it dawdles.

    Attributes:
        held: bytes for which there was room.
    """

    def __init__(
        self, receive: Receive, most: int, patience_s: float, path: str, hold: Callable[[int], None]
    ) -> None:
        self._receive, self._most, self._patience_s, self._path = receive, most, patience_s, path
        self._hold = hold
        self._count = self.held = 0
        self._began = time.monotonic()
        self._complete = False

    async def receive(self) -> Message:
        """The next part.

        Raises:
            Problem: too large (413), too slow (408), or no room for it and the others (503).
        """
        if self._complete:  # from here on only a client that goes away is waited for
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), self._patience_s)
        except TimeoutError:
            raise self._too_slow() from None
        if message["type"] == "http.disconnect":
            return message
        self._count += len(message.get("body", b""))
        if self._count > self._most:
            raise _too_large(self._path, self._most)
        self._hold(self._count - self.held)
        self.held = self._count
        self._complete = not message.get("more_body", False)
        late_s = time.monotonic() - self._began - self._patience_s
        if not self._complete and late_s > self._count / _LEAST_BYTES_PER_S:
            raise self._too_slow()
        return message

    def _too_slow(self) -> Problem:
        return Problem(
            "request/too-slow",
            f"Nothing came for {self._patience_s:g} s, or less than {_LEAST_BYTES_PER_S:,} bytes a second.",
        )


class _Note:
    """What is noted of one request: status, length of time, and the code of its problem."""

    def __init__(self, scope: Scope, send: Send, metrics: Metrics, request_id: str) -> None:
        self._scope, self._send, self._metrics, self._id = scope, send, metrics, request_id
        self._began = time.perf_counter()
        self._status = 0
        self._code: str | None = None

    async def send(self, message: Message) -> None:
        """Pass a message on, with the request's identifier in its head."""
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            self._status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = self._id
            headers["X-Content-Type-Options"] = "nosniff"
            if headers.get("content-type") == MEDIA_TYPE:
                self._code = self._scope["state"].get("problem")
        elif message["type"] == "websocket.accept":
            self._status = 101
        await self._send(message)

    async def answer(self, problem: Problem, receive: Receive) -> None:
        """Send a problem, unless an answer has begun: then the connection ends in the middle of it."""
        if self._status:
            raise ConnectionAbortedError("the answer had begun")
        self._scope["state"]["problem"] = problem.code
        await problem.response(self._id)(self._scope, receive, self.send)

    def done(self) -> None:
        """Log and count."""
        took_s = time.perf_counter() - self._began
        method = self._scope.get("method", "WS")
        method = method if method in _METHODS else "other"  # as with paths: what a client wrote is no label
        route = self._scope["path"] if self._scope["path"] in ROUTES else "other"
        self._metrics.requests.labels(method, route, str(self._status)).inc()
        if method != "WS":
            self._metrics.seconds.labels(route).observe(took_s)
        if self._code:
            self._metrics.errors.labels(self._code).inc()
        if route in _UNCOUNTED:
            return
        said = {"route": route, "status": self._status, "ms": round(1000 * took_s, 1)}
        said |= {"problem": self._code} if self._code else {}
        say("request", request_id=self._id, method=method, **said)  # type: ignore[arg-type]

"""Runs the application under uvicorn: clients that only open a connection are not waited for, requests that
were accepted are finished."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from pipeline.errors import CryError
from pipeline.service import logs
from pipeline.service.app import create_app
from pipeline.service.problems import Problem
from pipeline.service.state import Role
from pipeline.settings import Settings

_LAST_REQUEST_S = 1.0
_LARGEST_FRAME = 2**20


class PatientButNotForever(H11Protocol):
    """uvicorn's HTTP/1.1, with a limit on how long the head of a request may take.

    When the server stops, connections that were just accepted get a moment to say what they want, instead of
    being closed with their request unread.
    """

    patience_s = 20.0  # for the head of a request, and for the rest of a body that was answered early
    _deadline: asyncio.TimerHandle | None = None
    _stopping = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client connected."""
        super().connection_made(transport)
        self._expect_request()

    def handle_events(self) -> None:
        """Bytes came."""
        before = self.cycle
        super().handle_events()
        if self.cycle is not before and self._deadline is not None:
            self._deadline.cancel()
            if self._stopping:
                self.cycle.keep_alive = False

    def handle_websocket_upgrade(self, event: Any) -> None:
        """The connection becomes a WebSocket."""
        if self._deadline is not None:
            self._deadline.cancel()
        super().handle_websocket_upgrade(event)

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP is refused with a problem document, like all else."""
        request_id = uuid.uuid4().hex
        answer = Problem("request/malformed", msg).response(request_id)
        head = [*answer.raw_headers, (b"x-request-id", request_id.encode()), (b"connection", b"close")]
        response = h11.Response(status_code=400, headers=head, reason=b"Bad Request")
        for event in (response, h11.Data(data=bytes(answer.body)), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def on_response_complete(self) -> None:
        """An answer was sent; what the client still sends of its request is passed over for a while."""
        self._expect_request()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """The server stops."""
        if self.cycle is None or self.cycle.response_complete:
            self._stopping = True
            if self._deadline is not None:
                self._deadline.cancel()
            self.loop.call_later(_LAST_REQUEST_S, self._close_if_idle)
        else:
            self.cycle.keep_alive = False

    def _expect_request(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(self.patience_s, self._close_if_idle)

    def _close_if_idle(self) -> None:
        if (self.cycle is None or self.cycle.response_complete) and not self.transport.is_closing():
            self.transport.close()


def serve(role: Role, settings: Settings, host: str, port: int) -> None:
    """Serve until a signal says to stop.

    Args:
        role: what this process does.
        settings: everything a user may set.
        host, port: where to listen; port 0 takes a free one.

    Raises:
        CryError: the models cannot be had, or the address cannot be listened on.
    """
    logs.configure()
    _allow_many_connections()
    failure: list[CryError] = []

    def failed(error: CryError) -> None:
        failure.append(error)
        server.should_exit = True

    options: dict[str, Any] = {"server_header": False, "access_log": False, "log_config": None}
    config = uvicorn.Config(
        create_app(role, settings, failed),
        host=host,
        port=port,
        http=type("Patient", (PatientButNotForever,), {"patience_s": settings.serve_body_timeout_s}),
        ws="websockets-sansio",
        ws_max_size=_LARGEST_FRAME,
        ws_per_message_deflate=False,
        proxy_headers=False,
        timeout_graceful_shutdown=settings.serve_shutdown_s or None,
        **options,
    )
    server = uvicorn.Server(config)
    try:
        server.run()
    except SystemExit as stopped:  # uvicorn's way to say that it could not listen; the reason is in the log
        raise CryError(
            f"The service cannot listen on {host}:{port}. Is something there already?"
        ) from stopped
    if failure:
        raise failure[0]


def _allow_many_connections() -> None:
    """As many open files as the system lets this process have: clients that dawdle use up the usual 1024."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))

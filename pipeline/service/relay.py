"""The orchestrator's live stream: messages passed on to the preprocessor and back, as they are."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress

import websockets
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect

from pipeline.service.problems import Problem, of_document
from pipeline.service.remote import Peer

_LARGEST_MESSAGE = 2**20
_OPEN_S = 5.0


async def relay(websocket: WebSocket, peer: Peer) -> None:
    """Hold a client's stream with a peer until either ends it.

    Raises:
        Problem: the peer cannot be reached, or refused the stream; the client is then not accepted.
    """
    address = f"{peer.url.replace('http', 'ws', 1)}/v1/stream?{websocket.url.query}"
    identified = {**peer.headers, "X-Request-ID": websocket.state.request_id}
    try:
        connection = await connect(
            address,
            additional_headers=identified,
            max_size=_LARGEST_MESSAGE,
            open_timeout=_OPEN_S,
            compression=None,
            proxy=None,
        )
    except websockets.InvalidStatus as refused:
        raise _told(refused) or peer.unavailable() from refused
    except (OSError, TimeoutError, websockets.WebSocketException) as error:
        raise peer.unavailable() from error
    async with connection:
        await websocket.accept()
        await _pass(websocket, connection, peer)


async def _pass(websocket: WebSocket, connection: ClientConnection, peer: Peer) -> None:
    up = asyncio.get_running_loop().create_task(_up(websocket, connection))
    try:
        with suppress(websockets.ConnectionClosed):
            async for message in connection:
                await websocket.send_text(message if isinstance(message, str) else message.decode())
        if up.done():
            return  # the client went first
        code = connection.close_code or 1006
        if code in (1006, 1012):
            lost = {"type": "error", **peer.unavailable().document(websocket.state.request_id)}
            await websocket.send_text(json.dumps(lost | {"type": "error"}))
            code = 1011
        await websocket.close(code, connection.close_reason)
    except WebSocketDisconnect:
        pass
    finally:
        up.cancel()
        with suppress(asyncio.CancelledError, WebSocketDisconnect, websockets.ConnectionClosed):
            await up


async def _up(websocket: WebSocket, connection: ClientConnection) -> None:
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            await connection.close()
            return
        given = message.get("bytes")
        await connection.send(message.get("text") or "" if given is None else given)


def _told(refused: websockets.InvalidStatus) -> Problem | None:
    try:
        document = json.loads(refused.response.body or b"")
    except ValueError:
        return None
    return of_document(document, refused.response.headers.get("Retry-After"))

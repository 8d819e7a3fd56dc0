"""``WS /v1/stream``: live sound in, scores and episodes out; what an analysis of the recording says.

The client sends binary messages of PCM samples or of a growing Ogg or WebM file, then the text ``end`` when
it is done. What it gets are JSON texts: ``ready``, ``scores``, ``episode_start``, ``episode_end``, ``end``,
or an ``error`` that is a problem document; docs/service.md has them all.
"""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Query, WebSocket
from numpy.typing import NDArray
from starlette.websockets import WebSocketDisconnect

from pipeline.audio import SAMPLE_RATE
from pipeline.errors import AudioError, CryError
from pipeline.service.decoding import end, spawn_stream
from pipeline.service.engine import LocalEngine
from pipeline.service.problems import Problem, busy, of_error
from pipeline.service.remote import RemoteEngine
from pipeline.service.state import State
from pipeline.settings import Settings
from pipeline.streaming import Heard, LiveListener

router = APIRouter()

Format = Literal["s16le", "f32le", "opus"]
_DTYPES: dict[str, np.dtype[Any]] = {"s16le": np.dtype("<i2"), "f32le": np.dtype("<f4")}
_SILENCE_S = 60.0  # a client that sends nothing for so long is gone
_MOST_AT_ONCE = 2**16
_DONE, _UNUSABLE = 1000, 1007  # how a WebSocket is closed


@router.websocket("/v1/stream")
async def stream(
    websocket: WebSocket,
    format: Annotated[Format, Query()] = "s16le",
    rate: Annotated[int, Query(ge=1_000, le=192_000)] = SAMPLE_RATE,
    channels: Annotated[int, Query(ge=1, le=8)] = 1,
    detection_threshold: Annotated[float | None, Query(ge=0, le=1, allow_inf_nan=False)] = None,
) -> None:
    """Live sound."""
    state: State = websocket.app.state.service
    state.require_ready()
    with _counted(state):
        if isinstance(state.engine, RemoteEngine):
            from pipeline.service.relay import relay

            await relay(websocket, state.engine.preprocessor)
            return
        engine = state.engine
        assert isinstance(engine, LocalEngine)
        await websocket.accept()
        source: Any
        if format == "opus":
            source, rate = _decoded(websocket, state.settings), SAMPLE_RATE
        else:
            source = _pcm(websocket, _DTYPES[format], channels)
        threshold = engine.threshold if detection_threshold is None else detection_threshold
        with LiveListener(
            engine.embedder, engine.head, sample_rate=rate, threshold=threshold, settings=state.settings
        ) as listener:
            with suppress(WebSocketDisconnect):
                await _converse(websocket, engine, listener, source)
            state.metrics.audio_seconds.labels("/v1/stream").inc(listener.duration_s)


@contextmanager
def _counted(state: State) -> Iterator[None]:
    """One of the streams that may be open at once.

    Raises:
        Problem: there are enough (503).
    """
    if state.streams >= state.settings.serve_max_streams:
        raise busy(30, f"{state.streams} live streams are open, which is as many as there may be.")
    state.streams += 1
    state.metrics.streams.inc()
    try:
        yield
    finally:
        state.streams -= 1
        state.metrics.streams.dec()


async def _converse(websocket: WebSocket, engine: LocalEngine, listener: LiveListener, source: Any) -> None:
    rules = listener.rules
    ready = {"embedder": engine.embedder.name, "notice": engine.embedder.notice, "threshold": rules.onset}
    await _say(websocket, "ready", **ready, window_s=rules.window_s, hop_s=rules.hop_s)
    episodes = 0
    try:
        async with source as samples:
            async for block in samples:
                episodes += await _tell(websocket, await engine.run(partial(listener.push, block)))
        episodes += await _tell(websocket, await engine.run(listener.finish))
    except (CryError, Problem) as error:
        problem = error if isinstance(error, Problem) else of_error(error)
        await _say(websocket, "error", **problem.document(websocket.state.request_id))
        await websocket.close(_UNUSABLE, problem.code)
        return
    heard = {"duration_s": round(listener.duration_s, 3), "cry_probability": listener.cry_probability}
    await _say(websocket, "end", **heard, is_cry=listener.cry_probability >= rules.onset, episodes=episodes)
    await websocket.close(_DONE)


async def _say(websocket: WebSocket, kind: str, **fields: Any) -> None:
    await websocket.send_text(json.dumps({"type": kind, **fields} | {"type": kind}, allow_nan=False))


async def _tell(websocket: WebSocket, heard: Heard) -> int:
    """Send what was heard; returns how many episodes ended in it."""
    if heard.windows:
        windows = [{"time_s": round(w.time_s, 3), "score": w.score} for w in heard.windows]
        await _say(websocket, "scores", windows=windows)
    ended = 0
    for event in heard.events:
        told = {"start_s": round(event.episode.start, 3)}
        if event.kind == "end":
            ended += 1
            told |= {"end_s": round(event.episode.end, 3)}
            told |= {"peak": event.episode.peak, "mean": event.episode.mean}
        await _say(websocket, f"episode_{event.kind}", **told)
    return ended


async def _messages(websocket: WebSocket) -> AsyncIterator[bytes]:
    """Binary messages until the text ``end``.

    Raises:
        WebSocketDisconnect: the client is gone.
        Problem: another text, or nothing for a minute.
    """
    while True:
        try:
            message = await asyncio.wait_for(websocket.receive(), _SILENCE_S)
        except TimeoutError:
            raise Problem("request/too-slow", f"Nothing came for {_SILENCE_S:g} s.") from None
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", _DONE))
        if message.get("bytes") is not None:
            yield message["bytes"]
        elif message.get("text") == "end":
            return
        else:
            raise Problem("request/invalid", "Send sound in binary messages, and the text 'end' at the end.")


@asynccontextmanager
async def _pcm(
    websocket: WebSocket, dtype: np.dtype[Any], channels: int
) -> AsyncIterator[AsyncIterator[NDArray[Any]]]:
    """Samples as they come, whole frames at a time wherever messages are cut."""

    async def samples() -> AsyncIterator[NDArray[Any]]:
        frame, rest = dtype.itemsize * channels, b""
        async for message in _messages(websocket):
            data = rest + message
            whole = len(data) - len(data) % frame
            rest = data[whole:]
            yield np.frombuffer(data[:whole], dtype).reshape(-1, channels)

    yield samples()


@asynccontextmanager
async def _decoded(websocket: WebSocket, settings: Settings) -> AsyncIterator[AsyncIterator[NDArray[Any]]]:
    """Samples of a growing file, decoded by a process of its own."""
    process = await spawn_stream(settings)
    feeding = asyncio.get_running_loop().create_task(_feed(websocket, process))

    async def samples() -> AsyncIterator[NDArray[Any]]:
        assert process.stdout is not None
        rest = b""
        while got := await process.stdout.read(_MOST_AT_ONCE):
            data = rest + got
            whole = len(data) - len(data) % 4
            rest = data[whole:]
            yield np.frombuffer(data[:whole], np.float32)
        if feeding.done():
            await feeding  # a client that is gone, or said what cannot be used
        await _require_end(process)

    try:
        yield samples()
    finally:
        feeding.cancel()
        with suppress(asyncio.CancelledError, WebSocketDisconnect, Problem):
            await feeding
        await end(process)


async def _feed(websocket: WebSocket, process: Process) -> None:
    assert process.stdin is not None
    try:
        async for message in _messages(websocket):
            process.stdin.write(message)
            await process.stdin.drain()
    except ConnectionError:
        pass  # it stopped reading: what it says at its end tells why
    finally:
        process.stdin.close()


async def _require_end(process: Process) -> None:
    """Raise what the decoding process found wrong, if it did not end well."""
    assert process.stderr is not None
    told = (await process.stderr.read(_MOST_AT_ONCE)).decode(errors="replace").strip().rpartition("\n")[2]
    status = await process.wait()
    if told.startswith("{"):
        reply = json.loads(told)
        raise AudioError(str(reply["message"]), str(reply["error"]))
    if status:
        raise Problem("audio/decoding-stopped", "Decoding it took more memory than is allowed, or failed.")

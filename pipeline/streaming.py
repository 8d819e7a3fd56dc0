"""Hearing while the sound is still coming: samples are pushed in, window scores and episodes come out.

The chain is the one that hears whole recordings (``audio`` → ``embedding`` → ``detection`` → ``episodes``),
so what is said live is what ``CryPipeline.analyze`` says of a recording of the same sound. That chain pulls
its blocks; here it waits in a thread of its own, and goes on only while a push waits for it.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Any, Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from pipeline._decode import MAX_CHANNELS, check_shape, to_float
from pipeline.audio import SAMPLE_RATE, SILENCE_PEAK, AudioStream
from pipeline.detection import DetectorHead, Evidence
from pipeline.embedding import Embedder
from pipeline.episodes import Episode, EpisodeTracker
from pipeline.errors import AudioError
from pipeline.settings import Settings, get_settings

# Samples handed on at a time: a score is late by no more than this because of it.
_BLOCK = SAMPLE_RATE // 10


@dataclass(frozen=True)
class WindowScore:
    """A window's centre, seconds from the start, and its score in [0, 1], as decisions are made on it."""

    time_s: float
    score: float


@dataclass(frozen=True)
class EpisodeEvent:
    """An episode began or ended.

    Attributes:
        kind: "start" once it is certain that there is one, "end" when it is over.
        episode: at "start" as far as it is certain by then: its start stays, its end can only come later.
    """

    kind: Literal["start", "end"]
    episode: Episode


@dataclass(frozen=True)
class Heard:
    """What one push brought: the windows it completed, and what they began or ended, in order of time."""

    windows: tuple[WindowScore, ...] = ()
    events: tuple[EpisodeEvent, ...] = ()


class LiveListener:
    """One stream of sound, heard as it comes. Not for several threads at once.

    While nothing has been louder than -90 dBFS, scores are held back: a recording that is silent throughout
    scores 0, and only its end tells whether it is one.
    """

    def __init__(
        self,
        embedder: Embedder,
        head: DetectorHead,
        *,
        sample_rate: int,
        threshold: float | None = None,
        name: str = "stream",
        settings: Settings | None = None,
    ) -> None:
        """Begin.

        Args:
            embedder, head: what scores; the head trained for that embedder.
            sample_rate: of what will be pushed, in Hz.
            threshold: detection threshold in [0, 1]; the head's own when None.
            name: what to call the stream in messages.
            settings: for the longest and shortest sound accepted.

        Raises:
            AudioError: a sample rate that no recording has.
            SettingsError: a threshold outside [0, 1].
        """
        check_shape(sample_rate, 1, name)
        self.name = name
        self.rules = head.rules(threshold)
        self._decoder = _Pushed(sample_rate)
        self._stream = AudioStream(self._decoder, name, settings or get_settings(), block=_BLOCK)
        self._evidence = Evidence(head)
        self._tracker = EpisodeTracker(self.rules)
        self._held_back: list[float] = []
        self._told: Episode | None = None
        self._best = 0.0
        stream, decoder = self._stream, self._decoder

        def chain(pushed: Iterator[NDArray[Any]]) -> Iterator[NDArray[np.float32]]:
            decoder.source = pushed
            return head.score_blocks(embedder.embed_blocks(iter(stream)))

        self._pump = _Pump(chain)

    @property
    def duration_s(self) -> float:
        """Seconds heard so far."""
        return self._stream.duration_s

    @property
    def cry_probability(self) -> float:
        """The best score told so far, [0, 1]."""
        return self._best

    @property
    def active(self) -> Episode | None:
        """The episode still open, as far as it is certain."""
        return self._tracker.active

    def push(self, samples: NDArray[Any]) -> Heard:
        """Hear more.

        Args:
            samples: (n,) or (n, channels), any n and the same channels throughout; float (full scale 1.0),
                int16, int32 or uint8.

        Raises:
            AudioError: not numbers of that kind, NaN or infinite ones (``non-finite``), or more than the
                longest sound accepted (``too-long``). The stream is over then.
            RuntimeError: the stream was finished or closed.
        """
        block = _checked(samples, self.name)
        if not len(block):
            return Heard()
        return self._heard(self._pump.push(block))

    def finish(self) -> Heard:
        """End the stream: the last, part-filled window, and the end of an episode still open.

        Raises:
            AudioError: nothing was heard, or less than the shortest sound accepted.
            RuntimeError: it was finished or closed before.
        """
        scores = self._pump.finish()
        if self._stream.peak < SILENCE_PEAK:
            scores = [np.zeros(len(self._held_back) + sum(map(len, scores)), np.float32)]
            self._held_back = []
        heard = self._take([*self._held_back, *_flat(scores)])
        ended = [event for last in self._tracker.finish(self.duration_s) for event in self._end(last)]
        windows = tuple(replace(w, time_s=min(w.time_s, self.duration_s)) for w in heard.windows)
        return Heard(windows, (*heard.events, *ended))

    def close(self) -> None:
        """Let go of it without asking what the end would have brought. Closing twice is fine."""
        self._pump.close()

    def __enter__(self) -> LiveListener:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _heard(self, scores: list[NDArray[np.float32]]) -> Heard:
        if self._stream.peak < SILENCE_PEAK:
            self._held_back += _flat(scores)
            return Heard()
        waiting, self._held_back = self._held_back, []
        return self._take([*waiting, *_flat(scores)])

    def _take(self, scores: list[float]) -> Heard:
        windows: list[WindowScore] = []
        events: list[EpisodeEvent] = []
        for score in map(self._evidence.push, scores):
            windows.append(WindowScore(self.rules.centre_s(self._tracker.count), score))
            self._best = max(self._best, score)
            for episode in self._tracker.push(score):
                events += self._end(episode)
            active = self._tracker.active
            if active is not None and self._told is None:
                self._told = active
                events.append(EpisodeEvent("start", active))
        return Heard(tuple(windows), tuple(events))

    def _end(self, episode: Episode) -> list[EpisodeEvent]:
        events = [EpisodeEvent("end", episode)]
        if self._told is None:
            events.insert(0, EpisodeEvent("start", episode))
        self._told = None
        return events


class _Pushed:
    """Samples that arrive, behind the interface of a decoder (:class:`pipeline._decode.Decoder`)."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.damage: list[str] = []
        self.source: Iterator[NDArray[Any]] = iter(())

    def known_duration_s(self) -> float | None:
        return None

    def skip(self, seconds: int) -> int:
        del seconds
        return 0

    def blocks(self) -> Iterator[tuple[NDArray[np.float32], int]]:
        for block in self.source:
            yield to_float(block), self.rate

    def close(self) -> None:
        pass


def _checked(samples: NDArray[Any], name: str) -> NDArray[Any]:
    block = np.asarray(samples)
    if block.ndim == 1:
        block = block[:, None]
    kind_ok = block.dtype.kind == "f" or block.dtype.str[1:] in ("i2", "i4", "u1")
    if block.ndim != 2 or not kind_ok or not 1 <= block.shape[1] <= MAX_CHANNELS:
        raise AudioError(
            f"{name}: samples of {block.dtype} and shape {np.shape(samples)} were pushed; (n,) or "
            f"(n, channels) of float, int16, int32 or uint8 are accepted, with up to {MAX_CHANNELS} channels."
        )
    return block


def _flat(scores: list[NDArray[np.float32]]) -> list[float]:
    return [float(score) for part in scores for score in part]


_In = TypeVar("_In")
_Out = TypeVar("_Out")


class _Closed(Exception):  # noqa: N818 - not an error: how a chain is left before its end
    """Thrown into a chain whose stream is given up."""


class _Pump(Generic[_In, _Out]):
    """A function from iterator to iterator turned inside out: items go in by ``push``, results come back.

    The function runs in a thread, but only while ``push`` or ``finish`` waits for it: there is never anything
    to guard against.
    """

    def __init__(self, chain: Callable[[Iterator[_In]], Iterator[_Out]]) -> None:
        self._inbox: SimpleQueue[Any] = SimpleQueue()
        self._outbox: SimpleQueue[Any] = SimpleQueue()
        self._over = False
        # The thread holds no reference to this object: one that is dropped ends its thread.
        thread = threading.Thread(
            target=_run, args=(chain, self._inbox, self._outbox), name="live-chain", daemon=True
        )
        thread.start()
        weakref.finalize(self, self._inbox.put, _CLOSE)
        self._wait()  # until it asks for the first item

    def push(self, item: _In) -> list[_Out]:
        """Results that the item leads to, before the chain asks for the next."""
        self._require_open()
        self._inbox.put((item,))
        return self._wait()

    def finish(self) -> list[_Out]:
        """No more items: the results still to come."""
        self._require_open()
        self._over = True
        self._inbox.put(_END)
        return self._wait()

    def close(self) -> None:
        """Leave the chain where it is."""
        self._over = True
        self._inbox.put(_CLOSE)

    def _require_open(self) -> None:
        if self._over:
            raise RuntimeError("This stream is over; begin a new one.")

    def _wait(self) -> list[_Out]:
        results, error, ended = self._outbox.get()
        self._over = self._over or ended
        if error is not None:
            raise error
        return list(results)


_END, _CLOSE = object(), object()


def _run(chain: Callable[[Iterator[Any]], Iterator[Any]], inbox: Any, outbox: Any) -> None:
    results: list[Any] = []

    def items() -> Iterator[Any]:
        while True:
            outbox.put((results.copy(), None, False))
            results.clear()
            item = inbox.get()
            if item is _END:
                return
            if item is _CLOSE:
                raise _Closed
            yield item[0]

    error: BaseException | None = None
    try:
        for result in chain(items()):
            results.append(result)  # noqa: PERF402 - they are taken away meanwhile
    except _Closed:
        pass
    except BaseException as caught:  # noqa: BLE001 - handed to whoever pushed
        error = caught
    outbox.put((results, error, True))

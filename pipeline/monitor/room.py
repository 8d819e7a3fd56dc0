"""A room: one source, listened to until told otherwise, opened again whenever it fails."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pipeline.errors import AudioError, CryError
from pipeline.monitor.clock import Clock
from pipeline.monitor.ears import Ears
from pipeline.monitor.journal import Journal
from pipeline.monitor.level import Level, LevelMeter
from pipeline.monitor.minutes import Minutes
from pipeline.monitor.models import Pulse
from pipeline.monitor.pen import Abandoned, Pen
from pipeline.monitor.recording import Recorder, Recording
from pipeline.monitor.sources import Block, Skipped, Source
from pipeline.monitor.store import Row
from pipeline.monitor.stretch import Cry, Stretch

_LOOK_S = 0.25
_BEATS_S = 2.0
# Of sound that arrives, half a minute may wait for a model that is slow for a while.
_WAITING_BLOCKS, _WAITING_ARRIVED = 16, 300
# Scores of a stretch that is silent are held back until it is not: for so long at most.
_SILENT_S = 3600.0


@dataclass(frozen=True)
class Patience:
    """How a source is waited for, in seconds.

    Attributes:
        stall_s: without sound for so long, it is opened again.
        first_s, longest_s: the wait before opening again: the first, doubled each time, up to the longest.
        good_s: after so much sound the first wait counts again.
    """

    stall_s: float = 10.0
    first_s: float = 1.0
    longest_s: float = 60.0
    good_s: float = 30.0


@dataclass
class Status:
    """How a room is doing; written by its thread, read by all.

    ``state``: "starting", "listening", "stalled", "retrying", "ended", "failed" or "stopped". ``sound_at``:
    when the newest sound came that was looked at; ``decided_at``: what had come by then is decided on.
    """

    room: str
    source: str
    state: str = "starting"
    words: str = ""
    level: Level = field(default_factory=Level)
    score: float = 0.0
    threshold: float = 0.0
    crying: bool = False
    episodes: int = 0
    heard_s: float = 0.0
    late: int = 0
    lost_s: float = 0.0
    skipped: int = 0
    sound_at: datetime | None = None
    decided_at: datetime | None = None


# Told (status, what happened): an episode, or the new state in words.
Tell = Callable[[Status, "Cry | str"], None]


class Room:
    """Listens to one source in the thread that calls :meth:`run`."""

    def __init__(
        self,
        name: str,
        source: Source,
        ears: Ears,
        journal: Journal,
        clock: Clock,
        *,
        patience: Patience | None = None,
        until_end: bool = False,
        tell: Tell = lambda status, what: None,
        watch: Callable[[dict[str, Any], Level], None] = lambda episode, level: None,
        minutes: Sequence[Row] = (),
        recorder: Recorder | None = None,
    ) -> None:
        """Name a room and its source. ``pulse`` is its row of that table; ``looked_s``: when its thread last
        showed that it is alive, on the clock that never goes back.

        Args:
            until_end: a source that ends is not opened again.
            watch: is shown each episode, as in the history, and the level, while it goes on and when it ends.
            minutes: rows of its minutes that are not over yet (``minutes.going_on``).
            recorder: keeps its sound.
        """
        self.status = Status(name, source.name, threshold=ears.threshold)
        self.stop = threading.Event()
        self.reopens = source.reopens
        self.pulse: Row = {}
        self.looked_s = clock.monotonic()
        self._source, self._ears, self._pen, self._clock = source, ears, Pen(journal), clock
        self._patience, self._until_end = patience or Patience(), until_end
        self._tell, self._watch = tell, watch
        self._meter = LevelMeter()
        self._minutes = Minutes(name, ears.threshold, self._pen, minutes)
        self._recorder = recorder
        self._stretch: Stretch | None = None
        self._placed: datetime | None = None

    @property
    def minutes(self) -> list[Row]:
        """Rows of its minutes that may go on."""
        return self._minutes.rows()

    def run(self) -> None:
        """Listen until the source has ended for good, ``stop`` is set, or it was given up."""
        try:
            self._run()
        except Abandoned:
            return

    def abandon(self, why: str) -> None:
        """Give up a thread that hangs or has died: whatever it still does, it can write nothing more."""
        self.stop.set()
        self._pen.take_away(why)
        if self._stretch is not None and self._stretch.recording is not None:
            self._stretch.recording.over()

    def fail(self, words: str) -> None:
        """Say that there is no listening to it, in place of :meth:`run`."""
        self._change("failed", words)

    def _run(self) -> None:
        wait_s = self._patience.first_s
        while not self.stop.is_set():
            before_s = self.status.heard_s
            failed = True
            try:
                self._listen()
            except CryError as error:
                words = str(error)
            else:
                failed, words = False, f"{self.status.source}: it has ended."
            if self.stop.is_set():
                break
            if not self._source.reopens or (self._until_end and not failed):
                bad = failed or (self.status.skipped and not self.status.heard_s)
                self._change("failed" if bad else "ended", words)
                return
            if self.status.heard_s - before_s >= self._patience.good_s:
                wait_s = self._patience.first_s
            self._change("retrying", f"{words} Next try in {wait_s:g} s.")
            self._pause(wait_s)
            wait_s = min(2 * wait_s, self._patience.longest_s)
        self._change("stopped", "The monitor was stopped.")

    def _listen(self) -> None:
        """Open the source once and hear it to its end.

        Raises:
            AudioError: it failed or stalled.
        """
        feed = _Feed(self._source, self._clock)
        try:
            self._hear(feed)
        except CryError as error:
            self._close("failed", str(error))
            raise
        finally:
            feed.abandon()
        self._close("ended", None)

    def _hear(self, feed: _Feed) -> None:
        status, last = self.status, self._clock.monotonic()
        while not self.stop.is_set():
            item, came = feed.take(_LOOK_S)
            if item is _OVER:
                return
            if item is None:
                self._wait(self._clock.monotonic() - last)
                continue
            last = self._clock.monotonic()
            if isinstance(item, Skipped):
                status.skipped += 1
                self._pen.health(status.room, item.part, "skipped", item.words)
                self._tell(status, item.words)
                continue
            assert isinstance(item, Block)
            if status.state != "listening":
                status.sound_at = status.decided_at = came
                self._change("listening", f"Listening to {status.source}.")
            self._take(item, came)

    def _take(self, block: Block, came: datetime) -> None:
        status = self.status
        kind = (block.part, block.rate, block.samples.shape[1:])
        if self._stretch is not None and (self._stretch.kind != kind or self._is_only_silence()):
            self._close("ended", None)
        if self._stretch is None:
            began = came - timedelta(seconds=len(block.samples) / block.rate)
            if not self._source.arrives:  # one recording after the other, however fast they are heard
                began = max(came, self._placed or came)
            self._stretch = Stretch(
                self._ears,
                self._pen,
                status.room,
                block,
                began,
                self._minutes,
                arrives=self._source.arrives,
                recording=self._recording(block),
            )
        status.level = self._meter.push(block.samples, block.rate)
        status.sound_at = came
        status.heard_s += len(block.samples) / block.rate
        status.late += block.late
        status.lost_s += block.lost_s
        heard, cries = self._stretch.push(block, came)
        if heard.windows or status.level.silent_s:  # of silence nothing need be decided
            status.decided_at = came
        self._note(cries)

    def _recording(self, block: Block) -> Recording | None:
        if self._recorder is None:
            return None
        channels = block.samples.shape[1] if block.samples.ndim > 1 else 1
        return self._recorder.recording(self.status.room, block.rate, channels, arrives=self._source.arrives)

    def _is_only_silence(self) -> bool:
        """Whether nothing at all has come of a stretch for an hour; a recording's seconds are never split."""
        heard_s = self._stretch.heard_s if self._stretch is not None else 0.0
        silent_s = self.status.level.silent_s + 0.5  # both are sums
        return self._source.arrives and silent_s >= heard_s >= _SILENT_S

    def _note(self, cries: list[Cry]) -> None:
        stretch, status = self._stretch, self.status
        assert stretch is not None
        status.score, status.crying = stretch.score, stretch.crying
        self._placed = stretch.end
        for cry in cries:
            status.episodes += cry.kind == "end"
            self._beat()
            if cry.kind == "end":
                self._watch(cry.row, status.level)
            self._tell(status, cry)
        self._beat()
        if stretch.episode is not None:
            self._watch(stretch.episode, status.level)

    def _pause(self, seconds: float) -> None:
        until_s = self._clock.monotonic() + seconds
        while (left_s := until_s - self._clock.monotonic()) > 0:
            self._beat()
            if self._clock.wait(self.stop, min(left_s, _BEATS_S)):
                return

    def _wait(self, waited_s: float) -> None:
        """No sound for a while."""
        self._beat()
        if waited_s < self._patience.stall_s:
            return
        words = f"{self.status.source}: no sound has come for {waited_s:.0f} s."
        if self._source.reopens:
            raise AudioError(words, "stalled")
        if self.status.state != "stalled":
            self._change("stalled", words)

    def _close(self, state: str, why: str | None) -> None:
        if self._stretch is None:
            return
        _, cries = self._stretch.finish(state, why)
        self._note(cries)
        self._stretch = None
        self.status.crying, self.status.score = False, 0.0

    def _change(self, state: str, words: str) -> None:
        self.status.state, self.status.words = state, words
        self._pen.health(self.status.room, self.status.source, state, words)
        self._beat()
        self._tell(self.status, words)

    def _beat(self) -> None:
        status, level = self.status, self.status.level
        self.pulse = {
            "room": status.room,
            "run": self._pen.run,
            "source": status.source,
            "at": self._clock.now(),
            "state": status.state,
            "words": status.words,
            "sound_at": status.sound_at,
            "decided_at": status.decided_at,
            "level_dbfs": level.level_dbfs,
            "peak_dbfs": level.peak_dbfs,
            "clipped": level.clipped,
            "silent_s": level.silent_s,
            "stuck_s": level.stuck_s,
            "score": status.score,
            "threshold": status.threshold,
            "late": status.late,
            "lost_s": status.lost_s,
        }
        self._pen.put(Pulse, status.room, self.pulse)
        self.looked_s = self._clock.monotonic()


_OVER = object()


class _Feed:
    """A source read in a thread of its own, so that one that hangs holds nobody else up."""

    def __init__(self, source: Source, clock: Clock) -> None:
        self._source, self._clock = source, clock
        self._waiting: queue.Queue[tuple[object, datetime]] = queue.Queue(
            _WAITING_ARRIVED if source.arrives else _WAITING_BLOCKS
        )
        self._abandoned = threading.Event()
        self._thread = threading.Thread(target=self._read, name=f"source {source.name}", daemon=True)
        self._thread.start()

    def take(self, timeout_s: float) -> tuple[object, datetime]:
        """The next block or skipped part, and when it came; None: none yet; ``_OVER`` at the end.

        Raises:
            CryError: the source's own.
        """
        try:
            item, came = self._waiting.get(timeout=timeout_s)
        except queue.Empty:
            if not self._thread.is_alive() and self._waiting.empty():
                raise AudioError(f"{self._source.name}: reading it broke off unexpectedly.") from None
            return None, self._clock.now()
        if isinstance(item, CryError):
            raise item
        return item, came

    def abandon(self) -> None:
        """Read no more of it, as soon as what it waits for comes or fails."""
        self._abandoned.set()

    def _read(self) -> None:
        last: object = _OVER
        try:
            for item in self._source.blocks():
                if not self._put(item):
                    return
        except CryError as error:
            last = error
        self._put(last)

    def _put(self, item: object) -> bool:
        came = self._clock.now()
        while not self._abandoned.is_set():
            try:
                self._waiting.put((item, came), timeout=_LOOK_S)
            except queue.Full:
                continue
            return True
        return False

"""Sound that is kept by choice, written by a thread of its own: neither audio nor decisions wait for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from functools import partial
from queue import Empty, SimpleQueue

import numpy as np
from numpy.typing import NDArray

from pipeline.monitor.clock import Clock
from pipeline.monitor.journal import Journal
from pipeline.monitor.shelf import Keep, Shelf
from pipeline.monitor.store import Row, Store
from pipeline.monitor.tape import Tape

_MOST_WAITING = 64_000_000
_REPLAY_WAITS_S = 30.0
_TIDY_EVERY_S = 600.0
_ENDING_S = 60.0


class Recorder:
    """Keeps the sound of all rooms.

    Attributes:
        lost_s: seconds of sound that came faster than they could be written, and are not kept.
    """

    def __init__(
        self,
        store: Store,
        journal: Journal,
        clock: Clock,
        keep: Keep,
        *,
        tell: Callable[[str], None] = lambda words: None,
        most_waiting: int = _MOST_WAITING,
    ) -> None:
        """Take the folder; sound is written once :meth:`start` was called.

        Args:
            tell: is told, in words, what cannot be kept.
            most_waiting: bytes of sound that may wait to be written.

        Raises:
            SettingsError: the folder cannot be written, or another monitor has it.
            StoreError: the history cannot be read.
        """
        self.lost_s = 0.0
        self._keep, self._clock, self._most_waiting = keep, clock, most_waiting
        self._shelf = Shelf(store, journal, clock, keep, tell)
        self._todo: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._tapes: set[Tape] = set()
        self._waiting, self._changed = 0, threading.Condition()
        self._told_lost_s = 0.0
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    @property
    def failures(self) -> int:
        """Clips that could not be written."""
        return self._shelf.failures

    def recording(self, room: str, rate: int, channels: int, *, arrives: bool) -> Recording:
        """Where a stretch of listening puts its sound.

        Args:
            arrives: it comes as it happens, and nobody may wait; else a replay, which may.
        """
        keep = self._keep
        tape = Tape(
            self._shelf,
            room,
            rate,
            channels,
            between=keep.what == "all",
            before_s=keep.before_s,
            after_s=keep.after_s,
            longest_s=keep.longest_s,
        )
        self._todo.put(partial(self._tapes.add, tape))
        return Recording(self, tape, rate, waits=not arrives)

    def start(self) -> None:
        """Write from now on, in a thread of its own."""
        self._thread.start()

    def close(self) -> None:
        """Finish what is being written, and let go of the folder."""
        self._todo.put(None)
        if self._thread.ident is not None:
            self._thread.join(_ENDING_S)
        self._shelf.close()

    def put(self, todo: Callable[[], None]) -> None:
        """Have something done after all that was put before."""
        self._todo.put(todo)

    def put_sound(self, todo: Callable[[], None], size: int, seconds: float, *, waits: bool) -> None:
        """The same with some sound of ``size`` bytes, which is lost where too much waits already."""
        with self._changed:
            if waits and self._thread.is_alive():
                self._changed.wait_for(lambda: self._waiting < self._most_waiting, _REPLAY_WAITS_S)
            fits = self._waiting < self._most_waiting
            if fits:
                self._waiting += size
            else:
                self.lost_s += seconds
        if fits:
            self._todo.put(partial(self._with_sound, todo, size))
        if self._thread.ident is not None and not self._thread.is_alive():
            self._shelf.failed("", "its thread broke off unexpectedly; start the monitor anew")

    def _with_sound(self, todo: Callable[[], None], size: int) -> None:
        with self._changed:
            self._waiting -= size
            self._changed.notify_all()
        todo()

    def _do(self, todo: Callable[[], None]) -> None:
        """Do something; a folder that is gone or closed to us ends nothing."""
        try:
            todo()
        except OSError as error:
            self._shelf.failed("", error.strerror or str(error))

    def _run(self) -> None:
        self._do(self._shelf.take_stock)
        tidied_s = self._clock.monotonic()
        while True:
            try:
                todo = self._todo.get(timeout=_TIDY_EVERY_S)
            except Empty:
                todo = self._shelf.tidy
            if todo is None:
                break
            self._do(todo)
            now_s = self._clock.monotonic()
            if now_s - tidied_s >= _TIDY_EVERY_S:
                tidied_s = now_s
                self._do(self._shelf.tidy)
            if self.lost_s > self._told_lost_s:
                self._told_lost_s = self.lost_s
                self._shelf.failed("", f"its disk is too slow, {self.lost_s:.0f} s are lost so far")
        for tape in list(self._tapes):
            self._do(tape.over)

    def done(self, tape: Tape) -> None:
        """A stretch has ended; for the recorder's thread."""
        tape.over()
        self._tapes.discard(tape)


class Recording:
    """A stretch of listening as the recorder gets it; for the thread that listens."""

    def __init__(self, recorder: Recorder, tape: Tape, rate: int, *, waits: bool) -> None:
        """Most callers want :meth:`Recorder.recording`."""
        self._recorder, self._tape, self._rate, self._waits = recorder, tape, rate, waits
        self._frames, self._over = 0, False

    def sound(self, samples: NDArray[np.float32], end: datetime) -> None:
        """More sound, (n,) or (n, channels), that nobody changes any more; its last was heard at ``end``."""
        if self._over:
            return
        first, self._frames = self._frames, self._frames + len(samples)
        todo = partial(self._tape.sound, first, samples, end)
        self._recorder.put_sound(todo, samples.nbytes, len(samples) / self._rate, waits=self._waits)

    def cry(self, kind: str, episode: Row) -> None:
        """An episode began ("start") or ended ("end"); as in the history."""
        if not self._over:
            self._recorder.put(partial(self._tape.begin if kind == "start" else self._tape.end, episode))

    def over(self) -> None:
        """The stretch has ended, or whoever listened to it was given up: nothing more is taken."""
        self._over = True
        self._recorder.put(partial(self._recorder.done, self._tape))

"""All rooms at once: threads, one history, and somebody who looks whether they are still there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.monitor.clock import Clock
from pipeline.monitor.display import Display
from pipeline.monitor.ears import Ears
from pipeline.monitor.journal import Journal, new_id
from pipeline.monitor.room import Patience, Room
from pipeline.monitor.sources import Source
from pipeline.monitor.store import Store

_LOOK_S = 0.2
_ENDING_S = 30.0


@dataclass(frozen=True)
class Ran:
    """How it went: episodes heard, rooms that failed, recordings skipped, and whether all is on the disk."""

    episodes: int
    failed: int
    skipped: int
    stored: bool


def run(
    rooms: Sequence[tuple[str, Source]],
    ears: Ears,
    store: Store,
    clock: Clock,
    *,
    stop: threading.Event,
    until_end: bool = False,
    patience: Patience | None = None,
    report_every_s: float = 10.0,
    started: Callable[[], None] = lambda: None,
) -> Ran:
    """Listen to all rooms until their sources have ended for good or ``stop`` is set.

    Args:
        rooms: name and source of each.
        report_every_s: see :class:`Display`.
        started: called once all are running.
    """
    display: Display | None = None

    def tell(words: str) -> None:
        if display is not None:
            display.say(words)

    journal = Journal(store, clock, run=new_id(), tell=tell)
    made = [
        Room(
            name,
            source,
            ears,
            journal,
            clock,
            patience=patience,
            until_end=until_end,
            tell=lambda status, what: display.tell(status, what) if display else None,
        )
        for name, source in rooms
    ]
    display = Display([room.status for room in made], every_s=report_every_s)
    threads = [_started(room) for room in made]
    journal.start()
    began = clock.monotonic()
    with display.running():
        started()
        while any(thread.is_alive() for thread in threads) and not clock.wait(stop, _LOOK_S):
            display.trouble = journal.trouble
            display.tick(clock.monotonic() - began)
            for number, (room, thread) in enumerate(zip(made, threads, strict=True)):
                if not thread.is_alive() and room.status.state not in ("ended", "failed", "stopped"):
                    words = "listening broke off unexpectedly and is begun anew"
                    journal.health(room.status.room, room.status.source, "restarted", words)
                    display.tell(room.status, words)
                    threads[number] = _started(room)
        for room in made:
            room.stop.set()
        for thread in threads:
            thread.join(_ENDING_S)
    stored = journal.close()
    return Ran(
        sum(room.status.episodes for room in made),
        sum(room.status.state == "failed" for room in made),
        sum(room.status.skipped for room in made),
        stored,
    )


def _started(room: Room) -> threading.Thread:
    thread = threading.Thread(target=room.run, name=f"room {room.status.room}", daemon=True)
    thread.start()
    return thread

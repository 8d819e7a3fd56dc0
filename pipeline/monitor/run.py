"""All rooms at once: threads, one history, and somebody who looks whether they are still there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.monitor.alerts import Alerts, Rules
from pipeline.monitor.clock import Clock
from pipeline.monitor.display import Display
from pipeline.monitor.ears import Ears
from pipeline.monitor.journal import Journal, new_id
from pipeline.monitor.minutes import going_on
from pipeline.monitor.room import Patience, Room, Status
from pipeline.monitor.sources import Source
from pipeline.monitor.store import Store
from pipeline.monitor.webhook import Channel

_LOOK_S = 0.2
_ENDING_S = 30.0


@dataclass(frozen=True)
class Ran:
    """How it went: episodes heard, rooms that failed, recordings skipped, whether all is on the disk, and how
    many alerts wait for the next start.
    """

    episodes: int
    failed: int
    skipped: int
    stored: bool
    waiting: int


def run(
    rooms: Sequence[tuple[str, Source]],
    ears: Ears,
    store: Store,
    clock: Clock,
    *,
    stop: threading.Event,
    until_end: bool = False,
    patience: Patience | None = None,
    channels: Sequence[Channel] = (),
    rules: Rules | None = None,
    report_every_s: float = 10.0,
    started: Callable[[], None] = lambda: None,
) -> Ran:
    """Listen to all rooms until their sources have ended for good or ``stop`` is set.

    Args:
        rooms: name and source of each.
        channels, rules: who is told, and when.
        report_every_s: see :class:`Display`.
        started: called once all are running.
    """
    display: Display | None = None

    def tell(words: str) -> None:
        if display is not None:
            display.say(words)

    journal = Journal(store, clock, run=new_id(), tell=tell)
    alerts = Alerts(store, journal, clock, channels, rules or Rules(), tell=tell)
    minutes = going_on(store, clock.now())
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
            watch=lambda episode: alerts.crying(episode, clock.now()),
            minutes=minutes.get(name, ()),
        )
        for name, source in rooms
    ]
    display = Display([room.status for room in made], every_s=report_every_s)
    threads = [_started(room) for room in made]
    journal.start()
    alerts.start()
    watcher = _Watcher(alerts, clock)
    began = clock.monotonic()
    with display.running():
        started()
        while any(thread.is_alive() for thread in threads) and not clock.wait(stop, _LOOK_S):
            display.trouble = journal.trouble
            display.tick(clock.monotonic() - began)
            watcher.look([room.status for room in made])
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
    journal.flush()
    waiting = alerts.close()
    stored = journal.close()
    return Ran(
        sum(room.status.episodes for room in made),
        sum(room.status.state == "failed" for room in made),
        sum(room.status.skipped for room in made),
        stored,
        waiting,
    )


class _Watcher:
    """Tells of rooms that have not been heard for long, once each time."""

    def __init__(self, alerts: Alerts, clock: Clock) -> None:
        self._alerts, self._clock = alerts, clock
        self._since: dict[str, float] = {}

    def look(self, statuses: Sequence[Status]) -> None:
        now_s, after_s = self._clock.monotonic(), self._alerts.rules.trouble_after_s
        for status in statuses:
            words = status.words if status.state in ("stalled", "retrying", "failed") else ""
            if status.state == "listening" and status.level.stuck_s > after_s:
                words = f"The input gives one and the same value for {status.level.stuck_s:.0f} s."
            if not words:
                self._since.pop(status.room, None)
            elif now_s - self._since.setdefault(status.room, now_s) >= after_s:
                self._since[status.room] = float("inf")
                self._alerts.trouble(status.room, words, self._clock.now())


def _started(room: Room) -> threading.Thread:
    thread = threading.Thread(target=room.run, name=f"room {room.status.room}", daemon=True)
    thread.start()
    return thread

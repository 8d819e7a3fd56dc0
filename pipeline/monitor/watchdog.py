"""The last resort: a monitor that no longer gets round ends, so that whoever started it starts it anew.

To systemd it says how things are (``sd_notify``). Without systemd, or should that not help, the interpreter's
own watchdog ends the process: it needs neither Python nor a lock.
"""

from __future__ import annotations

import faulthandler
import os
import socket
from collections.abc import Sequence
from typing import IO

from pipeline.monitor.clock import Clock
from pipeline.monitor.liveness import Verdict, worst

_EVERY_S = 5.0
_ENDS_S = 180.0


class Watchdog:
    """Ends the process with status 1 unless :meth:`alive` is called every few minutes. One per process."""

    def __init__(self, clock: Clock, *, ends_s: float = _ENDS_S) -> None:
        """``ends_s``: without a sign of life for so long, seconds."""
        self._clock, self._ends_s = clock, ends_s
        self._next_s = 0.0
        self._told = ""
        # Where it hung could be written there; but standard error may be what hangs.
        self._nowhere: IO[str] = open(os.devnull, "w")  # noqa: SIM115 - for as long as the process lives

    def ready(self) -> None:
        """Listening has begun."""
        self._arm()
        notify("READY=1")

    def alive(self, verdicts: Sequence[Verdict]) -> None:
        """The monitor got round once more, and judges itself so."""
        now_s = self._clock.monotonic()
        if now_s < self._next_s:
            return
        self._next_s = now_s + _EVERY_S
        self._arm()
        light = worst(verdicts) if verdicts else "amber"
        words = "; ".join(
            f"{verdict.room}: {verdict.words}".removeprefix(": ")
            for verdict in verdicts
            if verdict.light != "green"
        )
        status = f"STATUS={light}{': ' if words else ''}{words}"
        notify("WATCHDOG=1" + (f"\n{status}" if status != self._told else ""))
        self._told = status

    def done(self) -> None:
        """All is stored; the process ends by itself."""
        faulthandler.cancel_dump_traceback_later()
        self._nowhere.close()

    def _arm(self) -> None:
        faulthandler.dump_traceback_later(self._ends_s, exit=True, file=self._nowhere)


def notify(words: str) -> None:
    """Tell systemd, where it asked to be told; where it did not, or is gone, nothing happens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address[0] == "@":  # a name that is no file
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.setblocking(False)
        try:
            channel.sendto(words.encode(), address)
        except OSError:
            return

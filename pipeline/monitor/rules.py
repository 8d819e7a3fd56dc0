"""When somebody is told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, tzinfo

from pipeline.errors import CryError
from pipeline.monitor.level import RISE_S


@dataclass(frozen=True)
class Rules:
    """When crying is told, and to whom.

    Attributes:
        after_s: once it has gone on for so long, seconds.
        cooldown_s: after an alert, none of the same room and event for so long, seconds.
        quiet: no alert of crying from the one time of day to the other, in ``zone``; None: always.
        zone: of the times of day; None for the computer's.
        trouble_after_s: a room that is not heard for so long is told as well, seconds.
        rising_db: crying that grows louder by so many dB is told before ``after_s``; None: is not.
        escalate_after_s: an alert that nobody has seen for so long goes to the second channels too, seconds.
    """

    after_s: float = 10.0
    cooldown_s: float = 300.0
    quiet: tuple[time, time] | None = None
    zone: tzinfo | None = None
    trouble_after_s: float = 60.0
    rising_db: float | None = None
    escalate_after_s: float = 120.0

    def is_quiet(self, at: datetime) -> bool:
        """Whether a moment lies in the quiet hours (which may go over midnight).

        What a clock on the wall shows counts: the hour that comes twice in autumn is quiet both times.
        """
        if self.quiet is None:
            return False
        begin, end = self.quiet
        now = at.astimezone(self.zone).time()
        return begin <= now < end if begin < end else now >= begin or now < end

    def is_rising(self, lasted_s: float, rise_db: float) -> bool:
        """Whether crying grows louder: it fills the last six seconds, and the newer three are ``rising_db``
        louder than the three before them (``rise_db``, see :class:`pipeline.monitor.level.Level`).
        """
        return self.rising_db is not None and lasted_s >= 2 * RISE_S and rise_db >= self.rising_db


def parse_quiet(text: str) -> tuple[time, time]:
    """Quiet hours as ``22:00-06:30``.

    Raises:
        CryError: they are not written so.
    """
    begin, _, end = text.partition("-")
    try:
        hours = time.fromisoformat(begin.strip()), time.fromisoformat(end.strip())
    except ValueError:
        hours = (time(), time())
    if hours[0] == hours[1] or hours[0].tzinfo or hours[1].tzinfo:
        raise CryError(f"Quiet hours cannot be '{text}': write them as 22:00-06:30.", "setting-invalid")
    return hours

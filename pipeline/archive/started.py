"""When a recording began: what its name says, else what its file says."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from pipeline.archive.plan import Job

# 2026-03-01_22-15-00, 2026-03-01T22:15:00, 20260301T221500, 20260301_221500 (AudioMoth), 20260301221500, …
_IN_NAMES = re.compile(
    r"(?<!\d)(?P<year>(?:19|20)\d\d)(?P<date>[-._]?)(?P<month>\d\d)(?P=date)(?P<day>\d\d)"
    r"[T_ /\\-]{0,3}(?P<hour>\d\d)(?P<time>[-.:_hH]?)(?P<minute>\d\d)(?:(?P=time)(?P<second>\d\d))?(?!\d)"
)
_FIELDS = ("year", "month", "day", "hour", "minute", "second")


class Started(NamedTuple):
    """Time on the wall where it was recorded, and how it is known."""

    at: datetime
    source: Literal["name", "modified"]


def started(job: Job, duration_s: float | None) -> Started | None:
    """When a recording began.

    Args:
        duration_s: its length; the file was last changed when it ended.

    Returns:
        The time in the file's name, or in its name and those of the two folders it is in, as it stands there;
        else the time of its last change less its length, in this machine's time zone; None when neither is
        known.
    """
    named = "/".join(re.split(r"[/\\]", job.path)[-3:])
    for found in reversed(list(_IN_NAMES.finditer(named))):
        year, month, day, hour, minute, second = (int(found[field] or 0) for field in _FIELDS)
        try:
            return Started(datetime(year, month, day, hour, minute, second), "name")
        except ValueError:  # digits that are no date
            continue
    if not job.mtime_ns:
        return None
    ended = datetime.fromtimestamp(job.mtime_ns / 1e9)
    return Started(ended - timedelta(seconds=duration_s or 0.0), "modified")

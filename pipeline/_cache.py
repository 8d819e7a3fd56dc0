"""Where what was worked out once is kept, so that the next run need not work it out again."""

from __future__ import annotations

import os
from pathlib import Path


def default_cache() -> Path:
    """``~/.cache/crylens`` (under XDG_CACHE_HOME when set). A pass over 5 h of audio takes 400 MB."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "crylens"

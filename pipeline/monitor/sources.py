"""Where sound comes from, behind one small port, and which source a name on the command line means."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import SettingsError

SOURCES = (
    "a recording or a folder of them; rtsp://, http:// or any other address that FFmpeg opens; "
    "mic, mic:NAME or mic:NUMBER; - for raw sound on standard input (pcm:s16le:16000:1)"
)


@dataclass(frozen=True, eq=False)
class Block:
    """Some sound.

    Attributes:
        samples: (n,) or (n, channels) float32, full scale 1.0, n above 0.
        rate: Hz.
        part: which recording it is of; another one is another stretch of listening.
        lost_s: seconds that were lost just before it, because nobody took them in time.
        late: how often that happened.
    """

    samples: NDArray[np.float32]
    rate: int
    part: str
    lost_s: float = 0.0
    late: int = 0


@dataclass(frozen=True)
class Skipped:
    """A part that could not be used; the others still come."""

    part: str
    words: str


class Source(Protocol):
    """A place that sound comes from.

    Attributes:
        name: for people and the history; never holds a password.
        reopens: whether opening it again can help after an error, an end or a long pause.
        arrives: sound comes as it happens; else it is a recording, whose seconds are its own.
    """

    name: str
    reopens: bool
    arrives: bool

    def blocks(self) -> Iterator[Block | Skipped]:
        """Open it and give its sound until it ends; closing the iterator lets go of it.

        Raises:
            AudioError: it cannot be opened, or fails; says why.
        """
        ...


def parse_source(text: str, *, speed: float | None = 1.0) -> Source:
    """The source that a name means.

    Args:
        text: as given on the command line (``SOURCES``).
        speed: seconds of a recording heard per second; None: as fast as it goes.

    Raises:
        SettingsError: nothing can be meant by it, or there is no such file.
    """
    if text == "-" or text.startswith("pcm:"):
        from pipeline.monitor.source_pcm import PcmSource

        return PcmSource(*_pcm_format("pcm:s16le:16000:1" if text == "-" else text))
    if text == "mic" or text.startswith("mic:"):
        from pipeline.monitor.source_mic import MicrophoneSource

        return MicrophoneSource(text.partition(":")[2])
    if re.match(r"[a-z][a-z0-9+.-]+://", text, re.IGNORECASE):
        from pipeline.monitor.source_stream import StreamSource

        return StreamSource(text)
    if text and Path(text).exists():
        from pipeline.monitor.source_files import FilesSource

        return FilesSource(Path(text), speed=speed)
    raise SettingsError(f"Source '{text}' is not there. Name {SOURCES}.")


def printable_address(address: str) -> str:
    """An address without user, password and query, which often hold a key."""
    parts = urlsplit(address)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _pcm_format(text: str) -> tuple[str, int, int]:
    found = re.fullmatch(r"pcm:(s16le|f32le):(\d{1,6}):(\d{1,2})", text)
    if not found or not 1_000 <= int(found[2]) <= 192_000 or not 1 <= int(found[3]) <= 64:
        raise SettingsError(
            f"Source '{text}' cannot be read: write pcm:FORMAT:RATE:CHANNELS, with FORMAT s16le or f32le, "
            "RATE from 1000 to 192000 Hz and 1 to 64 CHANNELS; pcm:s16le:16000:1 is what - means."
        )
    return found[1], int(found[2]), int(found[3])

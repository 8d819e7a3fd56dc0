"""Raw sound on standard input: ``arecord -f S16_LE -r 16000 -t raw | crylens monitor --source -``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from pipeline._decode import to_float
from pipeline.monitor.sources import Block, Skipped

_DTYPES: dict[str, np.dtype[Any]] = {"s16le": np.dtype("<i2"), "f32le": np.dtype("<f4")}
_MOST_S = 0.5


class PcmSource:
    """Samples without a header, from standard input. Who writes them waits while nobody reads."""

    name = "standard input"
    reopens = False
    arrives = False

    def __init__(self, format: str = "s16le", rate: int = 16_000, channels: int = 1) -> None:
        """``format``: "s16le" or "f32le"; ``rate`` in Hz; channels interleaved."""
        self._dtype, self._rate, self._channels = _DTYPES[format], rate, channels

    def blocks(self) -> Iterator[Block | Skipped]:
        descriptor = sys.stdin.fileno()
        frame = self._dtype.itemsize * self._channels
        most = max(frame, int(_MOST_S * self._rate) * frame)
        rest = b""
        while got := os.read(descriptor, most):  # what is there, not what would fill a buffer
            data = rest + got
            whole = len(data) - len(data) % frame
            rest = data[whole:]
            if whole:
                samples = np.frombuffer(data[:whole], self._dtype).reshape(-1, self._channels)
                yield Block(to_float(samples), self._rate, self.name)

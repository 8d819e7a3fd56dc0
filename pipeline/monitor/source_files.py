"""Recordings, replayed in real time, faster, or as fast as they can be heard."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from pipeline.audio import SAMPLE_RATE, SUPPORTED_SUFFIXES, open_stream
from pipeline.errors import AudioError, SettingsError
from pipeline.monitor.sources import Block, Skipped

# Short blocks where they stand for live sound, long ones where only speed counts.
_PACED_BLOCK_S, _FAST_BLOCK_S = 0.1, 1.0


class FilesSource:
    """A recording, or a folder of them (walked, in order of their names), one after the other."""

    reopens = False
    arrives = False

    def __init__(self, path: Path, *, speed: float | None = 1.0) -> None:
        """Name a file or folder; ``speed``: recorded seconds per second, None for no limit.

        Raises:
            SettingsError: a folder without recordings.
        """
        self.name = str(path)
        self._speed = speed
        self._files = [path]
        if path.is_dir():
            self._files = sorted(p for p in path.rglob("*") if p.name.lower().endswith(SUPPORTED_SUFFIXES))
        if not self._files:
            raise SettingsError(
                f"No recordings in {path}: files are taken that end in {' '.join(SUPPORTED_SUFFIXES)}."
            )

    def blocks(self) -> Iterator[Block | Skipped]:
        began, given_s = time.monotonic(), 0.0
        for path in self._files:
            try:
                with open_stream(path, block_s=_PACED_BLOCK_S if self._speed else _FAST_BLOCK_S) as stream:
                    for samples in stream:
                        given_s += len(samples) / SAMPLE_RATE
                        if self._speed:  # a block is there once its last sample has sounded
                            time.sleep(max(0.0, began + given_s / self._speed - time.monotonic()))
                        yield Block(samples, SAMPLE_RATE, str(path))
            except AudioError as error:
                yield Skipped(str(path), str(error))

"""The classic mode of cry monitors: one verdict per clip of some seconds, and a line of CSV for each."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.analysis import CryPipeline
from pipeline.errors import SettingsError
from pipeline.monitor.clock import Clock
from pipeline.monitor.sources import Skipped, Source

COLUMNS = ("timestamp", "clip_path", "probability")


@dataclass(frozen=True)
class Clip:
    """One clip's verdict: when it began, where it is kept, and its cry probability in [0, 1]."""

    began: datetime
    path: Path
    probability: float


def hear_clips(
    source: Source,
    pipeline: CryPipeline,
    folder: Path,
    seconds: float,
    clock: Clock,
    *,
    tell: Callable[[str], None],
) -> Iterator[Clip]:
    """Cut a source into clips, keep each as WAV, judge it by itself, and add a line to ``clips.csv``.

    Each clip is judged as ``analyze`` judges its file. What is left at the end, shorter than a clip, is not.

    Args:
        folder: for the clips and ``clips.csv``, which is added to; made where it is not there.
        seconds: length of a clip.
        tell: is told of parts that could not be used.

    Raises:
        AudioError: the source cannot be opened, or fails.
        SettingsError: the folder cannot be written.
    """
    import soundfile

    try:
        folder.mkdir(parents=True, exist_ok=True)
        began: datetime | None = None
        for samples, rate in _cut(source, seconds, tell):
            latest = clock.now() - timedelta(seconds=seconds)
            began = max(latest, began or latest)  # a replay runs ahead of the clock
            path = folder / f"{began:%Y%m%dT%H%M%S.%fZ}.wav"
            soundfile.write(path, samples, rate, subtype="FLOAT")
            clip = Clip(began, path, pipeline.analyze(path, reasons="never").cry_probability)
            _add(folder / "clips.csv", clip)
            began += timedelta(seconds=seconds)
            yield clip
    except OSError as error:
        raise SettingsError(f"{folder} cannot be written: {error.strerror or error}.") from error


def _cut(
    source: Source, seconds: float, tell: Callable[[str], None]
) -> Iterator[tuple[NDArray[np.float32], int]]:
    held: list[NDArray[np.float32]] = []
    kind: tuple[object, ...] = ()
    for item in source.blocks():
        if isinstance(item, Skipped):
            tell(item.words)
            continue
        found = (item.part, item.rate, item.samples.shape[1:])
        if found != kind or item.lost_s:  # no clip goes over a seam
            held, kind = [], found
        held.append(item.samples)
        size = round(seconds * item.rate)
        while sum(map(len, held)) >= size:
            joined = np.concatenate(held)
            yield joined[:size], item.rate
            held = [joined[size:]]


def _add(path: Path, clip: Clip) -> None:
    """One line, on the disk when this returns; the header first in a new file."""
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        if not file.tell():
            writer.writerow(COLUMNS)
        writer.writerow((clip.began.isoformat(), clip.path.name, f"{clip.probability:.6f}"))
        file.flush()
        os.fsync(file.fileno())

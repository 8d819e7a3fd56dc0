"""``batch``: archives of any size; the work is in ``pipeline.archive``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipeline.cli_console import say
from pipeline.errors import SettingsError
from pipeline.formats import clock

if TYPE_CHECKING:
    from pipeline.archive.local_engine import LocalEngine
    from pipeline.archive.ray_engine import RayEngine
    from pipeline.archive.run import Tally
    from pipeline.archive.tables import Format

EngineName = Literal["local", "ray"]

# Where nobody watches a bar: a line this often, in seconds.
_TELL_EVERY_S = 30.0


def batch(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="DIR...",
            help="Folders (walked), recordings, globs ('rooms/*/2026-03-*') or addresses (s3://bucket/rooms).",
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder of results; the same one again goes on where it stopped.")
    ],
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes. [default: what cores and memory allow]")
    ] = None,
    engine: Annotated[
        EngineName,
        typer.Option(help="local: processes of this machine. ray: Ray Data, here or on a cluster."),
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(help="Ray cluster to use: host:port or auto. [default: one of its own, here]"),
    ] = None,
    format: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            "-f",
            help="parquet, csv, jsonl, audacity, raven, rttm; repeatable, or with commas. [default: all]",
        ),
    ] = None,
    detection_threshold: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="A cry from this score on. [default: the detector's own]"),
    ] = None,
    reason_threshold: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="A reason is named from this score on. [default: 0.6]"),
    ] = None,
    embedder: Annotated[
        Literal["auto", "yamnet", "student"] | None,
        typer.Option(help="What listens. [default: auto, or CRY_EMBEDDER]"),
    ] = None,
    retry_errors: Annotated[
        bool, typer.Option("--retry-errors", help="Try recordings again that could not be used last time.")
    ] = False,
) -> None:
    """Analyse an archive in parallel: resumable; a result per recording, tables, a summary by day and hour.

    Exit status as for analyze: 1 when some recordings could not be used; the others are done.
    """
    if address is not None and engine != "ray":
        raise SettingsError(
            f"--address {address} is for --engine ray; the local engine knows no other machine."
        )
    from pipeline.archive import batch as archive
    from pipeline.archive import plan
    from pipeline.cli import find_recordings
    from pipeline.embedding import first_wait
    from pipeline.settings import get_settings

    wanted = _formats(format)
    settings = get_settings(
        embedder=embedder, detection_threshold=detection_threshold, reason_threshold=reason_threshold
    )
    jobs = plan.gather(inputs, find_recordings)
    if jobs and (words := first_wait(None, settings)):
        say(words)
    try:
        with _engine(engine, address, workers) as chosen:
            done = archive.batch(
                jobs,
                out,
                settings,
                chosen,
                workers=workers,
                wanted=wanted,
                retry_errors=retry_errors,
                say=say,
                progress=_progress,
            )
    except KeyboardInterrupt:
        say("Stopped. What is done is kept: the same command goes on from there.")
        raise
    sums = done.sums
    say(
        f"{sums.recordings:,} recordings, {clock(sums.heard_s)} of sound: {sums.episodes:,} episodes, "
        f"{clock(sums.crying_s)} of crying in {sums.with_crying:,} of them. Results are in {out}."
    )
    if sums.failed:
        for path, error in sums.errors[:10]:
            say(error if Path(path).name in error else f"{path}: {error}")
        say(f"{sums.failed:,} of {sums.recordings:,} recordings could not be used (all are in the tables).")
        raise typer.Exit(1)


def _formats(given: list[str] | None) -> tuple[Format, ...]:
    from pipeline.archive.tables import FORMATS

    names = [name.strip() for text in given or FORMATS for name in text.split(",")]
    for name in names:
        if name not in FORMATS:
            raise SettingsError(f"Format cannot be '{name}'. Choose of: {', '.join(FORMATS)}.")
    return tuple(one for one in FORMATS if one in names)


def _engine(name: EngineName, address: str | None, workers: int | None) -> LocalEngine | RayEngine:
    if name == "ray":
        from pipeline.archive.ray_engine import RayEngine

        return RayEngine(address, workers)
    from pipeline.archive.local_engine import LocalEngine

    return LocalEngine()


class _Pace:
    """Rate and time left, from what was done since the work began."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._first: float | None = None

    def told(self, tally: Tally) -> str:
        """In a few words; the time left from the bytes done, since lengths are not known beforehand."""
        if self._first is None:  # parts kept from an earlier run, counted at the start
            self._first = tally.bytes_done if not tally.heard_s else 0.0
        took = max(1e-3, time.monotonic() - self._begun)
        rate = tally.heard_s / took
        words = f"{rate:,.{0 if rate >= 10 else 1}f} times real time"
        done = tally.bytes_done - self._first
        if done > 0:
            words += f", {clock((tally.bytes - tally.bytes_done) / done * took)} left"
        return words


@contextmanager
def _progress() -> Iterator[Callable[[Tally], None]]:
    """A bar where standard error is a terminal, else a line now and then."""
    pace = _Pace()
    if not sys.stderr.isatty():
        told = time.monotonic()

        def line(tally: Tally) -> None:
            nonlocal told
            words = pace.told(tally)
            if time.monotonic() - told >= _TELL_EVERY_S:
                told = time.monotonic()
                say(f"{tally.done:,} of {tally.jobs:,} recordings, {words}.")

        yield line
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), TextColumn("{task.percentage:.0f} %"), TimeElapsedColumn())
    with Progress(
        *columns, TextColumn("{task.description}"), console=Console(stderr=True), transient=True
    ) as bar:
        task = bar.add_task("starting", total=None)

        def report(tally: Tally) -> None:
            words = f"{tally.done:,} of {tally.jobs:,} recordings, {pace.told(tally)}"
            bar.update(task, description=words, completed=tally.bytes_done, total=max(1, tally.bytes))

        yield report

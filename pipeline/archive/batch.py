"""An archive from recordings to tables, with any engine."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from pipeline import __version__
from pipeline.archive import plan, summary, tables
from pipeline.archive.plan import Job
from pipeline.archive.run import Engine, Run, Tally
from pipeline.archive.store import Store
from pipeline.archive.tables import Format
from pipeline.settings import Settings

SUMMARY = "summary.html"
# Read sound, or hold the numbers: recorded beside the results, though not part of their key.
_LIBRARIES = (
    "numpy",
    "onnxruntime",
    "tensorflow-cpu",
    "soundfile",
    "av",
    "soxr",
    "librosa",
    "scikit-learn",
    "ray",
)


@dataclass(frozen=True)
class Done:
    """What a run came to.

    Attributes:
        sums: all recordings added up, earlier runs' included.
        written: tables and the summary.
    """

    sums: summary.Sums
    written: tuple[Path, ...]


def batch(
    jobs: Sequence[Job],
    out: Path,
    settings: Settings,
    engine: Engine,
    *,
    workers: int | None = None,
    wanted: Iterable[Format] = tables.FORMATS,
    retry_errors: bool = False,
    say: Callable[[str], None] = lambda line: None,
    progress: Callable[[], AbstractContextManager[Callable[[Tally], None]]],
) -> Done:
    """Analyse what has no result yet, then write tables and the summary of all of it.

    Args:
        jobs: recordings.
        out: folder of results.
        settings: what to hear with.
        engine: who does the work.
        workers: processes; None: what the engine finds right.
        wanted: tables to write.
        retry_errors: analyse again what could not be used last time.
        say: told what goes on, in lines.
        progress: gives, while work goes on, a function that is told how far it is.

    Raises:
        CryError: the models cannot be had, results cannot be written, or the engine broke down.
    """
    engine.prepare({"settings": plan.hearing_settings(settings), "fingerprint": None}, 1, None)
    [(_, found)] = engine.run([{"do": "identify"}], alone=True)
    identity, embedder = found["identity"], found["identity"]["embedder"]
    if found["notice"]:
        say(found["notice"])
    fingerprint = plan.fingerprint(identity)
    store = Store(out, fingerprint)
    store.put_settings(_about(identity))
    run = Run(jobs, store, embedder=embedder, retry_errors=retry_errors)
    if run.tally.done:
        say(f"{run.tally.done:,} of {run.tally.jobs:,} recordings are done already.")
    if run.tally.done < run.tally.jobs:
        known = {**plan.hearing_settings(settings), "embedder": embedder}
        engine.prepare({"settings": known, "fingerprint": fingerprint}, workers, embedder)
        say(f"Listening with the {embedder} embedder, {engine.workers} at a time.")
        with progress() as tell:
            for tally in run.work(engine):
                tell(tally)
    results = tables.results_of(jobs, store)
    written = tables.write(results, store, wanted, reason_names=identity["reason_names"])
    sums = summary.summarise(results)
    with store.writing(out / SUMMARY) as file:
        about = {"embedder": embedder, "threshold": f"{identity['rules']['onset']:g}", "CryLens": __version__}
        file.write(summary.to_html(sums, about=about))
    return Done(sums, (*written, out / SUMMARY))


def _about(identity: Mapping[str, Any]) -> dict[str, Any]:
    """What listened, and with which libraries, to be kept beside the results."""
    versions: dict[str, str] = {}
    for library in _LIBRARIES:
        try:
            versions[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {**identity, "versions": {"python": platform.python_version(), **versions}, "written": now}

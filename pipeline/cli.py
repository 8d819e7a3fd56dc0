"""The command line: ``crylens``, the same as ``python -m pipeline``. Thin; the work is in the other rooms.

Results go to standard output (or ``--output``), everything said about them to standard error. Exit status:
0 all done; 1 some recordings could not be used, the others are done; 2 nothing could be done, and one line
says why; 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer

from pipeline import (
    __version__,
    cli_alerts,
    cli_audit,
    cli_batch,
    cli_export,
    cli_history,
    cli_liveness,
    cli_monitor,
    cli_night,
    cli_results,
    cli_serve,
    cli_train,
)
from pipeline.cli_console import interrupts, progress, quiet_start, say
from pipeline.errors import CryError, SettingsError

if TYPE_CHECKING:
    from pipeline.analysis import CryPipeline
    from pipeline.formats import Record, Writer

Format = Literal["table", "json", "jsonl", "csv", "audacity", "raven"]
EmbedderName = Literal["auto", "yamnet", "student"]

app = typer.Typer(
    name="crylens",
    help="Hears a baby cry: whether, when, and how far the sound can say why.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


_INSTALL = "make setup-train (or pip install -r requirements-train.txt)"


cli_train.evaluate.command("leaderboard")(cli_results.leaderboard)
cli_train.evaluate.command("again")(cli_results.again)
cli_train.evaluate.command("night")(cli_night.night)
app.command("audit")(cli_audit.audit)
app.command("batch")(cli_batch.batch)
app.command("serve")(cli_serve.serve)
cli_monitor.monitor.command("test-alert")(cli_alerts.send_test)
cli_monitor.monitor.command("status")(cli_liveness.status)
cli_monitor.monitor.command("self-test")(cli_liveness.self_test)
cli_monitor.monitor.command("sound-check")(cli_liveness.sound_check)
app.add_typer(cli_monitor.monitor, name="monitor")
app.add_typer(cli_history.history, name="history")
app.add_typer(cli_train.train, name="train")
app.add_typer(cli_train.evaluate, name="evaluate")
app.add_typer(cli_train.data, name="data")
app.add_typer(cli_export.export, name="export")


class Recording(NamedTuple):
    """A file to analyse: where it is, and its name below the folder it was found in."""

    path: Path
    name: str


@app.command()
def analyze(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Recordings, or folders of them (walked).")
    ],
    format: Annotated[Format, typer.Option("--format", "-f", help="How results are written.")] = "table",
    detection_threshold: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="A cry from this score on. [default: the detector's own]"),
    ] = None,
    reason_threshold: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="A reason is named from this score on. [default: 0.6]"),
    ] = None,
    embedder: Annotated[
        EmbedderName | None, typer.Option(help="What listens. [default: auto, or CRY_EMBEDDER]")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write to this file; to this folder, for Audacity labels."),
    ] = None,
) -> None:
    """Is a baby crying in these recordings, when, and what can be said about why?"""
    recordings = find_recordings(paths)
    tracks = _track_folder(recordings, output) if format == "audacity" else None
    if output is not None and tracks is None and not output.parent.is_dir():
        raise SettingsError(f"{output} cannot be written: there is no folder {output.parent}.")
    from pipeline.settings import get_settings

    settings = get_settings(
        embedder=embedder, detection_threshold=detection_threshold, reason_threshold=reason_threshold
    )
    from pipeline.analysis import CryPipeline
    from pipeline.formats import told_error

    with quiet_start(settings):
        pipeline = CryPipeline.load(settings.embedder, settings)
    say(f"Listening with the {pipeline.embedder.name} embedder.")
    if pipeline.embedder.notice:
        say(pipeline.embedder.notice)
    failures: list[Record] = []
    with progress(results_on_terminal=output is None) as report:
        records = _analyzed(pipeline, recordings, failures, report)
        if tracks is not None:
            _write_label_tracks(records, recordings, tracks)
        else:
            _write(_writer(format, pipeline, output)(records), output)
    if failures:
        if format in ("audacity", "raven"):
            for failure in failures:
                say(told_error(failure))
        say(f"{len(failures)} of {len(recordings)} recordings could not be used.")
        raise typer.Exit(1)


def find_recordings(paths: Iterable[Path]) -> list[Recording]:
    """Files as they were named, folders walked in sorted order for the suffixes that we read.

    Raises:
        CryError: nothing to analyse.
    """
    from pipeline.audio import SUPPORTED_SUFFIXES

    found: list[Recording] = []
    for path in paths:
        if not path.is_dir():
            found.append(Recording(path, path.name))
            continue
        before = len(found)
        for folder, folders, files in os.walk(path):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            here = Path(folder)
            found.extend(
                Recording(here / name, (here / name).relative_to(path).as_posix())
                for name in sorted(files)
                if not name.startswith(".") and name.lower().endswith(SUPPORTED_SUFFIXES)
            )
        if len(found) == before:
            say(f"No recordings in {path}: files are taken that end in {' '.join(SUPPORTED_SUFFIXES)}.")
    if not found:
        raise CryError("There is nothing to analyse.", code="nothing-found")
    return found


def _analyzed(
    pipeline: CryPipeline,
    recordings: Sequence[Recording],
    failures: list[Record],
    report: Callable[[str, int, int], None],
) -> Iterator[Record]:
    """One record per recording, in order; a bad file gives an error record and is added to ``failures``."""
    from pipeline.formats import error_record

    for done, recording in enumerate(recordings):
        report(recording.name, done, len(recordings))
        path = str(recording.path)
        try:
            record = {**pipeline.analyze(recording.path).to_dict(), "path": path}
        except CryError as error:
            record = error_record(path, str(error), embedder=pipeline.embedder.name)
            failures.append(record)
        interrupts.check()
        yield record


def _writer(format: Format, pipeline: CryPipeline, output: Path | None) -> Writer:
    from pipeline import formats

    color = output is None and sys.stdout.isatty() and "NO_COLOR" not in os.environ
    writers: dict[Format, Writer] = {
        "table": partial(formats.table, color=color),
        "json": formats.json_array,
        "jsonl": formats.json_lines,
        "csv": partial(formats.csv_rows, reason_names=pipeline.reason_model.classes),
        "audacity": formats.audacity_labels,
        "raven": formats.raven_table,
    }
    return writers[format]


def _write(chunks: Iterable[str], output: Path | None) -> None:
    """Each piece of text as soon as it is there, to the file or to standard output."""
    if output is None:
        for chunk in chunks:
            sys.stdout.write(chunk)
            sys.stdout.flush()
        return
    try:
        with output.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
            for chunk in chunks:
                stream.write(chunk)
                stream.flush()
    except OSError as error:
        raise SettingsError(f"{output} cannot be written: {error.strerror or error}.") from error


def _track_folder(recordings: list[Recording], output: Path | None) -> Path | None:
    """Where Audacity's label tracks go; None when there is one recording, and no folder was named."""
    if len(recordings) == 1 and (output is None or not output.is_dir()):
        return None
    if output is None:
        raise SettingsError(
            f"Audacity has one label track per recording, and there are {len(recordings)}: "
            "name a folder for them (--output FOLDER)."
        )
    return output


def _write_label_tracks(records: Iterable[Record], recordings: list[Recording], folder: Path) -> None:
    """``folder/<name of the recording>.txt`` for each, sub-folders kept."""
    from pipeline.formats import audacity_labels

    taken: set[Path] = set()
    for recording, record in zip(recordings, records, strict=True):
        target = folder / f"{recording.name}.txt"
        number = 1
        while target in taken:
            number += 1
            target = folder / f"{recording.name}.{number}.txt"
        taken.add(target)
        if record.get("error"):
            continue
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(f"{target.parent} cannot be made: {error.strerror or error}.") from error
        _write(audacity_labels([record]), target)


@app.command()
def version() -> None:
    """The version of CryLens and of the libraries its models depend on."""
    from pipeline.artifacts import library_versions

    print(f"CryLens {__version__}")  # noqa: T201
    for library, found in library_versions().items():
        print(f"{library} {found or '(not installed)'}")  # noqa: T201


def main() -> None:
    """Run the command line; an error that a person can act on is one line, never a traceback."""
    interrupts.watch()
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # other people's deprecations
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A file name need not be valid text; a result must not fail on it.
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except CryError as error:
        say(f"crylens: {error}")
        sys.exit(2)
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        if missing in ("", "pipeline"):
            raise
        say(f"crylens: this command needs {missing}, which is not installed. Run: {_INSTALL}")
        sys.exit(2)


if __name__ == "__main__":
    main()

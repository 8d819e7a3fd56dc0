"""The ``audit`` command; the work is in ``evaluation.audit``."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipeline.cli_console import progress, say

if TYPE_CHECKING:
    from pipeline.evaluation.audit.run import Report

Format = Literal["table", "json", "html", "markdown"]
Column = Annotated[str | None, typer.Option(metavar="COLUMN")]


def audit(
    place: Annotated[
        Path,
        typer.Argument(
            metavar="DIR|CSV",
            help="Folders by class (train/ and test/ above or below them count as the split), a CSV of "
            "paths and labels, or a kept audit.json to show it again.",
        ),
    ],
    split: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="Column of the split. [default: split, subset, fold…; none: ignore it]"
        ),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Column of the label. [default: label, class, category…]"),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="Column of donor or recording. [default: group, donor, speaker…]"
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Column of the collection. [default: source, dataset…]"),
    ] = None,
    audio_root: Annotated[
        Path | None, typer.Option(help="Folder that the CSV's paths are relative to. [default: the CSV's]")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="LABEL", help="Leave out this label; repeatable.")
    ] = None,
    format: Annotated[Format, typer.Option("--format", "-f", help="What goes to standard output.")] = "table",
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for audit.html, audit.json, pairs.csv, groups.csv and files.csv."),
    ] = None,
    card: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="MODEL",
            help="Model folder whose card is to say what was found in its training data; repeatable.",
        ),
    ] = None,
    fail_on: Annotated[
        Literal["leak", "shortcut", "never"], typer.Option(help="What makes the exit status 1.")
    ] = "leak",
    seed: Annotated[int, typer.Option(min=0, help="The same data and seed give the same report.")] = 0,
) -> None:
    """What would a score on this audio set owe to something other than the sound?

    Copies and donors on both sides of the split, labels that can be told from rate, bandwidth, format,
    length, loudness or collection, and what a random split would promise beyond a split by group.

    Exit status: 0 no leak, 1 a leak was found, 2 nothing could be audited.
    """
    from pipeline.evaluation.audit import audit as run
    from pipeline.evaluation.audit import output

    if place.suffix.lower() == ".json":
        report = output.from_json(place)
    else:
        with progress() as tell:
            report = run(
                place,
                label=label,
                split=split,
                group=group,
                source=source,
                audio_root=audio_root,
                exclude=exclude or (),
                seed=seed,
                command=_command(place, label, split, group, source, audio_root, exclude or [], seed),
                progress=tell,
            )
    if out is not None:
        output.write(report, out)
        say(f"The report is in {out}: audit.html, audit.json and tables.")
    for model in card or ():
        from pipeline.evaluation.audit.card import rewrite

        say(f"What was found is in {rewrite(model, report.data)}.")
    _print(report, format)
    found = report.found
    failed = (found["leak"] and fail_on != "never") or (found["shortcut"] and fail_on == "shortcut")
    raise typer.Exit(1 if failed else 0)


def _print(report: Report, format: Format) -> None:
    from pipeline.evaluation.audit import html, output

    if format == "table":
        from rich.console import Console

        terminal = sys.stdout.isatty()
        output.show(report.data, Console(width=None if terminal else 110, highlight=False, soft_wrap=False))
        return
    forms = {"json": output.to_json, "html": html.to_html, "markdown": output.to_markdown}
    sys.stdout.write(forms[format](report.data))


def _command(
    place: Path,
    label: str | None,
    split: str | None,
    group: str | None,
    source: str | None,
    audio_root: Path | None,
    exclude: list[str],
    seed: int,
) -> str:
    """The command that makes this report again. An absolute path is cut to its name: reports travel."""

    def told(path: Path) -> str:
        return path.name if path.is_absolute() else os.fspath(path)

    words = ["python", "-m", "pipeline", "audit", told(place)]
    columns = {"--label": label, "--split": split, "--group": group, "--source": source}
    for option, value in columns.items():
        words += [option, value] if value is not None else []
    words += ["--audio-root", told(audio_root)] if audio_root is not None else []
    for name in exclude:
        words += ["--exclude", name]
    words += ["--seed", str(seed)] if seed else []
    return shlex.join(words)

"""``history``; the work is in ``pipeline.monitor``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.cli_console import say
from pipeline.cli_monitor import DEFAULT_STORE, StoreUrl
from pipeline.errors import SettingsError

history = typer.Typer(help="What the monitor heard, as files and back.", no_args_is_help=True)


@history.command("export")
def export_history(
    store: StoreUrl = DEFAULT_STORE,
    format: Annotated[
        Literal["jsonl", "csv", "parquet"], typer.Option("--format", "-f", help="How it is written.")
    ] = "jsonl",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Folder for a file per table. [default: episodes, to standard output]"
        ),
    ] = None,
) -> None:
    """The history for other programs. A running monitor is not disturbed."""
    from pipeline.monitor.exporting import export, text_of
    from pipeline.monitor.models import EpisodeRow
    from pipeline.monitor.store import read_store

    if output is None and format == "parquet":
        raise SettingsError("Parquet cannot go to standard output: name a folder with --output.")
    with read_store(store) as opened:
        if output is not None:
            for path, count in export(opened, output, format).items():
                say(f"{path}: {count:,} rows")
        elif format != "parquet":
            for line in text_of(opened.rows(EpisodeRow, order_by="started_at"), EpisodeRow, format):
                sys.stdout.write(line)


@history.command("import")
def import_history(
    folder: Annotated[Path, typer.Argument(help="What export --output wrote.")],
    store: StoreUrl = DEFAULT_STORE,
) -> None:
    """Take exported files into a history; rows that are there already are replaced, so twice is as once."""
    from pipeline.monitor.exporting import load
    from pipeline.monitor.store import open_store

    if not folder.is_dir():
        raise SettingsError(f"{folder} is no folder: name what history export --output wrote.")
    with open_store(store) as opened:
        for table, count in load(opened, folder).items():
            say(f"{table}: {count:,} rows")

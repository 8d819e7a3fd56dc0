"""The commands that write the benchmark card and measure its figures again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli_console import say

_RESULTS = Path("benchmarks/results")


def leaderboard(
    results: Annotated[Path, typer.Option(help="Folder of result files.")] = _RESULTS,
    out: Annotated[Path, typer.Option(help="Folder to write benchmark.md, .html and pictures to.")] = Path(
        "docs"
    ),
) -> None:
    """Put every measured model side by side: docs/benchmark.md, the same as HTML, and pictures."""
    from pipeline.evaluation.leaderboard.card import write
    from pipeline.settings import get_settings

    for path in write(results, get_settings().artifacts_dir, out):
        typer.echo(path)


def again(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Result files, as reasons-xgb336. [default: all]"),
    ] = None,
    results: Annotated[Path, typer.Option(help="Folder of result files.")] = _RESULTS,
    leave_out: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Not this one; repeatable.")
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Folder for the new files. What is there already is not measured anew.")
    ] = Path("build/again"),
) -> None:
    """Measure published figures again, each by its own command, and name those that come out otherwise.

    Exit status: 0 all came out the same, 1 some did not.
    """
    from pipeline.errors import DataError
    from pipeline.evaluation.leaderboard.again import measure_again
    from pipeline.evaluation.leaderboard.results import files

    # An audit describes recordings; there is no model's figure in it.
    there = {p.stem: p for p in files(results) if not p.stem.startswith("audit-")}
    unknown = [name for name in [*(names or []), *(leave_out or [])] if name not in there]
    if unknown or not there:
        raise DataError(
            f"{results} holds no {', '.join(unknown) or 'result'}; there: {', '.join(there) or 'nothing'}."
        )
    same = True
    for name in [n for n in names or there if n not in (leave_out or [])]:
        found = measure_again(there[name], out)
        same = same and not found
        typer.echo(f"{name}: " + ("the same" if not found else f"{len(found)} figures differ"))
        for difference in found[:10]:
            typer.echo(f"  {difference.where}: {difference.kept} then, {difference.found} now")
        if len(found) > 10:
            typer.echo(f"  … and {len(found) - 10} more")
    say(f"The new files are in {out}.")
    raise typer.Exit(0 if same else 1)

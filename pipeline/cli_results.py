"""The command that writes the benchmark card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def leaderboard(
    results: Annotated[Path, typer.Option(help="Folder of result files.")] = Path("benchmarks/results"),
    out: Annotated[Path, typer.Option(help="Folder to write benchmark.md, .html and pictures to.")] = Path(
        "docs"
    ),
) -> None:
    """Put every measured model side by side: docs/benchmark.md, the same as HTML, and pictures."""
    from pipeline.evaluation.leaderboard.card import write
    from pipeline.settings import get_settings

    for path in write(results, get_settings().artifacts_dir, out):
        typer.echo(path)

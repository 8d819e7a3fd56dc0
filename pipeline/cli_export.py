"""The ``export`` commands; the work is in ``training.onnx_models`` and ``zoo.onnx_export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli_console import progress, say

export = typer.Typer(no_args_is_help=True, help="Models in other forms.")


@export.callback()
def _export() -> None:
    """Models in other forms."""


@export.command()
def onnx(
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("build/onnx"),
    data: Annotated[
        Path | None, typer.Option(help="Folder of recordings to compare each export with its original on.")
    ] = None,
    zoo: Annotated[
        list[Path] | None,
        typer.Option(metavar="FOLDER", help="A trained model of the zoo, too (build/zoo/NAME); repeatable."),
    ] = None,
) -> None:
    """The bundled embedder, the detector's head, the reasons ensemble and models of the zoo, as ONNX files.

    What cannot be exported is named, with its reason, in the manifest.json that is written beside them.
    """
    from pipeline.settings import get_settings
    from pipeline.training.onnx_models import NOT_EXPORTED, compare, shipped, write

    exports = shipped(get_settings())
    if zoo:
        from pipeline.zoo.onnx_export import exported

        exports += [exported(folder) for folder in zoo]
    recordings = None
    if data is not None:
        with progress() as report:
            recordings = compare(exports, data, report)
    for path in write(exports, out, recordings):
        typer.echo(path)
    for one in exports:
        if one.compare is not None and recordings is not None:
            allowed = f"{one.worst:.1e} at most, {one.tolerance:g} is allowed"
            say(f"{one.name}: differs from its original on {recordings} recordings by {allowed}.")
        if then := one.about.get("when_trained"):
            found = f"{then['worst_nats']:.1e} nats at most, {then['tolerance_nats']:g} is allowed"
            say(
                f"{one.name}: its log scores differed from the trained network's by {found}, on all "
                f"{then['inputs']} inputs it was trained with."
            )
    say(f"Not exported, for reasons in the manifest: {', '.join(NOT_EXPORTED)}.")

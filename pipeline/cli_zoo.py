"""``train NAME`` and ``evaluate reasons --model NAME`` for every model of the zoo; the work is in ``zoo``."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from pipeline.cli_console import progress, say
from pipeline.errors import SettingsError
from pipeline.zoo import registry

if TYPE_CHECKING:
    from pipeline.training.protocols import Protocol

Data = Annotated[
    Path, typer.Option(help="Folder of recordings: with a manifest.csv, or one folder for each label.")
]
Out = Annotated[Path | None, typer.Option(help="Model folder to write. [default: build/zoo/NAME]")]
Seed = Annotated[int, typer.Option(min=0, help="The same data and seed give the same figures.")]
Classes = Annotated[
    str | None,
    typer.Option(metavar="A,B,C", help="Only these labels (silence may be one). All reasons by default."),
]
Tags = Annotated[
    bool,
    typer.Option(
        "--unverified-tags",
        help="Donate-a-Cry uploads take part as well, with the reason their uploaders tagged them with, "
        "which nobody has checked; those known to hold no cry are left out. With donateacry: eight reasons.",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="OPTION=VALUE", help="An option of the model; repeatable."),
]
Repeats = Annotated[
    int, typer.Option(min=1, help="How often donors and recordings are split anew; rows are split once.")
]
Folds = Annotated[int, typer.Option(min=2, help="Into how many parts recordings, donors or rows are split.")]
BUILD = Path("build/zoo")


class TrainGroup(typer.core.TyperGroup):
    """The commands below ``train``; an unknown name is told the known ones."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the first argument names.

        Raises:
            SettingsError: there is none.
        """
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            known = ", ".join(self.list_commands(ctx))
            raise SettingsError(f"There is no model '{args[0]}' to train; known are {known}.")
        return super().resolve_command(ctx, args)


def add_to(train: typer.Typer) -> None:
    """A command for every model of the zoo."""
    for name in registry.NAMES:
        make = _train_reasons if registry.task_of(name) == "reasons" else _train_detection
        summary = registry.summary_of(name)
        train.command(name, help=f"{summary[0].upper()}{summary[1:]}.", rich_help_panel="Other models")(
            make(name)
        )


def _train_reasons(name: str) -> Callable[..., None]:
    def command(
        data: Data,
        out: Out = None,
        classes: Classes = None,
        unverified_tags: Tags = False,
        seed: Seed = 0,
        options: Settings = None,
    ) -> None:
        wanted = classes_of(classes)
        _train(name, data, out, options, seed=seed, classes=wanted, unverified_tags=unverified_tags)

    return command


def _train_detection(name: str) -> Callable[..., None]:
    def command(data: Data, out: Out = None, seed: Seed = 0, options: Settings = None) -> None:
        _train(name, data, out, options, seed=seed)

    return command


def _train(name: str, data: Path, out: Path | None, options: list[str] | None, **given: Any) -> None:
    from pipeline.zoo.training import train

    folder = out or BUILD / name
    with progress() as report:
        model = train(name, data, folder, options=options_of(options), progress=report, **given)
    say(f"{name} has learned {', '.join(model.classes)}. The model is in {folder}, with its card.")


def evaluate_models(
    models: Sequence[str],
    data: Path,
    *,
    protocols: Sequence[str] | None,
    out: Path | None,
    seed: int,
    classes: str | None,
    unverified_tags: bool,
    options: list[str] | None,
    repeats: int,
    folds: int,
) -> None:
    """Evaluate models on reasons one after another, write each report and print its tables.

    Raises:
        SettingsError: an unknown model or protocol, or one place or set of options for several models.
        DataError: the recordings cannot be split so.
    """
    from pipeline.evaluation.reason_tables import to_markdown
    from pipeline.evaluation.reason_zoo import evaluate_model, result_file
    from pipeline.zoo.reason_clips import read

    if len(models) > 1 and (options or (out is not None and out.suffix == ".json")):
        raise SettingsError(
            f"{len(models)} models cannot share --set, nor one JSON file; name a folder (--out FOLDER), or "
            "one model at a time."
        )
    for name in models:
        registry.task_of(name)  # an unknown one is told before hours of work
    chosen = cast("list[Protocol]", list(protocols or ["donor"]))
    clips = read(data, classes=classes_of(classes), unverified_tags=unverified_tags)
    variant = f"{len(clips.classes)}classes" if classes or unverified_tags else ""
    for name in models:
        default = result_file(name, variant=variant)
        target = default if out is None else out if out.suffix == ".json" else out / default.name
        with progress() as report:
            figures = evaluate_model(
                name,
                clips,
                protocols=chosen,
                unverified_tags=unverified_tags,
                options=options_of(options),
                repeats=repeats,
                folds=folds,
                seed=seed,
                out=target,
                command=_command(name, data, chosen, seed, classes, unverified_tags, options, repeats, folds),
                progress=report,
            )
        typer.echo(f"{name}: {registry.summary_of(name)}\n\n{to_markdown(figures)}")
        say(f"The figures of {name} are in {target}.")


def evaluate_detectors(
    models: Sequence[str], data: Path, *, out: Path | None, seed: int, options: list[str] | None
) -> None:
    """Evaluate detection models with sources left out, one after another; write each report, print its table.

    Raises:
        SettingsError: an unknown model, or one place or set of options for several models.
        DataError: the recordings cannot be split so.
    """
    from pipeline.evaluation.zoo_detection import evaluate_model, result_file, to_markdown

    if len(models) > 1 and (options or (out is not None and out.suffix == ".json")):
        raise SettingsError(
            f"{len(models)} models cannot share --set, nor one JSON file; name a folder (--out FOLDER), or "
            "one model at a time."
        )
    for name in models:
        registry.task_of(name)  # an unknown one is told before hours of work
    for name in models:
        target = result_file(name) if out is None else out
        target = target if target.suffix == ".json" else target / result_file(name).name
        words = ["python", "-m", "pipeline", "evaluate", "detection", "--model", name]
        words += [word for option in options or [] for word in ("--set", option)]
        words += ["--seed", str(seed)] if seed else []
        with progress() as report:
            figures = evaluate_model(
                name,
                data,
                options=options_of(options),
                seed=seed,
                out=target,
                command=shlex.join([*words, "--data", str(data)]),
                progress=report,
            )
        typer.echo(f"{name}: {registry.summary_of(name)}\n\n{to_markdown(figures)}")
        say(f"The figures of {name} are in {target}.")


def _command(
    name: str,
    data: Path,
    protocols: Sequence[str],
    seed: int,
    classes: str | None,
    unverified_tags: bool,
    options: list[str] | None,
    repeats: int,
    folds: int,
) -> str:
    """What gives the same report again."""
    words = ["python", "-m", "pipeline", "evaluate", "reasons", "--model", name]
    words += [word for protocol in protocols for word in ("--protocol", protocol)]
    words += ["--classes", classes] if classes else []
    words += ["--unverified-tags"] if unverified_tags else []
    words += [word for option in options or [] for word in ("--set", option)]
    words += ["--repeats", str(repeats)] if repeats != 3 else []
    words += ["--folds", str(folds)] if folds != 5 else []
    words += ["--seed", str(seed)] if seed else []
    return shlex.join([*words, "--data", str(data)])


def classes_of(text: str | None) -> tuple[str, ...] | None:
    """``"a,b,c"`` as names, sorted and once each; None stays None.

    Raises:
        SettingsError: fewer than two.
    """
    if text is None:
        return None
    names = tuple(sorted({name.strip() for name in text.split(",") if name.strip()}))
    if len(names) < 2:
        raise SettingsError(f"--classes needs two or more labels joined by commas, not {text!r}.")
    return names


def options_of(texts: list[str] | None) -> dict[str, Any]:
    """``["width=64", "weights=none"]`` as options: JSON values where they are JSON, else text.

    Raises:
        SettingsError: one has no ``=``.
    """
    options: dict[str, Any] = {}
    for text in texts or []:
        key, separator, value = text.partition("=")
        if not separator or not key:
            raise SettingsError(f"--set needs OPTION=VALUE, not {text!r}.")
        try:
            options[key] = json.loads(value)
        except ValueError:
            options[key] = value
    return options

"""``evaluate night``: detectors along hours of annotated sound; the work is in ``evaluation.night``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipeline.cli_console import progress, say
from pipeline.errors import SettingsError

if TYPE_CHECKING:
    from pipeline.evaluation.night import Programme

RESULTS = Path("benchmarks/results")
DEFAULT_MODEL = "crylens-yamnet"


def night(
    data: Annotated[
        Path, typer.Option(help="Folder of recordings: with a manifest.csv, or with cry/ and not_cry/.")
    ],
    hours: Annotated[
        float, typer.Option(help="Hours of night in all, shared by backgrounds and groups of sources.")
    ] = 9.0,
    snr: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DB",
            help="Cry over background, dB; repeatable, or 0,5,10. [what is usual: quiet 20,30,40, "
            "household 5,10,20, others 0,5,10,20]",
        ),
    ] = None,
    background: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="quiet, household, white_noise, fan, or a label of the data's other sounds (rain, "
            "vacuum_cleaner); repeatable. [quiet,household,white_noise]",
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help=f"Who listens; repeatable. [{DEFAULT_MODEL}]"),
    ] = None,
    suite_minutes: Annotated[
        float, typer.Option(help="Minutes of each suite of cry-free sound; 0 for none.")
    ] = 30.0,
    heads: Annotated[
        Literal["held-out", "shipped"],
        typer.Option(
            help="Our detector: taught without the sources of the night, or as shipped (for recordings it "
            "never learned from)."
        ),
    ] = "held-out",
    episodes_per_hour: Annotated[float, typer.Option(help="Episodes of crying per hour of night.")] = 12.0,
    sounds_per_hour: Annotated[float, typer.Option(help="Other sounds per hour of night.")] = 40.0,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same nights.")] = 0,
    write_audio: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write each night as WAV, its truth as JSON and RTTM."),
    ] = None,
    only_audio: Annotated[
        bool, typer.Option("--only-audio", help="Nobody listens; the nights are written, that is all.")
    ] = False,
    pictures: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Draw two minutes of each night: its sound, its truth, the scores."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="JSON file of one model, or folder. [benchmarks/results/night-MODEL.json]"),
    ] = None,
) -> None:
    """Hours of sound with crying in it: episodes missed, and false alerts per 24 h."""
    from pipeline.evaluation import night as evaluation
    from pipeline.evaluation.night_report import to_markdown

    names = list(dict.fromkeys(_split(model) or [DEFAULT_MODEL]))
    if out is not None and out.suffix == ".json" and len(names) > 1:
        raise SettingsError(f"{out} can hold one model's figures, not those of {len(names)}; name a folder.")
    programme = evaluation.Programme(
        hours=hours,
        snr_db=tuple(map(_decibels, _split(snr))) or None,
        backgrounds=tuple(_split(background)) or evaluation.DEFAULT_BACKGROUNDS,
        suite_minutes=suite_minutes,
        seed=seed,
        episodes_per_hour=episodes_per_hour,
        sounds_per_hour=sounds_per_hour,
    )
    if only_audio:
        if write_audio is None:
            raise SettingsError("--only-audio needs --write-audio DIR: where the nights go.")
        with progress() as report:
            paths = evaluation.write_nights(data, programme, write_audio, report, pictures)
        say(f"{len(paths)} nights are in {write_audio}, each with its truth.")
        return
    with progress() as report:
        reports = evaluation.evaluate(
            data,
            names,
            programme,
            heads=heads,
            audio_folder=write_audio,
            pictures=pictures,
            progress=report,
            command=lambda name: _command(name, data, programme, heads),
        )
    for name, figures in reports.items():
        target = out if out is not None and out.suffix == ".json" else (out or RESULTS) / f"night-{name}.json"
        evaluation.write(figures, target)
        typer.echo(to_markdown(figures) + "\n")
        say(f"The figures of {name} are in {target}.")


def _split(values: list[str] | None) -> list[str]:
    """``["0,5", "10"]`` as ``["0", "5", "10"]``."""
    return [part.strip() for value in values or [] for part in value.split(",") if part.strip()]


def _decibels(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise SettingsError(f"--snr cannot be {text!r}: give decibels, for example 0,5,10.") from None


def _command(name: str, data: Path, programme: Programme, heads: str) -> str:
    """The command that gives a model's report again."""
    words = ["python", "-m", "pipeline", "evaluate", "night", "--data", str(data), "--model", name]
    words += ["--hours", f"{programme.hours:g}"]
    words += ["--snr", ",".join(f"{r:g}" for r in programme.snr_db)] if programme.snr_db else []
    words += ["--background", ",".join(programme.backgrounds)]
    words += ["--suite-minutes", f"{programme.suite_minutes:g}", "--seed", str(programme.seed)]
    words += ["--episodes-per-hour", f"{programme.episodes_per_hour:g}"]
    words += ["--sounds-per-hour", f"{programme.sounds_per_hour:g}"]
    words += ["--heads", heads] if heads != "held-out" else []
    return shlex.join(words)

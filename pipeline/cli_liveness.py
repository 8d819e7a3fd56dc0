"""Whether a monitor can be relied on: ``monitor status`` and others; the work is in ``pipeline.monitor``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.cli_console import quiet_start, say
from pipeline.cli_monitor import DEFAULT_STORE, StoreUrl

Threshold = Annotated[
    float | None, typer.Option(min=0, max=1, help="A cry from this score on. [default: the detector's own]")
]
Embedder = Annotated[
    Literal["auto", "yamnet", "student"] | None,
    typer.Option(help="What listens. [default: auto, or CRY_EMBEDDER]"),
]


def status(
    store: StoreUrl = DEFAULT_STORE,
    room: Annotated[
        list[str] | None, typer.Option(help="Only this room, and the monitor as a whole; repeatable.")
    ] = None,
    format: Annotated[
        Literal["text", "json"], typer.Option("--format", "-f", help="For people or for programs.")
    ] = "text",
) -> None:
    """Is it really listening? A light and its cause for each room; exit status 1 unless all are green."""
    from pipeline.errors import SettingsError
    from pipeline.monitor.clock import SystemClock
    from pipeline.monitor.liveness import liveness, stored_signs, worst
    from pipeline.monitor.store import read_store

    now = SystemClock().now()
    with read_store(store) as opened:
        verdicts = liveness(stored_signs(opened), now)
    there = {verdict.room for verdict in verdicts if verdict.room}
    for name in room or []:
        if there and name not in there:
            raise SettingsError(f"There is no room '{name}': the monitor hears {', '.join(sorted(there))}.")
    if room:
        verdicts = [verdict for verdict in verdicts if verdict.room in ("", *room)]
    light = worst(verdicts)
    if format == "json":
        found = [{"room": one.room or None, "light": one.light, "words": one.words} for one in verdicts]
        typer.echo(json.dumps({"at": now.isoformat(), "light": light, "verdicts": found}, ensure_ascii=False))
    else:
        for one in verdicts:
            typer.echo(": ".join(word for word in (one.room, one.light, one.words) if word))
    if light != "green":
        raise typer.Exit(1)


def self_test(
    embedder: Embedder = None,
    detection_threshold: Threshold = None,
    cry: Annotated[
        Path | None, typer.Option(help="A recording of a cry to play instead of the synthetic one.")
    ] = None,
) -> None:
    """Play a cry through the whole loop, into a history of its own; exit status 2 if it is missed."""
    from pipeline.monitor import selftest
    from pipeline.monitor.clock import SystemClock
    from pipeline.monitor.ears import Ears
    from pipeline.settings import get_settings

    settings = get_settings(embedder=embedder, detection_threshold=detection_threshold)
    with quiet_start(settings):
        ears = Ears.load(settings, reasons=False)
    found = selftest.self_test(ears, SystemClock(), cry)
    say(f"Heard and stored: {found['end_s'] - found['start_s']:.1f} s of crying, peak {found['peak']:.2f}.")


def sound_check(
    source: Annotated[str, typer.Option(help="What to listen to, as for the monitor.")] = "mic",
    minutes: Annotated[float, typer.Option(min=0.5, max=60, help="For how long.")] = 1.0,
    white_noise: Annotated[
        bool, typer.Option(help="Once more as if a white-noise machine ran, 20 dB above the room.")
    ] = True,
    cry: Annotated[
        list[Path] | None,
        typer.Option(help="A recording of a cry in place of the synthetic ones; repeatable."),
    ] = None,
    embedder: Embedder = None,
    detection_threshold: Threshold = None,
    format: Annotated[
        Literal["text", "json"], typer.Option("--format", "-f", help="For people or for programs.")
    ] = "text",
) -> None:
    """How faint may a cry be in this room? Listens for a minute, then tries known cries on what it heard.

    Nothing is played aloud or kept. Exit status 1 if a cry was missed even when loud.
    """
    from pipeline.monitor import soundcheck
    from pipeline.monitor.ears import Ears
    from pipeline.monitor.sources import parse_source
    from pipeline.settings import get_settings

    opened = parse_source(source, speed=None)
    cries = [soundcheck.own_cry(path) for path in cry or []] or soundcheck.reference_cries()
    settings = get_settings(embedder=embedder, detection_threshold=detection_threshold)
    with quiet_start(settings):
        ears = Ears.load(settings, reasons=False)
    say(f"Listening to {opened.name} for {60 * minutes:.0f} s: as it is at night, please, and nobody crying.")
    room = soundcheck.hear(opened, 60 * minutes, ears.settings)
    say("Now known cries are tried on it, fainter and fainter.")
    found = soundcheck.sound_check(room, ears, cries, white_noise=white_noise, recorded=bool(cry))
    if format == "json":
        typer.echo(json.dumps(found.to_dict(), ensure_ascii=False))
    else:
        for line in soundcheck.told(found):
            typer.echo(line)
    if any(background.all_caught_dbfs is None for background in found.backgrounds):
        raise typer.Exit(1)

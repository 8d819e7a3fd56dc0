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

    with quiet_start():
        settings = get_settings(embedder=embedder, detection_threshold=detection_threshold)
        ears = Ears.load(settings, reasons=False)
    found = selftest.self_test(ears, SystemClock(), cry)
    say(f"Heard and stored: {found['end_s'] - found['start_s']:.1f} s of crying, peak {found['peak']:.2f}.")

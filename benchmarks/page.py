"""Puts the figures of ``results/speed-*.json`` into the tables of the README and of pages in ``docs``.

    python benchmarks/page.py

A table stands between ``<!-- table NAME -->`` and ``<!-- end -->``; everything else is left as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGES = (ROOT / "docs" / "speed.md", ROOT / "docs" / "scaling.md", ROOT / "README.md")
_SLOT = re.compile(r"(<!-- table (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_SIDES = {"usual": "the usual script", "yamnet": "ours, YAMNet", "student": "ours, student"}

Figures = dict[str, Any]


def table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """A Markdown table; first column to the left, numbers to the right."""
    columns = list(head)
    lines = ["| " + " | ".join(columns) + " |", "|---|" + "---:|" * (len(columns) - 1)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def measured_by(found: Figures) -> str:
    """The line under a table: command and machine."""
    machine = found["machine"]
    return (
        f"`{found['command']}` on {machine['processor']}, {machine['cores']} cores, "
        f"load {machine['load_at_end']} at the end; Python {machine['python']}."
    )


def features(found: Figures) -> str:
    clip, corpus = found["one_clip"], found["corpus"]
    rows = [
        (
            f"{count} features of one clip of {found['clip_s']} s, warm",
            f"{clip[f'usual_{count}']['median_ms']:.0f} ms",
            f"{clip[f'ours_{count}']['median_ms']:.1f} ms",
            f"**{clip[f'ours_{count}']['times_as_fast']:.1f}**",
        )
        for count in (108, 111)
    ]
    rows.append(
        (
            f"111 features of {corpus['recordings']} recordings, one after the other",
            f"{corpus['usual_s']:.0f} s",
            f"{corpus['ours_s']:.1f} s",
            f"**{corpus['times_as_fast']:.1f}**",
        )
    )
    name, part = next(iter(corpus["worst_features"].items()))
    parity = (
        f"Largest difference of any of the 111 features on those {corpus['recordings']} recordings, over the "
        f"feature's standard deviation among them: {part:.1e} (`{name}`)."
    )
    return table(("one core", "librosa, call by call", "ours", "times as fast"), rows) + f"\n\n{parity}"


def profile(found: Figures) -> str:
    sides = found["profile_ms"]
    named = [
        [(name, taken) for name, taken in sides[side].items() if not name.startswith("<")]
        for side in ("usual", "ours")
    ]
    longest = max(len(steps) for steps in named)
    padded = [[*steps, *[("", "")] * (longest - len(steps))] for steps in named]
    rows = [
        (f"`{left}`" if left else "", a, f"`{right}`" if right else "", b)
        for (left, a), (right, b) in zip(*padded, strict=True)
    ]
    return table(("librosa, call by call", "ms", "ours", "ms"), rows)


def embedders(found: Figures) -> str:
    rows = []
    for threads, by_length in found["by_threads"].items():
        for length, taken in by_length.items():
            rows.append(
                (
                    f"{length}, {taken['frames']} frames, {threads} thread{'s' * (threads != '1')}",
                    *(f"{taken[side]['median_ms']:.1f} ms" for side in ("saved_model", "yamnet", "student")),
                    *(f"**{taken[side]['times_as_fast']:.1f}**" for side in ("yamnet", "student")),
                )
            )
    size = f"The student's file has {found['student_bytes'] / 1e6:.2f} MB."
    head = (
        "samples to embedding",
        "YAMNet, SavedModel",
        "YAMNet, ours",
        "student",
        "times as fast, ours",
        "times as fast, student",
    )
    return table(head, rows) + f"\n\n{size}"


def clip(found: Figures) -> str:
    rows = [
        (
            _SIDES[side],
            f"{taken['cold_s']:.2f} s",
            f"{taken['cold_cpu_s']:.2f} s",
            f"{taken['peak_mb']} MB",
            f"{taken['warm']['median_ms']:.0f} ms",
            f"**{taken['times_as_fast_cold']:.1f}** / **{taken['times_as_fast_warm']:.1f}**",
        )
        for side, taken in found["sides"].items()
    ]
    head = (
        "one clip",
        "cold, by the clock",
        "cold, processor",
        "peak memory",
        "warm",
        "times as fast, cold / warm",
    )
    return table(head, rows)


def long(found: Figures) -> str:
    rows = []
    for length, label in (("ten_minutes", "ten minutes"), ("day", "24 hours")):
        for side, taken in found[length].items():
            speed = taken.get("times_real_time")
            rows.append(
                (
                    f"{label}, {_SIDES[side]}",
                    f"{taken['wall_s']:.0f} s",
                    f"{taken['cpu_s']:.0f} s",
                    f"{taken['peak_mb']} MB",
                    f"{speed:,}" if speed else "",
                )
            )
    return table(
        ("from a standing start", "by the clock", "processor", "peak memory", "times real time"), rows
    )


def memory(found: Figures) -> str:
    rows = [(after, f"{peak} MB") for after, peak in found["peak_mb_after"].items()]
    more = (
        f"With YAMNet, before it has heard anything: {found['yamnet_mb']} MB; "
        f"its SavedModel in TensorFlow: {found['tensorflow_with_yamnet_mb']} MB. "
        f"`import pipeline` takes {found['import_pipeline_ms']:.0f} ms."
    )
    return table(("student, one process, after", "peak memory so far"), rows) + f"\n\n{more}"


def stages(found: Figures) -> str:
    taken = found["stages_s_per_hour"]
    whole = sum(taken.values())
    rows = [(stage, f"{seconds:.2f} s", f"{seconds / whole:.0%}") for stage, seconds in taken.items()]
    return table(("an hour with the student, one thread", "time", "share"), rows)


_ARCHIVES = {
    "rooms_student": "recordings of half an hour, student",
    "long_student": "one recording, student",
    "clips_student": "clips of Donate-a-Cry, student",
    "rooms_yamnet": "recordings of half an hour, YAMNet",
}
_WAYS = {"analyze": "analyze", "one_worker": "batch, 1 worker", "two_workers": "batch, 2 workers"}


def batch(found: Figures) -> str:
    rows = []
    for archive, label in _ARCHIVES.items():
        of_all = found[archive]
        for way, told in _WAYS.items():
            taken = of_all[way]
            rows.append(
                (
                    f"{of_all['recordings']} {label}, {of_all['audio_hours']:g} h: {told}",
                    f"{taken['wall_s']:.0f} s",
                    f"{taken['cpu_s']:.0f} s",
                    f"{taken['peak_mb']} MB",
                    f"{taken['audio_hours_per_core_hour']:,}",
                )
            )
    head = ("archive", "by the clock", "processor", "largest process", "audio hours per core-hour")
    books, name = found["bookkeeping_s"], "two_workers_times_as_fast_as_one"
    more = (
        f"Two workers against one, by the clock: {found['rooms_student'][name]} times as fast over the "
        f"recordings of half an hour, {found['long_student'][name]} over the long one. Keeping a result, "
        f"looking it up again and telling it in every format: {books['results_per_s']:,} results a second."
    )
    return table(head, rows) + f"\n\n{more}"


def month(found: Figures) -> str:
    hours = 100 * 30 * 24
    rows = []
    for archive, label in (("rooms_student", "student"), ("rooms_yamnet", "YAMNet")):
        rate = found[archive]["two_workers"]["audio_hours_per_core_hour"]
        rows.append((label, f"{rate:,}", f"{hours / rate:,.0f}", f"{hours / rate / 16:,.1f} h"))
    head = ("embedder", "audio hours per core-hour", "core-hours", "by the clock on 16 cores")
    return table(head, rows)


# Name of a table: the results it is made from, and how.
TABLES: dict[str, tuple[str, Callable[[Figures], str]]] = {
    "features": ("features", features),
    "profile": ("features", profile),
    "embedders": ("embedders", embedders),
    "clip": ("clip", clip),
    "long": ("long", long),
    "stages": ("long", stages),
    "memory": ("memory", memory),
    "batch": ("batch", batch),
    "month": ("batch", month),
}


def filled(page: str) -> str:
    """The page with every table made anew from the results."""

    def slot(match: re.Match[str]) -> str:
        source, make = TABLES[match[2]]
        found = json.loads((RESULTS / f"speed-{source}.json").read_text("utf-8"))
        return f"{match[1]}\n{make(found)}\n\n{measured_by(found)}\n\n{match[3]}"

    return _SLOT.sub(slot, page)


if __name__ == "__main__":
    for path in PAGES:
        path.write_text(filled(path.read_text("utf-8")), encoding="utf-8")
        print(f"Written: {path.relative_to(ROOT)}")

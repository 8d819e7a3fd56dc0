"""The report for terminals, as Markdown, as JSON and as tables; and back from JSON."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline._inputs import printable
from pipeline.errors import DataError, SettingsError
from pipeline.evaluation.audit.checks import SEVERITIES
from pipeline.evaluation.audit.html import WORDS, facts, to_html
from pipeline.evaluation.audit.run import Report

if TYPE_CHECKING:
    from rich.console import Console

SHOWN = 5  # examples of a check on a terminal and in Markdown
_STYLES = {"leak": "bold red", "shortcut": "bold yellow", "note": "cyan", "clear": "green", "skipped": "dim"}
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would run such a cell


def to_json(data: Mapping[str, Any]) -> str:
    """The summary, indented; plain ASCII, so that any name survives."""
    return json.dumps(data, indent=1, allow_nan=False) + "\n"


def from_json(path: Path) -> Report:
    """A report kept as JSON, to be shown again.

    Raises:
        DataError: it is none.
    """
    try:
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: it cannot be read as a kept audit ({error}).") from error
    needed = {"kind", "command", "verdict", "data", "options", "checks", "plots"}
    if not isinstance(data, dict) or data.get("kind") != "audit" or not needed <= set(data):
        raise DataError(f"{path}: this JSON file is no audit. Give a folder, a CSV, or an audit.json.")
    try:
        to_markdown(data), to_html(data)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: parts of this audit are missing or altered ({error!r}).") from error
    return Report(data)


def show(data: Mapping[str, Any], console: Console) -> None:
    """Print the report for people."""
    from rich.text import Text

    console.print(Text(f"Leakage audit: {data['data']['title']}", "bold"))
    for name, value in facts(data["data"]):
        console.print(Text(f"  {name}: ", "dim") + Text(value))
    console.print()
    for one in data["checks"]:
        severity = one["severity"]
        style = _STYLES[severity]
        console.print(Text(f"{WORDS[severity].upper():12}", style) + Text(one["title"], "bold"))
        console.print(_indented(one["finding"]))
        if severity in ("leak", "shortcut", "note"):
            if one["meaning"]:
                console.print(_indented(one["meaning"], "dim"))
            for row in one["examples"][:SHOWN]:
                console.print(_indented("· " + "  |  ".join(cell for cell in row if cell)))
            if len(one["examples"]) > SHOWN:
                console.print(_indented("· …"))
    console.print()
    worst = next((name for name in ("leak", "shortcut") if data["verdict"][name]), "clear")
    console.print(Text(data["verdict"]["sentence"], _STYLES[worst]))


def _indented(text: str, style: str = "") -> Any:
    from rich.padding import Padding
    from rich.text import Text

    return Padding(Text(text, style), (0, 0, 0, 12))


def to_markdown(data: Mapping[str, Any]) -> str:
    """The report as Markdown: facts, a table of all checks, and what was found in full."""
    lines = [f"**{md(data['verdict']['sentence'])}**", ""]
    lines += [f"- {md(name)}: {md(value)}" for name, value in facts(data["data"])]
    lines += ["", "| | looked for | found |", "|---|---|---|"]
    for one in data["checks"]:
        word = WORDS[one["severity"]]
        strong = f"**{word}**" if one["severity"] in ("leak", "shortcut") else word
        lines.append(f"| {strong} | {md(one['title'])} | {md(one['finding'])} |")
    for one in data["checks"]:
        if one["severity"] in ("leak", "shortcut", "note") and one["examples"]:
            lines += ["", f"{md(one['title'])}:", ""]
            lines += [f"| {' | '.join(map(md, one['columns']))} |", "|" + "---|" * len(one["columns"])]
            lines += [f"| {' | '.join(map(md, row))} |" for row in one["examples"][:SHOWN]]
    return "\n".join(lines) + "\n"


def md(text: str) -> str:
    """Text that stays text in a Markdown table."""
    kept = "".join(f"\\{letter}" if letter in r"\`*_[]|#~" else letter for letter in text)
    return kept.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\n", " ")


def write(report: Report, folder: Path) -> list[Path]:
    """Write the report into a folder: audit.json, audit.html and, unless it was read back, three tables.

    ``pairs.csv`` lists recordings with the same audio; ``groups.csv`` proposes what must stay together;
    ``files.csv`` holds what was measured of each file, and why the others were skipped.

    Raises:
        SettingsError: the folder cannot be written.
    """
    texts = {"audit.json": to_json(report.data), "audit.html": to_html(report.data)}
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8", errors="backslashreplace")
            written.append(folder / name)
        for name, (columns, rows) in _tables(report).items():
            with (folder / name).open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(columns)
                writer.writerows([_cell(value) for value in row] for row in rows)
            written.append(folder / name)
    except OSError as error:
        raise SettingsError(f"{folder} cannot be written: {error.strerror or error}.") from error
    return written


def _tables(report: Report) -> dict[str, tuple[list[str], list[Sequence[Any]]]]:
    sounds = report.sounds
    if sounds is None or report.together is None:
        return {}
    items = sounds.items
    pairs: list[Sequence[Any]] = [
        (
            items[pair.first].name,
            items[pair.second].name,
            pair.kind,
            pair.change,
            round(pair.error, 4),
            None if pair.overlap_s is None else round(pair.overlap_s, 2),
            items[pair.first].label,
            items[pair.second].label,
            items[pair.first].split,
            items[pair.second].split,
            items[pair.first].group,
            items[pair.second].group,
        )
        for pair in report.pairs
    ]
    sizes = Counter(report.together.tolist())
    groups: list[Sequence[Any]] = [
        (item.name, item.label, item.split, item.group, f"together-{number}", sizes[number])
        for item, number in zip(items, report.together.tolist(), strict=True)
    ]
    names = list(asdict(sounds.traits[0]))
    files: list[Sequence[Any]] = [
        (item.name, item.label, *asdict(traits).values(), None)
        for item, traits in zip(items, sounds.traits, strict=True)
    ]
    files += [(name, None, *[None] * len(names), why) for name, why in sounds.bad]
    both = ["label", "split", "group"]
    columns = [f"{name}_{side}" for name in both for side in ("first", "second")]
    return {
        "pairs.csv": (["first", "second", "kind", "change", "bit_error", "overlap_s", *columns], pairs),
        "groups.csv": (["path", "label", "split", "group", "together", "recordings_together"], groups),
        "files.csv": (["path", "label", *names, "error"], files),
    }


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str):
        value = "".join(
            letter if letter.isprintable() or "\udc80" <= letter <= "\udcff" else "?" for letter in value
        )
        return f"'{value}" if value.startswith(_FORMULA_STARTS) else value
    return value


def severities(report: Report) -> dict[str, list[str]]:
    """Titles of the checks by severity, for programs."""
    return {
        name: [printable(one["id"]) for one in report.data["checks"] if one["severity"] == name]
        for name in SEVERITIES
    }

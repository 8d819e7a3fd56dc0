"""The report as one HTML file: no scripts, nothing fetched, light and dark, readable on a phone.

Names of files, classes, sources and columns come from strangers. Every one of them is escaped, and a content
security policy keeps the browser from running or fetching anything should one have been missed.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from pipeline.evaluation.audit import plots
from pipeline.evaluation.audit.style import STYLE

WORDS = {"leak": "leak", "shortcut": "shortcut", "note": "note", "clear": "clear", "skipped": "not checked"}
_MARKS = {"leak": "✖", "shortcut": "▲", "note": "●", "clear": "✓", "skipped": "–"}

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def to_html(data: Mapping[str, Any]) -> str:
    """The report as a complete page."""
    verdict = data["verdict"]
    worst = next((name for name in ("leak", "shortcut") if verdict[name]), "clear")
    title = escape(f"Leakage audit: {data['data']['title']}")
    told = [one for one in data["checks"] if one["severity"] in ("leak", "shortcut", "note")]
    rest = [one for one in data["checks"] if one["severity"] not in ("leak", "shortcut", "note")]
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>",
            f"<h1>{title}</h1>",
            f'<p class="verdict {worst}">{_MARKS[worst]} {escape(verdict["sentence"])}</p>',
            _facts(data["data"]),
            "<h2>What was found</h2>" if told else "",
            *(_section(one) for one in told),
            "<h2>Plots</h2>",
            *_charts(data["plots"], len(data["data"]["labels"])),
            "<h2>Looked for and not found, or not checked</h2>" if rest else "",
            f'<ul class="rest">{"".join(_line(one) for one in rest)}</ul>' if rest else "",
            _footer(data),
            "</main>\n</body>\n</html>\n",
        ]
    )


def facts(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was looked at, as (name, value), not escaped; shared by all forms of the report."""
    basis = data["basis"]
    rows = [("recordings", f"{data['recordings']:,} ({data['hours']:.2f} h)")]
    if data["skipped"]:
        rows.append(("not usable", f"{data['skipped']:,} (skipped)"))
    rows.append((f"classes ({basis.get('label', 'label')})", _numbers(data["labels"])))
    split = "none given: what a random split would do is judged instead"
    if "split" in basis:
        split = _numbers(data["splits"])
    rows.append((f"split ({basis['split']})" if "split" in basis else "split", split))
    groups = (
        f"{data['groups']:,}" if data["groups"] else "unknown: each recording is taken to stand for itself"
    )
    rows.append((f"groups ({basis['group']})" if "group" in basis else "groups", groups))
    if len(data["sources"]) > 1:
        rows.append((f"sources ({basis.get('source', 'source')})", _numbers(data["sources"])))
    if data["excluded"]:
        rows.append(("left out", ", ".join(data["excluded"])))
    if data["cut"]:
        rows.append(("long recordings", f"{data['cut']:,} were looked at for their first half hour only"))
    return rows


def _facts(data: Mapping[str, Any]) -> str:
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts(data))
    return f"<dl>{rows}</dl>"


def _numbers(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in counts.items())


def _tag(one: Mapping[str, Any]) -> str:
    return f'<span class="tag">{_MARKS[one["severity"]]} {WORDS[one["severity"]]}</span>'


def _section(one: Mapping[str, Any]) -> str:
    parts = [
        f'<section class="check {one["severity"]}"><h3>{_tag(one)}: {escape(one["title"])}</h3>',
        f"<p>{escape(one['finding'])}</p>",
        f'<p class="meaning">{escape(one["meaning"])}</p>' if one["meaning"] else "",
        _table(one["columns"], one["examples"]) if one["examples"] else "",
        "</section>",
    ]
    return "".join(parts)


def _table(columns: list[str], rows: list[list[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(
        "<tr>"
        + "".join(
            f'<td data-name="{escape(name)}">{escape(cell)}</td>'
            for name, cell in zip(columns, row, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return f'<table class="examples"><tr>{head}</tr>{body}</table>'


def _line(one: Mapping[str, Any]) -> str:
    told = f'<span class="told">{escape(one["finding"])}</span>'
    return f'<li class="{one["severity"]}">{_tag(one)} {escape(one["title"])}{told}</li>'


def _charts(found: Mapping[str, Any], classes: int) -> list[str]:
    charts = []
    if found["shortcuts"] and found["shortcuts"]["traits"]:
        charts.append(plots.auc_chart(found["shortcuts"]))
    if found["gap"]:
        charts.append(plots.gap_chart(found["gap"]))
    if found["sources"]:
        charts.append(plots.source_table(found["sources"]))
    return [*charts, plots.trait_charts(found["traits"], classes)]


def _footer(data: Mapping[str, Any]) -> str:
    options = data["options"]
    command = f"<p><code>{escape(data['command'])}</code></p>" if data["command"] else ""
    return (
        f"<footer>{command}<p>Intervals: {options['draws']} bootstrap draws of whole groups; tests: "
        f"{options['deals']} deals of the labels to whole groups; seed {options['seed']}. "
        "Leak: the same audio, donor or original where it must not be. "
        "Shortcut: the label can be told from something that is no sound of the thing. "
        "Note: worth knowing. A check that found nothing is no proof that there is nothing.</p></footer>"
    )

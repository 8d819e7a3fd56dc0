"""Headings, text, tables, commands and figures, written once and rendered as Markdown or as HTML."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Heading:
    """A heading; ``level`` 1 is the title."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Text:
    """A paragraph. ``**bold**``, `` `code` `` and ``[links](target)`` are understood."""

    text: str


@dataclass(frozen=True)
class Table:
    """A table; cells as in :class:`Text`. The first column is words, the others figures."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Commands:
    """Lines for a shell."""

    lines: tuple[str, ...]


@dataclass(frozen=True)
class Figure:
    """A picture: ``file`` beside the document, ``svg`` what it holds, ``alt`` the same in words."""

    file: str
    svg: str
    alt: str


Block = Heading | Text | Table | Commands | Figure

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 66rem; padding: 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .7rem; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
pre { background: var(--soft); padding: .7rem; overflow-x: auto; }
figure { margin: 1rem 0; background: #fff; border-radius: 6px; padding: .3rem; }
figcaption { color: #444; font-size: .85rem; text-align: center; }
figure svg { max-width: 100%; height: auto; display: block; margin: auto; }
sub { font-size: .75em; vertical-align: baseline; opacity: .75; }
"""


def to_markdown(blocks: Sequence[Block], folder: str) -> str:
    """Markdown, pictures referred to as ``folder/file``."""
    return "\n\n".join(_markdown(block, folder) for block in blocks) + "\n"


def _markdown(block: Block, folder: str) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {text}"
        case Text(text):
            return text
        case Table(header, rows):
            lines = [header, ("---",) + ("---:",) * (len(header) - 1), *rows]
            return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
        case Commands(lines):
            return "\n".join(["```sh", *lines, "```"])
        case Figure(file, _, alt):
            return f"![{alt}]({folder}/{file})"


def to_html(blocks: Sequence[Block]) -> str:
    """One self-contained page."""
    title = next((b.text for b in blocks if isinstance(b, Heading)), "")
    body = "\n".join(_html(block) for block in blocks)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _html(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"<h{level}>{_inline(text)}</h{level}>"
        case Text(text):
            return f"<p>{_inline(text)}</p>"
        case Table(header, rows):
            head = "".join(f'<th scope="col">{_inline(c)}</th>' for c in header)
            lines = "\n".join(
                "<tr>" + "".join(f"<td>{_inline(c)}</td>" for c in cells) + "</tr>" for cells in rows
            )
            table = f"<thead><tr>{head}</tr></thead>\n<tbody>{lines}</tbody>"
            return f'<div class="wide"><table>{table}</table></div>'
        case Commands(lines):
            return f"<pre>{html.escape(chr(10).join(lines))}</pre>"
        case Figure(_, svg, alt):
            picture = svg[svg.index("<svg") :]
            caption = html.escape(alt)
            words = f"<figcaption>{caption}</figcaption>"
            return f'<figure role="img" aria-label="{caption}">{picture}{words}</figure>'


def _inline(text: str) -> str:
    """Escaped text with bold, code, links and ``<sub>`` kept."""
    safe = html.escape(text, quote=False)
    safe = safe.replace("&lt;sub&gt;", "<sub>").replace("&lt;/sub&gt;", "</sub>")
    safe = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", safe)
    safe = re.sub(r"`(.+?)`", r"<code>\1</code>", safe)
    return re.sub(r"\[([^\]]+)\]\(([\w./#-]+)\)", r'<a href="\2">\1</a>', safe)

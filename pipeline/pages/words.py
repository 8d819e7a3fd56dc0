"""Small pieces of language: clock times, sizes, lists, and text made safe to show.

File names and decoder messages come from strangers. Streamlit renders labels as Markdown with extras
(links, colours, LaTeX, emoji), so whatever we did not write ourselves goes through :func:`plain`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from pipeline.formats import clock

_PUNCTUATION = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$&\"'^=])")
_JOINER = "\u2060"
"""Word joiner: invisible; keeps ``www.``, ``a@b.c`` and ``:name:`` from turning into links or emoji."""
MAX_NAME = 60


def clean_name(name: str, fallback: str = "sound") -> str:
    """One short printable line from a file name: no folders, control or direction-changing characters."""
    base = re.split(r"[/\\]", name)[-1]
    kept = "".join(
        c for c in base if unicodedata.category(c) not in {"Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn"}
    )
    kept = " ".join(kept.split()) or fallback
    if len(kept) <= MAX_NAME:
        return kept
    head = MAX_NAME - 13  # the end matters too: it carries the file type
    return f"{kept[:head]}…{kept[-12:]}"


def plain(text: str) -> str:
    """Text that Streamlit's Markdown shows exactly as it is written: no markup, link, LaTeX or emoji."""
    escaped = _PUNCTUATION.sub(r"\\\1", " ".join(text.split()))
    escaped = re.sub(r"(?i)(www)(?=\\\.)", rf"\1{_JOINER}", escaped)
    return re.sub(r"(:(?!\d\d(?!\d))|@)", rf"\1{_JOINER}", escaped)  # clock times keep their colon


def span(start: float, end: float) -> str:
    """``0:02 to 0:06``, and never an empty stretch: a cry of half a second still ends a second later."""
    first, last = clock(start), clock(end)
    return f"{first} to {last}" if first != last else f"{clock(int(start))} to {clock(int(start) + 1)}"


def length(seconds: float) -> str:
    """A length in words: ``1.9 seconds``, ``7 seconds``, ``4 min 10 s``, ``2 h 05 min``."""
    whole = round(seconds)
    if whole < 90:
        return f"{seconds:.1f} seconds" if seconds < 2.95 else f"{whole} seconds"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def size(n_bytes: int) -> str:
    """Bytes as ``12 KB`` or ``3.4 MB``."""
    return f"{n_bytes / 2**20:.1f} MB" if n_bytes >= 2**20 else f"{max(1, round(n_bytes / 2**10))} KB"


def label_words(label: str) -> str:
    """A class name as words: ``belly_pain`` becomes ``belly pain``."""
    return " ".join(label.replace("_", " ").replace("-", " ").split())


def one_of(items: Sequence[str]) -> str:
    """``a``, ``a or b``, ``a, b or c``."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} or {items[-1]}" if items else ""


def in_hundred(probability: float) -> str:
    """A chance as a natural frequency, easier than a decimal: ``84 in 100``, ``fewer than 1 in 100``."""
    count = round(probability * 100)
    if count < 1:
        return "fewer than 1 in 100"
    return "more than 99 in 100" if count > 99 else f"{count} in 100"

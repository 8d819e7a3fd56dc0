"""The plots of the HTML report, as HTML and CSS: they keep their text size on a phone and follow the theme.

Everything that comes from the set is escaped here. Nothing is told by colour alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import Any

Figures = Mapping[str, Any]


def auc_chart(found: Figures) -> str:
    """AUC of each trait with its interval, the best class, one half, and the alarm line."""
    line = float(found["line"])
    rows = []
    for name, one in found["traits"].items():
        if one["auc"] is None:
            continue
        over = bool(one["over"])
        best = max(one["by_class"].values(), key=lambda row: row["auc"], default=None)
        marks = _range(one["low"], one["high"], 0.0, 1.0, "strong" if over else "")
        marks += _dot(one["auc"], 0.0, 1.0, "strong" if over else "")
        if best is not None:
            marks += f'<u style="left:{_percent(best["auc"], 0, 1)}"></u>'
        told = f"{one['auc']:.2f}" + (" ▲" if over else "")
        rows.append(_row(name, marks, told))
    scale = _ticks([(0.0, "0"), (0.5, "chance 0.5"), (line, f"{line:g} line"), (1.0, "1")], 0.0, 1.0)
    guide = f'<s style="left:50%"></s><s class="line" style="left:{_percent(line, 0, 1)}"></s>'
    body = "".join(row.replace('<div class="track">', f'<div class="track">{guide}') for row in rows)
    caption = (
        "How well each trait alone ranks a class before the rest, on groups held out. Dot and bar: mean over "
        "classes with 95 % interval; short stroke: the class it tells best; ▲: over the dashed line."
    )
    return _figure("Label from traits of the recording", body + scale, caption)


def gap_chart(found: Figures) -> str:
    """Random and grouped AUC with intervals, above what labels dealt anew give."""
    rows = "".join(
        _row(
            title,
            '<s style="left:50%"></s>'
            + _range(found[kind]["low"], found[kind]["high"], 0.0, 1.0)
            + _dot(found[kind]["value"], 0.0, 1.0),
            f"{found[kind]['value']:.2f}",
        )
        for kind, title in (("random", "split at random"), ("grouped", "groups kept whole"))
    )
    null = found["null"]
    histogram = null["histogram"]
    most = max(histogram["counts"]) or 1
    edges = histogram["edges"]
    bars = "".join(
        f'<q style="left:{_percent(low, 0, 1)};width:{100 * (high - low):.2f}%;'
        f'height:{100 * number / most:.0f}%"></q>'
        for (low, high), number in zip(pairwise(edges), histogram["counts"], strict=True)
    )
    rows += _row("by chance (labels dealt anew)", '<s style="left:50%"></s>' + bars, f"{null['mean']:.2f}")
    scale = _ticks([(0.0, "0"), (0.5, "chance 0.5"), (1.0, "1")], 0.0, 1.0)
    caption = (
        "Mean one-against-the-rest AUC of one quick model on the same recordings. Bars: 95 % interval by "
        f"group; the lowest row is the distribution of the grouped figure over {null['deals']} deals of the "
        "labels."
    )
    return _figure("Random split against grouped split", rows + scale, caption)


def source_table(found: Figures) -> str:
    """Class by source as a shaded table."""
    table = found["table"]
    head = "".join(f"<th scope=col>{escape(str(name))}</th>" for name in found["sources"])
    body = []
    for name, row in zip(found["classes"], table, strict=True):
        total = sum(row) or 1
        cells = "".join(
            f'<td class=cell style="--share:{100 * number / total:.0f}%">{number or "·"}</td>'
            for number in row
        )
        body.append(f"<tr><th scope=row>{escape(str(name))}</th>{cells}</tr>")
    inner = f"<div class=wide><table><tr><th></th>{head}</tr>{''.join(body)}</table></div>"
    return _figure("Class by source", inner, "Recordings; shading is the share of the class.")


_UNITS = {
    "sample rate": ("kHz", 1000.0),
    "bandwidth": ("kHz", 1000.0),
    "length": ("s", 1.0),
    "loudness": ("dB", 1.0),
}


def trait_charts(traits: Figures, classes: int) -> str:
    """Boxes (5, 25, 50, 75, 95 %) of each trait by class, each chart on a scale of its own.

    Args:
        classes: how many there are; the largest are drawn.
    """
    caption = "Dot: median; bar: the middle half of the recordings; thin line: 5 to 95 %."
    shown = min((len(by_class) for by_class in traits.values()), default=0)
    if classes > shown:
        caption += f" The {shown} largest of {classes} classes."
    return "".join(_trait_chart(name, by_class, caption) for name, by_class in traits.items())


def _trait_chart(name: str, by_class: Mapping[str, Sequence[float]], caption: str) -> str:
    unit, divisor = _UNITS[name]
    values = {label: [value / divisor for value in found] for label, found in by_class.items()}
    low, high = min(v[0] for v in values.values()), max(v[4] for v in values.values())
    if low >= 0:
        low = 0.0
    span = high - low or 1.0
    rows = "".join(
        _row(
            label,
            _range(v[0], v[4], low, low + span, "whisker")
            + _range(v[1], v[3], low, low + span)
            + _dot(v[2], low, low + span),
            f"{v[2]:.3g}",
        )
        for label, v in values.items()
    )
    scale = _ticks([(low, f"{low:.3g}"), (low + span, f"{low + span:.3g} {unit}")], low, low + span)
    return _figure(f"{name.capitalize()} by class, {unit}", rows + scale, caption)


def _figure(title: str, inner: str, caption: str) -> str:
    told = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f"<figure><h3>{escape(title)}</h3>{inner}{told}</figure>"


def _row(label: str, marks: str, value: str) -> str:
    return (
        f'<div class="bar"><span class="label">{escape(label)}</span><div class="track">{marks}</div>'
        f'<span class="value">{escape(value)}</span></div>'
    )


def _ticks(places: Sequence[tuple[float, str]], low: float, high: float) -> str:
    inner = "".join(
        f'<span style="left:{_percent(at, low, high)}" class="{_edge(at, low, high)}">{escape(text)}</span>'
        for at, text in places
    )
    return (
        f'<div class="bar scale"><span class="label"></span><div class="ticks">{inner}</div>'
        '<span class="value"></span></div>'
    )


def _edge(at: float, low: float, high: float) -> str:
    place = (at - low) / (high - low)
    if place < 0.02:
        return "first"
    if place > 0.98:
        return "last"
    # Labels close to each other turn away from each other.
    return "before" if 0.45 < place <= 0.5 else "after" if 0.5 < place < 0.8 else ""


def _range(low: float | None, high: float | None, start: float, end: float, kind: str = "") -> str:
    if low is None or high is None:
        return ""
    width = 100 * max(0.004, (high - low) / (end - start))
    return f'<i class="{kind}" style="left:{_percent(low, start, end)};width:{width:.2f}%"></i>'


def _dot(value: float, start: float, end: float, kind: str = "") -> str:
    return f'<b class="{kind}" style="left:{_percent(value, start, end)}"></b>'


def _percent(value: float, low: float, high: float) -> str:
    return f"{100 * min(1.0, max(0.0, (value - low) / (high - low))):.2f}%"

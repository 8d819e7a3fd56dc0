"""The charts of the monitor's page. The browser is handed moments and shows its own local time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING

import altair as alt
import pandas as pd

from pipeline.pages.charts import CRY, LINE, MARGIN, QUIET, SOUND
from pipeline.pages.monitor.spans import Span, clipped, gaps
from pipeline.pages.monitor.sums import WHOLE, Heard
from pipeline.pages.monitor.times import Zone, clock, lasted

if TYPE_CHECKING:
    from pipeline.monitor.store import Row

_LANE = 80
_NAMED_SHARE = 0.22
"""A gap that fills this share of the chart or more carries the words."""


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def _time(span: Span, field: str = "from") -> alt.X:
    return alt.X(
        f"{field}:T",
        title=None,
        scale=alt.Scale(domain=[_ms(span[0]), _ms(span[1])], nice=False),
        axis=alt.Axis(format="%H:%M", tickCount=6, grid=False, labelOverlap=True, labelFlush=True),
    )


def _margin(**axis: object) -> alt.Axis:
    return alt.Axis(minExtent=MARGIN, maxExtent=MARGIN, ticks=False, domain=False, **axis)


def _unheard(span: Span, listened: Sequence[Span], zone: Zone, *, words: bool = False) -> list[alt.Chart]:
    """Grey where nothing was heard, with the words where they fit."""
    total = (span[1] - span[0]).total_seconds()
    rows = pd.DataFrame(
        [
            {
                "from": _ms(start),
                "to": _ms(end),
                "mid": (_ms(start) + _ms(end)) // 2,
                "words": "not listening" if (end - start).total_seconds() >= _NAMED_SHARE * total else "",
                "when": f"{clock(start, zone)} to {clock(end, zone)}",
            }
            for start, end in gaps(listened, *span)
        ]
    )
    if not len(rows):
        return []
    tooltip = [alt.Tooltip("when:N", title="Not listening")]
    base = alt.Chart(rows)
    band = base.mark_rect(fill=QUIET, fillOpacity=0.28).encode(x=_time(span), x2="to:T", tooltip=tooltip)
    if not words:
        return [band]
    text = base.mark_text(fontSize=11, fontStyle="italic", color=QUIET, baseline="middle").encode(
        x="mid:T", text="words:N", y=alt.value(_LANE / 4)
    )
    return [band, text]


def timeline(span: Span, listened: Sequence[Span], episodes: Sequence[Row], zone: Zone) -> alt.LayerChart:
    """Crying and gaps of one room along time."""
    rows = pd.DataFrame(
        [
            {
                "from": _ms(max(span[0], row["started_at"])),
                "to": _ms(min(span[1], row["ended_at"])),
                "when": f"{clock(row['started_at'], zone)} to {clock(row['ended_at'], zone)}",
                "lasted": lasted((row["ended_at"] - row["started_at"]).total_seconds()),
                "best": row["peak"],
            }
            for row in episodes
        ],
        columns=["from", "to", "when", "lasted", "best"],
    )
    tooltip = [
        alt.Tooltip("when:N", title="Crying"),
        alt.Tooltip("lasted:N", title="For"),
        alt.Tooltip("best:Q", title="Best score", format=".2f"),
    ]
    # One lane over the whole height; its axis only keeps the margin of the charts below.
    lane = alt.Y("low:Q", title=None, scale=alt.Scale(domain=[0, 1]), axis=_margin(labels=False, grid=False))
    ground = (
        alt.Chart(
            pd.DataFrame(
                [{"from": _ms(a), "to": _ms(b), "low": 0, "high": 1} for a, b in clipped(listened, *span)]
            )
        )
        .mark_rect(fill=SOUND, fillOpacity=0.16)
        .encode(x=_time(span), x2="to:T", y=lane, y2="high:Q")
    )
    # A stroke, so that ten seconds in a day are still a line.
    cries = (
        alt.Chart(rows)
        .mark_rect(fill=CRY, stroke=CRY, strokeWidth=2)
        .encode(x=_time(span), x2="to:T", tooltip=tooltip)
    )
    return alt.layer(ground, *_unheard(span, listened, zone, words=True), cries).properties(height=_LANE)


def _minutes(rows: Sequence[Row], zone: Zone) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "from": _ms(row["started_at"]),
                "to": _ms(row["started_at"]) + 60_000,
                "best": row["best"],
                "line": row["threshold"],
                "level": row["level_dbfs"],
                "at": clock(row["best_at"] or row["started_at"], zone, seconds=row["best_at"] is not None),
            }
            for row in rows
        ],
        columns=["from", "to", "best", "line", "level", "at"],
    )


def _runs(rows: Sequence[Row]) -> list[Span]:
    """Minutes that follow each other, as spans in which a line may be drawn."""
    found: list[list[datetime]] = []
    for row in rows:
        if found and (row["started_at"] - found[-1][1]).total_seconds() <= 60:
            found[-1][1] = row["started_at"]
        else:
            found.append([row["started_at"], row["started_at"]])
    return [(start, end) for start, end in found]


def scores(span: Span, listened: Sequence[Span], minutes: Sequence[Row], zone: Zone) -> alt.LayerChart:
    """The best score of each minute, and the line that it needs; gaps stay empty."""
    rows = _minutes(minutes, zone)
    level = alt.Y(
        "best:Q",
        title=None,
        scale=alt.Scale(domain=[0, 1], nice=False),
        axis=_margin(values=[0, 0.25, 0.5, 0.75, 1], format=".2f", grid=True),
    )
    bars = (
        alt.Chart(rows)
        .mark_rect(strokeWidth=0)
        .encode(
            x=_time(span),
            x2="to:T",
            y=level,
            y2=alt.datum(0),
            color=alt.condition("datum.best >= datum.line", alt.value(CRY), alt.value(SOUND)),
            tooltip=[
                alt.Tooltip("at:N", title="At"),
                alt.Tooltip("best:Q", title="Best score", format=".2f"),
                alt.Tooltip("line:Q", title="Threshold", format=".2f"),
            ],
        )
    )
    line = (
        alt.Chart(rows)
        .mark_rule(color=LINE, strokeDash=[6, 4], strokeWidth=2)
        .encode(x=_time(span), x2="to:T", y="line:Q")
    )
    # One rule a minute would dash anew each time: those that follow each other at one height are one.
    line.data = _steps(minutes)
    layers = [*_unheard(span, listened, zone), bars, line]
    if minutes:
        last = minutes[-1]["threshold"]
        said = pd.DataFrame([{"best": last, "words": f"line {last:.2f}"}])
        layers.append(
            alt.Chart(said)
            .mark_text(
                align="right",
                baseline="top" if last > 0.85 else "bottom",
                dx=-4,
                dy=4 if last > 0.85 else -3,
                color=LINE,
                fontWeight="bold",
                fontSize=12,
            )
            .encode(x=alt.value("width"), y="best:Q", text="words:N")
        )
    return alt.layer(*layers).properties(height=190)


def _steps(minutes: Sequence[Row]) -> pd.DataFrame:
    rows: list[dict[str, float]] = []
    for row in minutes:
        start = _ms(row["started_at"])
        if rows and rows[-1]["line"] == row["threshold"] and start - rows[-1]["to"] <= 60_000:
            rows[-1]["to"] = start + 60_000
        else:
            rows.append({"from": start, "to": start + 60_000, "line": row["threshold"]})
    return pd.DataFrame(rows, columns=["from", "to", "line"])


def levels(span: Span, listened: Sequence[Span], minutes: Sequence[Row], zone: Zone) -> alt.LayerChart:
    """How loud each minute was, in dB of full scale."""
    rows = _minutes(minutes, zone)
    runs = _runs(minutes)
    rows["run"] = [
        next(number for number, (a, b) in enumerate(runs) if a <= row["started_at"] <= b) for row in minutes
    ]
    low = min(-60.0, float(rows["level"].min()) - 3) if len(rows) else -60.0
    line = (
        alt.Chart(rows)
        .mark_line(color=SOUND, strokeWidth=1.5)
        .encode(
            x=_time(span),
            y=alt.Y(
                "level:Q",
                title=None,
                scale=alt.Scale(domain=[low, 0], nice=False),
                axis=_margin(tickCount=4, grid=True),
            ),
            detail="run:N",
            tooltip=[alt.Tooltip("at:N", title="At"), alt.Tooltip("level:Q", title="dBFS", format=".0f")],
        )
    )
    return alt.layer(*_unheard(span, listened, zone), line).properties(height=140)


def per_day(days: Mapping[date, Heard]) -> alt.LayerChart:
    """A bar for each day: filled where the day was listened to, hollow and dashed where in part only."""
    order = [_short(day) for day in sorted(days, reverse=True)]
    rows = pd.DataFrame(
        [
            {
                "day": _short(day),
                "minutes": heard.crying_s / 60,
                "kind": "none" if not heard.crying_s else "whole" if heard.share >= WHOLE else "part",
                "words": _bar_words(heard),
            }
            for day, heard in days.items()
        ]
    )
    top = max(10.0, float(rows["minutes"].max()) * 2.0)
    base = alt.Chart(rows).encode(
        x=alt.X(
            "minutes:Q",
            title=None,
            scale=alt.Scale(domain=[0, top], nice=False),
            axis=None,
        ),
        y=alt.Y("day:N", title=None, sort=order, axis=alt.Axis(minExtent=74, ticks=False, domain=False)),
        tooltip=[alt.Tooltip("day:N", title="Day"), alt.Tooltip("words:N", title="Heard")],
    )
    whole = base.transform_filter(alt.datum.kind == "whole").mark_bar(color=CRY, cornerRadius=2)
    part = base.transform_filter(alt.datum.kind == "part").mark_bar(
        fill=CRY, fillOpacity=0.25, stroke=CRY, strokeDash=[4, 3], strokeWidth=1.5, cornerRadius=2
    )
    words = base.mark_text(align="left", dx=6, fontSize=12, color=QUIET).encode(text="words:N")
    return alt.layer(whole, part, words).properties(height=24 * len(order) + 6)


def _short(day: date) -> str:
    return f"{day:%a} {day.day} {day:%b}"


def _bar_words(heard: Heard) -> str:
    if not heard.heard_s:
        return "not listening"
    return f"{lasted(heard.crying_s)} in {lasted(heard.heard_s)}"


def heat_map(hours: Mapping[tuple[date, int], tuple[float, float]], days: Sequence[date]) -> alt.LayerChart:
    """A square for each hour of each day: the more crying, the fuller; empty and dotted where not heard."""
    order = [_short(day) for day in sorted(days, reverse=True)]
    rows = []
    for day in days:
        for hour in range(24):
            heard_s, crying_s = hours.get((day, hour), (0.0, 0.0))
            rows.append(
                {
                    "day": _short(day),
                    "hour": hour,
                    "kind": "none" if not heard_s else "cry" if crying_s else "quiet",
                    "share": min(1.0, crying_s / heard_s) if heard_s else 0.0,
                    "words": f"{lasted(crying_s)} of crying in {lasted(heard_s)} heard"
                    if heard_s
                    else "not listening",
                    "when": f"{hour}:00 to {hour + 1}:00",
                }
            )
    frame = pd.DataFrame(rows)
    base = alt.Chart(frame).encode(
        x=alt.X(
            "hour:O",
            title=None,
            axis=alt.Axis(values=[0, 6, 12, 18], labelExpr="datum.value + ':00'", labelAngle=0, ticks=False,
                          domain=False, labelAlign="left"),
            scale=alt.Scale(paddingInner=0.12),
        ),
        y=alt.Y("day:N", title=None, sort=order, axis=alt.Axis(minExtent=74, ticks=False, domain=False),
                scale=alt.Scale(paddingInner=0.12)),
        tooltip=[
            alt.Tooltip("day:N", title="Day"),
            alt.Tooltip("when:N", title="Hour"),
            alt.Tooltip("words:N", title="Heard"),
        ],
    )  # fmt: skip
    quiet = base.transform_filter(alt.datum.kind == "quiet").mark_rect(fill=SOUND, fillOpacity=0.16)
    unheard = base.transform_filter(alt.datum.kind == "none").mark_rect(
        fillOpacity=0, stroke=QUIET, strokeOpacity=0.5, strokeDash=[1, 3]
    )
    most = max(0.25, float(frame["share"].max()))
    cries = base.transform_filter(alt.datum.kind == "cry").mark_rect(fill=CRY).encode(
        fillOpacity=alt.FillOpacity(
            "share:Q", legend=None, scale=alt.Scale(domain=[0, most], range=[0.25, 1.0], clamp=True)
        )
    )  # fmt: skip
    return alt.layer(unheard, quiet, cries).properties(height=20 * len(order) + 24)


def hour_of_day(hours: Sequence[tuple[float, float]]) -> alt.LayerChart:
    """Minutes of crying per hour of listening, for each hour of the day; hours never heard say so."""
    rows = pd.DataFrame(
        [
            {
                "hour": hour,
                "minutes": 60 * crying_s / heard_s if heard_s else 0.0,
                "heard": heard_s > 0,
                "words": f"{lasted(crying_s)} of crying in {lasted(heard_s)} heard"
                if heard_s
                else "never listened to at this hour",
                "when": f"{hour}:00 to {hour + 1}:00",
            }
            for hour, (heard_s, crying_s) in enumerate(hours)
        ]
    )
    base = alt.Chart(rows).encode(
        x=alt.X(
            "hour:O",
            title=None,
            axis=alt.Axis(values=[0, 6, 12, 18], labelExpr="datum.value + ':00'", labelAngle=0,
                          labelAlign="left"),
        ),
        tooltip=[alt.Tooltip("when:N", title="Hour"), alt.Tooltip("words:N", title="Heard")],
    )  # fmt: skip
    y = alt.Y(
        "minutes:Q",
        title=None,
        scale=alt.Scale(domain=[0, max(5.0, float(rows["minutes"].max()) * 1.1)], nice=False),
        axis=_margin(tickCount=4, grid=True, labelExpr="datum.value + ' min'"),
    )
    bars = base.transform_filter(alt.datum.heard).mark_bar(color=CRY, cornerRadiusEnd=2).encode(y=y)
    never = (
        base.transform_filter(~alt.datum.heard)
        .mark_text(text="?", color=QUIET, fontSize=12, baseline="bottom", dy=-2)
        .encode(y=alt.value("height"))
    )
    return alt.layer(bars, never).properties(height=170)

"""The Altair charts. Every chart of time uses the same time axis and the same margins, so they line up.

Colours are middle tones with at least 4:1 contrast on both the light and the dark page, and nothing is told
by colour alone: cries carry the word, the threshold is dashed and labelled, the base rate is a hollow bar.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import altair as alt
import pandas as pd

from pipeline.pages.figures import Picture, score_curve
from pipeline.pages.words import label_words, span

if TYPE_CHECKING:
    from pipeline.analysis import Analysis
    from pipeline.episodes import Episode
    from pipeline.reasons import ReasonResult

SOUND = "#3d7fc4"
CRY = "#bd621e"
LINE = "#9564d1"
QUIET = "#7b7b7b"
THIS, USUAL = "This sound", "Usually"
MARGIN = 52
"""Pixels left of every time chart for its axis; fixed, so that one moment is at one place in all of them."""
LABELLED = 12
"""Above this many episodes their marks carry no words; they would lie on top of each other."""

_CLOCK = (
    "datum.value >= 3600 ? floor(datum.value / 3600) + ':'"
    " + pad(floor(datum.value % 3600 / 60), 2, '0', 'left')"
    " + ':' + pad(floor(datum.value % 60), 2, '0', 'left')"
    " : floor(datum.value / 60) + ':' + pad(floor(datum.value % 60), 2, '0', 'left')"
)


def _time(duration_s: float, field: str = "time") -> alt.X:
    return alt.X(
        f"{field}:Q",
        title=None,
        scale=alt.Scale(domain=[0, max(duration_s, 0.1)], nice=False),
        axis=alt.Axis(
            labelExpr=_CLOCK, tickMinStep=1, tickCount=6, grid=False, labelOverlap=True, labelFlush=True
        ),
    )


def _level(**axis: object) -> alt.Axis:
    return alt.Axis(minExtent=MARGIN, maxExtent=MARGIN, ticks=False, domain=False, **axis)


def _marks(episodes: Sequence[Episode], *, outlined: bool = False, foot: bool = False) -> list[alt.Chart]:
    """Bands over the episodes, each with the word (at its head, or foot), or nothing when there is none."""
    if not episodes:
        return []
    rows = pd.DataFrame(
        [{"from": e.start, "to": e.end, "word": "cry", "when": span(e.start, e.end)} for e in episodes]
    )
    base = alt.Chart(rows)
    tooltip = [alt.Tooltip("word:N", title="Heard"), alt.Tooltip("when:N", title="When")]
    style = (
        {"fillOpacity": 0.0, "stroke": "#ffffff", "strokeWidth": 2, "strokeJoin": "round"}
        if outlined
        else {"fill": CRY, "fillOpacity": 0.22, "stroke": CRY, "strokeWidth": 1}
    )
    bands = base.mark_rect(**style).encode(x="from:Q", x2="to:Q", tooltip=tooltip)
    if len(episodes) > LABELLED:
        return [bands]
    words = base.mark_text(
        align="left",
        baseline="bottom" if foot else "top",
        dx=4,
        dy=-4 if foot else 4,
        fontWeight="bold",
        fontSize=12,
        color="#ffffff" if outlined else CRY,
    ).encode(x="from:Q", y=alt.value("height" if foot else 0), text="word:N")
    return [bands, words]


def waveform(picture: Picture, episodes: Sequence[Episode] = ()) -> alt.LayerChart:
    """Loudness over time with the cries marked."""
    rows = pd.DataFrame({"time": picture.times, "low": picture.low, "high": picture.high})
    reach = max(picture.peak, 0.05) * 1.05
    level = alt.Y(
        "low:Q",
        title=None,
        scale=alt.Scale(domain=[-reach, reach], nice=False),
        axis=_level(labels=False, grid=False),
    )
    sound = (
        alt.Chart(rows)
        .mark_area(color=SOUND, line=False, interpolate="step-after")
        .encode(x=_time(picture.duration_s), y=level, y2="high:Q")
    )
    return alt.layer(sound, *_marks(episodes)).properties(height=110)


def mel_spectrogram(picture: Picture, episodes: Sequence[Episode] = ()) -> alt.LayerChart:
    """Pitch over time, brighter is louder, with the cries outlined."""
    names = ", ".join(f"'{value:.2f}': '{words}'" for value, words in picture.mel_ticks)
    rows = pd.DataFrame(
        [
            {
                "time": 0.0,
                "end": picture.duration_s,
                "bottom": 0.0,
                "top": picture.mel_top,
                "png": picture.mel_png,
            }
        ]
    )
    pitch = alt.Y(
        "bottom:Q",
        title=None,
        scale=alt.Scale(domain=[0, picture.mel_top], nice=False),
        axis=_level(
            values=[value for value, _ in picture.mel_ticks],
            labelExpr=f"({{{names}}})[format(datum.value, '.2f')]",
            grid=False,
        ),
    )
    image = (
        alt.Chart(rows)
        .mark_image(aspect=False, align="left", baseline="bottom")
        .encode(x=_time(picture.duration_s), x2="end:Q", y=pitch, y2="top:Q", url="png:N")
    )
    return alt.layer(image, *_marks(episodes, outlined=True)).properties(height=150)


def score(analysis: Analysis) -> alt.LayerChart:
    """The cry score along time, the threshold line, and the episodes it gives."""
    times, scores = score_curve(analysis.window_times, analysis.window_scores)
    rows = pd.DataFrame({"time": times, "score": scores})
    level = alt.Y(
        "score:Q",
        title=None,
        scale=alt.Scale(domain=[0, 1], nice=False),
        axis=_level(values=[0, 0.25, 0.5, 0.75, 1], format=".2f", grid=True),
    )
    curve = (
        alt.Chart(rows)
        .mark_line(
            color=SOUND, strokeWidth=2, point=alt.OverlayMarkDef(color=SOUND) if len(rows) <= 60 else False
        )
        .encode(
            x=_time(analysis.duration_s),
            y=level,
            tooltip=[
                alt.Tooltip("time:Q", format=".1f", title="Second"),
                alt.Tooltip("score:Q", format=".2f"),
            ],
        )
    )
    limit = alt.Chart(
        pd.DataFrame([{"score": analysis.threshold, "words": f"line {analysis.threshold:.2f}"}])
    )
    rule = limit.mark_rule(color=LINE, strokeDash=[6, 4], strokeWidth=2).encode(y="score:Q")
    below = analysis.threshold > 0.85  # keep the words inside the chart
    words = limit.mark_text(
        align="right", baseline="top" if below else "bottom", dx=-4, dy=4 if below else -3,
        color=LINE, fontWeight="bold", fontSize=12,
    ).encode(x=alt.value("width"), y="score:Q", text="words:N")  # fmt: skip
    # An episode's scores are above the line, and so the word is in nobody's way at the other end.
    marks = _marks(analysis.episodes, foot=analysis.threshold > 0.3)
    return alt.layer(*marks, curve, rule, words).properties(height=170)


def reasons(result: ReasonResult) -> alt.LayerChart:
    """Two bars for each reason: filled, its calibrated chance here; hollow, how common it is anyway."""
    rows = pd.DataFrame(
        [
            {"reason": label_words(name), "of": kind, "chance": chance, "words": f"{chance:.0%}{suffix}"}
            for name, ours in result.probabilities.items()
            for kind, chance, suffix in ((THIS, ours, ""), (USUAL, result.base_rate[name], " usually"))
        ]
    )
    order = [label_words(name) for name, _ in sorted(result.probabilities.items(), key=lambda pair: -pair[1])]
    top = min(1.6, float(rows["chance"].max()) * 1.35 + 0.05)  # room for the words at the longest bar
    base = alt.Chart(rows).encode(
        x=alt.X("chance:Q", title=None, scale=alt.Scale(domain=[0, top], nice=False), axis=None),
        y=alt.Y("reason:N", title=None, sort=order, axis=alt.Axis(labelLimit=120, ticks=False, domain=False)),
        yOffset=alt.YOffset("of:N", sort=[THIS, USUAL], scale=alt.Scale(paddingOuter=0.2, paddingInner=0.15)),
        tooltip=[
            alt.Tooltip("reason:N", title="Reason"),
            alt.Tooltip("of:N", title="Bar"),
            alt.Tooltip("chance:Q", title="Chance", format=".1%"),
        ],
    )
    layers = []
    for kind, style in (
        (THIS, {"color": SOUND}),
        (USUAL, {"fillOpacity": 0, "stroke": QUIET, "strokeWidth": 1.5}),
    ):
        mine = base.transform_filter(alt.datum.of == kind)
        color = SOUND if kind == THIS else QUIET
        layers.append(mine.mark_bar(cornerRadius=2, **style))
        layers.append(mine.mark_text(align="left", dx=5, fontSize=12, color=color).encode(text="words:N"))
    return alt.layer(*layers).properties(height=46 * len(order) + 10)

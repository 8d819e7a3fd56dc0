"""The few pieces of HTML that Streamlit has no element for. Everything shown is escaped here.

Colours are those of the charts: middle tones that read on the light and the dark page; the rest follows the
text's own colour. Nothing is told by colour alone: each light has its shape and its word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from html import escape
from typing import Literal

from pipeline.pages.charts import CRY, LINE, SOUND
from pipeline.pages.monitor.sums import WHOLE, Heard, part_words
from pipeline.pages.monitor.times import lasted

Light = Literal["green", "amber", "red"]
GREEN, AMBER, RED = "#2e8b57", "#a96e0a", "#d64a40"
_COLOURS = {"green": GREEN, "amber": AMBER, "red": RED}
_SHAPES = {"green": "✓", "amber": "!", "red": "✕"}
_MOST = 60.0

STYLE = f"""<style>
.stMainBlockContainer {{ max-width: 54rem; }}
[data-testid=stStatusWidget] {{ display: none; }}
[data-testid=stElementContainer][data-stale=true] {{ opacity: 1 !important; transition: none !important; }}
.cl-light {{ display: flex; gap: .9rem; align-items: center; padding: .9rem 1rem; border-radius: .6rem;
  border: 1px solid color-mix(in srgb, currentColor 18%, transparent); border-left-width: .5rem; }}
.cl-light b {{ font-size: 1.3rem; line-height: 1.25; }}
.cl-light.cl-small {{ padding: .35rem .7rem; border-left-width: .35rem; }}
.cl-light.cl-small b {{ font-size: 1rem; font-weight: 600; }}
.cl-dot {{ flex: none; width: 2.2rem; height: 2.2rem; border-radius: 50%; color: #fff; font-weight: 700;
  font-size: 1.2rem; display: grid; place-items: center; }}
.cl-small .cl-dot {{ width: 1.4rem; height: 1.4rem; font-size: .8rem; }}
.cl-causes {{ margin: .5rem 0 0; padding: 0; list-style: none; }}
.cl-causes li {{ padding: .2rem 0 .2rem 1.5rem; position: relative; }}
.cl-causes li span {{ position: absolute; left: 0; font-weight: 700; }}
.cl-meter {{ margin: .35rem 0 .6rem; }}
.cl-meter div:first-child {{ display: flex; justify-content: space-between; gap: 1rem; font-size: .9rem; }}
.cl-bar {{ position: relative; height: .8rem; margin-top: .2rem; border-radius: .4rem; overflow: hidden;
  background: color-mix(in srgb, currentColor 14%, transparent); }}
.cl-bar i {{ position: absolute; inset: 0 auto 0 0; border-radius: .4rem; transition: width .4s linear; }}
.cl-bar u {{ position: absolute; top: 0; bottom: 0; width: 0; border-left: 3px dashed {LINE}; }}
.cl-calendar {{ width: 100%; table-layout: fixed; border-collapse: separate; border-spacing: 3px; }}
.cl-calendar th {{ font-weight: 400; font-size: .85rem; text-align: center; opacity: .85; padding: 0; }}
.cl-calendar td {{ height: 3.6rem; padding: .2rem .3rem; border-radius: .35rem; vertical-align: top;
  font-size: .8rem; line-height: 1.2; position: relative; overflow: hidden;
  border: 1px solid color-mix(in srgb, currentColor 22%, transparent); }}
.cl-calendar td.cl-part {{ border-style: dashed; }}
.cl-calendar td.cl-none {{ border-style: dotted; }}
.cl-calendar td.cl-out {{ border-color: transparent; }}
.cl-calendar td b {{ display: block; font-size: .95rem; white-space: nowrap; }}
.cl-calendar td small {{ opacity: .85; }}
.cl-calendar td i {{ position: absolute; left: 0; bottom: 0; height: .3rem; background: {SOUND}; }}
@media (max-width: 40rem) {{ .cl-calendar {{ border-spacing: 2px; }}
  .cl-calendar td {{ padding: .15rem; font-size: .7rem; }}
  .cl-calendar td b {{ font-size: .75rem; }} }}
.cl-hidden {{ position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }}
</style>"""


def light(colour: Light, headline: str, *, small: bool = False) -> str:
    """The status light with its word; announced by screen readers when it changes."""
    tone = _COLOURS[colour]
    return (
        f'<div class="cl-light{" cl-small" if small else ""}" role="status" style="border-left-color:{tone}">'
        f'<span class="cl-dot" aria-hidden="true" style="background:{tone}">{_SHAPES[colour]}</span>'
        f"<b>{escape(headline)}</b></div>"
    )


def causes(rows: Sequence[tuple[Light, str]]) -> str:
    """A line for each thing that the light stands for."""
    lines = "".join(
        f'<li><span aria-hidden="true" style="color:{_COLOURS[colour]}">{_SHAPES[colour]}</span>'
        f"{escape(words)}</li>"
        for colour, words in rows
    )
    return f'<ul class="cl-causes">{lines}</ul>'


def meter(label: str, words: str, share: float, *, line: float | None = None, alarming: bool = False) -> str:
    """A bar from 0 to 1 with what it says in words; ``line``: a threshold on it."""
    filled = round(100 * min(1.0, max(0.0, share)))
    mark = f'<u style="left:{100 * line:.1f}%"></u>' if line is not None else ""
    return (
        f'<div class="cl-meter"><div><span>{escape(label)}</span><span>{escape(words)}</span></div>'
        f'<div class="cl-bar" role="meter" aria-label="{escape(label)}" aria-valuemin="0" '
        f'aria-valuemax="100" aria-valuenow="{filled}" aria-valuetext="{escape(words)}">'
        f'<i style="width:{filled}%;background:{CRY if alarming else SOUND}"></i>{mark}</div></div>'
    )


def level_share(dbfs: float) -> float:
    """Where a level stands on its bar: -90 dBFS is empty, 0 is full."""
    return min(1.0, max(0.0, (dbfs + 90) / 90))


def calendar(days: Mapping[date, Heard], today: date) -> str:
    """Weeks from Monday on: minutes of crying in each day's square, and at its foot how much was heard."""
    first, last = min(days), max(days)
    start = date.fromordinal(first.toordinal() - first.weekday())
    most = max(_MOST * 60, *(heard.crying_s for heard in days.values()))
    rows = []
    for monday in range(start.toordinal(), last.toordinal() + 1, 7):
        cells = (date.fromordinal(monday + offset) for offset in range(7))
        rows.append("<tr>" + "".join(_cell(day, days.get(day), most, today) for day in cells) + "</tr>")
    head = "".join(
        f'<th scope="col">{name}</th>' for name in ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    )
    return (
        '<table class="cl-calendar"><caption class="cl-hidden">Minutes of crying on each day, and how much '
        f"of it was listened to</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _cell(day: date, heard: Heard | None, most: float, today: date) -> str:
    if heard is None:
        return '<td class="cl-out"></td>'
    name = f"{day.day} {day:%b}" if day.day == 1 else str(day.day)
    if day == today:
        name = f"<u>{name}</u>"
    if not heard.heard_s:
        return (
            f'<td class="cl-none"><small>{name}</small><br>–<span class="cl-hidden">not listening</span></td>'
        )
    shade = round(55 * min(1.0, heard.crying_s / most))
    whole = heard.share >= WHOLE
    minutes = round(heard.crying_s / 60)
    words = f"{minutes} min" if minutes or not heard.crying_s else "< 1 min"
    return (
        f'<td class="{"cl-whole" if whole else "cl-part"}" title="{escape(day_words(heard))}" '
        f'style="background:color-mix(in srgb, {CRY} {shade}%, transparent)"><small>{name}</small>'
        f'<b>{escape(words)}</b><i style="width:{100 * heard.share:.0f}%"></i>'
        f'<span class="cl-hidden">{escape(day_words(heard))}</span></td>'
    )


def day_words(heard: Heard) -> str:
    """A day's sums in a sentence."""
    return (
        f"{lasted(heard.crying_s)} of crying in {lasted(heard.heard_s)} of listening "
        f"({part_words(heard.share)} of the day so far)"
    )

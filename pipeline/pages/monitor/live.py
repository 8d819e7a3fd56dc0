"""Tonight: is it listening, is it crying, how loud is it, what came last. Looks again every two seconds."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import streamlit as st

from pipeline.errors import CryError
from pipeline.pages.guard import guarded
from pipeline.pages.monitor import markup, reading
from pipeline.pages.monitor.common import Place, headline, mark, open_episode, tell
from pipeline.pages.monitor.spans import clipped, merged, seconds
from pipeline.pages.monitor.times import Zone, lasted, when
from pipeline.pages.words import plain

if TYPE_CHECKING:
    from pipeline.monitor.liveness import Verdict
    from pipeline.monitor.store import Row
    from pipeline.pages.monitor.reading import Marks, Now, Part

_LOOK_S = 2.0
_BACK = timedelta(hours=12)
_LATEST = 5
_BREATH = timedelta(seconds=15)
"""Listening that breaks off for less than this is spoken of as one."""
_UNSEEN = timedelta(hours=1)


@st.fragment(run_every=_LOOK_S)
@guarded("looking at the monitor")
def draw(place: Place) -> None:
    """The whole view."""
    try:
        with reading.opened(place.url):
            _draw(place)
    except CryError:
        st.rerun(scope="app")  # the whole page says why


def _draw(place: Place) -> None:
    at = place.now()
    now = reading.now(place.url, at)
    newest = max([at, *(row["at"] for row in now.pulses)])
    ends = reading.ends(place.url, at)
    until = max(newest, ends[1]) if ends else newest  # a replay runs ahead of the clock
    part = reading.part(place.url, until - _BACK, until)
    marks = reading.marks(place.url)
    tell()
    with st.container(key="live"):
        st.html(markup.light(now.light, headline(now)))
        st.html(markup.causes([(verdict.light, _cause(verdict)) for verdict in now.verdicts]))
        if now.light != "green":
            _what_to_do(place, now)
        _alerts(place, at, marks)
        for verdict in now.verdicts:
            pulse = next((row for row in now.pulses if row["room"] == verdict.room), None)
            if pulse is not None:
                _room(pulse, verdict, part, place.zone, until)
        _latest(place, part, marks, until)


def _cause(verdict: Verdict) -> str:
    return f"{verdict.room}: {verdict.words}" if verdict.room else verdict.words


def _room(pulse: Row, verdict: Verdict, part: Part, zone: Zone, until: datetime) -> None:
    with st.container(border=True):
        st.subheader(plain(pulse["room"]), anchor=False)
        state, crying = crying_words(pulse, verdict, part, zone, until)
        st.markdown(f":material/{'notifications_active' if crying else 'bedtime'}: **{plain(state)}**")
        if verdict.light == "red" and not verdict.words.startswith("Complete silence"):
            return  # its last level and score are from long ago
        score, line = pulse["score"], pulse["threshold"]
        st.html(
            markup.meter(
                "Cry score just now",
                f"{score:.2f}, cry from {line:.2f} on",
                score,
                line=line,
                alarming=score >= line,
            )
            + markup.meter(
                "Loudness just now",
                f"{pulse['level_dbfs']:.0f} dBFS, loudest {pulse['peak_dbfs']:.0f}",
                markup.level_share(pulse["level_dbfs"]),
            )
        )
        if pulse["clipped"]:
            st.caption(
                "The sound has been too loud for this microphone at times (clipping): move it a little away."
            )


def crying_words(pulse: Row, verdict: Verdict, part: Part, zone: Zone, until: datetime) -> tuple[str, bool]:
    """``Crying since 03:12:04, for 2 min``, ``Quiet since 02:14``; and whether it is crying."""
    room = pulse["room"]
    rows = [row for row in part.episodes if row["room"] == room]
    going_on = next((row for row in rows if row["state"] == "open"), None)
    if verdict.light == "red":
        heard = part.listened(room)
        last = f" since {when(heard[-1][1], until, zone)}" if heard else ""
        return f"Not heard{last}" + (", it was crying then" if going_on else ""), False
    if going_on is not None:
        for_s = (going_on["ended_at"] - going_on["started_at"]).total_seconds()
        return (
            f"Crying since {when(going_on['started_at'], until, zone, seconds=True)}, for {lasted(for_s)}",
            True,
        )
    # A pause of a breath, as when the next recording of a replay begins, is no break.
    spans = merged((start, end + _BREATH) for start, end in part.listened(room))
    began = spans[-1][0] if spans else until
    ended = max((row["ended_at"] for row in rows), default=None)
    if ended is not None and ended >= began:
        return f"Quiet since {when(ended, until, zone)}", False
    if began <= part.span[0]:
        return f"Quiet for {lasted((until - part.span[0]).total_seconds())} or longer", False
    return f"No crying since listening began at {when(began, until, zone)}", False


def _what_to_do(place: Place, now: Now) -> None:
    words = " ".join(verdict.words for verdict in now.verdicts)
    if "not running" not in words and "was stopped" not in words and "No monitor" not in words:
        return
    with st.expander("How to start it", icon=":material/play_circle:"):
        st.markdown("On the computer that listens:")
        st.code(command(place.shown, now.pulses), language="sh", wrap_lines=True)
        st.caption("Addresses are shown without user and password: put yours in again.")


def command(url: str, pulses: list[Row], *more: str) -> str:
    """The command that listens to these rooms."""
    rooms = [f'--source "{row["source"]}" --room "{row["room"]}"' for row in pulses] or [
        "--source mic --room nursery"
    ]
    return " \\\n    ".join(["python -m pipeline monitor", *rooms, *more, f'--store "{url}"'])


def _alerts(place: Place, at: datetime, marks: Marks) -> None:
    """Alerts of the last hour that nobody has seen: seeing one keeps it from being told to more people."""
    alerts, _ = reading.told(place.url, at - _UNSEEN, at)
    unseen = [row for row in alerts if row["held"] is None and not marks.seen(row["id"])]
    if not unseen:
        return
    newest = unseen[0]
    with st.container(border=True, horizontal=True, vertical_alignment="center", key="unseen"):
        since = when(newest["at"], at, place.zone)
        st.markdown(f":material/notifications: Alert at {since}: {plain(newest['words'])}", width="stretch")
        more = f" (all {len(unseen)})" if len(unseen) > 1 else ""
        st.button(
            f"I have seen it{more}", key="seen-now", on_click=_see, args=(place, [r["id"] for r in unseen])
        )


def _see(place: Place, keys: list[str]) -> None:
    for key in keys:
        mark(place, key, "seen")


def _latest(place: Place, part: Part, marks: Marks, until: datetime) -> None:
    st.subheader("The last twelve hours", anchor=False)
    for room in part.rooms():
        crying = clipped(merged(part.cried(room, but=marks)), *part.span)
        name = f"{plain(room)}: " if len(part.rooms()) > 1 else ""
        listened_s = seconds(clipped(part.listened(room), *part.span))
        st.markdown(
            f"{name}**{lasted(seconds(crying))}** of crying in **{lasted(listened_s)}** of listening."
        )
    shown = part.episodes[::-1][:_LATEST]
    if not shown:
        st.caption("No crying was heard in that time.")
        return
    with st.container(gap=None):
        for row in shown:
            label = episode_label(row, until, place.zone)
            room = f", {plain(row['room'])}" if len(part.rooms()) > 1 else ""
            st.button(
                f"{label}{room}",
                key=f"open-{row['id']}",
                icon=":material/child_care:",
                type="tertiary",
                on_click=_open,
                args=(row["id"],),
            )
    if more := len(part.episodes) - len(shown):
        st.caption(f"And {more} earlier: see Episodes.")
    if st.session_state.pop("to-episodes", False):
        st.rerun(scope="app")


def _open(key: str) -> None:
    open_episode(key)
    st.session_state["to-episodes"] = True


def episode_label(row: Row, now: datetime, zone: Zone) -> str:
    """``03:12:04, for 2 min``; with ``so far`` while it goes on."""
    for_s = (row["ended_at"] - row["started_at"]).total_seconds()
    so_far = " so far" if row["state"] == "open" else ""
    return f"{when(row['started_at'], now, zone, seconds=True)}, for {lasted(for_s)}{so_far}"

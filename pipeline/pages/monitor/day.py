"""The timeline, room by room: crying, gaps, scores, loudness; and why it fired at a moment, or did not."""

from __future__ import annotations

from datetime import datetime, timedelta

import streamlit as st

from pipeline.pages.guard import guarded
from pipeline.pages.monitor import pictures, reading, why
from pipeline.pages.monitor.common import Place
from pipeline.pages.monitor.reading import Marks, Part
from pipeline.pages.monitor.spans import Span, clipped, gaps, seconds, within
from pipeline.pages.monitor.sums import heard_in, part_words
from pipeline.pages.monitor.times import Zone, clock, lasted, when
from pipeline.pages.words import plain

SPANS = {
    "The last hour": timedelta(hours=1),
    "The last 6 hours": timedelta(hours=6),
    "The last 24 hours": timedelta(hours=24),
}
_LOOK_S = 60.0
_GAPS = 5
_CHANGES = 30
_LEAST_GAP_S = 5.0
_AROUND = timedelta(minutes=2)
_AFTER = timedelta(minutes=30)
_ICONS = {
    "cry": ":material/notifications_active:",
    "below": ":material/trending_down:",
    "short": ":material/hourglass_bottom:",
    "unheard": ":material/hearing_disabled:",
    "unknown": ":material/help:",
}


def draw(place: Place) -> None:
    """The whole view."""
    ends = reading.ends(place.url, place.now())
    if ends is None:
        st.info("Nothing has been heard yet. Once the monitor listens, its day appears here.")
        return
    st.selectbox("Time", list(SPANS), index=2, key="day-span", width=200)
    _timelines(place)
    _moment(place, ends)


@st.fragment(run_every=_LOOK_S)
@guarded("drawing the timeline")
def _timelines(place: Place) -> None:
    """Drawn again every minute, by itself."""
    ends = reading.ends(place.url, place.now())
    until = ends[1] if ends else place.now()
    name = st.session_state["day-span"]
    span = (until - SPANS[name], until)
    part, marks = reading.part(place.url, *span, minutes=True), reading.marks(place.url)
    if not part.rooms():
        st.info(f"Nothing was heard in {name[:1].lower()}{name[1:]}. Weeks shows when it was.")
        return
    if until > place.now() + _AROUND:
        st.caption(
            ":material/fast_forward: A recording was replayed faster than in real time: its times run ahead."
        )
    for room in part.rooms():
        _room(room, part, marks, place.zone)
    _changes(place, span)


def _room(room: str, part: Part, marks: Marks, zone: Zone) -> None:
    span, listened = part.span, part.listened(room)
    heard = heard_in(span, listened, part.cried(room, but=marks))
    st.subheader(plain(room), anchor=False)
    st.markdown(
        f"**{lasted(heard.crying_s)}** of crying in {count(heard.episodes, 'episode')}, heard in "
        f"**{lasted(heard.heard_s)}** of listening ({part_words(heard.share)} of that time)."
    )
    wrong = sum(row["room"] == room and marks.judged(row["id"]) == "wrong" for row in part.episodes)
    if wrong:
        st.caption(f"{count(wrong, 'episode')} that you marked wrong: drawn, but not counted.")
    st.markdown(
        f"**Crying** (orange) from {when(span[0], span[1], zone)} to {clock(span[1], zone)}. "
        "Grey: not listening."
    )
    episodes = [row for row in part.episodes if row["room"] == room]
    silences = gaps_words(span, listened, zone)
    st.altair_chart(
        pictures.timeline(span, listened, episodes, zone),
        alt=f"Timeline of {room}. {_episode_words(episodes, span, zone)} {silences}",
    )
    minutes = part.minutes_of(room)
    if minutes:
        _curves(room, part, zone)
    if silences:
        st.caption(f":material/hearing_disabled: {plain(silences)}")
    lost = sum(row["lost_s"] for row in part.coverage if row["room"] == room)
    if lost >= 0.5:
        st.caption(
            f":material/warning: {lost:.1f} s of sound were lost on the way: the computer was too busy."
        )


def _changes(place: Place, span: Span) -> None:
    """What happened to sources and history: lost, found again, not written."""
    rows = reading.changes(place.url, *span)
    if not rows:
        return
    with st.expander(f"What changed ({len(rows)})", icon=":material/list:"):
        for row in rows[: -_CHANGES - 1 : -1]:
            at = when(row["at"], span[1], place.zone, seconds=True)
            st.markdown(f"- {at} {plain(row['room'] or row['source'])}: {plain(row['words'])}")
        if len(rows) > _CHANGES:
            st.caption(f"The newest {_CHANGES}.")


def _curves(room: str, part: Part, zone: Zone) -> None:
    minutes, listened = part.minutes_of(room), part.listened(room)
    best = max(minutes, key=lambda row: row["best"])
    st.markdown(
        "**Best cry score of each minute.** What reaches the dashed line for long enough is called crying."
    )
    st.altair_chart(
        pictures.scores(part.span, listened, minutes, zone),
        alt=f"Best cry score of each minute in {room}. The highest was {best['best']:.2f} at "
        f"{clock(best['best_at'] or best['started_at'], zone)}; the line is at {best['threshold']:.2f}.",
    )
    st.markdown("**Loudness** of each minute, in dBFS: 0 is the loudest that the microphone can tell.")
    loud = max(minutes, key=lambda row: row["level_dbfs"])
    st.altair_chart(
        pictures.levels(part.span, listened, minutes, zone),
        alt=f"Loudness of each minute in {room}. The loudest was {loud['level_dbfs']:.0f} dBFS at "
        f"{clock(loud['started_at'], zone)}.",
    )
    near = why.near_misses(part, room)
    if near:
        with st.expander(f"Nearly, but not called crying ({len(near)})", icon=":material/trending_down:"):
            for row in near:
                st.markdown(f"- {plain(why.near_miss_words(row, part.span[1], zone))}")


def count(number: int, word: str) -> str:
    """``1 episode``, ``2 episodes``."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def gaps_words(span: Span, listened: list[Span], zone: Zone) -> str:
    """When it did not listen: the longest gaps, by time."""
    found = [gap for gap in gaps(listened, *span) if seconds([gap]) >= _LEAST_GAP_S]
    if not found:
        return ""
    named = sorted(sorted(found, key=lambda gap: gap[0] - gap[1])[:_GAPS])
    told = "; ".join(
        f"{when(a, span[1], zone)} to {when(b, span[1], zone)} ({lasted(seconds([(a, b)]))})"
        for a, b in named
    )
    more = f"; and {len(found) - len(named)} shorter times" if len(found) > len(named) else ""
    return f"Not listening {told}{more}."


def _episode_words(rows: list[reading.Row], span: Span, zone: Zone) -> str:
    shown = clipped([(row["started_at"], row["ended_at"]) for row in rows], *span)
    if not shown:
        return "No crying."
    first = "; ".join(
        f"{clock(a, zone, seconds=True)} to {clock(b, zone, seconds=True)}" for a, b in shown[:10]
    )
    more = f" and {len(shown) - 10} more" if len(shown) > 10 else ""
    return f"Crying from {first}{more}."


@st.fragment
@guarded("looking at that moment")
def _moment(place: Place, ends: Span) -> None:
    st.subheader("Why did it fire, or why not?", anchor=False)
    st.markdown("Name a moment at which you expected something else.")
    latest = place.zone.local(ends[1] - timedelta(minutes=1))
    # Set once: a default that moves on with the clock would take the person's choice along.
    st.session_state.setdefault("why-day", latest.date())
    st.session_state.setdefault("why-time", latest.time().replace(second=0, microsecond=0))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        rooms = reading.rooms(place.url)
        room = st.selectbox("Room", rooms, key="why-room", width=180) if len(rooms) > 1 else rooms[0]
        day = st.date_input(
            "Day",
            min_value=place.zone.local(ends[0]).date(),
            max_value=latest.date(),
            format="DD.MM.YYYY",
            key="why-day",
            width=150,
        )
        at = st.time_input("Time", step=60, key="why-time", width=110)
    answer = answer_for(place, room, place.zone.moment(day, at))
    st.info(f"#### {plain(answer.headline)}\n\n{plain(answer.detail)}", icon=_ICONS[answer.kind])


def answer_for(place: Place, room: str, at: datetime) -> why.Answer:
    """Why it fired at a moment, or why not."""
    near = reading.part(place.url, at - _AROUND, at + _AROUND, minutes=True)
    if not within(near.listened(room), at):
        near = reading.part(place.url, at - reading.NEAR, at + reading.NEAR)
    episodes = [row for row in near.episodes if row["room"] == room]
    start = min([at, *(row["started_at"] for row in episodes)])
    end = max([at, *(row["ended_at"] for row in episodes)]) + _AFTER
    alerts, deliveries = reading.told(place.url, start, end, [row["id"] for row in episodes])
    return why.explain(room, at, near, alerts[::-1], deliveries, place.zone)

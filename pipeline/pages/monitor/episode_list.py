"""Episodes: a list with filters, and the one that is chosen."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import streamlit as st

from pipeline.pages.guard import guarded
from pipeline.pages.monitor import kept, one_episode, reading
from pipeline.pages.monitor.common import CHOSEN, Place, tell
from pipeline.pages.monitor.day import count
from pipeline.pages.monitor.spans import merged, seconds
from pipeline.pages.monitor.sums import heard_in
from pipeline.pages.monitor.times import lasted, when
from pipeline.pages.words import plain

if TYPE_CHECKING:
    from datetime import datetime

    from pipeline.monitor.store import Row
    from pipeline.pages.monitor.reading import Marks

SPANS: dict[str, timedelta | None] = {
    "The last 24 hours": timedelta(days=1),
    "The last 7 days": timedelta(days=7),
    "The last 4 weeks": timedelta(days=28),
    "Everything": None,
}
ALL, UNMARKED, RIGHT, WRONG, STARRED, KEPT, LONG = (
    "All",
    "Not marked yet",
    "Marked right",
    "Marked wrong",
    "With a star",
    "With sound",
    "A minute or longer",
)
SHOWN = (ALL, UNMARKED, RIGHT, WRONG, STARRED, KEPT, LONG)
_MOST, _HEIGHT, _FREE = 100, 300, 5


@guarded("listing the episodes")
def draw(place: Place) -> None:
    """The whole view."""
    ends = reading.ends(place.url, place.now())
    if ends is None:
        st.info("Nothing has been heard yet. Episodes of crying appear here.")
        return
    with st.container(horizontal=True):
        back = SPANS[st.selectbox("Time", list(SPANS), index=1, key="episodes-span", width=200)]
        start = ends[0] if back is None else max(ends[0], ends[1] - back)
        part, marks = reading.part(place.url, start, ends[1]), reading.marks(place.url)
        rooms = part.rooms()
        room = (
            st.selectbox("Room", ["All rooms", *rooms], key="episodes-room", width=180)
            if len(rooms) > 1
            else ""
        )
        kind = st.selectbox("Show", SHOWN, key="episodes-kind", width=180)
    sounds = kept.with_sound(place.url)
    rows = [
        row
        for row in reversed(part.episodes)
        if room in ("", "All rooms", row["room"]) and wanted(row, kind, marks, sounds)
    ]
    _sum(rows, part, [room] if room and room != "All rooms" else rooms)
    key = _choose(rows, marks, sounds, ends[1], place)
    if key is not None:
        _one(place, key)


def wanted(row: Row, kind: str, marks: Marks, sounds: set[str]) -> bool:
    """Whether a filter lets an episode through."""
    judged = marks.judged(row["id"])
    return {
        ALL: True,
        UNMARKED: judged is None,
        RIGHT: judged == "right",
        WRONG: judged == "wrong",
        STARRED: marks.starred(row["id"]),
        KEPT: row["id"] in sounds,
        LONG: (row["ended_at"] - row["started_at"]).total_seconds() >= 60,
    }[kind]


def _sum(rows: list[Row], part: reading.Part, rooms: list[str]) -> None:
    total = sum(
        seconds(merged((row["started_at"], row["ended_at"]) for row in rows if row["room"] == room))
        for room in {row["room"] for row in rows}
    )
    listened = sum(heard_in(part.span, part.listened(room), []).heard_s for room in rooms)
    st.markdown(
        f"**{count(len(rows), 'episode')}**, {lasted(total)} together, from {lasted(listened)} of listening."
    )


def _choose(rows: list[Row], marks: Marks, sounds: set[str], until: datetime, place: Place) -> str | None:
    asked = st.session_state.get(CHOSEN)
    if not rows and asked is None:
        st.caption("None of that kind. Choose a longer time, or show all.")
        return None
    shown = rows[:_MOST]
    if asked is not None and asked not in {row["id"] for row in shown}:
        there = reading.episode(place.url, asked)
        if there is None:
            st.session_state.pop(CHOSEN)
        else:  # it was opened from elsewhere, or its mark moved it out of the filter: it stays on show
            shown = [there, *shown]
    if not shown:
        return None
    by_key = {row["id"]: row for row in shown}
    if st.session_state.get(CHOSEN) not in by_key:
        st.session_state[CHOSEN] = shown[0]["id"]
    tall = len(shown) > _FREE
    with st.container(height=_HEIGHT if tall else "content", border=tall):
        st.radio(
            "Episodes, newest first",
            list(by_key),
            format_func=lambda key: plain(
                f"{when(by_key[key]['started_at'], until, place.zone, seconds=True)}, "
                f"{lasted((by_key[key]['ended_at'] - by_key[key]['started_at']).total_seconds())}"
            ),
            captions=[plain(_caption(row, marks, sounds)) for row in shown],
            key=CHOSEN,
        )
    if len(rows) > _MOST:
        st.caption(f"The newest {_MOST} of {len(rows)}. Choose a shorter time or another kind to see others.")
    return str(st.session_state[CHOSEN])


def _caption(row: Row, marks: Marks, sounds: set[str]) -> str:
    judged = marks.judged(row["id"])
    parts = [
        row["room"],
        f"score up to {row['peak']:.2f}",
        {"open": "going on", "interrupted": "cut short"}.get(row["state"], ""),
        f"marked {judged}" if judged else "",
        "★" if marks.starred(row["id"]) else "",
        "sound kept" if row["id"] in sounds else "",
        f"helped: {marks.words(row['id'], 'helped')}" if marks.words(row["id"], "helped") else "",
    ]
    return ", ".join(part for part in parts if part)


@st.fragment
@guarded("showing the episode")
def _one(place: Place, key: str) -> None:
    tell()
    one_episode.draw(place, key)
    if st.session_state.pop("marked", False):
        st.rerun(scope="app")  # the list above says it too

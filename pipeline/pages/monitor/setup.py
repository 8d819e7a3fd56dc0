"""Settings: what the monitor runs with, how to change it, and what your marks say about the threshold."""

from __future__ import annotations

from datetime import time
from typing import TYPE_CHECKING

import streamlit as st

from pipeline.errors import CryError
from pipeline.pages.guard import guarded
from pipeline.pages.monitor import alert_log, reading
from pipeline.pages.monitor.common import Place
from pipeline.pages.monitor.live import command
from pipeline.pages.monitor.times import lasted, when
from pipeline.pages.words import plain

if TYPE_CHECKING:
    from pipeline.monitor.store import Row
    from pipeline.pages.monitor.reading import Now

OPTIONS = (
    ("--alert-after 20", "tell somebody only once crying has gone on for so many seconds"),
    ("--cooldown 600", "no second alert of that room for so many seconds"),
    ("--quiet 22:00-06:30", "no alerts of crying at these hours, on the clock of the computer that listens"),
    ("--keep episodes", "keep the sound of crying, to be heard again in Episodes"),
)


_ASKED = "hours without crying"


@guarded("showing the settings")
def draw(place: Place) -> None:
    """The whole view."""
    now = reading.now(place.url, place.now())
    st.markdown(
        "The monitor is a program of its own, and goes on when this page is closed. It is told what to "
        "do when it starts: stop it with Ctrl-C (or `systemctl stop`), and start it with other options."
    )
    _rooms(place, now)
    _threshold(place)
    _threshold_without_crying(place)
    _channels(place, now)
    _history(place)


def _rooms(place: Place, now: Now) -> None:
    st.subheader("What it runs with", anchor=False)
    if not now.pulses:
        st.info("No monitor has listened yet.")
        return
    newest = newest_stretch(place, now)
    for pulse in now.pulses:
        row = newest.get(pulse["room"])
        st.markdown(f"**{plain(pulse['room'])}**")
        lines = [f"Source: {pulse['source']}", f"Threshold: a cry from {pulse['threshold']:.3f} on"]
        if row is not None:
            lines.append(f"Embedder: {row['embedder']}")
            lines += [f"Model: {name}" for name in row["models"].split("; ")]
            lines.append(f"This stretch of listening began: {when(row['started_at'], now.at, place.zone)}")
        st.markdown("\n".join(f"- {plain(line)}" for line in lines))
    st.markdown("Start it again with the same rooms and, say, a higher threshold:")
    more = f"--detection-threshold {min(0.99, now.pulses[0]['threshold'] + 0.05):.2f}"
    st.code(command(place.shown, now.pulses, more), language="sh", wrap_lines=True)
    st.markdown("Other options that are often wanted:")
    st.markdown("\n".join(f"- `{option}`: {words}" for option, words in OPTIONS))
    st.caption(
        "Addresses are shown without user and password: put yours in again. "
        "`python -m pipeline monitor --help` names every option; docs/monitor.md explains them."
    )


def newest_stretch(place: Place, now: Now) -> dict[str, Row]:
    """The newest stretch of listening of each room of this run."""
    ends = reading.ends(place.url, now.at)
    if ends is None:
        return {}
    rows = reading.part(place.url, ends[1] - reading.NEAR, ends[1]).coverage
    return {row["room"]: row for row in rows}


def _threshold(place: Place) -> None:
    from pipeline.monitor.fitting import fit

    st.subheader("A threshold that follows from your marks", anchor=False)
    try:
        with reading.opened(place.url) as store:
            found = fit(store)
    except CryError as error:
        st.markdown(plain(str(error)))
        st.caption("Mark episodes right or wrong in Episodes; each mark counts.")
        return
    st.markdown(
        f"You marked {found.right} episodes right and {found.wrong} wrong. A threshold of "
        f"**{found.threshold:.3g}** would have told {found.kept} of the right ones and left out "
        f"{found.dropped} of the wrong ones."
    )
    st.markdown(
        f"Expect rather this: chosen without the episode that was judged, it kept {found.kept_unseen} of "
        f"{found.right} and left out {found.dropped_unseen} of {found.wrong}. A higher threshold may also "
        "miss cries that nobody marked."
    )
    st.code(f"--detection-threshold {found.threshold:.12g}", language="sh", wrap_lines=True)


def _threshold_without_crying(place: Place) -> None:
    from pipeline.monitor.fitting import fit_without_crying

    st.subheader("A lower threshold, from hours without crying", anchor=False)
    st.markdown(
        "Were there some hours in which nobody cried, with the house as it is? They tell how low the "
        "threshold may be in your home, so that faint crying is heard."
    )
    today = place.zone.today(place.now())
    with st.form("without-crying", border=False):
        day = st.date_input("Day", today, max_value=today)
        first, last = st.columns(2)
        begin, end = first.time_input("From", time(9)), last.time_input("Until", time(17))
        if st.form_submit_button("Work it out"):
            st.session_state[_ASKED] = (day, begin, end)
    if _ASKED not in st.session_state:
        return
    day, begin, end = st.session_state[_ASKED]
    if begin >= end:
        st.warning(f"Nothing lies between {begin:%H:%M} and {end:%H:%M}: choose a later end.")
        return
    try:
        with reading.opened(place.url) as store:
            found = fit_without_crying(store, *(place.zone.moment(day, each) for each in (begin, end)))
    except CryError as error:
        st.warning(plain(str(error)))
        return
    st.markdown(
        f"{lasted(found.heard_s)} were heard then. The nearest to a cry was a score of "
        f"{found.nearest:.3f}, {when(found.at, place.now(), place.zone)} in {plain(found.where)}."
    )
    if found.threshold is None:
        st.markdown(f"That is too near to lower the threshold in use, {found.in_use:.3g}.")
        return
    st.markdown(
        f"A threshold of **{found.threshold:.3g}** stays well above it and hears fainter crying than the "
        f"{found.in_use:.3g} in use. Sounds that were not there in those hours may then be taken for "
        "crying: mark those wrong. Start the monitor again with:"
    )
    st.code(f"--detection-threshold {found.threshold:.12g}", language="sh", wrap_lines=True)


def _channels(place: Place, now: Now) -> None:
    st.subheader("Who is told", anchor=False)
    if not now.channels:
        st.markdown("Nobody: no channel was named. Add one or more of these to the command above:")
        st.code(
            "--notify ntfys://ntfy.example.org/our-topic\n--webhook https://home.lan/hook",
            language="sh",
            wrap_lines=True,
        )
    for row in now.channels:
        took = "nothing was handed to it yet" if row["at"] is None else "has not taken anything yet"
        if row["accepted_at"]:
            took = f"last took something at {when(row['accepted_at'], now.at, place.zone)}"
        error = f" Last answer: {row['error']}" if row["error"] else ""
        st.markdown(f"- {plain(row['name'])}: {plain(took)}.{plain(error)}")
    alert_log.test_button(place)


def _history(place: Place) -> None:
    st.subheader("The history", anchor=False)
    ends, first = reading.ends(place.url, place.now()), ""
    if ends is not None:
        ago = lasted((ends[1] - ends[0]).total_seconds())
        first = f"It begins {when(ends[0], place.now(), place.zone)}, {ago} ago."
    st.markdown(f"`{place.shown}` {plain(first)}")
    st.markdown("Another one: set `CRY_MONITOR_STORE` before starting this page. All of it as files:")
    st.code(
        f'python -m pipeline history export --store "{place.shown}" --output history --format csv',
        language="sh",
        wrap_lines=True,
    )

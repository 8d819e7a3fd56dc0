"""The alert log: what was told, to whom and how fast, what was held and why."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import streamlit as st

from pipeline.pages.guard import guarded
from pipeline.pages.monitor import reading, why
from pipeline.pages.monitor.common import Place, mark
from pipeline.pages.monitor.day import count
from pipeline.pages.monitor.times import lasted, when
from pipeline.pages.words import plain

if TYPE_CHECKING:
    from pipeline.monitor.store import Row
    from pipeline.pages.monitor.reading import Marks

SPANS = {"The last 24 hours": 1, "The last 7 days": 7, "The last 4 weeks": 28}
_ICONS = {"crying": "child_care", "trouble": "warning", "test": "science", "all-clear": "check_circle"}
_MOST = 50
_LOOK_S = 5.0


def draw(place: Place) -> None:
    """The whole view."""
    test_button(place)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.selectbox("Time", list(SPANS), index=1, key="alerts-span", width=200)
        st.checkbox("Only those that were sent", key="alerts-sent")
    _log(place)


@st.fragment(run_every=_LOOK_S)
@guarded("reading the alert log")
def _log(place: Place) -> None:
    now = place.now()
    days = SPANS[st.session_state["alerts-span"]]
    alerts, deliveries = reading.told(place.url, now - timedelta(days=days), now + timedelta(days=1))
    marks = reading.marks(place.url)
    sent = [row for row in alerts if row["held"] is None]
    st.markdown(f"**{count(len(alerts), 'alert')}**, {len(sent)} sent and {len(alerts) - len(sent)} held.")
    unseen = [row["id"] for row in sent if not marks.seen(row["id"])]
    if len(unseen) > 1:
        st.button(
            f"Mark all {len(unseen)} as seen",
            icon=":material/done_all:",
            key="all-seen",
            on_click=_see,
            args=(place, unseen),
        )
    shown = sent if st.session_state.get("alerts-sent") else alerts
    for row in shown[:_MOST]:
        _alert(place, row, deliveries.get(row["id"], []), marks)
    if len(shown) > _MOST:
        st.caption(f"The newest {_MOST} of {len(shown)} are shown; `history export` gives all of them.")


def _alert(place: Place, row: Row, sent: list[Row], marks: Marks) -> None:
    now, zone = place.now(), place.zone
    with st.container(border=True, key=f"alert-{row['id']}"):
        icon = _ICONS.get(row["event"], "notifications")
        st.markdown(f":material/{icon}: **{when(row['at'], now, zone, seconds=True)}** {plain(row['words'])}")
        if row["held"]:
            st.markdown(f"Sent to nobody: {plain(why.held_words(row))}")
            return
        st.markdown("\n".join(f"- {plain(delivery_words(delivery))}" for delivery in sent))
        seen = marks.seen(row["id"])
        if seen:
            st.caption(f":material/done: Seen at {when(seen, now, zone)}.")
        else:
            st.button("Mark as seen", key=f"seen-{row['id']}", on_click=_see, args=(place, [row["id"]]))


def _see(place: Place, keys: list[str]) -> None:
    for key in keys:
        if not mark(place, key, "seen"):
            return


def delivery_words(row: Row) -> str:
    """How a delivery went: ``https://home.lan: arrived after 0.4 s, at the first try``."""
    tries = count(row["tries"], "try").replace("trys", "tries")
    if row["state"] == "delivered":
        delay = row["delay_s"] or 0.0
        after = f"{delay:.1f} s" if delay < 60 else lasted(delay)
        return f"{row['channel']}: arrived after {after}" + (f", {tries}" if row["tries"] > 1 else "")
    error = f" Last answer: {row['error']}" if row["error"] else ""
    if row["state"] == "expired":
        return f"{row['channel']}: given up after {tries}.{error}"
    return f"{row['channel']}: on its way, {tries} so far.{error}"


def test_button(place: Place) -> None:
    """Have the running monitor send a test to everybody."""
    now = reading.now(place.url, place.now())
    running = any(row["state"] not in ("stopped", "ended", "failed") for row in now.pulses) and not any(
        "not running" in verdict.words for verdict in now.verdicts
    )
    st.button(
        "Send a test alert",
        icon=":material/send:",
        key="test-alert",
        disabled=not running or not now.channels,
        on_click=_ask_for_test,
        args=(place,),
    )
    if not running:
        st.caption("The monitor is not running: it is what sends alerts, tests too.")
    elif not now.channels:
        st.caption(
            "Nobody would be told: the monitor was started without a channel. Settings says how to name one."
        )
    else:
        st.caption("Goes to every channel. How it arrived is in the list below, in a few seconds.")


def _ask_for_test(place: Place) -> None:
    from pipeline.monitor.marks import MONITOR

    if mark(place, MONITOR, "test"):
        st.session_state["said"] = ("info", "The monitor was asked to send a test.")

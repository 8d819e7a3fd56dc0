"""What the views share: the history's address, the clock, the light above them, and marks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import streamlit as st

from pipeline.errors import CryError
from pipeline.pages.guard import guarded
from pipeline.pages.monitor import markup, reading
from pipeline.pages.monitor.times import Zone
from pipeline.pages.words import plain

if TYPE_CHECKING:
    from pipeline.monitor.marks import Kind
    from pipeline.pages.monitor.reading import Now

VIEW = "view"
TONIGHT, DAY, WEEKS, EPISODES, ALERTS, SETTINGS = (
    "Tonight",
    "Timeline",
    "Weeks",
    "Episodes",
    "Alerts",
    "Settings",
)
VIEWS = (TONIGHT, DAY, WEEKS, EPISODES, ALERTS, SETTINGS)
CHOSEN = "chosen-episode"
_LOOK_S = 5.0


@dataclass(frozen=True)
class Place:
    """Which history is shown, and in which time zone."""

    url: str
    zone: Zone

    @property
    def shown(self) -> str:
        """The history's address without a password in it."""
        return reading.shown_address(self.url)

    def now(self) -> datetime:
        """The moment, in UTC."""
        return datetime.now(UTC)


def headline(now: Now) -> str:
    """The light in a few words."""
    rooms = [verdict for verdict in now.verdicts if verdict.room]
    deaf = [verdict.room for verdict in rooms if verdict.light == "red"]
    if deaf:
        return "Not listening" + (f" in {names(deaf)}" if len(deaf) < len(rooms) else "")
    if not rooms:
        return "Not listening"
    where = names([verdict.room for verdict in rooms])
    if all(verdict.words == "It is starting." for verdict in rooms):
        return f"Starting to listen in {where}"
    if now.light == "green":
        return f"Listening in {where}"
    but = "something is broken" if now.light == "red" else "something needs a look"
    return f"Listening in {where}, but {but}"


def names(rooms: list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``; three at most by name."""
    if len(rooms) > 3:
        return f"{len(rooms)} rooms"
    return rooms[0] if len(rooms) == 1 else f"{', '.join(rooms[:-1])} and {rooms[-1]}"


@st.fragment(run_every=_LOOK_S)
@guarded("looking at the monitor")
def strip(place: Place) -> None:
    """The light in one line, above every view but Tonight; looks again by itself."""
    try:
        now = reading.now(place.url, place.now())
    except CryError:
        st.rerun(scope="app")
    st.html(markup.light(now.light, headline(now), small=True))
    if now.light != "green":
        worst = next(verdict for verdict in now.verdicts if verdict.light == now.light)
        st.caption(plain(f"{worst.room}: {worst.words}" if worst.room else worst.words))


@st.fragment(run_every=_LOOK_S)
@guarded("looking for the history")
def absent(place: Place, words: str) -> None:
    """Why there is nothing to show; looks again by itself and draws the page once there is."""
    try:
        reading.now(place.url, place.now())
    except CryError as error:
        words = str(error)
    else:
        st.rerun(scope="app")
    missing = words.startswith("There is no history")
    st.html(markup.light("red", "Nothing to show yet" if missing else "The history cannot be read"))
    st.markdown(plain(words))
    st.caption("This page looks again every few seconds; nothing has to be reloaded.")
    if not missing:
        return
    st.markdown(
        "The monitor is a program of its own. Start it like this, with the same history as this page; for "
        "cameras, other microphones and recordings see `docs/monitor.md`."
    )
    st.code(
        f'python -m pipeline monitor --source mic --room nursery --store "{place.shown}"',
        language="sh",
        wrap_lines=True,
    )


def mark(place: Place, about: str, kind: Kind, words: str | None = None) -> bool:
    """Put a mark into the history; says so when it cannot be."""
    from pipeline.monitor.marks import put_mark

    try:
        put_mark(place.url, about, kind, words, at=place.now())
    except CryError as error:
        st.session_state["said"] = ("error", str(error))
        return False
    return True


def tell() -> None:
    """Show and forget what the last click left to say."""
    kind, words = st.session_state.pop("said", (None, ""))
    if kind == "error":
        st.error(plain(words), icon=":material/error:")
    elif kind:
        st.toast(plain(words), icon=":material/check:")


def open_episode(key: str) -> None:
    """Show an episode in its view; for a button's ``on_click``."""
    st.session_state[VIEW] = EPISODES
    st.session_state[CHOSEN] = key

"""The monitor's page, put together; the one entry point of ``monitor_app.py``."""

from __future__ import annotations

import streamlit as st

from pipeline.errors import CryError
from pipeline.pages import frame
from pipeline.pages.guard import guarded
from pipeline.pages.monitor import alert_log, day, episode_list, live, markup, reading, setup, weeks
from pipeline.pages.monitor.common import (
    ALERTS,
    DAY,
    EPISODES,
    SETTINGS,
    TONIGHT,
    VIEW,
    VIEWS,
    WEEKS,
    Place,
    absent,
    strip,
    tell,
)
from pipeline.pages.monitor.times import Zone

_DRAW = {
    TONIGHT: live.draw,
    DAY: day.draw,
    WEEKS: weeks.draw,
    EPISODES: episode_list.draw,
    ALERTS: alert_log.draw,
    SETTINGS: setup.draw,
}


@guarded("drawing the page")
def main() -> None:
    """Draw the page."""
    frame.open_page("CryLens monitor", "What the monitor hears, and what it has heard.")
    st.html(markup.STYLE)
    place = Place(reading.store_address(), Zone.named(_time_zone()))
    try:
        reading.now(place.url, place.now())
    except CryError as error:
        absent(place, str(error))
        return
    if st.session_state.get(VIEW, TONIGHT) not in VIEWS:
        del st.session_state[VIEW]
    for name, tab in zip(VIEWS, st.tabs(VIEWS, key=VIEW, bind="query-params"), strict=True):
        if tab.open:
            with tab:
                if name != TONIGHT:  # it has the light itself, and more of it
                    strip(place)
                    tell()
                with reading.opened(place.url):
                    _DRAW[name](place)
    st.caption(f":material/schedule: Times are those of {place.zone.name}.")


def _time_zone() -> str | None:
    """The browser's, where it says so."""
    return st.context.timezone

"""The light page: only what the sound might say about why. Starts without TensorFlow, checks for no cry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pipeline import formats
from pipeline.pages import examine, frame, models, result, sources, texts, verdict
from pipeline.pages.guard import guarded
from pipeline.settings import Settings, get_settings

if TYPE_CHECKING:
    from pipeline.pages.store import Outcome, Sound, Store
    from pipeline.reasons import ReasonResult

_MODEL = "reasons"


@guarded("drawing the page")
def main() -> None:
    """Draw the page; the one entry point of ``app.py``."""
    frame.open_page("CryLens light", "Why might this baby be crying?")
    st.info(
        "This page does not check whether a baby is crying. Use it only for a sound that you know is a cry.",
        icon=":material/info:",
    )
    settings = get_settings()
    store = frame.visit_store(settings)
    sources.tabs(store, cries_only=True)
    frame.tell(store)
    with st.spinner("Getting ready to listen (a few seconds, once) ..."):
        model = models.reason_model()
    frame.hear_pending(store, _MODEL, lambda sound: examine.for_reason(sound, model, settings))
    _result(store, settings)
    st.divider()
    frame.close_page(texts.ABOUT_REASON)


@st.fragment
@guarded("showing the result")
def _result(store: Store, settings: Settings) -> None:
    limit = result.threshold(store, "reason", settings.reason_threshold)
    decided = {
        key: outcome.reasons.with_threshold(limit)
        for key in store.sounds
        if (outcome := store.outcomes[key, _MODEL]).reasons is not None
    }
    shorts = {
        key: verdict.reason_verdict(decided[key]).short if key in decided else "No answer"
        for key in store.sounds
    }
    sound = result.choose(store, shorts)
    if sound is None:
        return
    outcome = store.outcomes[sound.key, _MODEL]
    if outcome.problem is not None:
        result.problem(sound, outcome)
    elif sound.key not in decided:
        result.say(verdict.SILENT)
        result.listen(sound, outcome)
    else:
        result.reasons(decided[sound.key])
        result.threshold_slider(
            store,
            "reason",
            "Reason threshold: a best guess below it is called not sure",
            settings.reason_threshold,
            "Compared with the score of the best guess.",
        )
        result.listen(sound, outcome)
        result.sound_charts(outcome)
        st.subheader("Keep or forget", anchor=False)
        records = {
            key: _record(other, store.outcomes[key, _MODEL], decided.get(key))
            for key, other in store.sounds.items()
        }
        result.downloads(records[sound.key], list(records.values()))
    result.removal(store, sound)


def _record(sound: Sound, outcome: Outcome, reasons: ReasonResult | None) -> formats.Record:
    """As the full page's record, with everything about a cry left unknown: it was not looked at."""
    seconds = outcome.picture.duration_s if outcome.picture else None
    return {
        **formats.error_record(sound.name, ""),
        "duration_s": seconds,
        "reasons": reasons.to_dict() if reasons else None,
        "warnings": list(outcome.notes),
        "notices": ["Whether this is a cry was not checked."],
        "episodes": None,
        "error": outcome.problem,
    }

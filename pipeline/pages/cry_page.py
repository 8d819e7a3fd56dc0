"""The full page: is a baby crying, when, and what the sound can and cannot say about why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pipeline import formats
from pipeline.errors import CryError
from pipeline.pages import examine, frame, models, quality, result, sources, texts, verdict
from pipeline.pages.guard import guarded
from pipeline.pages.words import plain
from pipeline.settings import Settings, get_settings

if TYPE_CHECKING:
    from pipeline.analysis import Analysis, CryPipeline
    from pipeline.pages.store import Outcome, Sound, Store

EMBEDDERS = {
    "auto": "Automatic",
    "student": "Student, bundled: works without a network",
    "yamnet": "YAMNet from TensorFlow Hub",
}
_EMBEDDER = "embedder"


@guarded("drawing the page")
def main() -> None:
    """Draw the page; the one entry point of ``cry_classify_app.py``."""
    frame.open_page("CryLens", "Is a baby crying in this sound?")
    settings = get_settings()
    store = frame.visit_store(settings)
    sources.tabs(store)
    frame.tell(store)
    pipe = _pipeline(st.session_state.get(_EMBEDDER, settings.embedder))
    if pipe is not None:
        frame.hear_pending(store, pipe.embedder.name, lambda sound: examine.for_cry(sound, pipe, settings))
        _result(store, pipe, settings)
    st.divider()
    _model_choice(pipe, settings)
    quality.button()
    frame.close_page(texts.ABOUT_CRY)


def _pipeline(embedder: str) -> CryPipeline | None:
    """The models, or None after saying why not; the rest of the page stays, so that another can be chosen."""
    try:
        with st.spinner(models.wait(embedder)):
            return models.cry_pipeline(embedder)
    except CryError as error:
        st.error(f"## Cannot listen right now\n\n{plain(str(error))}", icon=":material/error:")
        return None


def _model_choice(pipe: CryPipeline | None, settings: Settings) -> None:
    if pipe is not None:
        notice = f" {plain(pipe.embedder.notice)}" if pipe.embedder.notice else ""
        st.caption(f":material/hearing: Embedder in use: **{plain(pipe.embedder.name)}**.{notice}")
    with st.expander("Choose another embedder", icon=":material/tune:"):
        st.selectbox(
            "Embedder",
            list(EMBEDDERS),
            index=list(EMBEDDERS).index(settings.embedder),
            format_func=EMBEDDERS.__getitem__,
            key=_EMBEDDER,
            help="The part that turns sound into numbers. Changing it listens to your sounds again.",
        )


@st.fragment
@guarded("showing the result")
def _result(store: Store, pipe: CryPipeline, settings: Settings) -> None:
    model = pipe.embedder.name
    detection = f"detection-{model}"
    start = pipe.default_threshold if settings.detection_threshold is None else settings.detection_threshold
    limits = (
        result.threshold(store, detection, start),
        result.threshold(store, "reason", settings.reason_threshold),
    )
    decided = {
        key: outcome.analysis.decide(detection_threshold=limits[0], reason_threshold=limits[1])
        for key in store.sounds
        if (outcome := store.outcomes[key, model]).analysis is not None
    }
    words = {key: _words(analysis, store.outcomes[key, model]) for key, analysis in decided.items()}
    sound = result.choose(
        store, {key: words[key].short if key in words else "No answer" for key in store.sounds}
    )
    if sound is None:
        return
    outcome = store.outcomes[sound.key, model]
    if sound.key not in decided:
        result.problem(sound, outcome)
        result.removal(store, sound)
        return
    analysis = decided[sound.key]
    result.say(words[sound.key])
    result.listen(sound, outcome)
    _when(store, outcome, analysis, detection, start)
    if words[sound.key].kind != "silent":
        _why(store, analysis, settings)
    _keep(store, sound, model, decided)


def _words(analysis: Analysis, outcome: Outcome) -> verdict.Verdict:
    return verdict.cry_verdict(analysis, silent=outcome.picture is not None and outcome.picture.is_silent)


def _when(store: Store, outcome: Outcome, analysis: Analysis, name: str, start: float) -> None:
    st.subheader("When", anchor=False)
    st.markdown(
        "**Cry score** over time, from 0 to 1. Where it reaches the dashed line, that is called a cry."
    )
    result.score_chart(analysis)
    result.threshold_slider(
        store,
        name,
        "Detection threshold: lower hears more, higher is surer",
        start,
        f"It starts at {start:.2f}, chosen on sounds that no model had learned from. "
        "Moving it runs no model again.",
    )
    result.sound_charts(outcome, analysis.episodes)


def _why(store: Store, analysis: Analysis, settings: Settings) -> None:
    if analysis.reasons is None:
        return
    result.reasons(analysis.reasons)
    result.threshold_slider(
        store,
        "reason",
        "Reason threshold: a best guess below it is called not sure",
        settings.reason_threshold,
        "Compared with the score of the best guess.",
    )


def _keep(store: Store, sound: Sound, model: str, decided: dict[str, Analysis]) -> None:
    st.subheader("Keep or forget", anchor=False)
    records = {
        key: decided[key].to_dict()
        if key in decided
        else formats.error_record(other.name, store.outcomes[key, model].problem or "", embedder=model)
        for key, other in store.sounds.items()
    }
    result.downloads(records[sound.key], list(records.values()))
    result.removal(store, sound)

"""The middle of a page: which sound, the verdict, the player, the charts, the sliders, the downloads.

Drawn inside a Streamlit fragment: a slider re-decides (``Analysis.decide``) and redraws this part only; no
model runs and nothing is decoded again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import streamlit as st

from pipeline import formats
from pipeline.pages import charts, verdict
from pipeline.pages.store import Outcome, Sound, Store
from pipeline.pages.words import plain, span

if TYPE_CHECKING:
    from pipeline.analysis import Analysis
    from pipeline.episodes import Episode
    from pipeline.pages.verdict import Verdict
    from pipeline.reasons import ReasonResult

LISTED, LIST_HEIGHT = 4, 250
_CHOSEN = "chosen-sound"
_ALERTS = {"cry": "warning", "near-cry": "warning", "near-none": "info", "none": "success", "silent": "info"}


def choose(store: Store, shorts: Mapping[str, str]) -> Sound | None:
    """Which sound is on show: a list with each one's verdict when there are several.

    Args:
        store: the visit.
        shorts: the verdict in a few words, by sound key.
    """
    if not store.sounds:
        st.info("Add a sound above. The answer appears here.", icon=":material/arrow_upward:")
        return None
    if store.chosen not in store.sounds:
        store.chosen = next(reversed(store.sounds))
    if len(store.sounds) > 1:
        keys = list(reversed(store.sounds))
        st.session_state[_CHOSEN] = store.chosen
        # A long list scrolls in its own place, so that the verdict stays in sight on a phone.
        with st.container(height=LIST_HEIGHT if len(keys) > LISTED else "content", border=len(keys) > LISTED):
            st.radio(
                f"Your {len(keys)} sounds, newest first",
                keys,
                format_func=lambda key: plain(store.sounds[key].name),
                captions=[plain(shorts.get(key, "")) for key in keys],
                key=_CHOSEN,
                on_change=lambda: setattr(store, "chosen", st.session_state[_CHOSEN]),
            )
    return store.sounds[store.chosen]


def say(words: Verdict, *, level: int = 2) -> None:
    """The verdict, as an alert (screen readers announce it), its headline a heading."""
    alert = getattr(st, _ALERTS[words.kind])
    alert(f"{'#' * level} {plain(words.headline)}\n\n{plain(words.detail)}", icon=verdict.ICONS[words.kind])


def problem(sound: Sound, outcome: Outcome) -> None:
    """Why there is no answer for this sound."""
    st.error(f"## No answer for this sound\n\n{plain(outcome.problem or '')}", icon=":material/error:")


def listen(sound: Sound, outcome: Outcome) -> None:
    """Player, and what people should know about the sound."""
    st.audio(outcome.player, format=outcome.player_type, alt=f"The sound {sound.name}")
    for note in outcome.notes:
        st.caption(f":material/info: {plain(note)}")


def sound_charts(outcome: Outcome, episodes: tuple[Episode, ...] = ()) -> None:
    """Waveform and mel spectrogram on one time axis, cries marked."""
    picture = outcome.picture
    if picture is None:
        return
    marked = " Cries are marked." if episodes else ""
    st.markdown(f"**Loudness** over time.{marked}")
    st.altair_chart(
        charts.waveform(picture, episodes),
        alt=f"Waveform: loudness over time.{marked} {_where(episodes)}",
    )
    st.markdown("**Pitch** over time (mel spectrogram): low sounds at the bottom, brighter is louder.")
    st.altair_chart(
        charts.mel_spectrogram(picture, episodes),
        alt=f"Mel spectrogram: pitch over time.{marked} {_where(episodes)}",
    )


def _where(episodes: tuple[Episode, ...]) -> str:
    return "Cry at " + "; ".join(span(e.start, e.end) for e in episodes[:10]) + "." if episodes else ""


def threshold(store: Store, name: str, default: float) -> float:
    """Where the slider of that name stands; it may be drawn further down, or not in this run at all."""
    key = _slider_key(name)
    if key not in st.session_state:
        st.session_state[key] = store.thresholds.get(name, default)
    store.thresholds[name] = float(st.session_state[key])
    return store.thresholds[name]


def threshold_slider(store: Store, name: str, label: str, default: float, help_text: str) -> None:
    """The slider that moves :func:`threshold`, with a way back to where it started."""
    value = threshold(store, name, default)
    with st.container(horizontal=True, vertical_alignment="bottom", wrap=False):
        st.slider(label, 0.0, 1.0, step=0.01, format="%.2f", key=_slider_key(name), help=help_text)
        st.button(
            "Reset",
            key=f"reset-{name}",
            help=f"Back to {default:.2f}, where it started.",
            on_click=lambda: st.session_state.__setitem__(_slider_key(name), default),
            disabled=value == default,
            type="tertiary",
        )


def _slider_key(name: str) -> str:
    return f"threshold-{name}"


def score_chart(analysis: Analysis) -> None:
    """The score along time with the threshold line."""
    st.altair_chart(charts.score(analysis), alt=verdict.score_description(analysis))


def reasons(result: ReasonResult) -> None:
    """What the sound says about why: words, the honest sentence, the chart beside the base rate."""
    say(verdict.reason_verdict(result), level=3)
    st.markdown(f"**How far to trust this:** {plain(result.statement)}")
    st.markdown("**Chance of each reason:** filled for this sound, hollow for how common it is anyway.")
    st.altair_chart(charts.reasons(result), alt=verdict.reason_description(result))


def downloads(shown: formats.Record, everything: Sequence[formats.Record]) -> None:
    """The result on show, or those of all sounds, as JSON and CSV.

    Args:
        shown: record of the sound on show.
        everything: records of all sounds, those without an answer included.
    """
    records = [shown]
    if len(everything) > 1 and st.checkbox(f"All {len(everything)} results in one file", key="download-all"):
        records = list(everything)
    stem = "crylens-result" if len(records) == 1 else f"crylens-{len(records)}-results"
    _download_pair(
        stem, formats.to_json(records[0] if len(records) == 1 else records), formats.to_csv(records)
    )


def _download_pair(stem: str, as_json: str, as_csv: str) -> None:
    with st.container(horizontal=True):
        for name, text, mime in (("JSON", as_json, "application/json"), ("CSV", as_csv, "text/csv")):
            st.download_button(
                f"Result as {name}",
                text,
                file_name=f"{stem}.{name.lower()}",
                mime=mime,
                key=f"download-{name.lower()}",
                icon=":material/download:",
                on_click="ignore",
            )


def removal(store: Store, sound: Sound) -> None:
    """Ways to forget: this sound, or all of them."""
    with st.container(horizontal=True):
        if st.button("Forget this sound", icon=":material/delete:", key="forget-one"):
            store.remove(sound.key)
            st.rerun()
        if len(store.sounds) > 1 and st.button(
            "Forget all sounds", icon=":material/delete_sweep:", key="forget-all"
        ):
            store.clear()
            st.rerun()

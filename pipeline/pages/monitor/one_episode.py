"""One episode: when, how sure, its sound, what can be said about why, and what a person says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pipeline.errors import CryError
from pipeline.pages import charts, result
from pipeline.pages.monitor import kept, reading, why
from pipeline.pages.monitor.common import Place, mark
from pipeline.pages.monitor.day import _AFTER
from pipeline.pages.monitor.times import clock, day_name, lasted
from pipeline.pages.words import label_words, plain

if TYPE_CHECKING:
    from pipeline.monitor.marks import Kind
    from pipeline.monitor.store import Row
    from pipeline.pages.monitor.kept import Sound
    from pipeline.pages.monitor.reading import Marks
    from pipeline.reasons import ReasonResult

HELPED = (
    "feeding",
    "nappy",
    "carrying",
    "rocking",
    "dummy",
    "sleep",
    "warmer or cooler",
    "nothing, it passed",
)
CAUSES = ("hungry", "tired", "belly_pain", "burping", "discomfort", "nappy", "not known")
_LONGEST_WORDS = 200


def draw(place: Place, key: str) -> None:
    """The whole episode."""
    row, marks = reading.episode(place.url, key), reading.marks(place.url)
    if row is None:
        st.info("This episode is no longer in the history.")
        return
    zone = place.zone
    day = day_name(zone.local(row["started_at"]).date(), zone.today(place.now()))
    start, end = (clock(row[name], zone, seconds=True) for name in ("started_at", "ended_at"))
    st.subheader(plain(f"{day[:1].upper()}{day[1:]}, {start} to {end}"), anchor=False)
    st.markdown(f"{plain(row['room'])}. {_facts(row)}")
    _judge(place, row, marks)
    _sounds(place, row)
    alerts, deliveries = reading.told(place.url, row["started_at"], row["ended_at"] + _AFTER, [row["id"]])
    st.markdown(f":material/notifications: {plain(why.told_words(row, alerts[::-1], deliveries, zone))}")
    _reasons(row)
    _notes(place, row, marks)


def _facts(row: Row) -> str:
    for_s = (row["ended_at"] - row["started_at"]).total_seconds()
    ending = {
        "open": " It goes on just now.",
        "interrupted": " Listening broke off during it: it may have lasted longer.",
    }.get(row["state"], "")
    return (
        f"It lasted {lasted(for_s)}; the score reached {row['peak']:.2f} ({row['mean']:.2f} on average), "
        f"over the line at {row['threshold']:.2f}.{ending}"
    )


def _judge(place: Place, row: Row, marks: Marks) -> None:
    judged, starred = marks.judged(row["id"]), marks.starred(row["id"])
    st.markdown("**Was it crying?**")
    with st.container(horizontal=True, key="judge"):
        for kind, label, icon in (
            ("right", "Yes, crying", "check"),
            ("wrong", "No, something else", "close"),
        ):
            st.button(
                label,
                icon=f":material/{icon}:",
                key=f"mark-{kind}",
                type="primary" if judged == kind else "secondary",
                help=f"Marked {kind}" if judged == kind else None,
                on_click=_mark,
                args=(place, row["id"], kind),
            )
        st.button(
            "Remove the star" if starred else "Star: never delete its sound",
            icon=":material/star:",
            key="mark-star",
            type="primary" if starred else "secondary",
            on_click=_mark,
            args=(place, row["id"], "unstar" if starred else "star"),
        )
    if judged:
        what = marks.words(row["id"], "wrong") if judged == "wrong" else None
        st.caption(f":material/edit: You marked it {judged}{f': {plain(what)}' if what else ''}.")


def _mark(place: Place, key: str, kind: Kind, words: str | None = None) -> None:
    if mark(place, key, kind, words):
        st.session_state["said"] = ("info", "Noted.")
    st.session_state["marked"] = True


def _sounds(place: Place, row: Row) -> None:
    sounds, why_not = kept.of_episode(place.url, row["id"])
    if not sounds:
        words = why_not or "Its sound was not kept. Settings says how to keep it from now on."
        st.caption(f":material/volume_off: {plain(words)}")
        return
    number = 0
    if len(sounds) > 1:
        starts = [clock(sound.started_at, place.zone, seconds=True) for sound in sounds]
        number = st.radio(
            "Part of its sound",
            range(len(sounds)),
            format_func=lambda place: f"from {starts[place]}",
            horizontal=True,
            key=f"part-{row['id']}",
        )
    _sound(sounds[number], row)


def _sound(sound: Sound, row: Row) -> None:
    from pipeline.episodes import Episode

    try:
        with st.spinner("Reading its sound ..."):
            shown = kept.show(sound)
    except CryError as error:
        st.warning(plain(f"Its sound was kept but cannot be read. {error}"), icon=":material/info:")
        return
    started = sound.started_at
    total = shown.picture.duration_s
    begin, until = (
        min(total, max(0.0, (row[name] - started).total_seconds())) for name in ("started_at", "ended_at")
    )
    cries = (Episode(begin, until, row["peak"], row["mean"]),) if until > begin else ()
    st.audio(shown.player, format="audio/wav", alt="The sound of this episode")
    for note in shown.notes:
        st.caption(f":material/info: {plain(note)}")
    st.markdown("**Loudness** over time. The episode is marked.")
    st.altair_chart(
        charts.waveform(shown.picture, cries), alt=f"Waveform of {lasted(total)}, the episode marked."
    )
    st.markdown("**Pitch** over time (mel spectrogram): low sounds at the bottom, brighter is louder.")
    st.altair_chart(
        charts.mel_spectrogram(shown.picture, cries),
        alt=f"Mel spectrogram of {lasted(total)}, the episode marked.",
    )


def _reasons(row: Row) -> None:
    if row["reasons"] is None:
        return
    with st.expander("What the sound says about why", icon=":material/help:"):
        result.reasons(stored_reasons(row["reasons"]))


def stored_reasons(stored: dict) -> ReasonResult:
    """Reasons as they were before they were stored."""
    from pipeline.reasons import ReasonResult

    return ReasonResult(**{**stored, "prediction_set": tuple(stored["prediction_set"])})


def _notes(place: Place, row: Row, marks: Marks) -> None:
    key = row["id"]
    helped, cause = marks.words(key, "helped") or "", marks.words(key, "cause") or ""
    known = [word for word in helped.split(", ") if word in HELPED]
    own = ", ".join(word for word in helped.split(", ") if word and word not in HELPED)
    with st.form(f"notes-{key}", border=True):
        st.markdown("**For your own record**")
        chosen = st.pills("What helped?", HELPED, selection_mode="multi", default=known, key=f"helped-{key}")
        other = st.text_input(
            "Something else that helped", own, max_chars=_LONGEST_WORDS, key=f"helped-other-{key}"
        )
        causes = (*CAUSES, *([cause] if cause and cause not in CAUSES else []))
        why_ = st.pills(
            "The cause, where you found one",
            causes,
            default=cause or None,
            format_func=label_words,
            key=f"cause-{key}",
        )
        if not st.form_submit_button("Save", icon=":material/save:"):
            return
    words = ", ".join([*chosen, *([other.strip()] if other.strip() else [])])
    done = True
    for kind, said, before in (("helped", words, helped), ("cause", why_ or "", cause)):
        if said and said != before:
            done = mark(place, key, kind, said) and done  # type: ignore[arg-type]
    if done:
        st.session_state["said"] = ("info", "Saved.")
    st.session_state["marked"] = True

"""The three ways in: upload, record, try it. Each only puts sounds into the visit's ``Store``."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import streamlit as st

from pipeline.errors import AudioError, CryError
from pipeline.pages import microphone
from pipeline.pages.examine import wav_bytes
from pipeline.pages.store import MAX_SOUNDS
from pipeline.pages.texts import FORMATS
from pipeline.pages.words import clean_name, plain

if TYPE_CHECKING:
    from pipeline.pages.store import Store

RECORD_SECONDS = (5, 10, 20)


def tabs(store: Store, *, cries_only: bool = False) -> None:
    """Draw the three tabs.

    Args:
        store: receives the sounds.
        cries_only: offer only demo sounds that are cries (the light page, where others mean nothing).
    """
    upload_tab, record_tab, demo_tab = st.tabs(["Upload", "Record", "Try it"])
    with upload_tab:
        upload(store)
    with record_tab:
        record(store)
    with demo_tab:
        demos(store, cries_only=cries_only)


def upload(store: Store) -> None:
    """Files from the device, several at once. Once taken over the uploader is empty again: one list, ours."""
    files = st.file_uploader(
        "Drop sound files here, or choose them",
        accept_multiple_files=True,
        max_upload_size=max(1, store.max_sound_bytes // 2**20),
        key=f"upload-{store.upload_round}",
        help=f"{FORMATS} Up to {MAX_SOUNDS} files at a time.",
    )
    if not files:
        return
    first = None
    for file in files[:MAX_SOUNDS]:
        try:
            sound = store.add(file.name, file.getvalue(), "upload")
            first = first or sound.key
        except CryError as error:
            store.messages.append(str(error))
    store.chosen = first or store.chosen
    if len(files) > MAX_SOUNDS:
        left = len(files) - MAX_SOUNDS
        store.messages.append(
            f"{MAX_SOUNDS} files are taken at a time; {left} more were left out. Add them next."
        )
    store.upload_round += 1
    st.rerun()


def record(store: Store) -> None:
    """The browser's microphone, and the computer's own where it has one."""
    taken = st.audio_input("Record with the microphone of this device", key="recorder")
    st.caption("Press the microphone, hold the device towards the sound for 5 to 10 seconds, press stop.")
    if taken is not None:
        data = taken.getvalue()
        _take_recording(store, data, hashlib.sha256(data).hexdigest())
    device = _local_microphone()
    if device is None:
        return
    with st.expander("Record with the computer that runs CryLens"):
        st.caption(f"Its microphone: {plain(clean_name(device))}")
        seconds = st.radio("Seconds", RECORD_SECONDS, index=1, horizontal=True, key="local-seconds")
        if st.button("Record now", icon=":material/mic:", key="local-record"):
            with st.spinner(f"Recording {seconds} seconds ..."):
                samples = microphone.record(float(seconds))
            data = wav_bytes(samples)
            _take_recording(store, data, hashlib.sha256(data).hexdigest())


@st.cache_data(ttl=60, show_spinner=False)
def _local_microphone() -> str | None:
    return microphone.find()


def _take_recording(store: Store, data: bytes, digest: str) -> None:
    if digest in store.taken:
        return
    store.taken.add(digest)
    store.recordings += 1
    try:
        store.add(f"Recording {store.recordings}", data, "recording")
    except AudioError as error:
        store.messages.append(str(error))


def demos(store: Store, *, cries_only: bool) -> None:
    """Sounds synthesised by our own code, so that anyone can try the page without a baby at hand."""
    from pipeline.synthesis import DEMOS

    st.caption("Sounds made by this program; no baby was recorded for them.")
    with st.container(horizontal=True, key="demos"):
        for key, demo in DEMOS.items():
            if cries_only and not demo.is_cry:
                continue
            if st.button(demo.title, key=f"demo-{key}", help=demo.description):
                with st.spinner("Making the sound ..."):
                    store.add(demo.title, wav_bytes(demo.make(0).samples), "demo")

"""The sound of an episode, where it was kept: only files inside the folder of kept sound are ever served."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from pipeline.pages.figures import Picture
from pipeline.pages.monitor import reading

if TYPE_CHECKING:
    from pipeline.monitor.store import Row

_LONGEST_S = 15 * 60.0
"""More of an episode than this is neither played nor drawn: a page would choke on it."""
_GONE = {
    "expired": "Its sound was kept, and deleted when its time was over.",
    "room": "Its sound was kept, and deleted to make room for newer sound.",
    "missing": "Its sound was kept, but the file was gone when the monitor looked.",
    "removed": "Its sound was kept, and was deleted on request.",
}


@dataclass(frozen=True)
class Sound:
    """Kept sound: the file, and from when on."""

    path: Path
    started_at: datetime


@dataclass(frozen=True, eq=False)
class Shown:
    """What a browser plays and draws; ``notes`` are for people to read."""

    player: bytes
    picture: Picture
    notes: tuple[str, ...]


FOLDER = "CRY_MONITOR_KEEP_FOLDER"


def folder() -> Path:
    """The folder of kept sound that the environment names, else the monitor's own default."""
    from pipeline.monitor.shelf import Keep

    return Path(os.environ.get(FOLDER) or Keep.folder)


def of_episode(url: str, key: str) -> tuple[list[Sound], str]:
    """The kept sound of an episode, by time; and why some or all of it is not there, in words.

    Raises:
        StoreError: the history cannot be read.
    """
    from pipeline.monitor.models import KeptSound

    with reading.opened(url) as store:
        rows = store.rows(KeptSound, order_by="started_at", where=KeptSound.episode_id == key)
    return found(folder(), rows)


def found(place: Path, rows: list[Row]) -> tuple[list[Sound], str]:
    """Those of these that are there, inside the folder ``place``; and why one is not."""
    from pipeline.monitor.shelf import kept_path

    sounds, words = [], ""
    for row in rows:
        if row["gone_at"] is not None:
            words = words or _GONE.get(row["gone_why"] or "", _GONE["removed"])
            continue
        path = kept_path(place, row["path"])
        if path is not None and path.is_file():
            sounds.append(Sound(path, row["started_at"]))
        else:
            words = (
                f"Its sound was kept, but it is not in the folder {place}. Was it kept elsewhere? Start this "
                f"page with {FOLDER} naming that folder."
            )
    return sounds, words


def with_sound(url: str) -> set[str]:
    """Episodes whose sound is there, by what the history says.

    Raises:
        StoreError: the history cannot be read.
    """
    from sqlalchemy import and_

    from pipeline.monitor.models import KeptSound

    with reading.opened(url) as store:
        there = and_(KeptSound.gone_at.is_(None), KeptSound.episode_id.is_not(None))
        return {row["episode_id"] for row in store.rows(KeptSound, where=there)}


def show(sound: Sound) -> Shown:
    """Read it, once: a copy that every browser plays, and its picture.

    Raises:
        AudioError: it cannot be read.
    """
    return _show(str(sound.path), sound.path.stat().st_mtime_ns)


@st.cache_data(max_entries=8, show_spinner=False)
def _show(path: str, changed_ns: int) -> Shown:
    del changed_ns  # part of the key: a file written anew is read anew
    from pipeline import audio
    from pipeline.pages import figures
    from pipeline.pages.examine import wav_bytes

    heard = audio.load(Path(path), duration_s=_LONGEST_S)
    return Shown(wav_bytes(heard.samples), figures.draw([heard.samples], heard.duration_s), heard.warnings)

"""What nights are made of: one fold's cries by donor, its other sounds by label, and backgrounds.

A night is made of one fold's sources only (:func:`pipeline.training.detector_recipe.folds`), so that a head
that heard nothing of that fold can be judged on it. Two things come on top: the recordings of
``detector_recipe.UNSEEN_BACKGROUNDS``, which teach no judged head, and noise made here by arithmetic. Only
verified recordings count: ``kind`` "cry" and "not_cry" as the manifest has them.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import AudioError, DataError, SettingsError
from pipeline.evaluation.night_room import SAMPLE_RATE
from pipeline.training.augment import coloured_noise
from pipeline.training.data import Clip
from pipeline.training.detector_recipe import UNSEEN_BACKGROUNDS

FloatArray = NDArray[np.float32]

# Which labels make which suite of cry-free sound. A label in none of them is in OTHER.
SUITES: dict[str, tuple[str, ...]] = {
    "speech": ("speech",),
    "children and laughter": ("baby_laugh", "human_laugh"),
    "pets": ("cat", "dog", "dog_bark", "dude_miaowing"),
    "music and television": ("music",),
    "appliances": ("vacuum_cleaner", "washing_machine", "clock_tick", "doing_the_dishes", "exercise_bike"),
    "alarms and sirens": ("siren", "car_horn", "church_bells"),
    "white noise": ("white_noise", "white", "pink", "brown", "fan", "rain", "sea_waves", "wind"),
}
OTHER = "other sounds"
SUITE_NAMES = (*SUITES, OTHER)
# Not heard as a sound of its own: recordings of next to nothing, which no level could be given to.
_NO_SOUND = ("silence",)

MADE_BACKGROUNDS = ("quiet", "white_noise", "fan")
MADE_SOUNDS = ("white", "pink", "brown", "fan")
MADE_SECONDS = 20.0
_LOUDSPEAKER_HZ = 100.0
HOUSEHOLD = "household"
_HOUSEHOLD_LABELS = ("doing_the_dishes", "exercise_bike", "running_tap")


@dataclass(frozen=True)
class Sound:
    """A recording; without ``path`` one that is made: ``label`` names its kind, ``name`` its number."""

    path: Path | None
    name: str
    label: str
    source: str
    donor: str


@dataclass(frozen=True, eq=False)
class Material:
    """One fold's sounds.

    Attributes:
        fold: its number; sources: of its recordings, without the unseen backgrounds.
        cries: by donor; others: by label, made and unseen ones under their own labels.
        own_labels: labels of the fold's own other sounds, the ones that come at random in a night.
    """

    fold: int
    sources: tuple[str, ...]
    cries: Mapping[str, tuple[Sound, ...]]
    others: Mapping[str, tuple[Sound, ...]]
    own_labels: tuple[str, ...]

    @property
    def backgrounds(self) -> tuple[str, ...]:
        """Names that ``--background`` takes with this fold."""
        recorded = {HOUSEHOLD} if any(label in self.others for label in _HOUSEHOLD_LABELS) else set()
        return (*MADE_BACKGROUNDS, *sorted(recorded | set(self.own_labels)))

    def suite(self, name: str) -> tuple[str, ...]:
        """Labels that this fold has for a suite; none when it has nothing for it."""
        if name == OTHER:
            known = {label for labels in SUITES.values() for label in labels}
            return tuple(label for label in self.own_labels if label not in known)
        return tuple(label for label in SUITES[name] if label in self.others)

    def of_background(self, name: str) -> tuple[Sound, ...]:
        """Recordings of a background; none for one that is made entirely."""
        labels = {HOUSEHOLD: _HOUSEHOLD_LABELS, "quiet": (), "fan": ()}.get(name, (name,))
        return tuple(s for label in labels for s in self.others.get(label, ()))


def donor_of_group(group: str) -> str:
    """The recording that a group is a numbered part of: ``margot.m4a`` for ``margot.m4a_3``."""
    return re.sub(r"(\.\w{2,4})_\d+$", r"\1", group)


def materials(clips: Sequence[Clip], fold_of: NDArray[np.int64]) -> list[Material]:
    """The folds that hold cries, in order.

    Args:
        clips: of a manifest; fold_of: (len(clips),) fold of each, -1 for none.

    Raises:
        DataError: no fold holds a cry.
    """
    made = {
        kind: tuple(Sound(None, f"{kind}-{i}", kind, "synthetic", f"{kind}-{i}") for i in range(16))
        for kind in MADE_SOUNDS
    }
    unseen: dict[str, tuple[Sound, ...]] = {}
    for clip in clips:
        if clip.source == UNSEEN_BACKGROUNDS and clip.kind == "not_cry":
            unseen[clip.path.stem] = (*unseen.get(clip.path.stem, ()), _sound(clip, clip.path.stem))
    found = []
    for fold in sorted({int(f) for f in fold_of if f >= 0}):
        mine = [
            c for c, f in zip(clips, fold_of, strict=True) if f == fold and c.source != UNSEEN_BACKGROUNDS
        ]
        cries: dict[str, tuple[Sound, ...]] = {}
        others: dict[str, tuple[Sound, ...]] = {}
        for clip in mine:
            if clip.kind == "cry":
                donor = donor_of_group(clip.group)
                cries[donor] = (*cries.get(donor, ()), _sound(clip, clip.label))
            elif clip.kind == "not_cry" and clip.label not in _NO_SOUND:
                others[clip.label] = (*others.get(clip.label, ()), _sound(clip, clip.label))
        if cries:
            sources = tuple(sorted({c.source for c in mine}))
            found.append(Material(fold, sources, cries, {**made, **unseen, **others}, tuple(sorted(others))))
    if not found:
        raise DataError("There are no cries (kind 'cry') to make a night of. Add some to the data.")
    return found


def _sound(clip: Clip, label: str) -> Sound:
    return Sound(clip.path, clip.path.name, label, clip.source, donor_of_group(clip.group))


def require_background(name: str, folds: Sequence[Material]) -> None:
    """Refuse a background that no fold has.

    Raises:
        SettingsError: names those there are.
    """
    known = sorted({b for m in folds for b in m.backgrounds})
    if name not in known:
        raise SettingsError(f"There is no background '{name}' in this data; there are: {', '.join(known)}.")


@functools.lru_cache(maxsize=128)
def samples_of(sound: Sound) -> FloatArray:
    """(n,) mono float32 at 16 kHz; empty for a recording too short to be heard.

    Raises:
        AudioError: it cannot be read.
    """
    if sound.path is None:
        rng = np.random.default_rng([7, MADE_SOUNDS.index(sound.label), int(sound.name.rsplit("-", 1)[1])])
        return made_noise(sound.label, int(MADE_SECONDS * SAMPLE_RATE), rng)
    from pipeline.audio import load

    try:
        return np.asarray(load(sound.path).samples, np.float32)
    except AudioError as error:
        if error.code != "too-short":
            raise
        return np.zeros(0, np.float32)


@functools.lru_cache(maxsize=4096)
def crying(sound: Sound) -> tuple[tuple[int, int], ...]:
    """What of a cry clip is crying (:func:`pipeline.evaluation.night_crying.crying_stretches`)."""
    from pipeline.evaluation.night_crying import crying_stretches

    return tuple(crying_stretches(samples_of(sound)))


def digest(sound: Sound) -> str:
    """What the sound is by content: SHA-256 of its file, or how it is made."""
    if sound.path is None:
        return f"made {sound.name}"
    status = sound.path.stat()
    return _digest_of_file(sound.path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=100_000)
def _digest_of_file(path: Path, size: int, written_ns: int) -> str:
    del size, written_ns  # part of the key: a changed file is read again
    return hashlib.sha256(path.read_bytes()).hexdigest()


def made_noise(kind: str, n: int, rng: np.random.Generator) -> FloatArray:
    """Steady noise of RMS 1: "white", "pink", "brown", "fan" or "quiet"; (n,) float32.

    Coloured noise is cut below 100 Hz, as the small loudspeaker of a sleep machine does.
    """
    from scipy.signal import butter, sosfilt

    if kind == "fan":
        sound: NDArray[np.floating] = _fan(n, rng)
    elif kind == "quiet":
        t = np.arange(n) / SAMPLE_RATE
        hum = sum(np.sin(2 * np.pi * 50 * k * t + rng.uniform(0, 6)) / k for k in (1, 2, 3))
        sound = 0.3 * hum + coloured_noise(n, "pink", rng)
    else:
        cut = butter(2, _LOUDSPEAKER_HZ, "highpass", fs=SAMPLE_RATE, output="sos")
        sound = sosfilt(cut, coloured_noise(n, kind, rng))
    return (sound / np.sqrt(np.mean(np.square(sound)))).astype(np.float32)


def _fan(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Rushing air under 3 kHz and the hum of blades that do not turn quite evenly."""
    from scipy.signal import butter, sosfilt

    air = sosfilt(butter(2, 3000.0, fs=SAMPLE_RATE, output="sos"), coloured_noise(n, "pink", rng))
    t = np.arange(n) / SAMPLE_RATE
    pitch = rng.uniform(80, 140) * (1 + 0.01 * np.sin(2 * np.pi * rng.uniform(0.2, 0.8) * t))
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    hum = sum(np.sin(k * phase + rng.uniform(0, 6)) / k for k in range(1, 8))
    return np.asarray(air + rng.uniform(0.05, 0.4) * hum)


def patchwork(sounds: Sequence[Sound], n: int, rng: np.random.Generator) -> FloatArray:
    """Recordings one after the other, faded into each other, each at RMS 1: (n,) float32.

    Raises:
        DataError: none of them holds any sound.
    """
    fade = SAMPLE_RATE // 4
    up = np.sin(0.5 * np.pi * (np.arange(fade) + 0.5) / fade)
    usable = [s for s in sounds if len(samples_of(s)) > 4 * fade and np.any(samples_of(s))]
    if not usable:
        raise DataError(f"None of {len(sounds)} recording(s) is a second long and holds sound.")
    out = np.zeros(n + fade)
    at = 0
    while at < n:
        piece = samples_of(usable[int(rng.integers(len(usable)))])
        start = int(rng.integers(0, max(1, len(piece) // 4)))
        piece = np.array(piece[start : start + n + fade - at], np.float64)
        if len(piece) > 2 * fade:
            piece[:fade] *= up
            piece[-fade:] *= up[::-1]
        piece /= np.sqrt(np.mean(np.square(piece))) + 1e-12
        out[at : at + len(piece)] += piece
        at += max(1, len(piece) - fade)
    return out[:n].astype(np.float32)

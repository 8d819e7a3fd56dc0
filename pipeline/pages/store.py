"""What one visit holds: its sounds and what was found in them. In memory only, gone when the tab closes.

Kept in Streamlit's session state, so it survives reruns and changes of tab. Bounded in number and bytes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pipeline.errors import AudioError
from pipeline.pages.words import clean_name, size

if TYPE_CHECKING:
    from pipeline.analysis import Analysis
    from pipeline.pages.figures import Picture
    from pipeline.reasons import ReasonResult

Origin = Literal["upload", "recording", "demo"]
MAX_SOUNDS = 24
"""Sounds held at a time; the oldest make room. As many files are taken from one upload at most."""


@dataclass(frozen=True, eq=False)
class Sound:
    """One sound as it came in.

    Attributes:
        key: SHA-256 of the bytes, hexadecimal: the same sound is the same entry.
        name: one clean line for people (see ``words.clean_name``).
        data: the bytes of the file.
        origin: where it came from.
    """

    key: str
    name: str
    data: bytes
    origin: Origin


@dataclass(frozen=True, eq=False)
class Outcome:
    """What was found in a sound: a ``problem`` in words, or the rest.

    Attributes:
        analysis: on the full page, with reasons computed whatever the threshold ("always").
        reasons: on the light page.
        picture: what the waveform and mel charts draw.
        player: bytes that a browser plays, and ``player_type`` their MIME type.
        notes: sentences about the sound that people should read (cut short, only the first minute used).
        problem: why there is no answer.
    """

    analysis: Analysis | None = None
    reasons: ReasonResult | None = None
    picture: Picture | None = None
    player: bytes = b""
    player_type: str = "audio/wav"
    notes: tuple[str, ...] = ()
    problem: str | None = None


@dataclass
class Store:
    """The sounds of a visit, oldest first, and their outcomes by sound and model."""

    max_sound_bytes: int
    sounds: dict[str, Sound] = field(default_factory=dict)
    outcomes: dict[tuple[str, str], Outcome] = field(default_factory=dict)
    chosen: str | None = None
    """Key of the sound on show."""
    upload_round: int = 0
    """Part of the uploader's widget key: a new round empties it once its files are ours."""
    recordings: int = 0
    taken: set[str] = field(default_factory=set)
    """Recordings already taken over from the recorder, which keeps showing the last one."""
    messages: list[str] = field(default_factory=list)
    """Told once, on the next drawing of the page."""
    thresholds: dict[str, float] = field(default_factory=dict)
    """Where the sliders stand, so that they keep their place while they are not drawn."""

    def add(self, name: str, data: bytes, origin: Origin) -> Sound:
        """Take a sound in and put it on show; the same bytes again are only put on show.

        Raises:
            AudioError: ``too-large`` or ``empty``, naming the file.
        """
        shown = clean_name(name)
        if len(data) > self.max_sound_bytes:
            raise AudioError(
                f"{shown}: it is {size(len(data))}; at most {size(self.max_sound_bytes)} are taken here. "
                "Longer recordings can be read with the command line (python -m pipeline analyze).",
                "too-large",
            )
        if not data:
            raise AudioError(f"{shown}: the file is empty (0 bytes). Was it copied whole?", "empty")
        key = hashlib.sha256(data).hexdigest()
        if key not in self.sounds:
            self.sounds[key] = Sound(key, self._unused(shown), data, origin)
            self._make_room(key)
        self.chosen = key
        return self.sounds[key]

    def _unused(self, name: str) -> str:
        """Two different files of the same name are told apart by a number."""
        names = {sound.name for sound in self.sounds.values()}
        number, candidate = 1, name
        while candidate in names:
            number += 1
            candidate = f"{name} ({number})"
        return candidate

    def _make_room(self, newest: str) -> None:
        dropped = []
        while len(self.sounds) > MAX_SOUNDS or self._bytes() > 2 * self.max_sound_bytes:
            oldest = next(iter(self.sounds))
            if oldest == newest:
                break
            dropped.append(self.sounds[oldest].name)
            self.remove(oldest)
        if dropped:
            self.messages.append(f"To make room, removed from this visit: {', '.join(dropped)}.")

    def _bytes(self) -> int:
        return sum(len(sound.data) for sound in self.sounds.values())

    def remove(self, key: str) -> None:
        """Forget a sound and all that was found in it."""
        self.sounds.pop(key, None)
        for entry in [entry for entry in self.outcomes if entry[0] == key]:
            del self.outcomes[entry]
        if self.chosen == key:
            self.chosen = next(reversed(self.sounds), None)

    def clear(self) -> None:
        """Forget every sound."""
        for key in list(self.sounds):
            self.remove(key)

    def pending(self, model: str) -> list[Sound]:
        """The sounds that this model has not heard yet."""
        return [sound for sound in self.sounds.values() if (sound.key, model) not in self.outcomes]

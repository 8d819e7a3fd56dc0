"""From a sound of the visit to its outcome: models run once, figures are drawn once. No Streamlit here."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np

from pipeline import audio
from pipeline.pages import figures
from pipeline.pages.guard import explain
from pipeline.pages.store import Outcome, Sound
from pipeline.pages.words import length

if TYPE_CHECKING:
    from pipeline.analysis import CryPipeline
    from pipeline.reasons import ReasonModel
    from pipeline.settings import Settings

SHORT_S = 600.0
"""Up to ten minutes are decoded once and held whole (38 MB) while worked on; longer sounds are streamed."""
REASON_S = 60.0
"""The light page looks for a reason in the first minute: it does not know where the cry is."""

# What a browser may be told a long upload is. Never guessed from elsewhere: a name that ends in .html must
# not be served as a page.
_PLAYABLE = {
    ".mp3": "audio/mpeg", ".m4a": "audio/mp4", ".mp4": "audio/mp4", ".aac": "audio/aac",
    ".flac": "audio/flac", ".ogg": "audio/ogg", ".oga": "audio/ogg", ".opus": "audio/ogg",
    ".webm": "audio/webm", ".wav": "audio/wav",
}  # fmt: skip


def for_cry(sound: Sound, pipe: CryPipeline, settings: Settings) -> Outcome:
    """Is there a cry, when, and what might it be about. A sound that cannot be read gives a ``problem``."""
    try:
        whole = _short(sound, settings)
        if whole is not None:
            analysis = pipe.analyze(whole, reasons="always")
            picture = figures.draw([whole.samples], whole.duration_s)
            player, kind = wav_bytes(whole.samples), "audio/wav"
        else:
            analysis = pipe.analyze(sound.data, name=sound.name, reasons="always")
            picture = figures.draw(_blocks(sound, settings), analysis.duration_s)
            player, kind = sound.data, _PLAYABLE.get(PurePath(sound.name).suffix.lower(), "audio/wav")
        return Outcome(
            analysis=analysis,
            picture=picture,
            player=player,
            player_type=kind,
            notes=tuple(analysis.warnings),
        )
    except Exception as error:  # noqa: BLE001 - one bad sound must not hide the others: told in its place, unforeseen ones logged
        return Outcome(problem=explain(error, doing="listening to it", name=sound.name))


def for_reason(sound: Sound, model: ReasonModel, settings: Settings) -> Outcome:
    """What it might be about, if it is a cry; whether it is one is not looked at."""
    try:
        whole = _short(sound, settings)
        if whole is not None and whole.duration_s <= REASON_S:
            heard, notes = whole, whole.warnings
        else:
            heard = audio.load(sound.data, name=sound.name, settings=settings, duration_s=REASON_S)
            notes = (*heard.warnings, f"Only the first {length(REASON_S)} were used.")
        return Outcome(
            reasons=None if heard.is_silent else model.classify(heard),
            picture=figures.draw([heard.samples], heard.duration_s),
            player=wav_bytes(heard.samples),
            notes=notes,
        )
    except Exception as error:  # noqa: BLE001 - as above
        return Outcome(problem=explain(error, doing="listening to it", name=sound.name))


def _short(sound: Sound, settings: Settings) -> audio.Waveform | None:
    """The whole sound, or None when it is longer than ``SHORT_S``."""
    with audio.open_stream(sound.data, name=sound.name, settings=settings, block_s=60.0) as stream:
        blocks = []
        for block in stream:
            blocks.append(block)
            if stream.duration_s > SHORT_S:
                return None
        return audio.Waveform(np.concatenate(blocks), stream.name, stream.source_rate, stream.warnings)


def _blocks(sound: Sound, settings: Settings) -> Iterator[np.ndarray]:
    with audio.open_stream(sound.data, name=sound.name, settings=settings) as stream:
        yield from stream


def wav_bytes(samples: np.ndarray) -> bytes:
    """A 16-bit mono 16 kHz WAV file: every browser plays it, and it is what the models heard."""
    import soundfile

    held = io.BytesIO()
    soundfile.write(held, np.clip(samples, -1.0, 1.0), audio.SAMPLE_RATE, format="WAV", subtype="PCM_16")
    return held.getvalue()

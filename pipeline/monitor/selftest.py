"""The whole loop on a cry that is known: source, models, episodes, history."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

import numpy as np

from pipeline.audio import SAMPLE_RATE
from pipeline.errors import CryError
from pipeline.monitor.clock import Clock
from pipeline.monitor.ears import Ears
from pipeline.monitor.models import EpisodeRow
from pipeline.monitor.run import run
from pipeline.monitor.source_files import FilesSource
from pipeline.monitor.store import Row, open_store

_SEED = 0
_ROOM_S = 6.0


def self_test(ears: Ears, clock: Clock, recording: Path | None = None) -> Row:
    """Play a quiet room, a cry and the room again; returns the longest episode that was stored.

    Args:
        recording: of a cry, in place of the synthetic one.

    Raises:
        AudioError: the recording cannot be used.
        CryError: no episode, or not one where the cry is.
    """
    import soundfile

    from pipeline.audio import load
    from pipeline.synthesis import DEMOS

    cry = (load(recording) if recording else DEMOS["cry"].make(_SEED)).samples
    room = 1e-4 * np.random.default_rng(_SEED).standard_normal(round(_ROOM_S * SAMPLE_RATE))
    sound = np.concatenate([room, cry, room])
    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "cry.wav"
        soundfile.write(source, sound, SAMPLE_RATE)
        with open_store(str(Path(name) / "history.db")) as store:
            run(
                [("self-test", FilesSource(source, speed=None))],
                ears,
                store,
                clock,
                stop=threading.Event(),
                until_end=True,
                report_every_s=0,
            )
            found = store.rows(EpisodeRow)
    last = _ROOM_S + len(cry) / SAMPLE_RATE
    inside = [row for row in found if row["start_s"] < last and row["end_s"] > _ROOM_S]
    if not inside or len(inside) < len(found):
        raise CryError(
            f"The self-test failed: a cry from {_ROOM_S:.1f} to {last:.1f} s was played, and {len(inside)} "
            f"episodes were stored there, {len(found) - len(inside)} elsewhere. Reinstall the models "
            "(artifacts/), or use the detector's own threshold.",
            "self-test-failed",
        )
    return max(inside, key=lambda row: row["end_s"] - row["start_s"])

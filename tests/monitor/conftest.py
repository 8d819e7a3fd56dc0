"""A few minutes of a real night, and monitors as a user starts them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import soundfile
from listening import Monitor

from pipeline.audio import SAMPLE_RATE, load
from pipeline.monitor.store import Store, open_store

# What sounds when, in order; names below the shared data. Cries stand alone, in noise, and side by side.
NIGHT = (
    "esc50/rain/",
    "esc50/washing_machine/",
    "esc50/crying_baby/",
    "esc50/snoring/",
    "esc50/clock_tick/",
    "esc50/cat/",
    "donateacry/hungry/",
    "esc50/wind/",
    "esc50/footsteps/",
    "esc50/dog_bark/",
    "donateacry/tired/",
    "donateacry/discomfort/",
    "esc50/vacuum_cleaner/",
    "esc50/door_wood_creaks/",
    "esc50/sneezing/",
    "esc50/crying_baby/",
    "esc50/human_laugh/",
    "esc50/washing_machine/",
)


@pytest.fixture(scope="session")
def night(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four minutes of household sound with five cries in it, WAV, 16 bit at 16 kHz."""
    if not (shared / "data" / "esc50").is_dir():
        pytest.skip(f"not found: {shared / 'data' / 'esc50'}")
    random = np.random.default_rng(7)
    pieces: list[np.ndarray] = []
    for turn in range(2):
        for folder in NIGHT:
            found = sorted((shared / "data" / folder).glob("*.*"))
            pieces.append(load(found[(5 * turn + len(pieces)) % len(found)]).samples)
            pieces.append((0.001 * random.standard_normal(2 * SAMPLE_RATE)).astype(np.float32))
    path = tmp_path_factory.mktemp("night") / "night.wav"
    soundfile.write(path, np.clip(np.concatenate(pieces), -1, 1), SAMPLE_RATE, subtype="PCM_16")
    return path


@pytest.fixture
def monitor() -> Iterator[Callable[..., Monitor]]:
    """Starts monitors that end with the test."""
    with ExitStack() as stack:

        def start(*arguments: object, **keywords: object) -> Monitor:
            return stack.enter_context(Monitor(*map(str, arguments), **keywords))  # type: ignore[arg-type]

        yield start


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A history that is open to write."""
    with open_store(str(tmp_path / "history.db")) as opened:
        yield opened

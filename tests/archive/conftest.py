"""The command in surroundings where some files are deadly, and recordings of crying between other sounds."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from running import PLANTED, RATE, ROOT, Ran, command

from pipeline import audio
from pipeline.analysis import CryPipeline
from pipeline.settings import Settings, get_settings


@pytest.fixture(scope="session")
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which files of the planted sample rates kill, or hold up, who reads them."""
    planted = tmp_path_factory.mktemp("planted")
    (planted / "sitecustomize.py").write_text(PLANTED)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(planted), str(ROOT)])}


@pytest.fixture(scope="session")
def batch(surroundings: dict[str, str]) -> Callable[..., Ran]:
    """Run the command to its end."""

    def run(*arguments: str | Path, out: Path, **settings: str) -> Ran:
        done = subprocess.run(
            command(*arguments, "--out", out),
            env={**surroundings, **settings},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Ran(done.returncode, done.stderr, out)

    return run


@pytest.fixture(scope="session")
def settings() -> Settings:
    return get_settings(embedder="student")


@pytest.fixture(scope="session")
def student(settings: Settings) -> CryPipeline:
    return CryPipeline.load("student", settings)


@pytest.fixture(scope="session")
def evening(shared: Path) -> np.ndarray:
    """Four minutes, mono at 16 kHz: crying of several babies, and other sounds, in turn."""
    data = shared / "data"
    cries = sorted((data / "donateacry" / "tired").glob("*.flac"))[:16]
    others = [path for kind in ("rain", "cat") for path in sorted((data / "esc50" / kind).glob("*.ogg"))[:16]]
    heard: list[np.ndarray] = []
    for cry, first, second in zip(cries, others[::2], others[1::2], strict=False):
        heard += [audio.load(path).samples for path in (cry, first, second)]
    sound = np.concatenate(heard)
    assert len(sound) > 200 * RATE
    return sound[: 240 * RATE]

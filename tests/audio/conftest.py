"""A real cry, as samples and in every format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sounds import ENCODINGS, encode

from pipeline.audio import load


@pytest.fixture(scope="session")
def cry(a_cry: Path) -> np.ndarray:
    """The samples of a real cry, float32 at 16 kHz."""
    return load(a_cry).samples


@pytest.fixture(scope="session")
def encoded(cry: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("encoded")
    return {suffix: encode(cry, folder / f"cry.{suffix}") for suffix in [*ENCODINGS, "ogg"]}

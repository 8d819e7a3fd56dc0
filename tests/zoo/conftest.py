"""Small real folders for the zoo: one that can be told apart, one where only the donors can."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile

SECONDS = 1.5


def write_cut(source: Path, target: Path, start_s: float = 0.0) -> None:
    """A second and a half of a recording, as WAV at its own rate."""
    from pipeline.audio import load

    samples = load(source).samples
    start = int(start_s * 16_000)
    cut = samples[start : start + int(SECONDS * 16_000)]
    target.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(target, np.pad(cut, (0, int(SECONDS * 16_000) - len(cut))), 16_000)


@pytest.fixture(scope="session")
def separable(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cuts of ESC-50, a folder each: 14 wailing babies, 14 vacuum cleaners; each from another recording."""
    root = tmp_path_factory.mktemp("separable")
    with (shared / "data" / "manifest.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["source"] == "esc50"]
    for label, name in (("crying_baby", "wailing"), ("vacuum_cleaner", "cleaning")):
        groups: dict[str, str] = {}
        for row in rows:
            if row["label"] == label:
                groups.setdefault(row["group"], row["path"])
        for group, path in list(groups.items())[:14]:
            write_cut(shared / "data" / path, root / name / group.replace("/", "_") / "cut.wav", 0.5)
    return root


@pytest.fixture(scope="session")
def donors_only(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cries of 12 donors, three cuts of each one's recording, labelled by a coin per donor: the sound of a
    donor gives the label away, the sound of the reason does not."""
    from pipeline.training.data import donor_of

    root = tmp_path_factory.mktemp("donors")
    donors: dict[str, Path] = {}
    for path in sorted((shared / "data" / "donateacry" / "hungry").glob("*.flac")):
        donors.setdefault(donor_of(path.name) or path.name, path)
    labels = np.random.default_rng(3).permutation(np.arange(12) % 2)
    for (donor, path), label in zip(sorted(donors.items())[:12], labels, strict=True):
        for i in range(3):
            name = f"{donor}-143000000{i}-1.0-m-04-hu.wav"
            write_cut(path, root / ("heads", "tails")[label] / name, 0.5 + 1.7 * i)
    return root

"""A small cut of the real recordings, and a made-up bank in which everything is known."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from pipeline.training import bank as bank_module
from pipeline.training.bank import BankPass, Entry, Example

# (source, kind): how many recordings, each of another group.
CUT = {
    ("esc50", "cry"): 4,
    ("esc50", "not_cry"): 6,
    ("giulbia", "cry"): 4,
    ("giulbia", "not_cry"): 5,
    ("donateacry", "cry"): 3,
    ("donateacry_raw", "unverified"): 2,
    ("catsdogs", "not_cry"): 4,
    ("speech_commands_noise", "not_cry"): 1,
}


@pytest.fixture(scope="session")
def small_cut(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a manifest.csv and 29 real recordings of six sources."""
    root = tmp_path_factory.mktemp("small-cut")
    with (shared / "data" / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    chosen = []
    for (source, kind), count in CUT.items():
        groups: dict[str, dict[str, str]] = {}
        for row in rows:
            if (row["source"], row["kind"]) == (source, kind):
                groups.setdefault(row["group"], row)
        chosen += list(groups.values())[:: max(1, len(groups) // count)][:count]
    for row in chosen:
        (root / row["path"]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(shared / "data" / row["path"], root / row["path"])
    with (root / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(chosen)
    return root


@pytest.fixture
def few_synthetic_sounds() -> Iterator[None]:
    """One of each kind of our own sounds in a bank instead of sixteen."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bank_module, "SYNTHETIC_PER_KIND", 1)
        yield


@dataclass
class MadeUpBank:
    """Looks like a bank to those who train from it; what it holds is arithmetic."""

    entries: list[Entry]
    folder: Path
    heard: list[BankPass] = field(default_factory=list)
    seed: int = 0

    @property
    def passes(self) -> int:
        return len(self.heard)

    def open(self, k: int) -> BankPass:
        return self.heard[k]

    def __iter__(self) -> Iterator[BankPass]:
        return iter(self.heard)


FRAMES = 6


def made_up_pass(entries: list[Entry], *, mixed: bool, seed: int) -> BankPass:
    """Six frames of each clip: in the last four of a cry (kind "cry" or "unverified") there is crying."""
    rng = np.random.default_rng(seed)
    others = [i for i, e in enumerate(entries) if e.kind == "not_cry"]
    partners = [int(rng.choice(others)) if mixed and rng.random() < 0.5 else -1 for _ in entries]
    examples = [
        Example(i, partners[i], FRAMES * i, FRAMES, i * (48 * (FRAMES - 1) + 96)) for i in range(len(entries))
    ]
    crying = np.array(
        [[e.kind != "not_cry" and frame >= 2 for frame in range(FRAMES)] for e in entries]
    ).ravel()
    embeddings = np.maximum(rng.normal(0, 1, (len(crying), 1024)), 0)
    embeddings[:, :60] += 0.5 * crying[:, None]
    scores = np.repeat(np.where(crying, 0.9, 0.05)[:, None], 3, axis=1)
    columns = rng.uniform(-7, 2, (len(entries) * (48 * (FRAMES - 1) + 96), 64))
    return BankPass(
        examples,
        embeddings.astype(np.float16),
        (scores * rng.uniform(0.5, 1, scores.shape)).astype(np.float16),
        scores.astype(np.float16),
        columns.astype(np.float16),
    )


@pytest.fixture(scope="session")
def made_up_bank(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., MadeUpBank]:
    """Makes banks: a clean pass and a mixed one of sources that are known to the code by name."""

    def make(seed: int = 0, per_source: int = 12) -> MadeUpBank:
        kinds = {
            "esc50": ("cry", "not_cry"),
            "giulbia": ("cry", "not_cry"),
            "donateacry": ("cry",),
            "donateacry_raw": ("unverified", "not_cry"),
            "catsdogs": ("not_cry",),
            "speech_commands_noise": ("not_cry",),
            "synthetic": ("not_cry",),
        }
        entries = []
        for source, held in kinds.items():
            for i in range(per_source):
                kind = held[i % len(held)]
                # The two Donate-a-Cry folders share their donors, as the real ones do.
                group = f"donor{i}" if source.startswith("donate") else f"{source}{i // 2}"
                path = None if source == "synthetic" else f"/data/{source}/{i}.wav"
                entries.append(Entry(path, kind, "sweep", source, group))
        folder = tmp_path_factory.mktemp("made-up") / "pass"
        heard = [made_up_pass(entries, mixed=bool(k), seed=seed + k) for k in range(2)]
        for k in range(2):
            (folder / str(k)).mkdir(parents=True)
        return MadeUpBank(entries, folder, heard)

    return make

"""The exploration notebook runs from top to bottom on a small cut of real recordings."""

from __future__ import annotations

from pathlib import Path

import pytest
from notebook_running import has_no_outputs, printed_by, small_reasons

NOTEBOOK = "Exploration.ipynb"


def test_notebook_is_committed_without_outputs() -> None:
    assert has_no_outputs(NOTEBOOK)


def test_notebook_runs_and_shows_the_leak(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRY_NOTEBOOK_DATA", str(small_reasons(shared, tmp_path / "data")))
    monkeypatch.setenv("CRY_NOTEBOOK_CLIPS", "3")
    monkeypatch.setenv("CRY_NOTEBOOK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MPLBACKEND", "agg")
    printed = printed_by(NOTEBOOK)
    assert "{8000: 3}" in printed
    shares = [
        float(line.rsplit(" ", 1)[1].rstrip("%")) for line in printed.splitlines() if "most alike" in line
    ]
    assert len(shares) == 2
    assert shares[1] >= shares[0] > 50, "copies of one recording are most alike"

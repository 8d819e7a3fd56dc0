"""The classification notebook runs from top to bottom on a small cut of real recordings."""

from __future__ import annotations

from pathlib import Path

import pytest
from notebook_running import has_no_outputs, printed_by, small_reasons

NOTEBOOK = "CryClassification.ipynb"


def test_notebook_is_committed_without_outputs() -> None:
    assert has_no_outputs(NOTEBOOK)


def test_notebook_runs_on_a_small_cut(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRY_NOTEBOOK_DATA", str(small_reasons(shared, tmp_path / "data")))
    monkeypatch.setenv("CRY_NOTEBOOK_CLIPS", "3")
    monkeypatch.setenv("CRY_NOTEBOOK_OUT", str(tmp_path / "model"))
    monkeypatch.setenv("CRY_NOTEBOOK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MPLBACKEND", "agg")
    printed = printed_by(NOTEBOOK)
    assert "9 recordings" in printed
    assert "answer:" in printed
    assert (tmp_path / "model" / "MODEL_CARD.md").is_file()

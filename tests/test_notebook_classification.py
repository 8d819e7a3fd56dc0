"""The classification notebook runs from top to bottom on a small cut of real recordings."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "training_notebooks" / "CryClassification.ipynb"


def test_notebook_is_committed_without_outputs() -> None:
    import nbformat

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert all(not cell.outputs and cell.execution_count is None for cell in code)


def test_notebook_runs_on_a_small_cut(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    import soundfile
    from nbclient import NotebookClient

    for label in ("belly_pain", "hungry", "tired"):
        (tmp_path / "data" / label).mkdir(parents=True)
        for clip in sorted((shared / "data" / "donateacry" / label).glob("*.flac"))[:4]:
            samples, rate = soundfile.read(clip, frames=8_000, start=8_000)
            soundfile.write(tmp_path / "data" / label / f"{clip.stem}.wav", samples, rate)
    monkeypatch.setenv("CRY_NOTEBOOK_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("CRY_NOTEBOOK_CLIPS", "3")
    monkeypatch.setenv("CRY_NOTEBOOK_OUT", str(tmp_path / "model"))
    monkeypatch.setenv("CRY_NOTEBOOK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MPLBACKEND", "agg")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(NOTEBOOK.parent)}})
    client.execute()
    printed = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
    assert "9 recordings" in printed
    assert "answer:" in printed
    assert (tmp_path / "model" / "MODEL_CARD.md").is_file()

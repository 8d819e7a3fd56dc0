"""The exploration notebook runs from top to bottom on a small cut of real recordings."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "training_notebooks" / "Exploration.ipynb"


def test_notebook_runs_and_shows_the_leak(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    monkeypatch.setenv("CRY_NOTEBOOK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MPLBACKEND", "agg")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code), (
        "committed without outputs"
    )
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(NOTEBOOK.parent)}})
    client.execute()
    printed = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
    assert "{8000: 3}" in printed
    shares = [
        float(line.rsplit(" ", 1)[1].rstrip("%")) for line in printed.splitlines() if "most alike" in line
    ]
    assert len(shares) == 2
    assert shares[1] >= shares[0] > 50, "copies of one recording are most alike"

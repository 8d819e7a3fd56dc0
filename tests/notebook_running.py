"""Notebooks from top to bottom, and a small cut of real recordings for those about reasons."""

from __future__ import annotations

from pathlib import Path

NOTEBOOKS = Path(__file__).resolve().parent.parent / "training_notebooks"


def has_no_outputs(name: str) -> bool:
    """Whether a notebook of ours is committed without outputs."""
    import nbformat

    cells = nbformat.read(NOTEBOOKS / name, as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    return bool(code) and all(not cell.outputs and cell.execution_count is None for cell in code)


def printed_by(name: str, timeout_s: int = 300) -> str:
    """Run a notebook of ours; everything its cells print."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    NotebookClient(notebook, timeout=timeout_s, resources={"metadata": {"path": str(NOTEBOOKS)}}).execute()
    return "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))


def small_reasons(shared: Path, folder: Path) -> Path:
    """A second of each of four recordings of three reasons, in class folders in ``folder``."""
    import soundfile

    for label in ("belly_pain", "hungry", "tired"):
        (folder / label).mkdir(parents=True)
        for clip in sorted((shared / "data" / "donateacry" / label).glob("*.flac"))[:4]:
            samples, rate = soundfile.read(clip, frames=8_000, start=8_000)
            soundfile.write(folder / label / f"{clip.stem}.wav", samples, rate)
    return folder

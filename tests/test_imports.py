"""Arrows point one way, and importing stays light: nothing heavy, nothing that a machine may lack."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "pipeline"
ROOMS_OUTSIDE = {"training", "evaluation", "zoo", "service", "monitor", "pages", "archive"}
OUTER = ROOMS_OUTSIDE | {path.stem for path in PACKAGE.glob("cli*.py")}
# The rooms that decide what is said about a sound, with the private files beside them.
CORE = [
    path
    for path in sorted(PACKAGE.rglob("*.py"))
    if not OUTER & {*path.relative_to(PACKAGE).parts, path.stem} and path.name != "__main__.py"
]


def imported_modules(path: Path) -> Iterator[str]:
    """Every module a file imports anywhere, functions and type hints included, as absolute names."""
    package = [*path.relative_to(ROOT).parent.parts]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module or "") if part)
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def run_python(code: str) -> str:
    """Standard output of fresh Python at the repository's root; its errors fail the test."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_the_core_was_found() -> None:
    assert {"audio.py", "episodes.py", "acoustics.py", "artifacts.py"} <= {path.name for path in CORE}


@pytest.mark.parametrize("path", CORE, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_core_rooms_never_import_the_outer_ones(path: Path) -> None:
    outer = {name for name in imported_modules(path) if name.split(".")[:1] == ["pipeline"]}
    assert [name for name in outer if OUTER & set(name.split(".")[1:2])] == []


@pytest.mark.parametrize("room", ["training", "evaluation"])
def test_training_and_evaluation_know_no_way_in(room: str) -> None:
    for path in sorted((PACKAGE / room).rglob("*.py")):
        for name in imported_modules(path):
            assert not name.startswith(
                ("pipeline.pages", "pipeline.service", "pipeline.monitor", "pipeline.cli")
            ), f"{path.name} imports {name}"


HEAVY = {
    "tensorflow",
    "librosa",
    "sklearn",
    "streamlit",
    "xgboost",
    "imblearn",
    "sounddevice",
    "onnxruntime",
    "numba",
}


@pytest.mark.parametrize("module", ["pipeline", "pipeline.cli", "pipeline.settings", "pipeline.formats"])
def test_importing_stays_light(module: str) -> None:
    loaded = run_python(
        f"import sys, {module}; print(*{{name.split('.')[0] for name in sys.modules}})"
    ).split()
    assert sorted(HEAVY & set(loaded)) == []


def test_importing_the_package_takes_under_half_a_second() -> None:
    took = run_python(
        "import time; start = time.perf_counter(); import pipeline; print(time.perf_counter() - start)"
    )
    assert float(took) < 0.5


BLOCKED = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {missing}:
            raise {error}
sys.meta_path.insert(0, Missing())
"""


@pytest.mark.parametrize("error", ['ImportError("no module")', 'OSError("PortAudio library not found")'])
def test_no_room_needs_a_microphone_library_to_be_imported(error: str) -> None:
    block = BLOCKED.format(missing={"sounddevice"}, error=error)
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in CORE]
    modules += ["pipeline.cli"]
    if (PACKAGE / "pages").is_dir():
        pages = sorted((PACKAGE / "pages").glob("*.py"))
        modules += [f"pipeline.pages.{path.stem}" for path in pages if path.stem != "__init__"]
    run_python(block + "".join(f"import {module.removesuffix('.__init__')}\n" for module in modules))


def test_the_core_works_without_tensorflow() -> None:
    block = BLOCKED.format(
        missing={"tensorflow", "tensorflow_hub", "keras", "tf_keras"}, error='ImportError("gone")'
    )
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in CORE]
    run_python(block + "".join(f"import {module.removesuffix('.__init__')}\n" for module in modules))


def test_onnx_runtime_reports_to_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its official builds keep reports in the cache folder, unless they are told not to."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    library = run_python(
        "from pipeline import CryPipeline; CryPipeline.load(embedder='student'); import onnxruntime;"
        "print(onnxruntime.capi.onnxruntime_pybind11_state.__file__)"
    )
    assert not list(tmp_path.rglob("*onnxruntime*"))
    assert b"ORT_DISABLE_TELEMETRY" in Path(library.strip()).read_bytes(), "switched off by another name"

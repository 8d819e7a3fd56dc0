"""Builds the package for AWS Lambda:   python deploy/lambda/build.py [OUT] [--packages FOLDER]

Libraries of ``requirements.txt`` for Linux on x86-64 and Python 3.12 (whose runtime is the first with a C
library that current wheels run on), what of them is used; the rooms of ``pipeline`` that are needed; the
models, the reasons ensemble as ONNX among them. Says how large it is, and fails above Lambda's limit of
250 MB. Needs the training requirements (for the export), and ``strip`` of the compiler's tools (binutils).
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
LIMIT_BYTES = 250 * 1024 * 1024
# scipy is there for its Fourier transforms: the rest, and everybody's tests, stay at home.
SCIPY_KEPT = {
    "fft",
    "special",
    "_lib",
    "_external",
    "__init__.py",
    "__config__.py",
    "version.py",
    "_distributor_init.py",
}
LEFT_OUT = (
    *("onnxruntime/transformers", "onnxruntime/tools", "onnxruntime/quantization", "onnxruntime/datasets"),
    # For programs in C: Python's module has all of it in itself.
    *("onnxruntime/capi/libonnxruntime.so.*", "numpy/_core/include", "numpy/random/lib", "av/include", "bin"),
)
ROOMS = ("embedding", "service")
SERVICE_FILES = {"__init__.py", "answers.py", "kinds.py"}


def main() -> None:
    """Build, and say how large it is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", nargs="?", type=Path, default=ROOT / "build" / "lambda")
    parser.add_argument(
        "--packages", type=Path, help="take installed libraries from this site-packages folder"
    )
    given = parser.parse_args()
    if given.out.exists():
        shutil.rmtree(given.out)
    given.out.mkdir(parents=True)
    install(given.out, given.packages)
    prune(given.out)
    copy_code(given.out)
    copy_models(given.out)
    sizes = measure(given.out)
    print(json.dumps(sizes, indent=2))
    if sizes["bytes"] > LIMIT_BYTES:
        sys.exit(f"{sizes['bytes']:,} bytes are more than the {LIMIT_BYTES:,} that Lambda takes.")


def install(out: Path, packages: Path | None) -> None:
    """The libraries, from the registry, or copied from where the same versions are installed."""
    if packages is None:
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "-q",
            "--no-deps",
            "--no-compile",
            "--target",
            str(out),
        ]
        command += ["--platform", "manylinux_2_28_x86_64", "--platform", "manylinux2014_x86_64"]
        command += [
            "--python-version",
            "3.12",
            "--only-binary",
            ":all:",
            "-r",
            str(HERE / "requirements.txt"),
        ]
        subprocess.run(command, check=True)
        return
    from importlib.metadata import Distribution, distributions

    found: dict[str, Distribution] = {
        d.metadata["Name"].lower().replace("_", "-"): d for d in distributions(path=[str(packages)])
    }
    for line in (HERE / "requirements.txt").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        name, version = line.split("==")
        if found[name].version != version:
            sys.exit(f"{packages} has {name} {found[name].version}; {version} is needed.")
        for file in found[name].files or []:
            source = Path(str(file.locate()))
            if ".." not in file.parts and "__pycache__" not in file.parts and source.is_file():
                target = out / str(file)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)


def prune(out: Path) -> None:
    """Leave out what nothing here uses."""
    for part in (out / "scipy").iterdir():
        if part.name not in SCIPY_KEPT and not part.name.startswith("_cyutility"):
            remove(part)
    for pattern in LEFT_OUT:
        for part in list(out.glob(pattern)):
            remove(part)
    for folder in [*out.rglob("tests"), *out.rglob("__pycache__"), *out.rglob("*.dist-info")]:
        remove(folder)
    # PyAV's modules are five sixths debug information; FFmpeg itself comes without.
    if shutil.which("strip") is None:
        sys.exit(
            "'strip' is needed (Debian: apt-get install binutils): with debug information it is too large."
        )
    subprocess.run(["strip", "-S", *map(str, (out / "av").rglob("*.so"))], check=True)


def remove(path: Path) -> None:
    """A file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def copy_code(out: Path) -> None:
    """The handler, and the rooms of the library that hear and judge."""
    shutil.copy2(HERE / "handler.py", out)
    target = out / "pipeline"
    target.mkdir()
    for file in (ROOT / "pipeline").glob("*.py"):
        if not file.stem.startswith(("cli", "__main__", "synthesis")):
            shutil.copy2(file, target)
    for room in ROOMS:
        (target / room).mkdir()
        for file in (ROOT / "pipeline" / room).glob("*.py"):
            if room != "service" or file.name in SERVICE_FILES:
                shutil.copy2(file, target / room)


def copy_models(out: Path) -> None:
    """The bundled embedder, its detector, the reasons' manifest and calibration, the ensemble as ONNX."""
    models = out / "models"
    left_out = shutil.ignore_patterns("*.joblib", "student-without-*")
    for name in ("student", "detector-student", "reasons"):
        shutil.copytree(ROOT / "artifacts" / name, models / name, ignore=left_out)
    code = (
        "from pathlib import Path; from pipeline.settings import get_settings; "
        "from pipeline.training.onnx_models import shipped, write; "
        "reasons = [export for export in shipped(get_settings()) if export.name == 'reasons']; "
        f"write(reasons, Path({str(models / 'onnx')!r}), None)"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, check=True)


def measure(out: Path) -> dict[str, object]:
    """Bytes in all, and of the largest parts."""
    parts = {
        part.name: sum(
            f.stat().st_size for f in ([part] if part.is_file() else part.rglob("*")) if f.is_file()
        )
        for part in out.iterdir()
    }
    largest = dict(sorted(parts.items(), key=lambda item: -item[1])[:8])
    return {"bytes": sum(parts.values()), "limit": LIMIT_BYTES, "largest": largest}


if __name__ == "__main__":
    main()

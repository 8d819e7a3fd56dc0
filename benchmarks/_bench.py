"""What the benchmarks share: both sides timed turn by turn in one run, figures saved with their command.

Importing this sets the numerical libraries to one thread, unless ``OMP_NUM_THREADS`` says otherwise: import
it before NumPy.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
SHARED = Path(os.environ.get("CRY_SHARED") or ROOT.parent / "shared").resolve()
DATA = SHARED / "data"
CLIP = DATA / "donateacry" / "hungry" / "035c6b30-a145-42b9-8d0f-445cd9003d2c-1435948197257-1.7-m-04-hu.flac"
YAMNET = SHARED / "models" / "yamnet_savedmodel"
_LIBRARIES = (
    "numpy",
    "scipy",
    "librosa",
    "onnxruntime",
    "tensorflow-cpu",
    "scikit-learn",
    "soxr",
    "soundfile",
)


def need(*paths: Path) -> None:
    """Stop with a line that says what is missing, where real audio or YAMNet is not at hand."""
    for path in paths:
        if not path.exists():
            sys.exit(f"Not found: {path}. Put the shared folder beside the checkout or set CRY_SHARED.")


def keep_to(cores: int) -> None:
    """Keep this process, and those it starts, to so many cores, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])


class Child(NamedTuple):
    """A process that was run to its end: seconds by the clock, of processor time, peak memory, output."""

    wall_s: float
    cpu_s: float
    peak_mb: int
    out: str


def child(command: list[str], *, cores: int) -> Child:
    """Run a command on so many cores and measure it; a failure ends the benchmark with what it said.

    It sees no setting of ours but YAMNet's folder, and sets its own threads.
    """
    ours = ("CRY_", "OMP_", "OPENBLAS_", "NUMBA_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    environment |= {"CRY_SHARED": str(SHARED), "CRY_YAMNET_HANDLE": str(YAMNET), "PYTHONPATH": str(ROOT)}
    environment |= {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"}
    start = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: keep_to(cores),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    out = process.stdout.read()
    said = process.stderr.read()
    _pid, status, used = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{said[-2000:]}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Child(wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss * unit // 2**20, out)


def convert_yamnet() -> None:
    """Have YAMNet converted, unmeasured, where it was not: that is done once for all that come after."""
    code = "from pipeline.embedding import load_embedder; load_embedder('yamnet')"
    child([sys.executable, "-c", code], cores=2)


def turn_by_turn(sides: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds that each side took, one list per side: once each unmeasured, then in turns.

    Whatever else the machine does, it does to all sides alike.
    """
    for call in sides.values():
        call()
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, call in sides.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def summary(seconds: dict[str, list[float]], base: str) -> dict[str, Any]:
    """Median, best and worst of each side in ms, and how many times as fast as ``base``, turn by turn."""
    found: dict[str, Any] = {}
    for name, taken in seconds.items():
        ratios = [b / t for b, t in zip(seconds[base], taken, strict=True)]
        found[name] = {
            "median_ms": round(1e3 * statistics.median(taken), 3),
            "best_ms": round(1e3 * min(taken), 3),
            "worst_ms": round(1e3 * max(taken), 3),
            "times_as_fast": round(statistics.median(ratios), 2),
        }
    return found


def machine() -> dict[str, Any]:
    """What the figures were measured on, without naming it."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    load = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "load_at_end": load,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _LIBRARIES},
    }


def save(name: str, figures: dict[str, Any]) -> None:
    """Write ``results/speed-<name>.json`` and print the figures."""
    script = Path(sys.argv[0]).name
    command = " ".join(["python", f"benchmarks/{script}", *sys.argv[1:]])
    document = {"kind": "speed", "subject": name, "command": command, "machine": machine(), **figures}
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"speed-{name}.json"
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=1, ensure_ascii=False))
    print(f"Saved: {path.relative_to(ROOT)}")

"""Measures cold starts of a built package:   python deploy/lambda/measure.py build/lambda [RUNS]

Each run is a fresh interpreter that sees the package alone: the time to import the handler (libraries,
models), to answer the first event, and to answer the next one. What Lambda adds (fetching the package,
starting the sandbox) cannot be measured here.
"""

import json
import statistics
import subprocess
import sys
from pathlib import Path

RUN = """
import base64, io, json, resource, sys, time
sys.path[:] = [p for p in sys.path if "site-packages" not in p]
sys.path.insert(0, sys.argv[1])
began = time.perf_counter()
import handler
imported = time.perf_counter()
event = json.loads(sys.stdin.read())
first = handler.handler(event, None)
answered = time.perf_counter()
handler.handler(event, None)
again = time.perf_counter()
used = {name.split(".")[0] for name in sys.modules}
print(json.dumps({
    "import_s": imported - began, "first_s": answered - imported, "next_s": again - answered,
    "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    "status": first["statusCode"], "body": json.loads(first["body"]),
    "heavy": sorted(used & {"tensorflow", "keras", "librosa", "sklearn", "numba", "xgboost", "av"}),
}))
"""


def cold_start(package: Path, event: dict[str, object]) -> dict[str, object]:
    """One start in a fresh interpreter; what it took, and what it answered."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", RUN, str(package.resolve())],
        input=json.dumps(event), capture_output=True, text=True, check=False, timeout=300,
        env={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PATH": ""},
    )  # fmt: skip
    if done.returncode or json.loads(done.stdout)["status"] != 200:
        raise RuntimeError(done.stderr[-2000:])
    return dict(json.loads(done.stdout))


def demo_event() -> dict[str, object]:
    """The demo cry as API Gateway hands it over (HTTP API, payload 2.0)."""
    import base64
    import io

    import soundfile

    from pipeline.audio import SAMPLE_RATE
    from pipeline.synthesis import DEMOS

    buffer = io.BytesIO()
    soundfile.write(buffer, DEMOS["cry"].make().samples, SAMPLE_RATE, format="WAV", subtype="PCM_16")
    return {
        "version": "2.0",
        "requestContext": {"http": {"method": "POST", "path": "/classify"}},
        "headers": {"content-type": "audio/wav"},
        "body": base64.b64encode(buffer.getvalue()).decode(),
        "isBase64Encoded": True,
    }


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    event = demo_event()
    runs = [cold_start(folder, event) for _ in range(int(sys.argv[2]) if len(sys.argv) > 2 else 5)]
    told = {key: round(statistics.median(float(str(run[key])) for run in runs), 3) for key in
            ("import_s", "first_s", "next_s", "peak_mb")}  # fmt: skip
    print(json.dumps({"runs": len(runs), "median": told, "heavy": runs[0]["heavy"]}, indent=2))

"""Measures cold starts of a built package:   python deploy/lambda/measure.py build/lambda [RUNS]

Each run is a fresh interpreter that sees the package alone: the time to import the handler (libraries,
models), to answer the first event (WAV), the next one, and the first that needs FFmpeg (M4A). What Lambda
adds (fetching the package, starting the sandbox) cannot be measured here.
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
event, phone = json.loads(sys.stdin.read())
first = handler.handler(event, None)
answered = time.perf_counter()
handler.handler(event, None)
again = time.perf_counter()
from_phone = handler.handler(phone, None)
ffmpeg = time.perf_counter()
used = {name.split(".")[0] for name in sys.modules}
print(json.dumps({
    "import_s": imported - began, "first_s": answered - imported, "next_s": again - answered,
    "first_m4a_s": ffmpeg - again,
    "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    "statuses": [first["statusCode"], from_phone["statusCode"]], "body": json.loads(first["body"]),
    "heavy": sorted(used & {"tensorflow", "keras", "librosa", "sklearn", "numba", "xgboost"}),
}))
"""


def cold_start(package: Path, events: list[dict[str, object]]) -> dict[str, object]:
    """One start in a fresh interpreter; what it took, and what it answered."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", RUN, str(package.resolve())],
        input=json.dumps(events), capture_output=True, text=True, check=False, timeout=300,
        env={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PATH": ""},
    )  # fmt: skip
    if done.returncode or json.loads(done.stdout)["statuses"] != [200, 200]:
        raise RuntimeError(done.stderr[-2000:])
    return dict(json.loads(done.stdout))


def demo_events() -> list[dict[str, object]]:
    """The demo cry as API Gateway hands it over (HTTP API, payload 2.0): as WAV, and as a phone's M4A."""
    import base64
    import io

    import av
    import numpy as np
    import soundfile

    from pipeline.audio import SAMPLE_RATE
    from pipeline.synthesis import DEMOS

    samples = DEMOS["cry"].make().samples
    wav, m4a = io.BytesIO(), io.BytesIO()
    soundfile.write(wav, samples, SAMPLE_RATE, format="WAV", subtype="PCM_16")
    with av.open(m4a, "w", format="mp4") as output:
        stream = output.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.asarray(samples * 32767, np.int16)[None], "s16", "mono")
        frame.sample_rate = SAMPLE_RATE
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            output.mux(packet)
    return [
        {
            "version": "2.0",
            "requestContext": {"http": {"method": "POST", "path": "/classify"}},
            "headers": {"content-type": kind},
            "body": base64.b64encode(held.getvalue()).decode(),
            "isBase64Encoded": True,
        }
        for held, kind in ((wav, "audio/wav"), (m4a, "audio/mp4"))
    ]


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    events = demo_events()
    runs = [cold_start(folder, events) for _ in range(int(sys.argv[2]) if len(sys.argv) > 2 else 5)]
    told = {key: round(statistics.median(float(str(run[key])) for run in runs), 3) for key in
            ("import_s", "first_s", "next_s", "first_m4a_s", "peak_mb")}  # fmt: skip
    print(json.dumps({"runs": len(runs), "median": told, "heavy": runs[0]["heavy"]}, indent=2))

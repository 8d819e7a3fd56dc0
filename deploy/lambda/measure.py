"""Measures cold starts of a built package:   python deploy/lambda/measure.py build/lambda [RUNS]

Each run is a fresh interpreter that sees the package alone: the time to import the handler (libraries,
models), to answer the first event (WAV), the next one, and the first that needs FFmpeg (M4A), by the clock
and in processor time, which other work on the machine changes little. What Lambda adds (fetching the
package, starting the sandbox) cannot be measured here.
"""

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

RUN = """
import base64, io, json, resource, sys, time
sys.path[:] = [p for p in sys.path if "site-packages" not in p]
sys.path.insert(0, sys.argv[1])

def now():
    return time.perf_counter(), time.process_time()

marks = [now()]
import handler
marks.append(now())
event, phone = json.loads(sys.stdin.read())
first = handler.handler(event, None)
marks.append(now())
handler.handler(event, None)
marks.append(now())
from_phone = handler.handler(phone, None)
marks.append(now())
parts = ("import", "first", "next", "first_m4a")
took = {
    f"{part}_{kind}": after[i] - before[i]
    for part, before, after in zip(parts, marks, marks[1:])
    for i, kind in enumerate(("s", "processor_s"))
}
used = {name.split(".")[0] for name in sys.modules}
print(json.dumps({
    "took": took,
    "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    "statuses": [first["statusCode"], from_phone["statusCode"]], "body": json.loads(first["body"]),
    "heavy": sorted(used & {"tensorflow", "keras", "librosa", "sklearn", "numba", "xgboost"}),
}))
"""


def cold_start(package: Path, events: list[dict[str, object]]) -> dict[str, Any]:
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
    took = [run["took"] | {"peak_mb": run["peak_mb"]} for run in runs]
    told = {key: round(statistics.median(one[key] for one in took), 3) for key in took[0]}
    print(json.dumps({"runs": len(runs), "median": told, "heavy": runs[0]["heavy"]}, indent=2))

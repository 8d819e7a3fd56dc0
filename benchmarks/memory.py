"""Memory by length of the recording, and what importing costs.

    python benchmarks/memory.py

Peak resident memory of one process that analyses recordings of growing length with the student, after each;
what YAMNet takes before it has heard anything, run by TensorFlow and as we run it; the time of
``import pipeline``.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path

import _bench
from long_recordings import recorded

MINUTES = (0.1, 10, 60, 180)

ANALYZE = """
import json, resource, sys
from pipeline import CryPipeline
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
pipe = CryPipeline.load("student")
found = {"models loaded": peak()}
for path in sys.argv[1:]:
    heard = pipe.analyze(path)
    found[f"{heard.duration_s / 60:.1f} min"] = peak()
print(json.dumps(found))
"""

YAMNET = """
import resource
from pipeline.embedding.yamnet import YamnetEmbedder
from pipeline.settings import get_settings
YamnetEmbedder(get_settings())
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""

TENSORFLOW = """
import os, resource
import tensorflow_hub as hub
model = hub.load(os.environ["CRY_YAMNET_HANDLE"])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""

IMPORT = """
import sys, time
start = time.perf_counter()
import pipeline
print(time.perf_counter() - start)
"""


def main() -> None:
    _bench.need(_bench.CLIP, _bench.YAMNET)
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for minutes in MINUTES:
            paths.append(Path(folder) / f"{minutes}.flac")
            recorded(paths[-1], 60 * minutes)
        peaks = json.loads(_bench.child([sys.executable, "-c", ANALYZE, *map(str, paths)], cores=2).out)
    _bench.convert_yamnet()
    yamnet_mb = int(_bench.child([sys.executable, "-c", YAMNET], cores=2).out)
    tensorflow_mb = int(_bench.child([sys.executable, "-c", TENSORFLOW], cores=2).out)
    seconds = [float(_bench.child([sys.executable, "-c", IMPORT], cores=2).out) for _ in range(7)]
    _bench.save(
        "memory",
        {
            "peak_mb_after": peaks,
            "yamnet_mb": yamnet_mb,
            "tensorflow_with_yamnet_mb": tensorflow_mb,
            "import_pipeline_ms": round(1e3 * statistics.median(seconds), 1),
        },
    )


if __name__ == "__main__":
    main()

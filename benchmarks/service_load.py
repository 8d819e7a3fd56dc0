"""Requests per second and latencies of the service, for a 7 s clip and 1, 8 and 32 clients at once.

    python benchmarks/service_load.py

The service is a process of its own (role ``all``, bundled embedder, two workers, defaults else); the clients
are threads of this one, on the same cores: what they cost is taken from it. Each client sends its next
request when it has its answer. Beside them, in the same run, the same work without any service:
``CryPipeline.analyze``, one call after the other, in a process of its own, with the same two threads for its
network. That is what each request costs at the least.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import _bench
import httpx
import numpy as np

ROOT = _bench.ROOT
CLIENTS = {1: 40, 8: 120, 32: 160}  # clients: requests in all
ALONE = """
import json, sys, time
from pipeline import CryPipeline
pipeline = CryPipeline.load("student")
pipeline.analyze(sys.argv[1])
took = []
for _ in range(int(sys.argv[2])):
    began = time.perf_counter()
    pipeline.analyze(sys.argv[1])
    took.append(time.perf_counter() - began)
print(json.dumps(took))
"""


def main() -> None:
    """Measure, and save."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--share", type=float, default=1.0, help="of the requests, for a quick look")
    given = parser.parse_args()
    _bench.need(_bench.CLIP)
    clip = _bench.CLIP.read_bytes()
    alone = seconds_alone(max(5, round(30 * given.share)))
    with_service = {}
    with tempfile.TemporaryFile() as log:
        process, url = start(log)
        try:
            for clients, requests in CLIENTS.items():
                with_service[str(clients)] = load(
                    url, clip, clients, max(clients, round(requests * given.share))
                )
        finally:
            process.terminate()
            process.wait(60)
    per_second = 1 / float(np.median(alone))
    best = max(run["requests_per_s"] for run in with_service.values())
    figures = {
        "clip_s": 7.0,
        "embedder": "student",
        "workers": 2,
        "alone": {**quantiles(alone), "per_s": round(per_second, 2)},
        "clients": with_service,
        "ratio_best_rate_to_calls_alone": round(best / per_second, 3),
    }
    if given.share == 1.0:
        _bench.save("service", figures)
    else:  # a quick look replaces no kept figures
        print(json.dumps(figures, indent=1))


def seconds_alone(times: int) -> list[float]:
    """What one clip takes without a service, each of some runs."""
    command = [sys.executable, "-W", "ignore", "-c", ALONE, str(_bench.CLIP), str(times)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [float(seconds) for seconds in json.loads(done.stdout)]


def start(log: Any) -> tuple[subprocess.Popen[bytes], str]:
    """A service, ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "CRY_EMBEDDER": "student", "CRY_SERVE_RATE_PER_MINUTE": "0"}
    command = [sys.executable, "-m", "pipeline", "serve", "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/ready", trust_env=False).status_code == 200:
                return process, url
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    process.kill()
    raise SystemExit("The service did not get ready.")


def load(url: str, clip: bytes, clients: int, requests: int) -> dict[str, Any]:
    """So many requests by so many clients at once."""
    left = iter(range(requests))
    lock, took, statuses = threading.Lock(), [], Counter[int]()

    def client(_number: int) -> None:
        with httpx.Client(base_url=url, timeout=300, trust_env=False, verify=False) as session:
            while True:
                with lock:
                    if next(left, None) is None:
                        return
                began = time.perf_counter()
                answer = session.post("/classify", files={"file": ("clip.flac", clip)})
                seconds = time.perf_counter() - began
                with lock:
                    took.append(seconds)
                    statuses[answer.status_code] += 1

    client_threads = ThreadPoolExecutor(clients)
    began = time.perf_counter()
    list(client_threads.map(client, range(clients)))
    wall_s = time.perf_counter() - began
    if statuses != {200: requests}:
        raise SystemExit(f"Not every request was answered: {dict(statuses)}.")
    return {"requests": requests, "requests_per_s": round(requests / wall_s, 2), **quantiles(took)}


def quantiles(seconds: list[float]) -> dict[str, float]:
    """50th, 95th and 99th percentile in milliseconds."""
    return {f"p{q}_ms": round(1000 * float(np.percentile(seconds, q)), 1) for q in (50, 95, 99)}


if __name__ == "__main__":
    main()

"""Three roles as three processes under load, the two behind killed (-9) and started again in turn.

    python benchmarks/service_roles.py

Orchestrator, preprocessor and predictor are processes of their own; the clients are threads of this one, on
the same cores. Each sends the 7 s clip to ``/classify`` and its next request when it has its answer; after a
503 it waits half a second. Counted is what each was answered, and whether any request was lost: a connection
that ended without an answer, or an answer other than the one right one or an honest 503.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from typing import Any

import _bench
import httpx
import numpy as np

ROOT = _bench.ROOT
CLIENTS = 4
STARTING_S = 600.0


class Roles:
    """The three processes."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self.ports = {name: free_port() for name in ("preprocessor", "predictor", "orchestrator")}
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        for name in self.ports:
            self.start(name)
        self.wait("orchestrator")

    def start(self, name: str) -> None:
        """Start a role."""
        environment = {**os.environ, "CRY_EMBEDDER": "student", "CRY_SERVE_RATE_PER_MINUTE": "0"}
        for role in ("preprocessor", "predictor"):
            environment[f"CRY_SERVE_{role.upper()}_URL"] = f"http://127.0.0.1:{self.ports[role]}"
        command = [sys.executable, "-m", "pipeline", "serve", "--role", name, "--port", str(self.ports[name])]
        self.running[name] = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=self._log, stderr=self._log
        )

    def kill(self, name: str) -> None:
        """Kill a role, at once and without asking."""
        self.running[name].kill()
        self.running[name].wait()

    def wait(self, name: str) -> None:
        """Until a role is ready."""
        deadline = time.monotonic() + STARTING_S
        while time.monotonic() < deadline:
            with suppress(httpx.TransportError):
                address = f"http://127.0.0.1:{self.ports[name]}/ready"
                if httpx.get(address, trust_env=False, timeout=60).status_code == 200:
                    return
            time.sleep(0.2)
        raise SystemExit(f"The {name} did not get ready.")

    def stop(self) -> None:
        """End all."""
        for process in self.running.values():
            process.terminate()
        for process in self.running.values():
            process.wait(60)


class Load:
    """Clients that ask again and again, and what they were answered."""

    def __init__(self, url: str, clip: bytes) -> None:
        self._url, self._clip = url, clip
        self._over, self._lock = threading.Event(), threading.Lock()
        self.answers: list[tuple[float, float, int, str]] = []  # when, seconds, status, label or code
        self.lost: list[str] = []
        self._threads = [threading.Thread(target=self._ask) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        with httpx.Client(base_url=self._url, timeout=300, trust_env=False, verify=False) as session:
            while not self._over.is_set():
                began = time.monotonic()
                try:
                    answer = session.post("/classify", files={"file": ("clip.flac", self._clip)})
                    found = answer.json()
                except (httpx.HTTPError, ValueError) as error:
                    self.lost.append(type(error).__name__)
                    continue
                told = str(found["label"] if answer.status_code == 200 else found["code"])
                with self._lock:
                    now = time.monotonic()
                    self.answers.append((now, now - began, answer.status_code, told))
                if answer.status_code != 200:
                    time.sleep(0.5)

    def stop(self) -> None:
        """Let each have its last answer."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def since(self, began: float) -> dict[str, Any]:
        """What was answered since then."""
        answers = [answer for answer in self.answers if answer[0] >= began]
        took = [seconds for _when, seconds, status, _told in answers if status == 200]
        found: dict[str, Any] = {"seconds": round(time.monotonic() - began, 1)}
        found["answered"] = {f"{s} {told}": n for (s, told), n in Counter(a[2:] for a in answers).items()}
        if took:
            found |= {f"p{q}_ms": round(1000 * float(np.percentile(took, q))) for q in (50, 99)}
        return found


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    """Measure, and save."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="of each quiet phase")
    given = parser.parse_args()
    _bench.need(_bench.CLIP)
    phases: dict[str, Any] = {}
    with tempfile.TemporaryFile() as log:
        roles = Roles(log)
        try:
            load = Load(f"http://127.0.0.1:{roles.ports['orchestrator']}", _bench.CLIP.read_bytes())
            began = time.monotonic()
            time.sleep(given.seconds)
            phases["all up"] = load.since(began)
            for name in ("predictor", "preprocessor"):
                began = time.monotonic()
                roles.kill(name)
                time.sleep(given.seconds / 4)
                roles.start(name)
                roles.wait(name)
                time.sleep(3)  # longer than the circuit stays open
                phases[f"{name} killed and started again"] = load.since(began)
                began = time.monotonic()
                time.sleep(given.seconds)
                phases[f"after the {name}'s return"] = load.since(began)
            load.stop()
        finally:
            roles.stop()
    right = {told for _when, _seconds, status, told in load.answers if status == 200}
    figures = {"clip_s": 7.0, "clients": CLIENTS, "lost": len(load.lost), "right_answers": sorted(right)}
    _bench.save("service-roles", {**figures, "phases": phases})


if __name__ == "__main__":
    main()

"""Asks a running service about recordings:   python classify.py cry.wav [MORE...]

Needs httpx (pip install httpx). CRYLENS_URL and CRYLENS_TOKEN say where to ask, and with what token.
"""

import os
import sys
import time
from pathlib import Path

import httpx

URL = os.environ.get("CRYLENS_URL", "http://127.0.0.1:8000")
TOKEN = os.environ.get("CRYLENS_TOKEN")


def classify(client: httpx.Client, path: Path) -> dict:
    """Post a recording; come back when the service says it is busy, raise what else it refuses."""
    for _ in range(5):
        with path.open("rb") as recording:
            answer = client.post("/classify", files={"file": (path.name, recording)})
        if answer.status_code not in (429, 503):
            break
        time.sleep(int(answer.headers.get("Retry-After", "1")))
    if answer.is_error:
        problem = answer.json()
        raise RuntimeError(f"{problem['code']}: {problem['detail']}")
    return answer.json()


def main() -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"} if TOKEN else {}
    with httpx.Client(base_url=URL, headers=headers, timeout=60) as client:
        for path in map(Path, sys.argv[1:]):
            found = classify(client, path)
            chance = found["detection"]["cry_probability"]
            times = ", ".join(f"{e['start_s']:.1f}-{e['end_s']:.1f} s" for e in found["episodes"])
            verdict = "cry" if times else "no cry"
            print(f"{path.name}: {verdict} ({chance:.2f}) {times} {found['label'] or ''}".strip())


if __name__ == "__main__":
    main()

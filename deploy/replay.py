"""Replays the Dockerfile's steps without a container engine:   python deploy/replay.py [FOLDER]

    python deploy/replay.py --stage pages
    python deploy/replay.py --arg EMBEDDER=yamnet [--yamnet SAVEDMODEL]

The ``RUN`` steps of the stage that installs are run as they stand, with ``/opt/crylens`` put below FOLDER;
the ``COPY`` steps of the stages that run are carried out, no more than ``Dockerfile.dockerignore`` lets
through. Then the command of the image is started without privilege, everything made read-only but a temporary
folder; its health check is run, and it is asked about the demo cry (the service) or for the page. Where
TensorFlow Hub cannot be reached, ``--yamnet`` puts a folder where the fetch would have put it. What this does
not show: the base image, its Python and its libraries, and anything that only an engine does.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
USER = 10001
YAMNET = "https://tfhub.dev/google/yamnet/1"  # TensorFlow Hub keeps what it fetched under its address' hash
READY = {"service": "/ready", "pages": "/_stcore/health"}


def stages() -> dict[str, list[tuple[str, str]]]:
    """The Dockerfile as (instruction, arguments) by stage, continued lines joined, comments left out."""
    text = re.sub(r"^#.*\n", "", (HERE / "Dockerfile").read_text(), flags=re.M).replace("\\\n", "")
    found: dict[str, list[tuple[str, str]]] = {"": []}
    stage = ""
    for line in filter(str.strip, text.splitlines()):
        instruction, _, arguments = line.partition(" ")
        if instruction == "FROM":
            stage = arguments.split()[-1]
            found[stage] = [("FROM", arguments.split()[0])]
        else:
            found[stage].append((instruction, arguments))
    return found


def lineage(name: str, found: dict[str, list[tuple[str, str]]]) -> list[tuple[str, str]]:
    """The steps of a stage after those of the stages that it builds on."""
    base = found[name][0][1]
    return (lineage(base, found) if base in found else []) + found[name][1:]


def main() -> None:
    """Install, copy, count, run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "build" / "image")
    parser.add_argument("--stage", default="service", choices=("service", "pages"))
    parser.add_argument("--yamnet", type=Path, help="a SavedModel folder, instead of fetching it")
    parser.add_argument("--arg", action="append", default=[], metavar="NAME=VALUE", help="a build argument")
    given = parser.parse_args()
    image = given.folder.resolve()
    shutil.rmtree(image, ignore_errors=True)
    (image / "app").mkdir(parents=True)
    found = stages()
    arguments = {"EMBEDDER": "student", **dict(pair.split("=", 1) for pair in given.arg)}
    if given.yamnet:
        cached = image / "opt" / "crylens" / "tfhub" / hashlib.sha1(YAMNET.encode()).hexdigest()
        shutil.copytree(given.yamnet, cached)
    install(image, found[f"install-{given.stage}"], arguments)
    steps = lineage(given.stage, found)
    copy(image / "app", steps)
    print(
        json.dumps({"megabytes": sizes(image), "answer": run(image, given.stage, steps, arguments)}, indent=2)
    )


def install(image: Path, steps: list[tuple[str, str]], arguments: dict[str, str]) -> None:
    """The RUN steps, in a folder of the files that were copied for them."""
    build = image / "build"
    build.mkdir()
    copy(build, steps)
    (image / "opt").mkdir(exist_ok=True)
    place = str(image / "opt" / "crylens")
    environment = {**os.environ, **arguments, "PATH": f"{place}/bin:{os.environ['PATH']}"}
    environment |= {
        "PIP_NO_CACHE_DIR": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    for instruction, command in steps:
        if instruction == "RUN":
            script = command.replace("/opt/crylens", place)
            subprocess.run(["/bin/sh", "-eu", "-c", script], cwd=build, env=environment, check=True)
    shutil.rmtree(build)


def copy(target: Path, steps: list[tuple[str, str]]) -> None:
    """The COPY steps from the build context."""
    allowed = {
        line[1:] for line in (HERE / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    for instruction, arguments in steps:
        if instruction != "COPY" or arguments.startswith("--from"):
            continue
        *sources, where = arguments.split()
        for source in sources:
            if source not in allowed:
                sys.exit(f"{source} is copied, but Dockerfile.dockerignore keeps it from the builder.")
            if (ROOT / source).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / source, target / where, ignore=ignored, dirs_exist_ok=True)
            else:
                shutil.copy2(ROOT / source, target)


def sizes(image: Path) -> dict[str, float]:
    """Megabytes of what the image adds to its base, and of the largest packages."""

    def megabytes(path: Path) -> float:
        files = [path] if path.is_file() else path.rglob("*")
        return round(sum(f.lstat().st_size for f in files if f.is_file() and not f.is_symlink()) / 1e6, 1)

    packages = next(image.glob("opt/crylens/lib/python*/site-packages"))
    largest = sorted(((megabytes(p), p.name) for p in packages.iterdir()), reverse=True)[:8]
    return {
        "all": megabytes(image),
        "app": megabytes(image / "app"),
        **{name: size for size, name in largest},
    }


def run(
    image: Path, stage: str, steps: list[tuple[str, str]], arguments: dict[str, str]
) -> dict[str, object]:
    """Start the command as the image would, run its health check, and ask it something."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    [inside] = [value for instruction, value in steps if instruction == "EXPOSE"]
    command = [
        word.replace(inside, port).replace("0.0.0.0", "127.0.0.1")
        for instruction, value in steps
        if instruction in ("ENTRYPOINT", "CMD")
        for word in json.loads(value)
    ]
    [health] = [value for instruction, value in steps if instruction == "HEALTHCHECK"]
    check = [word.replace(inside, port) for word in json.loads(health.partition("CMD")[2])]
    writable = image / "tmp"
    writable.mkdir()
    subprocess.run(["chmod", "-R", "a-w,a+rX", str(image / "opt"), str(image / "app")], check=True)
    environment = {"PATH": f"{image}/opt/crylens/bin:{os.environ['PATH']}", "HOME": str(writable)}
    environment |= {
        "TMPDIR": str(writable),
        "NUMBA_CACHE_DIR": f"{writable}/numba",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    environment |= {"CRY_EMBEDDER": arguments["EMBEDDER"], "TFHUB_CACHE_DIR": f"{image}/opt/crylens/tfhub"}
    environment["XDG_CACHE_HOME"] = f"{image}/opt/crylens/cache"
    began = time.monotonic()
    process = subprocess.Popen(unprivileged(command, writable), cwd=image / "app", env=environment)
    try:
        wait(f"http://127.0.0.1:{port}{READY[stage]}")
        ready_s = time.monotonic() - began
        subprocess.run(unprivileged(check, writable), cwd=image / "app", env=environment, check=True)
        found = asked(stage, f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        status = process.wait(60)
        subprocess.run(["chmod", "-R", "u+w", str(image)], check=True)
    return {"ready_s": round(ready_s, 1), "healthy": True, **found, "exit_status": status}


def asked(stage: str, url: str) -> dict[str, object]:
    """What it says of the demo cry; of the pages, that there is one."""
    if stage == "pages":
        with urllib.request.urlopen(url, timeout=60) as answer:
            return {"status": answer.status, "is_a_page": b"<title>" in answer.read()}
    body, kind = demo_cry()
    request = urllib.request.Request(f"{url}/classify", body, {"Content-Type": kind})
    with urllib.request.urlopen(request, timeout=120) as answer:
        found = json.load(answer)
    return {"detection": found["detection"], "label": found["label"]}


def unprivileged(entry: list[str], writable: Path) -> list[str]:
    """The command, run so that permissions hold: as the user of the image, or, where the interpreter lies in
    a place that only root may enter, as root without a single capability."""
    if os.geteuid() != 0:
        return entry
    parents = Path(sys.executable).resolve().parents
    if all(parent.stat().st_mode & 0o001 for parent in parents):
        os.chown(writable, USER, USER)
        return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--no-new-privs", *entry]
    return ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", *entry]


def wait(url: str) -> None:
    """Until a service answers 200, four minutes at most."""
    for _ in range(480):
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    sys.exit("The service did not get ready.")


def demo_cry() -> tuple[bytes, str]:
    """A form with the demo cry, and its content type."""
    path = HERE.parent / "build" / f"cry-{uuid.uuid4().hex}.wav"
    path.parent.mkdir(exist_ok=True)
    subprocess.run([sys.executable, str(HERE / "clients" / "demo_cry.py"), str(path)], check=True, cwd=ROOT)
    content = path.read_bytes()
    path.unlink()
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="cry.wav"\r\n\r\n'
    return head + content + b"\r\n--b--\r\n", "multipart/form-data; boundary=b"


if __name__ == "__main__":
    main()

"""Replays the Dockerfile's steps without a container engine:   python deploy/replay.py [FOLDER]

The ``RUN`` steps of the stage that installs are run as they stand, with ``/opt/crylens`` put below FOLDER;
the ``COPY`` steps of the stages that run are carried out, no more than ``Dockerfile.dockerignore`` lets
through. Then the entry point is started without privilege, everything made read-only but a temporary folder,
and asked about the demo cry. What this does not show: the base image, its Python and its libraries, the
health check, and anything that only an engine does.
"""

from __future__ import annotations

import argparse
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
    parser.add_argument("--stage", default="service")
    parser.add_argument("--arg", action="append", default=[], metavar="NAME=VALUE", help="a build argument")
    given = parser.parse_args()
    image = given.folder.resolve()
    shutil.rmtree(image, ignore_errors=True)
    (image / "app").mkdir(parents=True)
    found = stages()
    arguments = {"EMBEDDER": "student", **dict(pair.split("=", 1) for pair in given.arg)}
    install(image, found[f"install-{given.stage}"], arguments)
    steps = lineage(given.stage, found)
    copy(image / "app", steps)
    print(json.dumps({"megabytes": sizes(image), "answer": run(image, steps, arguments)}, indent=2))


def install(image: Path, steps: list[tuple[str, str]], arguments: dict[str, str]) -> None:
    """The RUN steps, in a folder of the files that were copied for them."""
    build = image / "build"
    build.mkdir()
    copy(build, steps)
    (image / "opt").mkdir()
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


def run(image: Path, steps: list[tuple[str, str]], arguments: dict[str, str]) -> dict[str, object]:
    """Start the entry point as the image would, and ask it about the demo cry."""
    [entry] = [json.loads(value) for instruction, value in steps if instruction == "ENTRYPOINT"]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    entry[entry.index("--port") + 1] = str(port)
    entry[entry.index("--host") + 1] = "127.0.0.1"
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
    began = time.monotonic()
    process = subprocess.Popen(unprivileged(entry, writable), cwd=image / "app", env=environment)
    try:
        wait(f"http://127.0.0.1:{port}/ready")
        ready_s = time.monotonic() - began
        body = demo_cry()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/classify", body[0], {"Content-Type": body[1]}
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            found = json.load(answer)
    finally:
        process.terminate()
        status = process.wait(60)
        subprocess.run(["chmod", "-R", "u+w", str(image)], check=True)
    return {
        "ready_s": round(ready_s, 1),
        "detection": found["detection"],
        "label": found["label"],
        "exit_status": status,
    }


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

"""The client examples, run as they are against a real service."""

from __future__ import annotations

import csv
import importlib.util
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile

from pipeline.synthesis import DEMOS

ROOT = Path(__file__).resolve().parent.parent.parent
CLIENTS = ROOT / "deploy" / "clients"


def helpers() -> Any:
    """What the service's tests start servers with."""
    spec = importlib.util.spec_from_file_location("serving", ROOT / "tests" / "service" / "serving.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault("serving", module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("service") / "log.jsonl"
    with helpers().serving(log, token="a-token") as server:
        yield server.url


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo cry, written by its own example, and a quiet room."""
    made = tmp_path_factory.mktemp("recordings")
    command = [sys.executable, str(CLIENTS / "demo_cry.py"), str(made / "cry.wav")]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    soundfile.write(made / "quiet.wav", DEMOS["quiet"].make().samples, 16_000)
    (made / "text.wav").write_text("no sound")
    return made


def run(url: str, folder: Path, *command: str, **options: Any) -> subprocess.CompletedProcess[Any]:
    environment = {**os.environ, "CRYLENS_URL": url, "CRYLENS_TOKEN": "a-token"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False, **options)


@pytest.mark.parametrize("program", [[sys.executable, "classify.py"], ["node", "classify.mjs"]])
def test_classify(url: str, folder: Path, program: list[str]) -> None:
    if shutil.which(program[0]) is None:
        pytest.skip(f"{program[0]} is not installed")
    command = [program[0], str(CLIENTS / program[1])]
    done = run(url, folder, *command, "cry.wav", "quiet.wav", text=True)
    assert done.returncode == 0, done.stderr
    cry, quiet = done.stdout.splitlines()
    assert cry.startswith("cry.wav: cry (0.9")
    assert " s " in cry
    assert quiet.startswith("quiet.wav: no cry (")
    refused = run(url, folder, *command, "text.wav", text=True)
    assert refused.returncode == 1
    assert "audio/not-audio" in refused.stderr


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl(url: str, folder: Path) -> None:
    done = run(url, folder, "sh", str(CLIENTS / "classify.sh"), "cry.wav", text=True)
    assert done.returncode == 0, done.stderr
    [row] = csv.DictReader(io.StringIO(done.stdout))
    assert (row["path"], row["is_cry"]) == ("cry.wav", "true")
    refused = run(url, folder, "sh", str(CLIENTS / "classify.sh"), "text.wav", text=True)
    assert refused.returncode == 22
    assert "audio/not-audio" in refused.stdout


def test_listen(url: str, folder: Path) -> None:
    samples = (folder / "cry.wav").read_bytes()[44:]
    silence = bytes(len(samples))
    command = [sys.executable, str(CLIENTS / "listen.py")]
    done = run(url, folder, *command, input=silence + samples + silence)
    assert done.returncode == 0, done.stderr
    began, ended = done.stdout.decode().splitlines()
    assert began.startswith("crying since ")
    assert 6 < float(began.split()[2]) < 9
    assert 12 < float(ended.split()[3]) < 16

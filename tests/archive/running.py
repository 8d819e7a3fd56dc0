"""The command as people run it, and files that kill, or hold up, who reads them."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parent.parent.parent
RATE = 16_000

# Sample rates that stand for files which a library cannot stand: the edge where real ones die.
SEGFAULTS, RUNS_OUT_OF_MEMORY, IS_SLOW = 12_345, 12_347, 12_349

# Python runs a sitecustomize module at its start, in every worker too.
PLANTED = f"""
import os, resource, signal, sys, time
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder

def plant(module):
    real = module.SoundFile.__init__
    def planted(self, *arguments, **options):
        real(self, *arguments, **options)
        if self.samplerate == {SEGFAULTS}:
            os.kill(os.getpid(), signal.SIGSEGV)
        if self.samplerate == {RUNS_OUT_OF_MEMORY}:
            resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
            bytearray(2**32)
        if self.samplerate == {IS_SLOW}:
            time.sleep(0.4)
    module.SoundFile.__init__ = planted

class Planter(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name != "soundfile":
            return None
        spec = PathFinder.find_spec(name, path)
        run = spec.loader.exec_module
        def exec_module(module):
            run(module)
            plant(module)
        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Planter())
"""


@dataclass
class Ran:
    """What a command left behind."""

    status: int
    err: str
    out: Path

    @property
    def files(self) -> list[dict[str, str]]:
        with (self.out / "files.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.out / "files.jsonl").read_text("utf-8").splitlines()]


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "pipeline", "batch", "--embedder", "student", *map(str, arguments)]


def write_killer(path: Path, rate: int) -> Path:
    """Half a second of a tone at a sample rate that means trouble."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tone = 0.2 * np.sin(np.arange(rate // 2) * 0.2)
    soundfile.write(path, tone, rate, subtype="PCM_16")
    return path


def plain(record: dict[str, Any]) -> dict[str, Any]:
    """A record without what differs from run to run."""
    return {name: value for name, value in record.items() if name not in ("archive", "path")}


def read_results(out: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sorted((out / "recordings").rglob("*.json")):
        yield path, json.loads(path.read_text("utf-8"))

"""Measure published figures again: each result file's own command, and what comes out otherwise."""

from __future__ import annotations

import math
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import DataError
from pipeline.evaluation.leaderboard.results import read_report

# How it was asked for is no figure.
_NO_FIGURES = frozenset({"command"})
_START = ("python", "-m", "pipeline", "evaluate")


@dataclass(frozen=True)
class Difference:
    """A figure that came out otherwise: where it stands in the file, and both values."""

    where: str
    kept: Any
    found: Any


def measure_again(
    kept: Path, out: Path, *, run: Callable[[Sequence[str]], None] | None = None
) -> list[Difference]:
    """Run a result file's command and compare.

    Args:
        kept: the result file.
        out: folder for the new one; one that is there already is not measured anew, so that an interrupted
            round goes on where it stopped.
        run: what runs the arguments behind ``python -m pipeline``; None: this Python, as a child.

    Returns:
        The figures that differ, none when it came out the same.

    Raises:
        DataError: the file is no report, its command is not one of ours, or the command failed.
    """
    report = read_report(kept)
    arguments = arguments_of(str(report.get("command", "")), kept)
    target = out / kept.name
    if not target.is_file():
        out.mkdir(parents=True, exist_ok=True)
        (run or _run)([*arguments, "--out", str(target)])
    if not target.is_file():
        raise DataError(f"{shlex.join(['python', '-m', 'pipeline', *arguments])} wrote no {target}.")
    return list(differences(report, read_report(target)))


def arguments_of(command: str, path: Path) -> list[str]:
    """What follows ``python -m pipeline`` in a result file's command.

    Raises:
        DataError: it is another program, or would write where it likes.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise DataError(f"{path}: its command cannot be read ({error}): {command!r}.") from error
    if tuple(words[: len(_START)]) != _START or any(w.startswith("--out") for w in words):
        raise DataError(f"{path}: only 'python -m pipeline evaluate …' is run again, not {command!r}.")
    return words[len(_START) - 1 :]


def differences(kept: Any, found: Any, where: str = "") -> Iterator[Difference]:
    """The leaves that are not the same; floats may differ by one part in a million."""
    if isinstance(kept, Mapping) and isinstance(found, Mapping):
        for key in sorted((kept.keys() | found.keys()) - _NO_FIGURES):
            yield from differences(kept.get(key), found.get(key), f"{where}.{key}" if where else key)
    elif isinstance(kept, list) and isinstance(found, list) and len(kept) == len(found):
        for i, (a, b) in enumerate(zip(kept, found, strict=True)):
            yield from differences(a, b, f"{where}[{i}]")
    elif not _same(kept, found):
        yield Difference(where, kept, found)


def _same(kept: Any, found: Any) -> bool:
    if isinstance(kept, float) and isinstance(found, (int, float)):
        return math.isclose(kept, found, rel_tol=1e-6, abs_tol=1e-9) or (kept != kept and found != found)
    return bool(kept == found)


def _run(arguments: Sequence[str]) -> None:
    done = subprocess.run([sys.executable, "-m", "pipeline", *arguments], stdout=subprocess.DEVNULL)
    if done.returncode:
        command = shlex.join(["python", "-m", "pipeline", *arguments])
        raise DataError(f"{command} failed with exit status {done.returncode}; what it said is above.")

"""What the result files (``benchmarks/results/*.json``) and the detectors' manifests hold, read once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.artifacts import open_artifact
from pipeline.errors import DataError

KINDS = ("reasons", "detection", "night", "audit")
# Written by the scripts under benchmarks/, and read by nobody here.
_SCRIPTS = ("speed-", "evidence-")
Report = Mapping[str, Any]


@dataclass(frozen=True)
class Results:
    """Reports by model name.

    Attributes:
        reasons: under the protocols, five classes; other_reasons: other sets of classes, by file name.
        detection: clip figures; night: figures over hours; audit: by data set.
    """

    reasons: dict[str, Report]
    other_reasons: dict[str, Report]
    detection: dict[str, Report]
    night: dict[str, Report]
    audit: dict[str, Report]


def files(folder: Path) -> list[Path]:
    """The result files in a folder, by name; without what the scripts under ``benchmarks/`` leave there."""
    return sorted(path for path in folder.glob("*.json") if not path.name.startswith(_SCRIPTS))


def read(folder: Path, artifacts: Path) -> Results:
    """Read every report.

    Args:
        folder: with the JSON files that ``evaluate … --out`` writes.
        artifacts: the shipped models; their detectors carry their clip figures in the manifest.

    Raises:
        DataError: a file is no report, or there is none at all.
    """
    found = Results({}, {}, {}, {}, {})
    for path in files(folder):
        report = read_report(path)
        kind, name = report["kind"], str(report.get("model", path.stem))
        if kind == "reasons":
            plain = path.stem == f"reasons-{name}"
            (found.reasons if plain else found.other_reasons)[name if plain else path.stem] = report
        else:
            getattr(found, kind)[path.stem.removeprefix(f"{kind}-")] = report
    for embedder in ("yamnet", "student"):
        place = artifacts / f"detector-{embedder}"
        if (place / "manifest.json").is_file():
            metrics = open_artifact(place, kind="detector").manifest["metrics"]
            if "suites" in metrics:
                found.detection[f"crylens-{embedder}"] = metrics
    if not (found.reasons or found.detection or found.night):
        raise DataError(
            f"There is no result in {folder}. Make some first, for example: "
            "python -m pipeline evaluate reasons --model prior --data ../shared/data",
            "no-results",
        )
    return found


def read_report(path: Path) -> Report:
    """One result file.

    Raises:
        DataError: it is none.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as JSON: {error}. Write it again, or remove it.") from error
    kind = report.get("kind") if isinstance(report, dict) else None
    if kind not in KINDS:
        raise DataError(
            f"{path} is no result file: its 'kind' is {kind!r}, not one of {', '.join(KINDS)}. "
            "Remove it from there."
        )
    return dict(report)

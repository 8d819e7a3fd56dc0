"""What an audit of the training data found, as a section of a model card.

The reports are those of ``python -m pipeline audit … --format json`` kept in ``benchmarks/results``. The same
reports give the same section, so a card can be written anew without training again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.artifacts import CARD, MANIFEST, open_artifact
from pipeline.errors import ArtifactError, DataError
from pipeline.evaluation.audit.html import WORDS
from pipeline.evaluation.audit.output import from_json, md
from pipeline.settings import PROJECT_ROOT

RESULTS = PROJECT_ROOT / "benchmarks" / "results"
TITLE = "## What an audit of the data found"
_TOLD = ("leak", "shortcut", "note")
_BEFORE = "## Limits"  # the section stands before this one, or at the end


def findings(trained: Mapping[str, int], results: Path = RESULTS) -> str:
    """The section for a model trained on this, or "" where no audit of the same recordings is kept.

    Args:
        trained: recordings by label ("hungry"), or by source and label ("esc50: cry").
        results: folder with kept audits, ``audit-*.json``.

    Raises:
        DataError: a kept audit cannot be read.
    """
    kept = [from_json(path).data for path in sorted(results.glob("audit-*.json"))]
    return next((section(report) for report in kept if is_about(report, trained)), "")


def is_about(report: Mapping[str, Any], trained: Mapping[str, int]) -> bool:
    """Whether every recording that a report is about was trained on, by the numbers of each label.

    >>> report = {"data": {"labels": {"hungry": 3, "tired": 2}}, "plots": {"sources": None}}
    >>> is_about(report, {"hungry": 3, "tired": 2}), is_about(report, {"hungry": 4, "tired": 2})
    (True, False)
    """
    labels, table = report["data"]["labels"], report["plots"]["sources"]
    cells: dict[str, int] = {}
    if table is not None:
        cells = {
            f"{source}: {name}": number
            for name, row in zip(table["classes"], table["table"], strict=True)
            for source, number in zip(table["sources"], row, strict=True)
            if number
        }
    return any(part and part.items() <= trained.items() for part in (labels, cells))


def trained_on(manifest: Mapping[str, Any]) -> dict[str, int]:
    """Recordings by label, or by source and label, from the manifest of a shipped model; {} when untold."""
    training = manifest["training"]
    if isinstance(training.get("reasons"), dict):
        return {name: row["clips"] for name, row in training["reasons"].items()}
    return dict(training["clips"]) if isinstance(training.get("clips"), dict) else {}


def section(report: Mapping[str, Any]) -> str:
    """One report as a section: verdict, a table of what was found, a line on what was not.

    Args:
        report: as ``Report.data`` holds it.
    """
    checks, data = report["checks"], report["data"]
    rows = [
        f"| {_word(one)} | {md(one['title'])} | {md(one['finding'])} |"
        for one in checks
        if one["severity"] in _TOLD
    ]
    clear, skipped = (
        [md(one["title"].split(":")[0].split(" (")[0]) for one in checks if one["severity"] == severity]
        for severity in ("clear", "skipped")
    )
    parts = [
        TITLE,
        "",
        f"{md(report['verdict']['sentence'])} {data['recordings']:,} recordings "
        f"({data['hours']:.2f} h), {data['groups']:,} groups. How each check works: `docs/audit.md`.",
        "",
        f"```\n{report['command']}\n```",
    ]
    if rows:
        parts += ["", "| | looked for | found |", "|---|---|---|", *rows]
    if clear:
        parts += ["", f"Looked for and not found: {'; '.join(clear)}."]
    if skipped:
        parts += ["", f"Not checked: {'; '.join(skipped)}."]
    return "\n".join(parts) + "\n"


def _word(one: Mapping[str, Any]) -> str:
    word = WORDS[one["severity"]]
    return f"**{word}**" if one["severity"] in ("leak", "shortcut") else word


def inserted(card: str, text: str) -> str:
    """The card with the section before its limits; an older section is replaced, or removed by ``""``."""
    card = _without(card)
    if not text:
        return card
    head, limits, tail = card.partition(f"\n{_BEFORE}\n")
    if not limits:
        return f"{card.rstrip()}\n\n{text}"
    return f"{head.rstrip()}\n\n{text}{limits}{tail}"


def _without(card: str) -> str:
    """The card without the section; what follows the next heading of its level stays."""
    head, title, rest = card.partition(f"\n{TITLE}\n")
    if not title:
        return card
    _, heading, tail = rest.partition("\n## ")
    return f"{head.rstrip()}\n\n## {tail}" if heading else f"{head.rstrip()}\n"


def with_findings(card: str, trained: Mapping[str, int], results: Path = RESULTS) -> str:
    """A freshly written card with the section, where an audit of the same recordings is kept."""
    return inserted(card, findings(trained, results))


def rewrite(folder: Path, report: Mapping[str, Any]) -> Path:
    """Put a report's section into the card of a trained model; nothing is trained, nothing else is altered.

    Args:
        folder: a model folder; its manifest gets the card's new checksum.

    Returns:
        The card.

    Raises:
        ArtifactError: it is no model folder, its card was altered, or it cannot be written.
        DataError: the model was trained on something else.
    """
    artifact = open_artifact(folder)
    if not is_about(report, trained_on(artifact.manifest)):
        raise DataError(
            f"{folder} was not trained on what this audit is about ({report['data']['title']}), by the "
            "numbers of recordings in its manifest; audit the data it was trained on."
        )
    card = inserted(artifact.read_bytes(CARD).decode(), section(report)).encode()
    manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    manifest["files"][CARD] = {"sha256": hashlib.sha256(card).hexdigest(), "bytes": len(card)}
    text = json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        for name, content in ((CARD, card), (MANIFEST, text.encode())):
            part = folder / f".{name}.part"
            part.write_bytes(content)
            os.replace(part, folder / name)
    except OSError as error:
        raise ArtifactError(f"{folder} cannot be written: {error.strerror or error}.") from error
    return folder / CARD

"""What was found out about the recordings beyond their manifest, by file name.

``checked_uploads.csv``: whether unverified uploads hold crying, listened to and confirmed on the spectrogram.
``checked_groups.csv``: recordings that overlap or copy one of another group, with the group they belong to;
found by ``python -m pipeline audit DATA/manifest.csv --label kind --exclude unverified --out FOLDER``.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.training.bank import Entry

CHECKED_UPLOADS = Path(__file__).parent / "checked_uploads.csv"
CHECKED_GROUPS = Path(__file__).parent / "checked_groups.csv"


def checked_uploads() -> dict[str, str]:
    """File name to "cry" or "not_cry"."""
    return _column(CHECKED_UPLOADS, "kind")


def checked_groups() -> dict[str, str]:
    """File name to the group that must stay on one side of any split with it."""
    return _column(CHECKED_GROUPS, "group")


def verified(entries: Sequence[Entry]) -> list[Entry]:
    """Entries with the kind and the group that were found to be theirs."""
    kinds, groups = checked_uploads(), checked_groups()

    def of(entry: Entry) -> Entry:
        name = Path(entry.path).name if entry.path else ""
        return replace(entry, kind=kinds.get(name, entry.kind), group=groups.get(name, entry.group))

    return [of(entry) for entry in entries]


def _column(file: Path, name: str) -> dict[str, str]:
    with file.open(newline="") as rows:
        return {row["file"]: row[name] for row in csv.DictReader(rows)}

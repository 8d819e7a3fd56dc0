"""Sets with and without planted leaks, and one cache for all audits of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import planted
import pytest

Audit = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def audit_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What was heard of a file is kept here by its content."""
    return tmp_path_factory.mktemp("audit-cache")


@pytest.fixture(scope="session")
def audited(audit_cache: Path) -> Audit:
    """The audit of a folder or table, as JSON-able data."""
    from pipeline.evaluation.audit import audit

    def run(place: Path, **options: Any) -> dict[str, Any]:
        return audit(place, cache_dir=audit_cache, draws=100, deals=150, **options).data

    return run


@pytest.fixture(scope="session")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table of 32 takes of 16 donors in which nothing but the sound tells the label."""
    root = tmp_path_factory.mktemp("clean")
    return planted.write(root, planted.takes(), ("path", "label", "group", "split"))

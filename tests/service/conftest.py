"""Services for the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from serving import Server, serving


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One service for all tests that leave it as it was."""
    with serving(tmp_path_factory.mktemp("service") / "log.jsonl") as server:
        yield server


@pytest.fixture(scope="session")
def client(service: Server) -> Iterator[httpx.Client]:
    with service.client() as opened:
        yield opened


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts services that end with the test."""
    with ExitStack() as stack:

        def one(role: str = "all", **settings: object) -> Server:
            log = tmp_path / f"{role}.jsonl"
            return stack.enter_context(serving(log, role, **settings))  # type: ignore[arg-type]

        yield one

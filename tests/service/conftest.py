"""Services for the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from made_recordings import wav
from serving import MOST_BYTES, Server, send, serving


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


@pytest.fixture(scope="module")
def tight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with narrow limits."""
    limits: dict[str, object] = {
        "max_upload_bytes": MOST_BYTES,
        "max_duration_s": 60,
        "decode_timeout_s": 5,
        "decode_memory_mb": 200,
        "body_timeout_s": 1.5,
        "workers": 1,
    }
    with serving(tmp_path_factory.mktemp("tight") / "log.jsonl", **limits) as server:  # type: ignore[arg-type]
        yield server


@pytest.fixture
def still_answers(tight: Server) -> Iterator[None]:
    """Whatever a test did to it, the service with narrow limits answers the next one."""
    yield
    with tight.client() as client:
        answer = send(client, "/classify", wav(1.0))
        assert answer.status_code == 200, answer.text

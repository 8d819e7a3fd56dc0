"""Who may ask, from where and how often; and settings that cannot be used."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving import ROOT, Server, assert_problem, free_port
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from pipeline.service.limits import RateLimit
from pipeline.service.problems import Problem
from pipeline.service.remote import Breaker
from pipeline.service.routes import wants_csv

TOKEN = "a-long-secret-0123456789"


def test_with_a_token_and_an_origin_and_a_rate(start: Callable[..., Server]) -> None:
    server = start("predictor", token=TOKEN, cors_origins="https://ours.example", max_streams=0)
    with server.client() as client:
        assert client.get("/health").status_code == 200, "probes carry no token"
        body = {"features": [0.0] * 108}
        missing = client.post("/predict", json=body)
        assert_problem(missing, 401, "access/token-missing")
        assert missing.headers["www-authenticate"].startswith("Bearer")
        for wrong in (f"Bearer {TOKEN}x", "Bearer x", f"Basic {TOKEN}", "Bearer", f"bearer {TOKEN[:-1]}"):
            refused = client.post("/predict", json=body, headers={"Authorization": wrong})
            assert refused.status_code == 401
        assert client.get("/metrics").status_code == 401
        for path in re.findall(r'(?:src|href)="(/docs/[^"]+)"', client.get("/docs").text):
            assert client.get(path).status_code == 200, path
        good = {"Authorization": f"Bearer {TOKEN}", "Origin": "https://ours.example"}
        answer = client.post("/predict", json=body, headers=good)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://ours.example"
        other = client.post("/predict", json=body, headers={**good, "Origin": "https://other.example"})
        assert "access-control-allow-origin" not in other.headers
        asked = {"Origin": "https://ours.example", "Access-Control-Request-Method": "POST"}
        assert client.options("/predict", headers=asked).status_code == 200
        assert client.get("/openapi.json").json()["security"] == [{"token": []}]
    server.stop()
    assert TOKEN not in server.log.read_text()


def test_nobody_elses_pages_by_default(client: httpx.Client) -> None:
    answer = client.get("/health", headers={"Origin": "https://any.example"})
    assert "access-control-allow-origin" not in answer.headers


def test_too_many_requests(start: Callable[..., Server]) -> None:
    server = start("orchestrator", rate_per_minute=10, wait=False)
    with server.client() as client:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            with suppress(httpx.TransportError):
                assert client.get("/health").status_code == 200
                break
        answers = [client.get("/nothing") for _ in range(15)]
        assert {answer.status_code for answer in answers} == {404, 429}
        assert_problem(answers[-1], 429, "access/too-many-requests")
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 6
        assert client.get("/health").status_code == 200, "probes are not counted"
    address = server.url.replace("http", "ws") + "/v1/stream"
    with pytest.raises(InvalidStatus) as told, connect(address, proxy=None):
        pass
    assert json.loads(told.value.response.body or b"")["code"] == "access/too-many-requests"


@given(waits=st.lists(st.floats(0, 30), max_size=60), per_minute=st.integers(1, 300))
def test_no_more_than_the_rate_gets_through(waits: list[float], per_minute: int) -> None:
    now = 0.0
    rate = RateLimit(per_minute, lambda: now)
    burst, passed = min(per_minute, max(100, per_minute // 10)), 0
    for turn, wait in enumerate(waits):
        now += wait
        for _ in range(20):
            with suppress(Problem):
                rate.take("a")
                passed += 1
        assert passed <= burst + now * per_minute / 60 + 1e-6
        rate.take(f"another {turn}")  # who has its own bucket, full


def test_of_ipv6_the_network_is_the_client_and_of_ipv4_the_address() -> None:
    rate = RateLimit(60, lambda: 0.0)
    for number in range(60):
        rate.take(f"2001:db8:1:2::{number:x}")
    with pytest.raises(Problem):
        rate.take("2001:db8:1:2:ffff::1")
    for another in ("2001:db8:1:3::1", "::ffff:192.0.2.1", "192.0.2.7", "", "fe80::1%eth0"):
        rate.take(another)
    for _ in range(59):
        rate.take("192.0.2.1")
    with pytest.raises(Problem):
        rate.take("::ffff:192.0.2.1")


@given(outcomes=st.lists(st.sampled_from(["up", "down", "wait"]), max_size=60))
def test_a_breaker_lets_nobody_through_while_open_and_closes_on_success(outcomes: list[str]) -> None:
    now, failures = 0.0, 0
    breaker = Breaker(3, 2.0, lambda: now)
    for outcome in outcomes:
        if outcome == "wait":
            now += 2.0
            continue
        through = breaker.lets_through()
        assert through or failures >= 3
        if not through:
            continue
        if outcome == "up":
            breaker.succeeded()
            failures = 0
            assert breaker.lets_through()
        else:
            failures += 1
            assert breaker.failed() == (failures == 3)


@pytest.mark.parametrize(
    ("accept", "csv"),
    [("", False), ("*/*", False), ("text/csv", True), ("application/json, text/csv", False),
     ("text/csv, */*;q=0.1", True), ("text/csv;q=0.5, application/json;q=0.4", True),
     ("text/csv;q=0", False)],
)  # fmt: skip
def test_what_an_accept_header_prefers(accept: str, csv: bool) -> None:
    assert wants_csv(accept) is csv


def serve(*options: str, code: str = "pass", **environment: str) -> subprocess.CompletedProcess[str]:
    run = f"import sys; sys.argv[1:] = {['serve', *options]!r}; {code}; from pipeline.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", run], cwd=ROOT, env={**os.environ, **environment}, capture_output=True,
        text=True, timeout=120, check=False,
    )  # fmt: skip


def test_without_its_packages_it_says_how_to_install_them() -> None:
    done = serve(code="import importlib.util as u; real = u.find_spec; u.find_spec = "
                 "lambda name, *a: None if name == 'fastapi' else real(name, *a)")  # fmt: skip
    assert done.returncode == 2
    assert "fastapi" in done.stderr
    assert "requirements-serve.txt" in done.stderr
    assert "Traceback" not in done.stderr


def test_settings_that_cannot_be_used_are_named() -> None:
    done = serve(CRY_SERVE_WORKERS="none")
    assert done.returncode == 2
    assert "CRY_SERVE_WORKERS" in done.stderr


def test_models_that_are_not_there_end_it(tmp_path: object) -> None:
    done = serve("--port", str(free_port()), CRY_ARTIFACTS_DIR=str(tmp_path), CRY_EMBEDDER="student")
    assert done.returncode == 2
    assert "crylens: " in done.stderr
    assert "Traceback" not in done.stderr


def test_an_address_in_use_is_told(service: Server) -> None:
    done = serve("--port", str(service.port), CRY_EMBEDDER="student")
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1:{service.port}" in done.stderr

"""Many at once: nothing is lost, what is too much is told so, and a stop finishes what was accepted."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
from serving import Server, assert_problem, send
from test_refusals import wav


def test_sixty_four_clients_at_once_lose_nothing(service: Server) -> None:
    cry, still = wav(3.0), wav(1.0)[:44] + bytes(32_000)
    everybody = threading.Barrier(64)

    def ask(number: int) -> tuple[int, httpx.Response]:
        with service.client(120) as client:
            everybody.wait(60)
            return number, send(client, "/classify", still if number % 2 else cry, f"{number}.wav")

    with ThreadPoolExecutor(64) as threads:
        answers = list(threads.map(ask, range(64)))
    for number, answer in answers:
        assert answer.status_code == 200, answer.text
        assert answer.json()["path"] == f"{number}.wav", "each gets its own answer"
        assert answer.json()["detection"]["is_cry"] is (number % 2 == 0)


def test_a_thousand_small_files(service: Server) -> None:
    """Bounded: eight clients, tenths of a second of silence, four minutes at most."""
    short = wav(1.0)[:44] + bytes(2 * 4_000)
    began, counts = time.monotonic(), Counter[int]()

    def several(_number: int) -> list[int]:
        with service.client(60) as client:
            return [send(client, "/v1/analyze", short).status_code for _ in range(125)]

    with ThreadPoolExecutor(8) as threads:
        for statuses in threads.map(several, range(8)):
            counts.update(statuses)
    assert counts == {200: 1000}
    assert time.monotonic() - began < 240


def test_a_full_queue_says_when_to_come_back(start: Callable[..., Server]) -> None:
    server = start(workers=1, queue=2)
    cry = wav(3.0)

    def ask(_number: int) -> httpx.Response:
        with server.client(120) as client:
            deadline = time.monotonic() + 200
            while time.monotonic() < deadline:
                answer = send(client, "/classify", cry)
                if answer.status_code == 200:
                    return answer
                assert_problem(answer, 503, "service/busy")
                refused.append(int(answer.headers["retry-after"]))
                time.sleep(0.3)
        return answer

    refused: list[int] = []
    with ThreadPoolExecutor(24) as threads:
        answers = list(threads.map(ask, range(24)))
    assert {answer.status_code for answer in answers} == {200}, "who comes back is served"
    assert refused
    assert all(1 <= seconds <= 60 for seconds in refused)


def test_a_stop_under_load_finishes_what_was_accepted(start: Callable[..., Server]) -> None:
    server = start(workers=1)
    cry = wav(3.0)
    sent, unheard = threading.Semaphore(0), []
    rng = np.random.default_rng(0)
    answers: list[httpx.Response] = []

    def ask(_number: int) -> None:
        with server.client(60) as client:
            try:
                request = client.build_request("POST", "/classify", files={"file": ("cry.wav", cry)})
                sent.release()
                answers.append(client.send(request))
            except httpx.ConnectError:
                unheard.append(1)  # came after the door was shut: never accepted

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for _ in threads:
        sent.acquire()
    time.sleep(0.5 + 0.2 * rng.random())
    status = server.stop(signal.SIGTERM)
    for thread in threads:
        thread.join(60)
    assert status == -signal.SIGTERM, "ended by the signal, as a supervisor expects"
    assert len(answers) + len(unheard) == 12, "no request was accepted and dropped"
    assert {answer.status_code for answer in answers} == {200}
    assert len(answers) >= 8

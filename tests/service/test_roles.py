"""Three roles as three processes give the answers of one; one of them down is told, and does not last."""

from __future__ import annotations

import io
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile
from serving import Server, assert_problem, free_port, send, serving
from websockets.sync.client import connect

from pipeline.audio import load

TOKEN = "between-us"


class Roles:
    """An orchestrator and its two, each of which can be ended and started again."""

    def __init__(self, folder: Path) -> None:
        self.ports = {name: free_port() for name in ("preprocessor", "predictor", "orchestrator")}
        self._folder = folder
        self._running: dict[str, tuple[object, Server]] = {}
        for name in self.ports:
            self.start(name, wait=False)
        self.orchestrator.wait_ready()

    def start(self, name: str, *, wait: bool = True) -> None:
        urls = {f"{n}_url": f"http://127.0.0.1:{p}" for n, p in self.ports.items() if n != "orchestrator"}
        context = serving(
            self._folder / f"{name}.jsonl", name, self.ports[name], wait=wait, token=TOKEN, **urls
        )
        self._running[name] = (context, context.__enter__())

    def kill(self, name: str) -> None:
        context, server = self._running.pop(name)
        server.process.kill()
        server.process.wait()
        context.__exit__(None, None, None)  # type: ignore[attr-defined]

    @property
    def orchestrator(self) -> Server:
        return self._running["orchestrator"][1]

    def client(self) -> httpx.Client:
        return httpx.Client(
            base_url=self.orchestrator.url, timeout=60, trust_env=False, verify=False,
            headers={"Authorization": f"Bearer {TOKEN}"},
        )  # fmt: skip

    def stop(self) -> None:
        for context, _server in self._running.values():
            context.__exit__(None, None, None)  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def roles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Roles]:
    started = Roles(tmp_path_factory.mktemp("roles"))
    yield started
    started.stop()


@pytest.fixture(scope="module")
def recordings(a_cry: Path, another_cry: Path, a_non_cry: Path) -> dict[str, bytes]:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.tile(load(a_cry).samples, 3), 16_000, format="WAV", subtype="PCM_16")
    files = {path.name: path.read_bytes() for path in (a_cry, another_cry, a_non_cry)}
    return {**files, "long.wav": buffer.getvalue(), "text.wav": b"no sound", "none.wav": b""}


def body(answer: httpx.Response) -> object:
    """What an answer says, apart from its own identifier."""
    if answer.headers["content-type"].startswith("text/csv"):
        return answer.text
    return {key: value for key, value in answer.json().items() if key != "request_id"}


def test_the_same_answers_as_one_process(
    roles: Roles, client: httpx.Client, recordings: dict[str, bytes]
) -> None:
    calls: list[tuple[str, dict[str, object], dict[str, str]]] = [
        ("/classify", {"top_k": 2, "features": True}, {}),
        ("/v1/analyze", {"windows": True, "reason_threshold": 0.99}, {}),
        ("/v1/analyze", {"detection_threshold": 0.1}, {"Accept": "text/csv"}),
        ("/preprocess", {"schema": "acoustic111"}, {}),
        ("/preprocess", {"schema": "nothing"}, {}),
    ]
    with roles.client() as theirs:
        for name, content in recordings.items():
            for path, query, headers in calls:
                one = send(client, path, content, name, params=query, headers=headers)
                three = send(theirs, path, content, name, params=query, headers=headers)
                assert (one.status_code, body(one)) == (three.status_code, body(three)), (name, path)
        for given in (
            {"features": [0.5] * 108},
            {"features": [1.0]},
            {"features": [0.0] * 108, "schema": "mfccmel336"},
        ):
            one, three = client.post("/predict", json=given), theirs.post("/predict", json=given)
            assert (one.status_code, body(one)) == (three.status_code, body(three))


@pytest.mark.parametrize("name", ['a"b.wav', "ä ü;%22.wav", "tab\there.wav", "a" * 400, ".."])
def test_the_same_name_of_a_recording(
    roles: Roles, client: httpx.Client, recordings: dict[str, bytes], name: str
) -> None:
    content, quoted = recordings["long.wav"][:64_044], name.replace('"', '\\"')
    form = f'--x\r\nContent-Disposition: form-data; name="file"; filename="{quoted}"\r\n\r\n'.encode()
    body_, kind = form + content + b"\r\n--x--\r\n", {"Content-Type": "multipart/form-data; boundary=x"}
    with roles.client() as theirs:
        paths = [c.post("/v1/analyze", content=body_, headers=kind).json()["path"] for c in (client, theirs)]
    assert paths[0] == paths[1]
    assert not set(paths[0]) & {'"', "\t"}


def test_the_same_live_stream(roles: Roles, service: Server, recordings: dict[str, bytes]) -> None:
    pcm = recordings["long.wav"][44:]

    def hear(url: str, headers: dict[str, str]) -> list[str]:
        address = f"{url.replace('http', 'ws')}/v1/stream?detection_threshold=0.5"
        with connect(address, additional_headers=headers, proxy=None) as live:
            for start in range(0, len(pcm), 32_000):
                live.send(pcm[start : start + 32_000])
            live.send("end")
            return list(live)  # type: ignore[arg-type]

    with_token = {"Authorization": f"Bearer {TOKEN}"}
    assert hear(roles.orchestrator.url, with_token) == hear(service.url, {})


def test_what_each_role_is_for(roles: Roles) -> None:
    with_token = {"Authorization": f"Bearer {TOKEN}"}

    def statuses(name: str) -> dict[str, int]:
        url = f"http://127.0.0.1:{roles.ports[name]}"
        paths = ("/classify", "/v1/hear", "/preprocess", "/predict")
        with httpx.Client(base_url=url, headers=with_token, trust_env=False, verify=False) as client:
            return {path: client.post(path).status_code for path in paths}

    assert statuses("preprocessor") == {
        "/classify": 404,
        "/v1/hear": 415,
        "/preprocess": 415,
        "/predict": 404,
    }
    assert statuses("predictor") == {"/classify": 404, "/v1/hear": 404, "/preprocess": 404, "/predict": 415}
    assert statuses("orchestrator") == {
        "/classify": 415,
        "/v1/hear": 404,
        "/preprocess": 415,
        "/predict": 415,
    }
    with roles.client() as client:
        ready = client.get("/ready").json()
        assert (ready["role"], ready["embedder"], len(ready["reasons"])) == ("orchestrator", "student", 5)


@pytest.mark.parametrize("name", ["predictor", "preprocessor"])
def test_one_down_is_told_and_recovered_from(roles: Roles, recordings: dict[str, bytes], name: str) -> None:
    cry = recordings["long.wav"]
    with roles.client() as client:
        assert send(client, "/classify", cry).status_code == 200
        roles.kill(name)
        for _ in range(4):
            refused = send(client, "/classify", cry)
            assert_problem(refused, 503, f"service/{name}-unavailable")
            assert int(refused.headers["retry-after"]) >= 1
        began = time.monotonic()
        send(client, "/classify", cry)
        assert time.monotonic() - began < 5, "while the circuit is open nobody waits for it"
        if name == "predictor":
            silence = send(client, "/classify", cry[:44] + bytes(len(cry) - 44))
            assert silence.json()["label"] is None, "what needs no reasons needs no predictor"
        assert client.get("/health").status_code == 200
        assert_problem(client.get("/ready"), 503, f"service/{name}-unavailable")
        roles.start(name)
        deadline = time.monotonic() + 20
        while (answer := send(client, "/classify", cry)).status_code != 200 and time.monotonic() < deadline:
            time.sleep(0.5)
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("name", ["predictor", "preprocessor"])
def test_one_killed_and_started_again_under_load(
    roles: Roles, recordings: dict[str, bytes], name: str
) -> None:
    """Every request is answered, rightly or with 503; none hangs, none is lost, all is well in the end."""
    cry, over = recordings["long.wav"][:160_044], threading.Event()
    counts: Counter[object] = Counter()
    lost: list[httpx.HTTPError] = []
    lock = threading.Lock()

    def ask() -> None:
        with roles.client() as client:
            while not over.is_set():
                try:
                    answer = send(client, "/classify", cry)
                except httpx.HTTPError as error:
                    lost.append(error)
                    return
                told = answer.json().get("code") or answer.json()["label"]
                with lock:
                    counts[answer.status_code, told] += 1
                if answer.status_code != 200:
                    time.sleep(0.1)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(0.5)
        roles.kill(name)
        time.sleep(0.5)
        roles.start(name)
        time.sleep(2.5)  # longer than the circuit stays open
        before = counts.copy()
        time.sleep(1.5)
    finally:
        over.set()
        for thread in threads:
            thread.join(60)
    after = counts - before
    assert not lost
    assert not any(thread.is_alive() for thread in threads)
    refused = {key for key in counts if key[0] != 200}  # type: ignore[index]
    assert refused <= {(503, f"service/{name}-unavailable"), (503, "service/busy")}, counts
    assert sum(after.values())
    assert {key[0] for key in after} == {200}, after  # type: ignore[index]
    assert len({key for key in counts if key[0] == 200}) == 1, json.dumps(str(counts))  # type: ignore[index]

"""Recordings, forms and numbers the service refuses, and how; every refusal is followed by an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from made_recordings import flac_bomb, wav, wav_claiming, with_nan, zipped
from serving import MOST_BYTES, Server, assert_problem, send

pytestmark = pytest.mark.usefixtures("still_answers")


@pytest.fixture
def client(tight: Server) -> Iterator[httpx.Client]:
    with tight.client() as opened:
        yield opened


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (lambda: b"", 400, "audio/empty"),
        (lambda: b"just some text", 415, "audio/not-audio"),
        (lambda: bytes(range(256)) * 20, 415, "audio/not-audio"),
        (zipped, 415, "audio/not-audio"),
        (lambda: b"\x1f\x8b\x08" + bytes(500), 415, "audio/not-audio"),
        (lambda: b"#EXTM3U\nhttp://127.0.0.1:1/a.wav\n", 415, "audio/not-audio"),
        (lambda: b"ffconcat version 1.0\nfile /etc/passwd\n", 415, "audio/not-audio"),
        (lambda: wav(0.05), 422, "audio/too-short"),
        (lambda: flac_bomb(120), 413, "audio/too-long"),
        (with_nan, 422, "audio/non-finite"),
        (lambda: wav_claiming(2_000_000_000, 1), 415, "audio/not-audio"),
        (lambda: wav_claiming(16_000, 65_000), 415, "audio/not-audio"),
        (lambda: bytes(MOST_BYTES + 200_000), 413, "audio/too-large"),
    ],
)
def test_what_is_no_recording(
    client: httpx.Client, content: Callable[[], bytes], status: int, code: str
) -> None:
    document = assert_problem(send(client, "/classify", content(), "thing.wav"), status, code)
    assert document["detail"]


def test_a_video_without_sound(client: httpx.Client, tmp_path: Path) -> None:
    import av

    path = tmp_path / "silent.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        for packet in [*stream.encode(av.VideoFrame(64, 64, "yuv420p")), *stream.encode(None)]:
            output.mux(packet)
    assert_problem(send(client, "/v1/analyze", path), 415, "audio/no-audio-track")


def test_a_damaged_recording_is_heard_as_far_as_it_goes(client: httpx.Client, another_cry: Path) -> None:
    whole = another_cry.read_bytes()
    answer = send(client, "/classify", whole[: len(whole) // 2]).json()
    assert 1 < answer["duration_s"] < 4
    assert "cut short" in answer["warnings"][0]


@pytest.mark.parametrize("seed", range(6))
def test_noise_in_the_file_of_a_recording(client: httpx.Client, another_cry: Path, seed: int) -> None:
    """Whatever a flipped byte does to a decoder, it is an answer or a refusal."""
    rng = np.random.default_rng(seed)
    content = bytearray(another_cry.read_bytes() if seed % 2 else wav())
    for where in rng.integers(0, len(content), 300 if seed % 2 else 20):
        content[where] = rng.integers(256)
    answer = send(client, "/classify", bytes(content))
    assert answer.status_code in (200, 400, 413, 415, 422)


def test_forms_without_the_file_or_with_too_many(client: httpx.Client) -> None:
    assert_problem(client.post("/classify", files={"sound": b"x"}), 422, "request/invalid")
    several = [("file", ("a.wav", wav())), ("file", ("b.wav", wav()))]
    assert_problem(client.post("/classify", files=several), 400, "request/malformed")
    text = client.post("/classify", files={"x": (None, "y")}, data={"file": "text"})
    assert_problem(text, 422, "request/invalid")
    assert_problem(client.post("/classify", content=wav()), 415, "request/unsupported-media-type")
    assert_problem(client.post("/classify", json={"file": "x"}), 415, "request/unsupported-media-type")
    packed = send(client, "/classify", wav(), headers={"Content-Encoding": "gzip"})
    assert_problem(packed, 415, "request/unsupported-media-type")


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/classify", {"top_k": "0"}),
        ("/classify", {"top_k": "many"}),
        ("/classify", {"detection_threshold": "1.5"}),
        ("/v1/analyze", {"reason_threshold": "nan"}),
        ("/v1/analyze", {"detection_threshold": "-0.1"}),
    ],
)
def test_parameters_out_of_range(client: httpx.Client, path: str, query: dict[str, str]) -> None:
    document = assert_problem(send(client, path, wav(), params=query), 422, "request/invalid")
    [error] = document["errors"]  # type: ignore[misc]
    assert error["where"] == f"query.{next(iter(query))}"


def test_unknown_schema_and_long_recordings_have_no_features(client: httpx.Client) -> None:
    unknown = send(client, "/preprocess", wav(), params={"schema": "acoustic9000"})
    assert "mfccmel336" in str(assert_problem(unknown, 422, "features/unknown-schema")["detail"])


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "request/malformed"),
        (b"\xff\xfe", 400, "request/malformed"),
        (b"[]", 422, "request/invalid"),
        (b"{}", 422, "features/invalid"),
        (b'{"features": []}', 422, "features/invalid"),
        (b'{"features": [1, 2, 3]}', 422, "features/schema-mismatch"),
        (b'{"features": [1, 2, "x"]}', 422, "features/invalid"),
        (b'{"features": [' + b"0," * 107 + b"NaN]}", 422, "features/invalid"),
        (b'{"features": [' + b"0," * 107 + b"1e39]}", 422, "features/invalid"),
        (b'{"features": [' + b"0," * 107 + b'0], "schema": "mfccmel336"}', 422, "features/schema-mismatch"),
        (b'{"features": [' + b"0," * 107 + b'0], "reason_threshold": 2}', 422, "request/invalid"),
        (b'{"features": [' + b"0, " * 600_000 + b"0]}", 413, "request/too-large"),
        (b"[" * 100_000, 400, "request/malformed"),
    ],
)  # fmt: skip
def test_features_that_cannot_be_judged(client: httpx.Client, body: bytes, status: int, code: str) -> None:
    answer = client.post("/predict", content=body, headers={"Content-Type": "application/json"})
    assert_problem(answer, status, code)


@pytest.mark.parametrize("value", [-1e9, 1e9])
def test_extreme_features_are_judged(client: httpx.Client, value: float) -> None:
    answer = client.post("/predict", json={"features": [value] * 108})
    assert answer.status_code == 200
    assert sum(answer.json()["probabilities"].values()) == pytest.approx(1)


def test_there_is_nothing_else_here(client: httpx.Client) -> None:
    assert_problem(client.get("/nothing"), 404, "request/not-found")
    assert_problem(client.get("/classify/"), 404, "request/not-found")
    refused = client.get("/classify")
    assert_problem(refused, 405, "request/method-not-allowed")
    assert refused.headers["allow"] == "POST"
    assert_problem(client.post("/v1/hear"), 404, "request/not-found")

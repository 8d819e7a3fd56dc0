"""The Lambda package, built and run by itself: the service's answers to API Gateway, within 250 MB."""

from __future__ import annotations

import base64
import importlib.metadata
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from pipeline.analysis import CryPipeline
from pipeline.audio import load
from pipeline.service.answers import Hearing, classification

ROOT = Path(__file__).resolve().parent.parent.parent
LAMBDA = ROOT / "deploy" / "lambda"
RUN = """
import json, sys
sys.path[:] = [sys.argv[1], *(p for p in sys.path if "site-packages" not in p)]
import handler
exec(sys.argv[2])
answers = [handler.handler(event, None) for event in json.load(sys.stdin)]
print(json.dumps({"answers": answers, "modules": sorted({name.split(".")[0] for name in sys.modules})}))
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Built of the libraries that are installed here, which are those that it names; and its sizes."""
    out = tmp_path_factory.mktemp("lambda") / "package"
    here = str(Path(str(importlib.metadata.distribution("numpy").locate_file(""))))
    command = [sys.executable, str(LAMBDA / "build.py"), str(out), "--packages", here]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return out, json.loads(done.stdout)


def handle(
    package: Path, events: list[dict[str, Any]], first: str = ""
) -> tuple[list[dict[str, Any]], set[str]]:
    """What a fresh interpreter that sees nothing but the package answers, once it has run ``first``."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", RUN, str(package), first],
        input=json.dumps(events), capture_output=True, text=True, check=False, timeout=300,
        env={"PATH": os.defpath, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    sys.stderr.write(done.stderr)  # what the handler logged, shown when a test fails
    told = json.loads(done.stdout)
    return told["answers"], set(told["modules"])


def http_api(body: bytes, kind: str, query: dict[str, str] | None = None) -> dict[str, Any]:
    """An event of an HTTP API, payload 2.0, as AWS documents it."""
    return {
        "version": "2.0",
        "routeKey": "POST /classify",
        "rawPath": "/classify",
        "rawQueryString": "&".join(f"{k}={v}" for k, v in (query or {}).items()),
        "headers": {"accept": "*/*", "content-length": str(len(body)), "content-type": kind},
        **({"queryStringParameters": query} if query else {}),
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "r3pmxmplak",
            "domainName": "r3pmxmplak.execute-api.us-east-2.amazonaws.com",
            "http": {"method": "POST", "path": "/classify", "protocol": "HTTP/1.1", "sourceIp": "203.0.113.7",
                     "userAgent": "curl/8.0"},
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "POST /classify",
            "stage": "$default",
            "time": "10/Mar/2026:05:16:23 +0000",
            "timeEpoch": 1773119783000,
        },
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }  # fmt: skip


def rest_api(body: bytes, kind: str, query: dict[str, str] | None = None) -> dict[str, Any]:
    """An event of a REST API, payload 1.0, as AWS documents it."""
    return {
        "resource": "/classify",
        "path": "/classify",
        "httpMethod": "POST",
        "headers": {"Accept": "*/*", "Content-Type": kind, "Host": "x.example", "X-Forwarded-Port": "443"},
        "multiValueHeaders": {"Accept": ["*/*"], "Content-Type": [kind]},
        "queryStringParameters": query,
        "multiValueQueryStringParameters": {k: [v] for k, v in query.items()} if query else None,
        "pathParameters": None,
        "stageVariables": None,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "70ixmpl4fl",
            "httpMethod": "POST",
            "identity": {"sourceIp": "203.0.113.7", "userAgent": "curl/8.0"},
            "path": "/Prod/classify",
            "protocol": "HTTP/1.1",
            "requestId": "66da07c3-example",
            "resourcePath": "/classify",
            "stage": "Prod",
        },
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }


def form(content: bytes, name: str) -> tuple[bytes, str]:
    head = f'--b\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
    middle = "Content-Type: application/octet-stream\r\n\r\n"
    return (head + middle).encode() + content + b"\r\n--b--\r\n", "multipart/form-data; boundary=b"


def wav(path: Path, times: int = 1) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.tile(load(path).samples, times), 16_000, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def expected(pipeline: CryPipeline, content: bytes, name: str, top_k: int = 3) -> dict[str, Any]:
    found = pipeline.analyze(content, name=name)
    reasons = found.reasons.to_dict() if found.reasons else None
    hearing = Hearing(found.to_dict(), [], None, [])
    return classification(hearing, reasons, top_k=top_k, names=None)


def assert_same(given: Any, wanted: Any) -> None:
    """The same but for what single precision makes of neighbours at distance 0."""
    if isinstance(wanted, dict):
        assert given.keys() == wanted.keys()
        for key in wanted:
            assert_same(given[key], wanted[key])
    elif isinstance(wanted, list):
        assert len(given) == len(wanted)
        for one, other in zip(given, wanted, strict=True):
            assert_same(one, other)
    elif isinstance(wanted, float):
        assert given == pytest.approx(wanted, abs=1e-3)
    else:
        assert given == wanted


def test_it_fits(package: tuple[Path, dict[str, Any]]) -> None:
    out, sizes = package
    assert sizes["bytes"] == sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    assert sizes["bytes"] < 250_000_000 < sizes["limit"] == 250 * 2**20
    assert not list(out.rglob("*.joblib")), "nothing to unpickle"


def test_it_says_what_classify_says(
    package: tuple[Path, dict[str, Any]], a_cry: Path, another_cry: Path, a_non_cry: Path
) -> None:
    flac, long = a_cry.read_bytes(), wav(a_cry, 4)
    other, vacuum = another_cry.read_bytes(), a_non_cry.read_bytes()
    events = [
        http_api(flac, "audio/flac"),
        rest_api(flac, "audio/flac", {"top_k": "5"}),
        http_api(*form(long, "/home/anna/night.wav")),
        rest_api(*form(other, "other.ogg")),
        http_api(vacuum, "audio/ogg"),
        http_api(
            flac, "audio/flac", {"reason_threshold": "1", "features": "true", "detection_threshold": "0.1"}
        ),
    ]
    answers, modules = handle(package[0], events)
    assert {answer["statusCode"] for answer in answers} == {200}, answers[0]["body"]
    assert not modules & {"tensorflow", "keras", "librosa", "sklearn", "numba", "xgboost", "av", "starlette"}
    bodies = [json.loads(answer["body"]) for answer in answers]
    pipeline = CryPipeline.load("student")
    assert_same(bodies[0], expected(pipeline, flac, "recording"))
    assert_same(bodies[1], expected(pipeline, flac, "recording", 5))
    assert_same(bodies[2], expected(pipeline, long, "night.wav"))
    assert_same(bodies[3], expected(pipeline, other, "other.ogg"))
    assert_same(bodies[4], expected(pipeline, vacuum, "recording"))
    assert (bodies[5]["label"], len(bodies[5]["features"]["features"])) == ("not sure", 108)
    assert answers[0]["headers"]["Content-Type"] == "application/json"


PHONES = {
    "m4a": ("mp4", "aac", 16_000), "3gp": ("3gp", "libopencore_amrnb", 8_000),
    "amr": ("amr", "libopencore_amrnb", 8_000), "mp3": ("mp3", "libmp3lame", 16_000),
    "webm": ("webm", "libopus", 48_000), "opus": ("ogg", "libopus", 48_000),
    "mov": ("mov", "pcm_s16le", 16_000),
}  # fmt: skip


def test_what_phones_and_browsers_send(package: tuple[Path, dict[str, Any]], another_cry: Path) -> None:
    import av

    values = (np.clip(load(another_cry).samples, -1, 1) * 32767).astype(np.int16)[None]
    sent = []
    for container, codec, rate in PHONES.values():
        buffer = io.BytesIO()
        with av.open(buffer, "w", format=container) as output:
            stream = output.add_stream(codec, rate=rate, layout="mono")
            frame = av.AudioFrame.from_ndarray(values, "s16", "mono")
            frame.sample_rate = 16_000
            for packet in [*stream.encode(frame), *stream.encode(None)]:
                output.mux(packet)
        sent.append(buffer.getvalue())
    cut = sent[0] + sent[0][:99]
    answers, modules = handle(package[0], [http_api(content, "audio/x") for content in [*sent, cut]])
    assert "av" in modules
    pipeline = CryPipeline.load("student")
    for name, content, answer in zip([*PHONES, "cut"], [*sent, cut], answers, strict=True):
        assert answer["statusCode"] == 200, (name, answer["body"])
        assert_same(json.loads(answer["body"]), expected(pipeline, content, "recording"))


def test_decoding_may_not_take_long(package: tuple[Path, dict[str, Any]], a_cry: Path) -> None:
    """Minutes of silence in a few bytes, with next to no time to decode them: the next recording is heard."""
    events = [http_api(content, "audio/flac") for content in (silence(800), a_cry.read_bytes())]
    [stopped, heard], _ = handle(package[0], events, "handler.DECODE_S = 0.1")
    assert (stopped["statusCode"], json.loads(stopped["body"])["code"]) == (422, "audio/decoding-stopped")
    assert heard["statusCode"] == 200, heard["body"]


def silence(seconds: int) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros(seconds * 16_000, np.int16), 16_000, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def test_what_it_refuses(package: tuple[Path, dict[str, Any]], a_cry: Path) -> None:
    flac = a_cry.read_bytes()
    refused: list[tuple[dict[str, Any], int, str]] = [
        (http_api(b"", "audio/wav"), 400, "audio/empty"),
        (http_api(b"not a sound", "audio/wav"), 415, "audio/not-audio"),
        ({**http_api(b"x", "audio/wav"), "body": "%%%"}, 400, "request/malformed"),
        (http_api(bytes(6 * 2**20 + 1), "audio/wav"), 413, "audio/too-large"),
        (http_api(b"--b--", "multipart/form-data; boundary=b"), 422, "request/invalid"),
        (http_api(b"", "multipart/form-data"), 422, "request/invalid"),
        (rest_api(flac, "audio/flac", {"top_k": "0"}), 422, "request/invalid"),
        (rest_api(flac, "audio/flac", {"detection_threshold": "nan"}), 422, "request/invalid"),
        ({**rest_api(flac, "audio/flac"), "httpMethod": "GET"}, 405, "request/method-not-allowed"),
        ({**http_api(b"", "text/plain"), "body": "words", "isBase64Encoded": False}, 415, "audio/not-audio"),
        (http_api(b"ID3" + bytes(400), "audio/mpeg"), 415, "audio/not-audio"),
        (http_api(silence(1000), "audio/flac"), 413, "audio/too-long"),
        ({"version": "2.0"}, 405, "request/method-not-allowed"),
    ]
    answers, _ = handle(package[0], [event for event, *_ in refused])
    for answer, (_, status, code) in zip(answers, refused, strict=True):
        document = json.loads(answer["body"])
        assert (answer["statusCode"], document["code"]) == (status, code), document
        assert answer["headers"]["Content-Type"] == "application/problem+json"
        assert document["request_id"] == answer["headers"]["X-Request-ID"]
        assert "Traceback" not in answer["body"]

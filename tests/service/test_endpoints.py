"""Every endpoint, over real HTTP, with real recordings in every format; what it says is what analyze says."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile
from serving import ROOT, Server, assert_problem, send

from pipeline import acoustics
from pipeline.audio import load
from pipeline.synthesis import DEMOS


@pytest.fixture(scope="module")
def recordings(
    tmp_path_factory: pytest.TempPathFactory, a_cry: Path, another_cry: Path, a_non_cry: Path
) -> Path:
    """A folder of recordings: crying, none, long, and damaged."""
    folder = tmp_path_factory.mktemp("recordings")
    (folder / "cry.flac").write_bytes(a_cry.read_bytes())
    (folder / "vacuum.ogg").write_bytes(a_non_cry.read_bytes())
    whole = another_cry.read_bytes()
    (folder / "cut.ogg").write_bytes(whole[: len(whole) // 2])
    cry, vacuum = load(a_cry).samples, load(a_non_cry).samples
    sound = np.concatenate([vacuum, cry, vacuum, cry, 0.3 * vacuum])
    stereo = np.stack([sound, 0.5 * sound], axis=1)
    soundfile.write(folder / "long.wav", stereo, 16_000, subtype="PCM_16")
    return folder


@pytest.fixture(scope="module")
def said(recordings: Path) -> dict[str, dict[str, object]]:
    """What the command line says of them, by name."""
    paths = sorted(recordings.iterdir())
    command = [sys.executable, "-m", "pipeline", "analyze", *map(str, paths), "--embedder", "student"]
    done = subprocess.run(
        [*command, "--format", "jsonl"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return {Path(r["path"]).name: r for r in map(json.loads, done.stdout.splitlines())}


def without_path(record: dict[str, object]) -> dict[str, object]:
    """A record as it is whatever the recording is called."""
    path = str(record["path"])
    return json.loads(json.dumps({**record, "path": ""}).replace(path, Path(path).name))


def test_analyze_says_what_the_command_line_says(
    client: httpx.Client, recordings: Path, said: dict[str, dict[str, object]]
) -> None:
    assert {name for name, record in said.items() if record["reasons"]} >= {"cry.flac", "long.wav"}
    assert said["cut.ogg"]["warnings"]
    for path in sorted(recordings.iterdir()):
        answer = send(client, "/v1/analyze", path, path.name)
        assert answer.status_code == 200, answer.text
        assert answer.json()["path"] == path.name
        assert without_path(answer.json()) == without_path(said[path.name])


def test_analyze_as_csv_has_the_same_columns_and_values(
    client: httpx.Client, recordings: Path, said: dict[str, dict[str, object]]
) -> None:
    for name in ("cry.flac", "vacuum.ogg"):
        answer = send(client, "/v1/analyze", recordings / name, name, headers={"Accept": "text/csv"})
        assert answer.headers["content-type"].startswith("text/csv")
        [row] = csv.DictReader(io.StringIO(answer.text))
        assert row["is_cry"] == str(said[name]["is_cry"]).lower()
        assert "probability_hungry" in row
        assert float(row["cry_probability"]) == pytest.approx(said[name]["cry_probability"], rel=1e-5)
    both = {"Accept": "application/json, text/csv;q=0.5"}
    assert send(client, "/v1/analyze", recordings / "cry.flac", headers=both).json()["is_cry"] is True


def test_thresholds_and_windows(client: httpx.Client, recordings: Path) -> None:
    asked = {"detection_threshold": 1.0, "reason_threshold": 0.0, "windows": True}
    answer = send(client, "/v1/analyze", recordings / "cry.flac", params=asked).json()
    assert (answer["threshold"], answer["is_cry"], answer["episodes"], answer["reasons"]) == (
        1.0,
        False,
        [],
        None,
    )
    scores = [window["score"] for window in answer["windows"]]
    assert max(scores) == answer["cry_probability"]
    asked = {"detection_threshold": 0.0, "reason_threshold": 1.0}
    assert (
        send(client, "/v1/analyze", recordings / "vacuum.ogg", params=asked).json()["reasons"]["label"]
        is None
    )


def test_classify_says_the_same_in_a_flat_form(
    client: httpx.Client, recordings: Path, said: dict[str, dict[str, object]]
) -> None:
    for name, record in said.items():
        answer = send(client, "/classify", recordings / name, name, params={"top_k": 5}).json()
        assert answer["detection"].items() <= record.items()
        assert answer["episodes"] == record["episodes"]
        assert answer["warnings"] == without_path(record)["warnings"]
        reasons = record["reasons"]
        if reasons is None:
            assert (answer["label"], answer["class_id"], answer["probability"], answer["top_k"]) == (
                None,
                None,
                None,
                [],
            )
            continue
        names = list(reasons["probabilities"])
        assert {r["label"]: r["probability"] for r in answer["top_k"]} == reasons["probabilities"]
        assert [r["label"] for r in answer["top_k"]] == sorted(
            names, key=lambda n: -reasons["probabilities"][n]
        )
        assert all(names[r["class_id"]] == r["label"] for r in answer["top_k"])
        assert answer["label"] == (reasons["label"] or "not sure")


def test_not_sure_has_no_class(client: httpx.Client, recordings: Path) -> None:
    answer = send(
        client, "/classify", recordings / "cry.flac", params={"reason_threshold": 1, "top_k": 1}
    ).json()
    assert (answer["label"], answer["class_id"], answer["probability"]) == ("not sure", None, None)
    assert len(answer["top_k"]) == 1


@pytest.mark.parametrize("name", ["cry.flac", "vacuum.ogg"])
def test_features_on_request(client: httpx.Client, recordings: Path, name: str) -> None:
    answer = send(client, "/classify", recordings / name, params={"features": True}).json()
    expected = acoustics.extract(load(recordings / name).samples)
    assert answer["features"]["features"] == expected.tolist()
    assert answer["features"]["names"] == list(acoustics.feature_names())
    assert "features" not in send(client, "/classify", recordings / name).json()


@pytest.mark.parametrize(("schema", "count"), [(None, 108), ("acoustic111", 111), ("mfccmel336", 336)])
def test_preprocess_gives_named_features(
    client: httpx.Client, recordings: Path, schema: str | None, count: int
) -> None:
    answer = send(
        client, "/preprocess", recordings / "cry.flac", params={"schema": schema} if schema else None
    ).json()
    assert answer["schema"] == (schema or "acoustic108")
    assert len(answer["features"]) == len(set(answer["names"])) == count
    assert answer["sample_rate"] == 16_000
    if count != 336:
        assert (
            answer["features"]
            == acoustics.extract(load(recordings / "cry.flac").samples, answer["schema"]).tolist()
        )


def test_features_pasted_into_predict_give_what_analyze_says(
    client: httpx.Client, recordings: Path, said: dict[str, dict[str, object]]
) -> None:
    features = send(client, "/preprocess", recordings / "cry.flac").json()
    answer = client.post("/predict", json=features).json()
    reasons = said["cry.flac"]["reasons"]
    assert {**reasons, "label": answer["label"]}.items() <= answer.items()
    assert answer["label"] == (reasons["label"] or "not sure")
    unsure = client.post("/predict", json={**features, "reason_threshold": 1.0}, params={"top_k": 2}).json()
    assert (unsure["label"], unsure["class_id"], len(unsure["top_k"])) == ("not sure", None, 2)


FORMATS = {
    "wav": ("wav", "pcm_s16le"), "flac": ("flac", "flac"), "ogg": ("ogg", "vorbis"),
    "opus": ("ogg", "libopus"), "mp3": ("mp3", "libmp3lame"), "m4a": ("mp4", "aac"), "aac": ("adts", "aac"),
    "webm": ("webm", "libopus"), "caf": ("caf", "pcm_s16be"), "aiff": ("aiff", "pcm_s16be"),
    "mov": ("mov", "aac"), "mka": ("matroska", "pcm_s16le"), "3gp": ("3gp", "aac"),
    "w64": ("w64", "pcm_s16le"), "au": ("au", "pcm_s16be"),
}  # fmt: skip


def write(path: Path, samples: np.ndarray, container: str, codec: str) -> None:
    import av

    if codec == "vorbis":  # FFmpeg's own encoder of it is none to test with
        soundfile.write(path, samples, 16_000, format="OGG", subtype="VORBIS")
        return
    with av.open(str(path), "w", format=container) as output:
        stream = output.add_stream(codec, rate=48_000 if codec == "libopus" else 16_000, layout="mono")
        values = (np.clip(samples, -1, 1) * 32767).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(values, "s16", "mono")
        frame.sample_rate = 16_000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            output.mux(packet)


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format(client: httpx.Client, another_cry: Path, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cry.{suffix}"
    write(path, load(another_cry).samples, *FORMATS[suffix])
    answer = send(client, "/classify", path, path.name).json()
    assert answer["detection"]["is_cry"] is True, answer
    assert answer["duration_s"] == pytest.approx(5.0, abs=0.15)


def test_health_ready_and_metrics(client: httpx.Client, recordings: Path) -> None:
    assert client.get("/health").json()["status"] == "ok"
    ready = client.get("/ready").json()
    assert (ready["status"], ready["role"], ready["embedder"]) == ("ready", "all", "student")
    assert ready["libraries"]["numpy"] == np.__version__
    assert len(ready["reasons"]) == 5

    def figures() -> dict[str, float]:
        text = client.get("/metrics").text
        return {m[1]: float(m[2]) for m in re.finditer(r"^([a-z][^#\s]*) (\S+)$", text, re.M)}

    before = figures()
    send(client, "/classify", recordings / "cry.flac")
    send(client, "/classify", b"not a sound at all")
    assert client.request("BREW", "/coffee").status_code == 404
    after = figures()

    def grown(name: str) -> float:
        return after[name] - before.get(name, 0.0)

    assert grown('crylens_requests_total{method="POST",route="/classify",status="200"}') == 1
    assert grown('crylens_errors_total{code="audio/not-audio"}') == 1
    assert grown('crylens_requests_total{method="other",route="other",status="404"}') == 1
    assert not [name for name in after if "BREW" in name or "coffee" in name], "strangers make no labels"
    assert grown('crylens_audio_seconds_total{route="/classify"}') == pytest.approx(7, abs=0.2)
    assert grown('crylens_request_seconds_count{route="/classify"}') == 2
    assert after["crylens_queue_waiting"] == after["crylens_queue_running"] == 0


def test_the_log_has_identifiers_and_nothing_private(service: Server, recordings: Path) -> None:
    with service.client() as client:
        named = "my-own.identifier-1"
        answer = send(
            client, "/classify", recordings / "cry.flac", "Anna-at-night.wav", headers={"X-Request-ID": named}
        )
        assert answer.headers["x-request-id"] == named
        strange = send(client, "/classify", b"x", "Anna-at-night.wav", headers={"X-Request-ID": "a b;c"})
        assert_problem(strange, 415, "audio/not-audio")
        assert strange.headers["x-request-id"] != "a b;c"
    lines = [json.loads(line) for line in service.log.read_text().splitlines()]
    [mine] = [line for line in lines if line.get("request_id") == named]
    assert (mine["method"], mine["route"], mine["status"]) == ("POST", "/classify", 200)
    assert "Anna" not in service.log.read_text()
    assert "127.0.0.1:" not in "".join(json.dumps(line) for line in lines if line["event"] == "request")


def test_openapi_examples_work_when_pasted(client: httpx.Client, service: Server, tmp_path: Path) -> None:
    document = client.get("/openapi.json").json()
    predict = document["paths"]["/predict"]["post"]
    given = predict["requestBody"]["content"]["application/json"]["example"]
    shown = predict["responses"]["200"]["content"]["application/json"]["example"]
    assert about(client.post("/predict", json=given).json()) == about(shown)
    soundfile.write(tmp_path / "cry.wav", DEMOS["cry"].make().samples, 16_000, subtype="PCM_16")
    (tmp_path / "features.json").write_text(json.dumps(given))
    ran = 0
    for path, methods in document["paths"].items():
        for operation in methods.values():
            for command in re.findall(r"```sh\n(.*?)\n```", operation.get("description", "")):
                here = command.replace("http://127.0.0.1:8000", service.url)
                done = subprocess.run(
                    [*shlex.split(here), "-s", "--fail-with-body"],
                    cwd=tmp_path,
                    capture_output=True,
                    text=True,
                    check=False,
                )
                assert done.returncode == 0, done.stdout
                content = operation["responses"]["200"]["content"]["application/json"]
                if "example" in content:
                    assert about(json.loads(done.stdout)) == about(content["example"]), path
                ran += 1
    assert ran == 4


def test_what_the_readme_pastes_gives_the_answer_it_shows(service: Server, tmp_path: Path) -> None:
    """Commands and answer as they stand there; figures are rounded there to three digits."""
    section = (ROOT / "README.md").read_text().partition("### A service")[2]
    [commands] = re.findall(r"```sh\n([^`]*demo_cry[^`]*)```", section)
    shown = json.loads(re.findall(r"```json\n(.*?)```", section, re.DOTALL)[0])
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    here = commands.replace("http://127.0.0.1:8000", service.url).replace("curl ", "curl --silent ")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "-ec", here], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert_near(json.loads(done.stdout), shown)


def assert_near(given: object, shown: object) -> None:
    """The same, numbers to within what another processor may round otherwise."""
    if isinstance(shown, dict):
        assert isinstance(given, dict)
        assert list(given) == list(shown)
        for key, value in shown.items():
            assert_near(given[key], value)
    elif isinstance(shown, list):
        assert isinstance(given, list)
        assert len(given) == len(shown)
        for one, other in zip(given, shown, strict=True):
            assert_near(one, other)
    elif isinstance(shown, float):
        assert given == pytest.approx(shown, abs=5e-3)
    else:
        assert given == shown


def about(answer: object) -> object:
    """An answer as far as a model trained again would say the same: its form, its words, no figures."""
    if isinstance(answer, dict):
        return {key: about(value) for key, value in answer.items()}
    if isinstance(answer, list):
        return [about(value) for value in answer[:1]]
    return type(answer).__name__ if isinstance(answer, int | float | str) else answer


def test_docs_are_served(client: httpx.Client) -> None:
    answer = client.get("/docs")
    assert answer.status_code == 200
    assert "openapi.json" in answer.text

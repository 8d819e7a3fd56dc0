"""Data sets of the Hugging Face Hub: both shapes, a Hub of our own on this machine, and what goes wrong."""

from __future__ import annotations

import builtins
import hashlib
import io
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from pyarrow import parquet

from pipeline.audio import load as load_audio
from pipeline.errors import DataError
from pipeline.training.data import read_manifest
from pipeline.zoo import hub_dataset, reason_clips

NAMES = ["belly pain", "hungry", "silence"]
DONOR = "035c6b30-a145-42b9-8d0f-445cd9003d2c"


@pytest.fixture(scope="module")
def sounds(a_cry: Path) -> list[bytes]:
    """Six half-second cuts of a real cry, as WAV files."""
    samples = load_audio(a_cry).samples
    cuts = []
    for i in range(6):
        file = io.BytesIO()
        soundfile.write(file, samples[i * 8_000 : (i + 1) * 8_000], 16_000, format="WAV")
        cuts.append(file.getvalue())
    return cuts


def described(names: list[str]) -> dict[bytes, bytes]:
    """The description that the ``datasets`` library writes into a parquet file."""
    features = {"audio": {"_type": "Audio"}, "label": {"names": names, "_type": "ClassLabel"}}
    return {b"huggingface": json.dumps({"info": {"features": features}}).encode()}


def write_parquet(place: Path, rows: list[dict[str, Any]], names: list[str] | None = NAMES) -> None:
    label = pa.int64() if names is not None else pa.string()
    audio = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema([("audio", audio), ("label", label)], metadata=described(names) if names else None)
    place.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.Table.from_pylist(rows, schema), place)


def rows_of(sounds: list[bytes]) -> list[dict[str, Any]]:
    files = [f"{DONOR}-1430000000-1.0-m-04-hu.wav", f"{DONOR}-1430000001-1.0-m-04-hu.wav", "a b.wav", None]
    return [
        {"audio": {"bytes": sounds[i], "path": files[i]}, "label": (1, 0, 0, 2)[i]} for i in range(len(files))
    ]


def test_parquet_becomes_a_data_folder(sounds: list[bytes], tmp_path: Path) -> None:
    root = tmp_path / "crying"
    write_parquet(root / "data" / "train-00000-of-00001.parquet", rows_of(sounds))
    write_parquet(
        root / "data" / "test-00000-of-00001.parquet", [{"audio": {"bytes": sounds[4]}, "label": 1}]
    )
    (root / "README.md").write_text("---\nlicense: mit\ntags:\n- audio\n---\n# Crying\n")
    out = hub_dataset.fetch(str(root), tmp_path / "out")
    clips = read_manifest(out)
    assert sorted((clip.label, clip.kind) for clip in clips) == [
        ("belly_pain", "cry"),
        ("belly_pain", "cry"),
        ("hungry", "cry"),
        ("hungry", "cry"),
        ("silence", "not_cry"),
    ]
    assert {clip.licence for clip in clips} == {"mit"}
    assert {clip.source for clip in clips} == {"crying"}
    named = {clip.path.name: clip for clip in clips}
    assert named[f"{DONOR}-1430000000-1.0-m-04-hu.wav"].group == DONOR
    assert named[f"{DONOR}-1430000001-1.0-m-04-hu.wav"].group == DONOR
    assert named["a_b.wav"].group.startswith("clip-")
    assert len({clip.group for clip in clips}) == 4
    wanted, _ = soundfile.read(io.BytesIO(sounds[2]), dtype="float32")
    np.testing.assert_allclose(load_audio(named["a_b.wav"].path).samples, wanted, atol=1e-4)
    assert reason_clips.read(out).classes == ("belly_pain", "hungry"), "a zoo model trains on it as it is"


def test_audiofolder_becomes_a_data_folder(sounds: list[bytes], tmp_path: Path) -> None:
    root = tmp_path / "crying"
    for i, place in enumerate(("train/Hungry/one.wav", "train/tired/one.wav", "test/tired/one.wav")):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_bytes(sounds[i % 2])
    (root / "extra").mkdir()
    (root / "extra" / "two.wav").write_bytes(sounds[2])
    (root / "extra" / "metadata.csv").write_text("file_name,label\ntwo.wav,cold/hot\n")
    clips = hub_dataset.load(str(root), out=tmp_path / "out")
    assert sorted(clip.label for clip in clips) == ["cold_hot", "hungry", "tired", "tired"]
    assert len({clip.path for clip in clips}) == 4
    same = [clip.group for clip in clips if clip.path.name.startswith("one")]
    assert len(set(same)) == 2, "the very same bytes are one group, whatever label they carry"


def test_the_same_data_set_is_written_once(sounds: list[bytes], tmp_path: Path) -> None:
    root, calls = tmp_path / "crying", []
    table = root / "train.parquet"
    write_parquet(table, rows_of(sounds))

    def fetch() -> Path:
        return hub_dataset.fetch(
            str(root), tmp_path / "out", progress=lambda what, done, total: calls.append((done, total))
        )

    fetch()
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]
    fetch()
    assert len(calls) == 4, "nothing to do"
    write_parquet(table, rows_of(sounds)[:2])
    fetch()
    assert len(calls) == 6
    assert len(read_manifest(tmp_path / "out")) == 2


def test_a_folder_of_something_else_is_left_alone(sounds: list[bytes], tmp_path: Path) -> None:
    write_parquet(tmp_path / "crying" / "train.parquet", rows_of(sounds))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear diary")
    with pytest.raises(DataError, match="holds something else"):
        hub_dataset.fetch(str(tmp_path / "crying"), tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["diary.txt"]


def test_labels_may_be_text_and_sound_may_lie_beside(sounds: list[bytes], tmp_path: Path) -> None:
    root = tmp_path / "crying"
    rows = [
        {"audio": {"bytes": sounds[0], "path": None}, "label": "Scared"},
        {"audio": {"bytes": None, "path": "clips/x.wav"}, "label": "lonely"},
    ]
    write_parquet(root / "train.parquet", rows, names=None)
    (root / "clips").mkdir()
    (root / "clips" / "x.wav").write_bytes(sounds[1])
    clips = hub_dataset.load(str(root), out=tmp_path / "out")
    assert sorted(clip.label for clip in clips) == ["lonely", "scared"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"audio": {"bytes": b"x", "path": "a.wav"}, "label": 7}, "row 1: the label 7 is none of 0 … 2"),
        ({"audio": {"bytes": b"x", "path": "a.wav"}, "label": None}, "row 1: the label None"),
        ({"audio": None, "label": 1}, "row 1: it holds no sound"),
        ({"audio": {"bytes": None, "path": "../../etc/passwd"}, "label": 1}, "names no file of the data set"),
    ],
)
def test_a_bad_row_is_named_and_nothing_half_done(row: dict[str, Any], message: str, tmp_path: Path) -> None:
    write_parquet(tmp_path / "crying" / "train.parquet", [row])
    with pytest.raises(DataError, match=message):
        hub_dataset.fetch(str(tmp_path / "crying"), tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["crying"]


def test_other_shapes_are_told_what_is_expected(sounds: list[bytes], tmp_path: Path) -> None:
    root = tmp_path / "crying"
    root.mkdir()
    (root / "all.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"Expected \.parquet files .* found \.zip"):
        hub_dataset.fetch(str(root), tmp_path / "out")
    (root / "loose.wav").write_bytes(sounds[0])
    with pytest.raises(DataError, match="in no folder that names its label"):
        hub_dataset.fetch(str(root), tmp_path / "out")
    (root / "cut.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match="not a parquet file"):
        hub_dataset.fetch(str(root), tmp_path / "out")
    write_parquet(root / "cut.parquet", rows_of(sounds), names=["a", "b", "c"])
    parquet.write_table(
        parquet.read_table(root / "cut.parquet").replace_schema_metadata({}), root / "cut.parquet"
    )
    with pytest.raises(DataError, match="does not name its classes"):
        hub_dataset.fetch(str(root), tmp_path / "out")
    parquet.write_table(pa.table({"sound": [1]}), root / "cut.parquet")
    with pytest.raises(DataError, match="'audio' and 'label' are needed; found sound"):
        hub_dataset.fetch(str(root), tmp_path / "out")


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def missing(name: str, *rest: Any, **options: Any) -> Any:
        if name.startswith("huggingface_hub"):
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
        return original(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(DataError, match=r"pip install 'crylens\[hub\]'") as caught:
        hub_dataset.fetch("owner/crying", tmp_path / "out", cache=tmp_path)
    assert caught.value.code == "extra-missing"


def test_what_to_install_is_what_is_pinned() -> None:
    import tomllib

    root = Path(__file__).resolve().parents[2]
    [*extra] = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]["hub"]
    locks = "".join(file.read_text() for file in root.glob("requirements-*.txt"))
    assert extra
    for requirement in extra:
        assert requirement in hub_dataset.INSTALL
        assert f"\n{requirement}\n" in locks


class Hub(BaseHTTPRequestHandler):
    """As much of the Hub as a download needs: one data set, one commit."""

    files: ClassVar[dict[str, bytes]] = {}
    asked: ClassVar[list[str]] = []
    commit = "a" * 40

    def do_GET(self) -> None:
        self.asked.append(self.path)
        path = self.path.split("?")[0]
        if path.startswith("/api/datasets/owner/crying/tree/"):
            tree = [
                {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                for name, data in self.files.items()
            ]
            return self._answer(json.dumps(tree).encode())
        if path.startswith("/api/datasets/owner/crying"):
            if "/revision/" in path and not path.endswith(("/main", self.commit)):
                return self._answer(b"{}", 404, {"X-Error-Code": "RevisionNotFound"})
            siblings = [{"rfilename": name} for name in self.files]
            return self._answer(
                json.dumps({"id": "owner/crying", "sha": self.commit, "siblings": siblings}).encode()
            )
        start = f"/datasets/owner/crying/resolve/{self.commit}/"
        if path.startswith(start) and path.removeprefix(start) in self.files:
            return self._answer(self.files[path.removeprefix(start)])
        return self._answer(b"{}", 404, {"X-Error-Code": "RepoNotFound"})

    do_HEAD = do_GET  # noqa: N815

    def _answer(self, data: bytes, status: int = 200, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        etag = hashlib.sha1(data).hexdigest()
        heads = {"Content-Length": str(len(data)), "ETag": f'"{etag}"', "X-Repo-Commit": self.commit}
        for name, value in {**heads, **(more or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: tests are quiet."""


@pytest.fixture
def hub(sounds: list[bytes], tmp_path: Path) -> Iterator[str]:
    """Address of a Hub on this machine that holds ``owner/crying``."""
    write_parquet(tmp_path / "made" / "train.parquet", rows_of(sounds))
    Hub.files = {"data/train.parquet": (tmp_path / "made" / "train.parquet").read_bytes()}
    Hub.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_fetched_once_and_found_again_without_the_hub(hub: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"endpoint": hub, "cache": tmp_path / "cache"}
    folder = hub_dataset.fetch("owner/crying", **options)
    assert folder == tmp_path / "cache" / "hub" / "owner--crying"
    assert len(read_manifest(folder)) == 4
    assert any("resolve" in path for path in Hub.asked)
    Hub.asked.clear()
    hub_dataset.fetch("owner/crying", tmp_path / "elsewhere", **options)
    assert not any("resolve" in path and "train" in path for path in Hub.asked), "no file is fetched twice"
    gone = {**options, "endpoint": "http://127.0.0.1:9"}
    again = hub_dataset.fetch("owner/crying", tmp_path / "offline", **gone)
    assert len(read_manifest(again)) == 4


def test_what_the_hub_does_not_have(hub: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"endpoint": hub, "cache": tmp_path / "cache"}
    with pytest.raises(DataError, match="no data set owner/other"):
        hub_dataset.fetch("owner/other", **options)
    with pytest.raises(DataError, match="no revision 'v9'"):
        hub_dataset.fetch("owner/crying", revision="v9", **options)
    with pytest.raises(DataError, match="neither a folder nor"):
        hub_dataset.fetch("no such folder", **options)
    with pytest.raises(DataError, match="is there a network"):
        hub_dataset.fetch("owner/crying", endpoint="http://127.0.0.1:9", cache=tmp_path / "empty")

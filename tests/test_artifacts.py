"""Artifacts: whole or not at all, and nothing unpickled before it is checked."""

from __future__ import annotations

import io
import json
import os
import pickle
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

from pipeline import artifacts
from pipeline.artifacts import MANIFEST, open_artifact, save
from pipeline.errors import ArtifactError
from pipeline.settings import get_settings


def dumped(value: Any, compress: int = 0) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(value, buffer, compress=compress)
    return buffer.getvalue()


def save_model(folder: Path, files: dict[str, bytes], **overrides: Any) -> Path:
    given: dict[str, Any] = {
        "files": files,
        "kind": "test",
        "schema": {"inputs": ["a", "b"]},
        "training": {"clips": 3},
        "metrics": {"auc": 0.75},
        "card": "# A card\n",
    }
    save(folder, **{**given, **overrides})
    return folder


def rewrite_manifest(folder: Path, change: Any) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    change(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))


class Payload:
    """Unpickles as a shell command that leaves a file behind."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (self.command,)


@pytest.fixture
def fired(tmp_path: Path) -> Path:
    """The file that a payload would create."""
    return tmp_path / "fired"


def test_a_saved_model_reads_back_with_its_manifest(tmp_path: Path) -> None:
    created = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    folder = save_model(tmp_path / "m", {"w.bin": b"12345"}, commit="abc", created=created)
    artifact = open_artifact(folder, kind="test")
    assert artifact.read_bytes("w.bin") == b"12345"
    assert artifact.read_bytes("MODEL_CARD.md") == b"# A card\n"
    manifest = artifact.manifest
    assert manifest["files"]["w.bin"]["bytes"] == 5
    assert (manifest["commit"], manifest["created"]) == ("abc", "2026-01-02T03:04:05+00:00")
    assert manifest["schema"] == {"inputs": ["a", "b"]}
    assert manifest["metrics"] == {"auc": 0.75}
    assert manifest["versions"]["numpy"] == np.__version__
    recorded = {"python", "scikit-learn", "xgboost", "imbalanced-learn", "onnxruntime"}
    assert recorded <= set(manifest["versions"])


def test_a_bare_name_is_looked_up_in_the_artifacts_folder(tmp_path: Path) -> None:
    save_model(tmp_path / "mine", {})
    artifact = open_artifact("mine", settings=get_settings(artifacts_dir=tmp_path))
    assert artifact.folder == tmp_path / "mine"


def test_the_commit_is_none_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert open_artifact(save_model(tmp_path / "m", {})).manifest["commit"] is None


def test_numpy_figures_are_written_and_nan_is_refused(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "m", {}, metrics={"auc": np.float32(0.5), "curve": np.arange(3)})
    assert open_artifact(folder).manifest["metrics"] == {"auc": 0.5, "curve": [0, 1, 2]}
    with pytest.raises(ArtifactError, match="JSON"):
        save_model(tmp_path / "n", {}, metrics={"auc": float("nan")})
    assert not (tmp_path / "n").exists()


def test_a_new_model_replaces_the_old_one_whole(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "m", {"old.bin": b"old"})
    save_model(folder, {"new.bin": b"new"})
    assert sorted(p.name for p in folder.iterdir()) == ["MODEL_CARD.md", MANIFEST, "new.bin"]
    assert [p.name for p in tmp_path.iterdir()] == ["m"], "no staging folder is left behind"


def test_a_write_that_fails_leaves_the_old_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save_model(tmp_path / "m", {"w.bin": b"old"})

    def disk_full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(artifacts.os, "fsync", disk_full)
    with pytest.raises(ArtifactError, match="No space left"):
        save_model(folder, {"w.bin": b"new"})
    assert open_artifact(folder).read_bytes("w.bin") == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_a_rename_that_fails_puts_the_old_model_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save_model(tmp_path / "m", {"w.bin": b"old"})
    rename = Path.rename

    def refuse_new(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise OSError(13, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse_new)
    with pytest.raises(ArtifactError, match="Permission denied"):
        save_model(folder, {"w.bin": b"new"})
    assert open_artifact(folder).read_bytes("w.bin") == b"old"


def test_a_folder_of_something_else_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_bytes(b"precious")
    with pytest.raises(ArtifactError, match="not a model folder"):
        save_model(tmp_path / "photos", {"w.bin": b"x"})
    assert (tmp_path / "photos" / "one.jpg").read_bytes() == b"precious"


@pytest.mark.parametrize("name", ["../out", "/etc/passwd", "a/b", "a\\b", ".hidden", "..", ""])
def test_names_outside_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArtifactError, match="plain file name"):
        save_model(tmp_path / "written", {name: b"x"})
    folder = save_model(tmp_path / "read", {"w.bin": b"x"})
    with pytest.raises(ArtifactError, match="plain file name"):
        open_artifact(folder).read_bytes(name)
    rewrite_manifest(folder, lambda m: m["files"].update({name: m["files"]["w.bin"]}))
    with pytest.raises(ArtifactError, match="plain file name"):
        open_artifact(folder)


def test_missing_models_and_wrong_kinds_say_so(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no model at") as caught:
        open_artifact(tmp_path / "none")
    assert caught.value.code == "artifact-missing"
    with pytest.raises(ArtifactError, match="'test'; a 'reasons' is needed"):
        open_artifact(save_model(tmp_path / "m", {}), kind="reasons")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format": 99}', '{"format": 1, "kind": "x"}'])
def test_a_malformed_manifest_is_a_clear_error(tmp_path: Path, text: str) -> None:
    folder = save_model(tmp_path / "m", {})
    (folder / MANIFEST).write_text(text)
    with pytest.raises(ArtifactError, match=MANIFEST):
        open_artifact(folder)


def test_an_altered_or_missing_file_is_refused(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "m", {"w.bin": b"12345", "v.bin": b"1"})
    (folder / "w.bin").write_bytes(b"12346")
    with pytest.raises(ArtifactError, match="not the one its manifest names") as caught:
        open_artifact(folder).read_bytes("w.bin")
    assert caught.value.code == "artifact-altered"
    (folder / "v.bin").unlink()
    with pytest.raises(ArtifactError, match="cannot be read"):
        open_artifact(folder).read_bytes("v.bin")
    with pytest.raises(ArtifactError, match=r"no file 'z\.bin'"):
        open_artifact(folder).read_bytes("z.bin")


def test_a_bad_checksum_is_refused_before_any_unpickling(
    tmp_path: Path, fired: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_model(tmp_path / "m", {"m.joblib": dumped([1])})
    (folder / "m.joblib").write_bytes(dumped(Payload(f"touch {fired}")))

    def reached(*args: Any) -> None:
        raise AssertionError("the unpickler was reached")

    monkeypatch.setattr(artifacts, "unpickle", reached)
    with pytest.raises(ArtifactError, match="not the one its manifest names"):
        open_artifact(folder).load_joblib("m.joblib")
    assert not fired.exists()


WRAPS = {
    "bare": lambda payload: payload,
    "nested": lambda payload: {"a": [payload]},
    "object-array": lambda payload: np.array([payload, None], dtype=object),
}


@pytest.mark.parametrize("compress", [0, 3])
@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
def test_a_payload_with_a_valid_checksum_does_not_run(
    tmp_path: Path, fired: Path, wrap: Any, compress: int
) -> None:
    data = dumped(wrap(Payload(f"touch {fired}")), compress)
    folder = save_model(tmp_path / "m", {"m.joblib": data})
    with pytest.raises(ArtifactError, match="system") as caught:
        open_artifact(folder).load_joblib("m.joblib")
    assert caught.value.code == "artifact-unsafe"
    assert not fired.exists()
    joblib.load(io.BytesIO(data))
    assert fired.exists(), "the payload is a real one: joblib alone runs it"


def opcodes(module: str, name: str, argument: str) -> bytes:
    """A protocol 4 pickle that calls ``module.name(argument)``."""

    def text(value: str) -> bytes:
        return pickle.SHORT_BINUNICODE + bytes([len(value)]) + value.encode()

    body = text(module) + text(name) + pickle.STACK_GLOBAL + text(argument) + pickle.TUPLE1 + pickle.REDUCE
    return pickle.PROTO + b"\x04" + body + pickle.STOP


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("subprocess", "Popen"),
        ("sklearn.utils", "_joblib.os.system"),  # attributes walked from an allowed module
        ("sklearn.datasets", "load_files"),
        ("sklearn.utils.validation", "check_array"),  # a function of an allowed package
        ("sklearn.base", "Path"),  # a name the package merely imported
        ("pipeline.artifacts", "open_artifact"),
        ("pipeline.artifacts", "Path"),
        ("numpy", "load"),
        ("numpy", "memmap"),
        ("joblib.numpy_pickle", "load"),
        ("joblib.numpy_pickle_compat", "NDArrayWrapper"),
    ],
)
def test_callables_off_the_list_are_refused(tmp_path: Path, module: str, name: str) -> None:
    folder = save_model(tmp_path / "m", {"m.joblib": opcodes(module, name, "x")})
    with pytest.raises(ArtifactError):
        open_artifact(folder).load_joblib("m.joblib")


def test_bytes_that_are_no_pickle_are_a_clear_error(tmp_path: Path) -> None:
    whole = dumped({"a": np.arange(1000.0)})
    for number, data in enumerate([b"", b"junk", whole[:200], dumped([1, 2, 3], 3)[:10]]):
        folder = save_model(tmp_path / f"m{number}", {"m.joblib": data})
        with pytest.raises(ArtifactError, match="cannot be read"):
            open_artifact(folder).load_joblib("m.joblib")


@pytest.mark.parametrize("library", ["scikit-learn", "xgboost", "imbalanced-learn", "numpy"])
def test_another_minor_version_is_refused_and_another_patch_is_not(tmp_path: Path, library: str) -> None:
    folder = save_model(tmp_path / "m", {"m.joblib": dumped({"a": 1})})
    written = open_artifact(folder).manifest["versions"][library]
    major, minor = written.split(".")[:2]
    rewrite_manifest(folder, lambda m: m["versions"].update({library: f"{major}.{minor}.99"}))
    assert open_artifact(folder).load_joblib("m.joblib") == {"a": 1}
    rewrite_manifest(folder, lambda m: m["versions"].update({library: f"{major}.{int(minor) + 1}.0"}))
    told = f"{library} .*written by.*requirements-lite.txt.*train it again"
    with pytest.raises(ArtifactError, match=told) as caught:
        open_artifact(folder).load_joblib("m.joblib")
    assert caught.value.code == "artifact-version"


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_models_this_project_trains_come_back_the_same(tmp_path: Path) -> None:
    from imblearn.over_sampling import SMOTE
    from imblearn.pipeline import Pipeline
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.decomposition import PCA
    from sklearn.ensemble import RandomForestClassifier, VotingClassifier
    from sklearn.feature_selection import SelectFromModel
    from sklearn.isotonic import IsotonicRegression
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import LabelEncoder, StandardScaler
    from sklearn.svm import SVC
    from xgboost import XGBClassifier

    rng = np.random.default_rng(0)
    labels = np.array(["hungry", "tired", "burping"], dtype=object)[rng.integers(0, 3, 90)]
    encoder = LabelEncoder().fit(labels)
    y = encoder.transform(labels)
    x = rng.normal(size=(90, 8)) + y[:, None]
    votes = VotingClassifier(
        [
            ("forest", RandomForestClassifier(5, random_state=0)),
            ("svm", CalibratedClassifierCV(SVC(random_state=0), ensemble=False, cv=3)),
            ("neighbours", KNeighborsClassifier(algorithm="kd_tree")),
            ("boost", XGBClassifier(n_estimators=3, random_state=0)),
        ],
        voting="soft",
    )
    ensemble = Pipeline(
        [
            ("smote", SMOTE(k_neighbors=2, random_state=0)),
            ("scale", StandardScaler()),
            ("select", SelectFromModel(RandomForestClassifier(5, random_state=np.random.RandomState(0)))),
            ("vote", votes),
        ]
    ).fit(x, y)
    head = make_pipeline(StandardScaler(), PCA(3, random_state=0), LogisticRegression()).fit(x, y > 0)
    calibrator = IsotonicRegression(out_of_bounds="clip").fit(x[:, 0], y > 0)
    models = {"ensemble": ensemble, "encoder": encoder, "head": head, "calibrator": calibrator}
    back = open_artifact(save_model(tmp_path / "m", {"m.joblib": dumped(models, 3)})).load_joblib("m.joblib")
    np.testing.assert_array_equal(back["ensemble"].predict_proba(x), ensemble.predict_proba(x))
    np.testing.assert_array_equal(back["head"].predict_proba(x), head.predict_proba(x))
    np.testing.assert_array_equal(back["calibrator"].predict(x[:, 0]), calibrator.predict(x[:, 0]))
    assert list(back["encoder"].classes_) == list(encoder.classes_)

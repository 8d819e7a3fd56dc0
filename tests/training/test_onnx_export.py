"""Exports say what their originals say, and name what has no export."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.detection import FEATURES, DetectorHead
from pipeline.errors import ArtifactError, DataError
from pipeline.settings import get_settings
from pipeline.training import onnx_export
from pipeline.training.onnx_models import Export, compare, shipped, write
from pipeline.zoo.floors import MODELS as FLOORS
from pipeline.zoo.mfccmel import Svm336, Xgb336
from pipeline.zoo.onnx_export import exported

LEARNED = {
    "examples_by_class": {}, "recordings": 60, "examples": 60, "groups": 60, "seed": 0, "sources": [],
}  # fmt: skip


@pytest.fixture(scope="module")
def exports() -> dict[str, Export]:
    return {export.name: export for export in shipped(get_settings())}


def test_the_shipped_models_on_real_recordings(
    exports: dict[str, Export], a_cry: Path, another_cry: Path, a_non_cry: Path, tmp_path: Path
) -> None:
    """The first was learned from: its distance to itself among the neighbours is none at all."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    for path in (a_cry, another_cry, a_non_cry):
        (folder / path.name).write_bytes(path.read_bytes())
    assert compare(exports.values(), folder) == 3
    assert exports["detector-student"].worst <= 1e-5
    assert exports["reasons"].worst <= 1e-3
    paths = write(exports.values(), tmp_path / "out", 3)
    manifest = json.loads(paths[-1].read_text())
    assert {path.name for path in paths} == {*manifest["files"], "manifest.json"}
    assert manifest["files"]["reasons.onnx"]["parity"]["recordings"] == 3
    assert len(manifest["files"]["reasons.onnx"]["features"]) == 108
    assert "YAMNet" in manifest["not_exported"]
    for path in paths[:-1]:
        assert path.stat().st_size == manifest["files"][path.name]["bytes"]


def test_an_export_that_says_something_else_is_refused(
    exports: dict[str, Export], a_non_cry: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.ogg").write_bytes(a_non_cry.read_bytes())
    wrong = replace(exports["reasons"], tolerance=-1.0)
    with pytest.raises(DataError, match="reasons by"):
        compare([wrong], tmp_path)
    with pytest.raises(DataError, match="no recordings"):
        compare([wrong], tmp_path / "nowhere")


@settings(max_examples=8, deadline=None)
@given(window=st.integers(1, 5), frames=st.integers(0, 9), seed=st.integers(0, 99))
def test_any_head(window: int, frames: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    from pipeline.detection import load_head

    shipped_head = load_head("student", get_settings())
    head: DetectorHead = replace(
        shipped_head,
        window=np.array(window),
        coefficients=rng.normal(size=len(shipped_head.coefficients)),
        scaler_mean=rng.normal(size=FEATURES),
        calibration=np.array([0.1, -0.3]),
    )
    embeddings = rng.random((window + frames, 1024)).astype(np.float32)
    [given_scores] = onnx_export.run(onnx_export.head_to_onnx(head), {"embeddings": embeddings})
    assert given_scores.shape == (frames + 1,)
    np.testing.assert_allclose(given_scores, head.scores(embeddings), atol=1e-5)


@pytest.mark.parametrize(("kind", "met"), [(Xgb336, [0, 2]), (Xgb336, [0, 1, 2, 3]), (Svm336, [0, 2, 3])])
def test_classical_models_of_the_zoo(
    kind: type[Xgb336] | type[Svm336], met: list[int], tmp_path: Path, a_cry: Path
) -> None:
    rng = np.random.default_rng(0)
    y = np.resize(met, 60)  # of the other classes it has heard nothing
    x = rng.normal(size=(60, 336)) + y[:, None] / 4
    model = kind(("a", "b", "c", "d"), **({"trees": 5} if kind is Xgb336 else {}))
    model._estimator = model.fitted(x, y, np.arange(60).astype(str), 0)
    model._learned = LEARNED
    model.save(tmp_path / "model")
    export = exported(tmp_path / "model")
    assert export.about["classes"] == ["abcd"[i] for i in met]
    (tmp_path / "sounds").mkdir()
    (tmp_path / "sounds" / "cry.flac").write_bytes(a_cry.read_bytes())
    assert compare([export], tmp_path / "sounds") == 1
    near = (x + rng.normal(scale=0.1, size=x.shape)).astype(np.float32)
    [scores] = onnx_export.run(export.model, {"features": near})
    np.testing.assert_allclose(scores, model._estimator.predict_proba(near), atol=1e-4)


def test_a_machine_of_two_classes_is_refused_rather_than_turned_round(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y, x = np.resize([0, 1], 40), rng.normal(size=(40, 336))
    model = Svm336(("a", "b"))
    model._estimator = model.fitted(x, y, np.arange(40).astype(str), 0)
    model._learned = LEARNED
    model.save(tmp_path / "model")
    with pytest.raises(ArtifactError, match="two classes"):
        exported(tmp_path / "model")


def test_what_has_no_export_is_named(tmp_path: Path) -> None:
    model = FLOORS["majority"](("a", "b"))
    groups = np.array(["x", "y", "z"])
    model.fit([], np.array([0, 0, 1]), groups, seed=0, work=tmp_path, cache=tmp_path)
    model.save(tmp_path / "floor")
    with pytest.raises(ArtifactError, match="'majority' has no export"):
        exported(tmp_path / "floor")

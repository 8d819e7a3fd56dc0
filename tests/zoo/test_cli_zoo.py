"""``train NAME`` and ``evaluate reasons --model NAME``, as people type them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.cli_zoo import classes_of, options_of
from pipeline.errors import SettingsError
from pipeline.training.data import Clip, read_manifest
from pipeline.zoo import registry
from pipeline.zoo.base import Example

run = CliRunner().invoke


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def linked(clips: list[Clip], root: Path) -> Path:
    """A folder for each label, and in it one for each recording."""
    for i, clip in enumerate(clips):
        (root / clip.label / str(i)).mkdir(parents=True)
        (root / clip.label / str(i) / "cut.wav").symlink_to(clip.path)
    return root


def of_each(folder: Path, first: int, end: int) -> list[Clip]:
    """So many recordings of each label, by their place among those of the label."""
    clips = read_manifest(folder)
    labels = sorted({clip.label for clip in clips})
    return [c for label in labels for c in [c for c in clips if c.label == label][first:end]]


@pytest.fixture(scope="module")
def few(separable: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four recordings of each kind."""
    return linked(of_each(separable, 0, 4), tmp_path_factory.mktemp("few"))


def test_train_writes_a_model_that_answers(separable: Path, tmp_path: Path) -> None:
    data = linked(of_each(separable, 0, 10), tmp_path / "most")
    result = run(app, ["train", "xgb336", "--data", str(data), "--set", "trees=20"], catch_exceptions=False)
    assert result.exit_code == 0
    folder = tmp_path / "build" / "zoo" / "xgb336"
    model = registry.load("xgb336", folder)
    assert model.classes == ("cleaning", "wailing")
    assert model.options["trees"] == 20
    unheard = [Example(clip) for clip in of_each(separable, 10, 14)]
    said = [model.classes[k] for k in model.scores(unheard, cache=tmp_path).argmax(axis=1)]
    assert sum(a == e.clip.label for a, e in zip(said, unheard, strict=True)) >= len(unheard) - 1
    assert json.loads((folder / "manifest.json").read_text())["training"]["recordings"] == 20


def test_only_the_classes_that_were_named(separable: Path, tmp_path: Path) -> None:
    clips = of_each(separable, 0, 4)
    data = linked([*clips, replace(clips[0], label="third")], tmp_path / "three")
    options = ["--data", str(data), "--classes", "wailing,cleaning", "--out", "model"]
    assert run(app, ["train", "prior", *options]).exit_code == 0
    assert registry.load("prior", tmp_path / "model").classes == ("cleaning", "wailing")


def test_evaluate_writes_a_report_for_each_model(few: Path, tmp_path: Path) -> None:
    words = ["evaluate", "reasons", "--model", "prior", "--model", "majority", "--data", str(few)]
    words += ["--classes", "cleaning,wailing", "--protocol", "clip"]
    # Four recordings of each kind make no five folds: a plain error, not a traceback.
    result = run(app, words)
    assert "5 folds need a reason with at least 5 recordings" in str(result.exception)
    result = run(app, [*words, "--folds", "2", "--out", "figures"], catch_exceptions=False)
    assert result.exit_code == 0
    assert "prior: always the shares of the reasons" in result.stdout
    assert "| accuracy |" in result.stdout
    for name in ("prior", "majority"):
        report = json.loads((tmp_path / "figures" / f"reasons-{name}-2classes.json").read_text())
        assert list(report["protocols"]) == ["clip"]
        assert report["command"] == (
            f"python -m pipeline evaluate reasons --model {name} --protocol clip --classes cleaning,wailing "
            f"--folds 2 --data {few}"
        )


def test_unknown_names_are_told_the_known_ones(few: Path) -> None:
    result = run(app, ["train", "resnet9000", "--data", str(few)])
    assert isinstance(result.exception, SettingsError)
    assert "'resnet9000' to train; known are detector, student, reasons, ensemble108" in str(result.exception)
    result = run(app, ["evaluate", "reasons", "--model", "resnet9000", "--data", str(few)])
    assert "no model 'resnet9000'; known are ensemble108" in str(result.exception)
    result = run(app, ["train", "xgb336", "--data", str(few), "--set", "leaves=3"])
    assert "Its options: trees, depth, rate" in str(result.exception)
    result = run(app, ["evaluate", "reasons", "--classes", "a,b", "--data", str(few)])
    assert "need a model" in str(result.exception)
    two = ["--model", "prior", "--model", "majority"]
    result = run(app, ["evaluate", "reasons", *two, "--data", str(few), "--out", "one.json"])
    assert "name a folder" in str(result.exception)


def test_help_names_every_model() -> None:
    text = run(app, ["train", "--help"]).stdout
    for name in registry.NAMES:
        assert name in text
    assert "--unverified-tags" in run(app, ["train", "svm336", "--help"]).stdout
    assert "--unverified-tags" not in run(app, ["train", "melcnn4s", "--help"]).stdout


def test_options_are_json_where_they_can_be() -> None:
    assert options_of(["width=64", "rate=1e-3", "weights=none", "grid=[1, 2]", "copies=true"]) == {
        "width": 64,
        "rate": 1e-3,
        "weights": "none",
        "grid": [1, 2],
        "copies": True,
    }
    with pytest.raises(SettingsError, match="OPTION=VALUE, not 'width'"):
        options_of(["width"])
    assert classes_of("b, a,,b") == ("a", "b")
    with pytest.raises(SettingsError, match="two or more labels"):
        classes_of("hungry")

"""How the zoo's networks learn, shown on spectrocnn, the smallest: real cries, seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import ArtifactError, DataError, SettingsError
from pipeline.training.data import Clip, read_manifest
from pipeline.zoo import deep_onnx, registry
from pipeline.zoo.base import Example
from pipeline.zoo.deep import CHECKPOINT, Lesson, Recipe, class_weights, macro_f1, set_aside, teach
from pipeline.zoo.spectrocnn import SpectroCnn
from pipeline.zoo.training import train

CLASSES = ("discomfort", "hungry")


@pytest.fixture(scope="module")
def clips(shared: Path) -> list[Clip]:
    """Eight recordings of each class, each of another donor."""
    found: dict[str, dict[str, Clip]] = {name: {} for name in CLASSES}
    for clip in read_manifest(shared / "data"):
        if clip.source == "donateacry" and clip.label in found:
            found[clip.label].setdefault(clip.group, clip)
    shown = {clip.group for clip in list(found["discomfort"].values())[:8]}
    others = [clip for clip in found["hungry"].values() if clip.group not in shown]
    return [*list(found["discomfort"].values())[:8], *others[:8]]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def fit(clips: list[Clip], cache: Path) -> Callable[..., SpectroCnn]:
    """Fits spectrocnn on the clips."""

    def fitted(work: Path, *, seed: int = 0, progress: Any = None, **options: Any) -> SpectroCnn:
        model = SpectroCnn(CLASSES, **{"epochs": 4, "patience": 4, **options})
        y = np.array([CLASSES.index(clip.label) for clip in clips])
        groups = np.array([clip.group for clip in clips])
        examples = [Example(clip) for clip in clips]
        model.fit(examples, y, groups, seed=seed, work=work, cache=cache, progress=progress)
        return model

    return fitted


@pytest.fixture(scope="module")
def taught(fit: Callable[..., SpectroCnn], tmp_path_factory: pytest.TempPathFactory) -> SpectroCnn:
    return fit(tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="module")
def heard(taught: SpectroCnn, clips: list[Clip], cache: Path) -> np.ndarray:
    return taught.scores([Example(clip) for clip in clips], cache=cache)


def test_loss_falls_and_the_curve_is_kept(taught: SpectroCnn) -> None:
    assert [row["epoch"] for row in taught.history] == [1, 2, 3, 4]
    assert all(set(row) == {"epoch", "loss", "val_loss", "val_macro_f1"} for row in taught.history)
    assert taught.history[-1]["loss"] < taught.history[0]["loss"]
    best = min(taught.history, key=lambda row: row["val_loss"])
    assert taught.facts["best_epoch"] == best["epoch"]
    assert taught.facts["train"] + taught.facts["validation"] == 16


def test_scores_are_a_distribution_and_are_not_all_alike(heard: np.ndarray) -> None:
    assert heard.shape == (16, 2)
    np.testing.assert_allclose(heard.sum(axis=1), 1, atol=1e-9)
    assert heard.std() > 1e-3


def test_an_interrupted_fit_goes_on_to_the_same_network(
    fit: Callable[..., SpectroCnn], clips: list[Clip], cache: Path, heard: np.ndarray, tmp_path: Path
) -> None:
    def stop_in_the_third(what: str, done: int, total: int) -> None:
        if "epoch 3" in what:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, progress=stop_in_the_third)
    assert (tmp_path / CHECKPOINT).is_file()
    stages: list[str] = []
    model = fit(tmp_path, progress=lambda what, *_: stages.append(what))
    epochs = [stage for stage in stages if "epoch" in stage]
    assert epochs
    assert not any("epoch 1" in stage or "epoch 2" in stage for stage in epochs), "two epochs were kept"
    np.testing.assert_array_equal(model.scores([Example(clip) for clip in clips], cache=cache), heard)
    assert not list(tmp_path.rglob(CHECKPOINT)), "a finished fit leaves no checkpoint"


def test_a_checkpoint_of_another_fit_is_not_taken_up(fit: Callable[..., SpectroCnn], tmp_path: Path) -> None:
    def stop_in_the_second(what: str, done: int, total: int) -> None:
        if "epoch 2" in what:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, progress=stop_in_the_second)
    stages: list[str] = []

    def note_and_stop(what: str, done: int, total: int) -> None:
        stages.append(what)
        if "epoch" in what:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, seed=1, progress=note_and_stop)
    assert "epoch 1" in stages[-1]


def test_a_saved_model_gives_the_same_scores(
    taught: SpectroCnn, clips: list[Clip], cache: Path, heard: np.ndarray, tmp_path: Path
) -> None:
    taught.save(tmp_path / "model")
    loaded = registry.load("spectrocnn", tmp_path / "model")
    np.testing.assert_array_equal(loaded.scores([Example(clip) for clip in clips], cache=cache), heard)
    assert (loaded.classes, loaded.options) == (taught.classes, taught.options)
    assert loaded.history == taught.history
    card = (tmp_path / "model" / "MODEL_CARD.md").read_text()
    assert "donateacry: ODbL" in card
    assert str(clips[0].path.parent) not in card + (tmp_path / "model" / "manifest.json").read_text()
    loaded.save(tmp_path / "again")
    assert (tmp_path / "again" / "model.onnx").read_bytes() == taught.onnx()


def test_a_changed_file_is_refused(taught: SpectroCnn, tmp_path: Path) -> None:
    taught.save(tmp_path / "model")
    network = tmp_path / "model" / "model.onnx"
    data = bytearray(network.read_bytes())
    data[len(data) // 2] ^= 1
    network.write_bytes(bytes(data))
    with pytest.raises(ArtifactError, match="SHA-256"):
        SpectroCnn.load(tmp_path / "model")
    with pytest.raises(ArtifactError, match="spectrocnn"):
        registry.load("cryresnet", tmp_path / "model")


def test_what_has_not_learned_cannot_score_or_be_saved(clips: list[Clip], tmp_path: Path) -> None:
    model = SpectroCnn(CLASSES)
    with pytest.raises(ArtifactError, match="learned nothing"):
        model.scores([Example(clips[0])], cache=tmp_path)
    with pytest.raises(ArtifactError, match="learned nothing"):
        model.save(tmp_path / "model")


@pytest.mark.parametrize(
    ("rows", "y", "groups", "message"),
    [
        ([0, 1, 2], [1, 1, 1], "abc", "single class"),
        ([0, 1, 2, 3], [0, 1, 0, 1], "aaaa", "too few"),
        ([0, 1], [0, 1], "ab", "too few"),
        ([0, 1], [0, 2], "ab", "outside"),
        ([0, 1], [0, 1, 1], "ab", "3 labels"),
    ],
)
def test_data_that_teaches_nothing_is_refused(
    clips: list[Clip], cache: Path, tmp_path: Path, rows: list[int], y: list[int], groups: str, message: str
) -> None:
    examples = [Example(clips[i]) for i in rows]
    with pytest.raises(DataError, match=message):
        SpectroCnn(CLASSES).fit(
            examples, np.array(y), np.array(list(groups)), seed=0, work=tmp_path, cache=cache
        )


def test_options_that_cannot_be_used_are_refused() -> None:
    with pytest.raises(SettingsError, match="different classes"):
        SpectroCnn(("hungry", "hungry"))
    with pytest.raises(SettingsError, match="rate"):
        registry.create("spectrocnn", CLASSES, rate=0)
    with pytest.raises(SettingsError, match="Its options"):
        registry.create("spectrocnn", CLASSES, layers=3)


def test_copies_teach_only_where_they_stand_for_themselves_or_are_asked_for(clips: list[Clip]) -> None:
    examples = [Example(clip, copy) for clip in clips[:2] for copy in ("original", "pitch+2")]
    donors, rows = np.array(["a", "a", "b", "b"]), np.array(["0", "1", "2", "3"])
    model = SpectroCnn(CLASSES)
    assert model._taking_part(examples, donors).tolist() == [0, 2]
    assert model._taking_part(examples, rows).tolist() == [0, 1, 2, 3]
    assert model._taking_part(examples[1:], donors[1:]).tolist() == [0, 1], "a copy without its recording"
    assert SpectroCnn(CLASSES, copies=True)._taking_part(examples, donors).tolist() == [0, 1, 2, 3]


def test_a_part_is_set_aside_by_group() -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 40, 200).astype(str)
    y = (rng.random(200) < 0.1).astype(np.int64)
    rest, part = set_aside(y, groups, 0.2, seed=0)
    assert not set(groups[rest]) & set(groups[part])
    assert sorted([*rest, *part]) == list(range(200))
    assert 20 <= len(part) <= 60
    assert set(y[part]) == {0, 1}
    rare = np.array([0] * 9 + [1])  # the only recording of a class has to teach
    rest, part = set_aside(rare, np.arange(10).astype(str), 0.2, seed=0)
    assert 9 in rest
    assert 9 not in part


def test_an_epoch_is_all_rows_once_or_as_many_as_it_may_have(tmp_path: Path) -> None:
    import keras

    x = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    shown: list[int] = []

    def inputs(rows: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        if rng is not None:
            shown.extend(rows.tolist())
        return x[rows]

    def epochs(rows: int | None) -> list[list[int]]:
        shown.clear()
        recipe = Recipe(2, batch=10, patience=2, watch="loss", weighted=True, rate=0.1, rows=rows)
        y, train, rest = (x[:, 0] > 0).astype(np.int64), np.arange(40), np.arange(40, 50)
        lesson = Lesson("tiny", network, inputs, y, 2, train, rest, f"{rows}")
        teach(lesson, recipe, seed=0, work=tmp_path)
        half = len(shown) // 2
        return [shown[:half], shown[half:]]

    def network() -> Any:
        return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])

    first, second = epochs(None)
    assert sorted(first) == sorted(second) == list(range(40))
    assert first != second
    first, second = epochs(20)
    assert len(set(first)) == len(set(second)) == 20
    assert set(first) != set(second)


def test_nine_classes_of_folders_train(clips: list[Clip], tmp_path: Path) -> None:
    names = ("belly_pain", "burping", "cold_hot", "discomfort", "hungry", "lonely", "scared", "silence")
    names = (*names, "tired")
    for i, clip in enumerate(clips[:9] + clips[::-1][:9]):
        place = tmp_path / "data" / names[i % 9] / f"evening{i // 9}"
        place.mkdir(parents=True)
        (place / f"{i}{clip.path.suffix}").symlink_to(clip.path)
    model = train(
        "spectrocnn", tmp_path / "data", tmp_path / "model", options={"epochs": 2}, cache=tmp_path / "cache"
    )
    again = registry.load("spectrocnn", tmp_path / "model")
    assert again.classes == model.classes == names
    scores = again.scores([Example(clips[0])], cache=tmp_path / "cache")
    assert scores.shape == (1, 9)
    assert scores.sum() == pytest.approx(1)


def test_class_weights_and_macro_f1() -> None:
    weights = class_weights(np.array([0, 0, 0, 2]), 3)
    np.testing.assert_allclose(weights, [4 / 6, 0, 2])
    from sklearn.metrics import f1_score

    y, answers = np.array([0, 0, 1, 2, 2, 2]), np.array([0, 1, 1, 2, 2, 0])
    assert macro_f1(y, answers, 5) == pytest.approx(f1_score(y, answers, average="macro"))


def test_an_export_is_compared_with_its_original(monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    network = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(3),
        ]
    )
    probe = np.random.default_rng(0).normal(size=(40, 6, 6, 1)).astype(np.float32)
    data, worst = deep_onnx.to_onnx(network, [probe[:32], probe[32:]])
    logits = np.asarray(network(probe), np.float64)
    wanted = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    given = deep_onnx.Session(data, threads=1).run(probe)
    np.testing.assert_allclose(given, wanted, atol=1e-6)
    assert worst <= 1e-4
    monkeypatch.setattr(deep_onnx, "PARITY", -1.0)
    with pytest.raises(DataError, match="differ by"):
        deep_onnx.to_onnx(network, [probe])
    with pytest.raises(ArtifactError, match="cannot be opened"):
        deep_onnx.Session(b"no network", threads=1)

"""The zoo's classical models: they learn what can be learned, and come back from disk as they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import ArtifactError, AudioError, DataError, SettingsError
from pipeline.training.data import read_manifest
from pipeline.zoo import registry
from pipeline.zoo.base import Example, Model
from pipeline.zoo.mfccmel import FEATURE_NAMES, mfccmel336

CLASSICAL = ("ensemble108", "ensemble111", "xgb336", "svm336")
FLOORS = ("majority", "prior")
CLASSES = ("cleaning", "wailing")


@pytest.fixture(scope="module")
def halves(separable: Path) -> tuple[list[Example], list[Example], np.ndarray, np.ndarray]:
    """Examples to learn from, examples to be asked about, and their classes."""
    clips = read_manifest(separable)
    first, second = clips[::2], clips[1::2]
    return (
        [Example(clip) for clip in first],
        [Example(clip) for clip in second],
        *(np.array([CLASSES.index(clip.label) for clip in half]) for half in (first, second)),
    )


@pytest.fixture(scope="module")
def fitted(halves: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    """Every model, fitted on the first half."""
    cache = tmp_path_factory.mktemp("cache")
    models = {}
    for name in (*CLASSICAL, *FLOORS):
        model = registry.create(name, CLASSES)
        groups = np.array([example.clip.group for example in halves[0]])
        model.fit(halves[0], halves[2], groups, seed=0, work=cache / "work", cache=cache)
        models[name] = model
    return models


def recall(model: Model, examples: list[Example], y: np.ndarray, cache: Path) -> float:
    """Mean recall of the classes."""
    said = model.scores(examples, cache=cache).argmax(axis=1)
    return float(np.mean([(said[y == k] == k).mean() for k in range(2)]))


def test_what_is_separable_is_separated(fitted: dict[str, Model], halves: Any, tmp_path: Path) -> None:
    floor = [recall(fitted[name], halves[1], halves[3], tmp_path) for name in FLOORS]
    assert floor == [0.5, 0.5]
    for name in CLASSICAL:
        assert recall(fitted[name], halves[1], halves[3], tmp_path) > 0.8, name


def test_saved_and_loaded_models_answer_alike(fitted: dict[str, Model], halves: Any, tmp_path: Path) -> None:
    for name, model in fitted.items():
        model.save(tmp_path / name)
        loaded = registry.load(name, tmp_path / name)
        expected = model.scores(halves[1], cache=tmp_path / "cache")
        np.testing.assert_array_equal(loaded.scores(halves[1], cache=tmp_path / "cache"), expected)
        np.testing.assert_allclose(expected.sum(axis=1), 1)
        assert loaded.classes == CLASSES
        assert loaded.options == model.options
        card = (tmp_path / name / "MODEL_CARD.md").read_text()
        assert "| wailing | 7 |" in card
        assert str(tmp_path) not in card


@pytest.mark.parametrize("name", ["xgb336", "prior"])
def test_a_changed_file_is_refused(name: str, fitted: dict[str, Model], tmp_path: Path) -> None:
    fitted[name].save(tmp_path / name)
    [file] = [f for f in (tmp_path / name).iterdir() if f.suffix in (".joblib",) or f.name == "shares.json"]
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(ArtifactError) as caught:
        registry.load(name, tmp_path / name)
    assert caught.value.code == "artifact-altered"


def test_a_folder_of_another_model_is_refused(fitted: dict[str, Model], tmp_path: Path) -> None:
    fitted["xgb336"].save(tmp_path / "model")
    with pytest.raises(ArtifactError, match="'xgb336'; 'svm336' is needed"):
        registry.load("svm336", tmp_path / "model")
    with pytest.raises(ArtifactError, match="no model at"):
        registry.load("svm336", tmp_path / "nothing")
    with pytest.raises(ArtifactError, match="fit it before"):
        registry.create("svm336", CLASSES).save(tmp_path / "unfitted")


def test_the_same_fit_twice_is_the_same(halves: Any, fitted: dict[str, Model], tmp_path: Path) -> None:
    groups = np.array([example.clip.group for example in halves[0]])
    for name in ("xgb336", "svm336"):
        model = registry.create(name, CLASSES)
        model.fit(halves[0], halves[2], groups, seed=0, work=tmp_path, cache=tmp_path)
        np.testing.assert_array_equal(
            model.scores(halves[1], cache=tmp_path), fitted[name].scores(halves[1], cache=tmp_path)
        )


def test_a_class_that_is_not_in_a_fold_scores_nothing(halves: Any, tmp_path: Path) -> None:
    classes = ("cleaning", "nowhere", "wailing")
    groups = np.array([example.clip.group for example in halves[0]])
    for name in ("xgb336", "svm336", "ensemble108", "prior"):
        model = registry.create(name, classes)
        model.fit(halves[0], halves[2] * 2, groups, seed=0, work=tmp_path, cache=tmp_path)
        scores = model.scores(halves[1][:3], cache=tmp_path)
        assert (scores[:, 1] == 0).all(), name
        np.testing.assert_allclose(scores.sum(axis=1), 1)


def test_one_class_and_one_example_are_told(halves: Any, tmp_path: Path) -> None:
    groups = np.array([example.clip.group for example in halves[0]])
    with pytest.raises(DataError, match="two classes"):
        registry.create("xgb336", CLASSES).fit(
            halves[0], halves[2] * 0, groups, seed=0, work=tmp_path, cache=tmp_path
        )
    lonely = np.zeros(len(groups), dtype=np.int64)
    lonely[0] = 1
    with pytest.raises(DataError, match="'wailing' has one"):
        registry.create("svm336", CLASSES).fit(
            halves[0], lonely, groups, seed=0, work=tmp_path, cache=tmp_path
        )


def test_svm_is_calibrated_on_groups_it_was_not_fitted_on() -> None:
    svm = registry.create("svm336", ("a", "b"))
    y, groups = np.repeat([0, 1], 12), np.repeat(np.arange(8), 3).astype(str)
    for train, test in svm._folds(y, groups, 0):  # type: ignore[attr-defined]
        assert not set(groups[train]) & set(groups[test])
    tested = np.concatenate([test for _, test in svm._folds(y, groups, 0)])  # type: ignore[attr-defined]
    assert sorted(tested) == list(range(24))


def test_mfccmel336_is_what_librosa_gives(a_cry: Path) -> None:
    import librosa

    from pipeline.audio import load

    samples = load(a_cry).samples
    values = dict(zip(FEATURE_NAMES, mfccmel336(samples), strict=True))
    assert len(values) == 336
    theirs = librosa.feature.mfcc(y=samples, sr=16_000, n_mfcc=40, n_fft=400, hop_length=160, n_mels=128)
    assert values["mfcc_07_mean"] == pytest.approx(theirs[7].mean(), rel=1e-4)
    assert values["mfcc_00_deviation"] == pytest.approx(theirs[0].std(), rel=1e-4)
    spectrum = np.abs(librosa.stft(samples, n_fft=400, hop_length=160)) ** 2
    mel = librosa.power_to_db(librosa.filters.mel(sr=16_000, n_fft=400, n_mels=128) @ spectrum)
    assert values["logmel_060_mean"] == pytest.approx(mel[60].mean(), rel=1e-4)
    assert values["logmel_020_deviation"] == pytest.approx(mel[20].std(), rel=1e-4)
    assert mel[20].std() > 1, "a band that says nothing compares nothing"


@pytest.mark.filterwarnings("error")
def test_mfccmel336_of_odd_sounds() -> None:
    assert np.isfinite(mfccmel336(np.zeros(400))).all()
    with pytest.raises(AudioError, match="at least 400"):
        mfccmel336(np.zeros(399))
    with pytest.raises(AudioError, match=r"\(2, 800\)"):
        mfccmel336(np.zeros((2, 800)))
    with pytest.raises(AudioError, match="NaN"):
        mfccmel336(np.full(800, np.nan))


def test_unknown_names_and_options_are_told_the_known_ones() -> None:
    with pytest.raises(SettingsError, match=r"'xgb999'; known are ensemble108, .*prior"):
        registry.create("xgb999", CLASSES)
    with pytest.raises(SettingsError, match="Its options: trees, depth, rate"):
        registry.create("xgb336", CLASSES, tress=3)
    with pytest.raises(SettingsError, match="trees=0"):
        registry.create("xgb336", CLASSES, trees=0)
    with pytest.raises(SettingsError, match="cost=-1"):
        registry.create("svm336", CLASSES, cost=-1)
    assert registry.create("xgb336", CLASSES, trees=5).options["trees"] == 5


@pytest.mark.parametrize("name", registry.NAMES)
def test_every_name_has_a_class_of_its_own(name: str) -> None:
    cls: Any = registry.class_of(name)
    assert cls.name == name
    assert cls.task == registry.task_of(name)
    for method in ("fit", "scores", "save", "load"):
        assert callable(getattr(cls, method))

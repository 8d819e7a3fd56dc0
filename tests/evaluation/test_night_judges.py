"""Who judges a night has heard nothing of the sources that it is made of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_nights

from pipeline.detection import DetectorHead, load_head
from pipeline.errors import DataError, SettingsError
from pipeline.evaluation import held_out, night_judges
from pipeline.evaluation.held_out import HeldOut
from pipeline.evaluation.night import read_sounds
from pipeline.evaluation.night_judges import Judge, Sources
from pipeline.evaluation.night_material import Material
from pipeline.settings import get_settings
from pipeline.training.detector_recipe import UNSEEN_BACKGROUNDS
from pipeline.zoo import registry
from pipeline.zoo.melcnn4s import MelCnn4s


@pytest.fixture(scope="module")
def few(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Sources, list[Material]]:
    return read_sounds(small_nights.write(shared / "data", tmp_path_factory.mktemp("few")))


@pytest.fixture
def judges(few: tuple[Sources, list[Material]], tmp_path: Path) -> Any:
    """Judges of a name for the nights of the few recordings, or of other nights."""

    def of(name: str, nights: list[Material] | None = None, **options: Any) -> dict[int, Judge]:
        usual = {"heads": "held-out", "settings": get_settings(), "cache": tmp_path, "seed": 0}
        given: dict[str, Any] = {**usual, "progress": None, **options}
        return night_judges.judges_of(name, nights or few[1], few[0], **given)

    return of


def told_apart(head: DetectorHead, fold: int) -> DetectorHead:
    return replace(head, threshold=np.array(0.1 * (fold + 1)))


@pytest.fixture
def held(few: tuple[Sources, list[Material]], monkeypatch: pytest.MonkeyPatch) -> list[HeldOut]:
    """The held-out detectors that there are, in no order; a test may put others in their place."""
    head = load_head("student", get_settings())
    found = [
        HeldOut(m.fold, frozenset(m.sources), told_apart(head, m.fold), object())  # type: ignore[arg-type]
        for m in reversed(few[1])
    ]
    monkeypatch.setattr(held_out, "held_out_detectors", lambda *args, **kwargs: found)
    return found


def test_each_night_is_judged_by_the_detector_that_its_sources_were_kept_from(
    judges: Any, held: list[HeldOut]
):
    found = judges("crylens-student")
    assert sorted(found) == [0, 1, 2]
    for fold, judge in found.items():
        assert judge.model.threshold == pytest.approx(0.1 * (fold + 1))
        assert judge.model.embedder is next(h.embedder for h in held if h.fold == fold)
    assert len({judge.key for judge in found.values()}) == 3, "kept scores are not mixed up"


def test_a_detector_that_may_have_heard_a_source_of_the_night_is_refused(
    judges: Any, held: list[HeldOut], few: tuple[Sources, list[Material]]
):
    night = next(m for m in few[1] if m.sources == ("esc50",))
    mixed = replace(night, sources=("esc50", "giulbia"))
    with pytest.raises(DataError, match=r"esc50, giulbia.*may have heard it"):
        judges("crylens-student", [mixed])
    renumbered = replace(night, fold=2)
    with pytest.raises(DataError, match=r"Fold 2 of the night \(esc50\).*giulbia"):
        judges("crylens-student", [renumbered])
    held[:] = [h for h in held if h.fold != night.fold]
    with pytest.raises(DataError, match="none"):
        judges("crylens-student", [night])


def test_the_shipped_detector_judges_only_when_it_is_asked_for(judges: Any, monkeypatch: pytest.MonkeyPatch):
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("held-out detectors were taught")

    monkeypatch.setattr(held_out, "held_out_detectors", refuse)
    found = judges("crylens-student", heads="shipped")
    shipped = float(load_head("student", get_settings()).threshold)
    assert [(fold, j.model.threshold, j.key) for fold, j in found.items()] == [
        (fold, shipped, "shipped") for fold in range(3)
    ]
    with pytest.raises(AssertionError, match="were taught"):
        judges("crylens-student")


def test_a_model_that_learns_is_taught_on_the_other_folds_and_kept(
    judges: Any, few: tuple[Sources, list[Material]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    lessons: list[list[Any]] = []
    fit = MelCnn4s.fit

    def noted(self: MelCnn4s, examples: Any, y: Any, *args: Any, **kwargs: Any) -> None:
        lessons.append([(e.clip, int(label)) for e, label in zip(examples, y, strict=True)])
        fit(self, examples, y, *args, **kwargs)

    monkeypatch.setattr(MelCnn4s, "fit", noted)
    monkeypatch.setattr(registry, "create", lambda name: MelCnn4s(epochs=1))
    found = judges("melcnn4s")
    assert len(lessons) == 3
    for night, lesson in zip(few[1], lessons, strict=True):
        sources = {clip.source for clip, _ in lesson}
        assert not sources & {*night.sources, UNSEEN_BACKGROUNDS}
        others = {s for m in few[1] if m is not night for s in m.sources}
        verified = {c.source for c in few[0].clips if c.kind != "unverified"}
        assert sources == others & verified
        assert all(clip.kind == ("not_cry", "cry")[label] for clip, label in lesson)
    assert len({judge.key for judge in found.values()}) == 3

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("taught again")

    monkeypatch.setattr(MelCnn4s, "fit", refuse)
    again = judges("melcnn4s")
    assert {fold: j.key for fold, j in again.items()} == {fold: j.key for fold, j in found.items()}
    sound = np.random.default_rng(0).normal(0, 0.1, 80_000).astype(np.float32)
    for fold, judge in again.items():
        assert np.array_equal(judge.model.timeline(sound).scores, found[fold].model.timeline(sound).scores)
    with pytest.raises(AssertionError, match="taught again"):
        judges("melcnn4s", seed=1)


def test_models_without_training_judge_every_fold(judges: Any):
    for name in ("level", "yamnet-class", "yamnet-crying-max"):
        found = judges(name)
        assert {judge.model.name for judge in found.values()} == {name}
        assert len({id(judge.model) for judge in found.values()}) == 1


def test_models_that_there_are_not_or_that_tell_reasons_are_refused(judges: Any):
    for name in ("ensemble108", "nobody"):
        with pytest.raises(SettingsError, match=f"no model '{name}' for nights.*level"):
            judges(name)

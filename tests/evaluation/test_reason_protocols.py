"""Three protocols, one harness: what each keeps apart, what a leak does, and what the report says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from pipeline.errors import DataError, SettingsError
from pipeline.evaluation import reason_zoo
from pipeline.evaluation.class_figures import calibration_error, reliability
from pipeline.evaluation.reasons import FIGURES, to_markdown
from pipeline.training import protocols, reason_recipe
from pipeline.training.data import donor_of
from pipeline.training.protocols import Fold, Protocol, splits, units_of
from pipeline.training.reason_features import load_data
from pipeline.zoo import mfccmel, reason_clips
from pipeline.zoo.base import Example
from pipeline.zoo.reason_clips import ReasonClips
from pipeline.zoo.training import fold_scores, history_of

CUT_S = 1.2


@pytest.fixture(scope="module")
def by_a_coin(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> ReasonClips:
    """Cries of 12 donors, four cuts of one recording of each, labelled by a coin per donor: a planted leak.

    The sound of a donor gives the label away to whom has heard the donor; nothing else does.
    """
    from pipeline.audio import load

    root = tmp_path_factory.mktemp("coin")
    donors: dict[str, Path] = {}
    for path in sorted((shared / "data" / "donateacry" / "hungry").glob("*.flac")):
        donors.setdefault(donor_of(path.name) or path.name, path)
    labels = np.random.default_rng(5).permutation(np.arange(12) % 2)
    for (donor, path), label in zip(sorted(donors.items())[:12], labels, strict=True):
        samples = load(path).samples
        for i in range(4):
            start = int((0.4 + 1.4 * i) * 16_000)
            target = root / ("heads", "tails")[label] / f"{donor}-143000000{i}-1.0-m-04-hu.wav"
            target.parent.mkdir(exist_ok=True)
            soundfile.write(target, samples[start : start + int(CUT_S * 16_000)], 16_000)
    return reason_clips.of_clips(reason_clips.read(root).clips, root)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def original_only(data: ReasonClips) -> ReasonClips:
    """The same clips with one augmented kind, to be quick."""
    from dataclasses import replace

    return replace(data, kinds=("original", "stretch1.1"))


def test_each_protocol_keeps_apart_what_it_says(by_a_coin: ReasonClips) -> None:
    data, copies = by_a_coin, by_a_coin.copies
    seen: dict[str, list[Fold]] = {name: [] for name in protocols.PROTOCOLS}
    for name in protocols.PROTOCOLS:

        def spy(fold: Fold, into: list[Fold] = seen[name]) -> np.ndarray:
            into.append(fold)
            return np.full((len(fold.test), 2), 0.5)

        scored = protocols.out_of_fold(data, name, spy, key="spy", repeats=1, folds=4)
        assert scored.scores.sum() == pytest.approx(len(scored.labels)), "each row is tested once"
        assert scored.labels.tolist() == data.encoded[scored.origin].tolist()
    for fold in seen["donor"]:
        train, test = fold.train // copies, fold.test // copies
        assert not set(data.groups[train]) & set(data.groups[test])
    for fold in seen["clip"]:
        train, test = fold.train // copies, fold.test // copies
        assert not set(train) & set(test)
        assert set(data.groups[train]) & set(data.groups[test]), "babies are heard before"
    for name in ("donor", "clip"):
        for fold in seen[name]:
            assert (fold.test % copies == 0).all(), "copies are for training only"
            assert len(fold.train) == copies * (len(data) - len(fold.test))
    assert any(set(fold.train // copies) & set(fold.test // copies) for fold in seen["row"])


def test_what_a_model_sets_aside_is_what_the_protocol_holds_apart(by_a_coin: ReasonClips) -> None:
    rows = len(by_a_coin) * by_a_coin.copies
    assert len(set(units_of(by_a_coin, "row"))) == rows
    assert len(set(units_of(by_a_coin, "clip"))) == len(by_a_coin)
    assert len(set(units_of(by_a_coin, "donor"))) == 12


def test_a_planted_leak_pays_by_row_and_clip_and_not_by_donor(by_a_coin: ReasonClips, cache: Path) -> None:
    report = reason_zoo.evaluate_model(
        "svm336",
        original_only(by_a_coin),
        protocols=protocols.PROTOCOLS,
        repeats=2,
        folds=3,
        draws=40,
        cache=cache,
    )
    accuracy = {
        name: report["protocols"][name]["figures"]["accuracy"]["value"] for name in protocols.PROTOCOLS
    }
    assert accuracy["row"] > 0.85
    assert accuracy["clip"] > accuracy["donor"] + 0.15
    assert accuracy["donor"] < 0.65
    assert report["protocols"]["donor"]["permutation"]["auc"]["p"] > 0.02
    assert not report["calibration"]["lift"]


def test_report_is_what_the_benchmark_reads(by_a_coin: ReasonClips, cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "results" / "reasons-prior.json"
    reason_zoo.evaluate_model(
        "prior",
        by_a_coin,
        protocols=protocols.PROTOCOLS,
        repeats=2,
        folds=3,
        draws=20,
        cache=cache,
        out=out,
        command="crylens evaluate …",
    )
    report = json.loads(out.read_text())
    assert (report["kind"], report["model"]) == ("reasons", "prior")
    assert report["command"] == "crylens evaluate …"
    assert report["classes"] == ["heads", "tails"]
    assert report["data"]["donors"] == 12
    assert str(tmp_path) not in out.read_text()
    for name in protocols.PROTOCOLS:
        protocol = report["protocols"][name]
        assert protocol["rows"] == (48 * by_a_coin.copies if name == "row" else 48)
        assert set(protocol["figures"]) == set(FIGURES)
        for interval in protocol["figures"].values():
            assert interval["low"] <= interval["high"]
        [one_bin] = protocol["reliability"][-1:]
        assert set(one_bin) == {"score", "share", "count"}
        assert (
            sum(part["count"] for part in protocol["reliability"]) == protocol["rows"] * protocol["repeats"]
        )
        assert 0 <= protocol["prediction_sets"]["coverage"]["value"] <= 1
        assert 1 <= protocol["prediction_sets"]["size"]["value"] <= 2
    assert report["protocols"]["donor"]["prediction_sets"]["size"] == report["calibration"]["set_size"]
    table = to_markdown(report)
    assert "recordings split at random" in table
    assert "calibration error" in table


def test_our_ensemble_in_the_zoo_is_the_recipe_that_ships(shared: Path, tmp_path: Path) -> None:
    """The same scores to the last bit, from examples and from the shipped training's own features."""
    for label in ("burping", "tired"):
        (tmp_path / "data" / label).mkdir(parents=True)
        for path in sorted((shared / "data" / "donateacry" / label).glob("*.flac"))[:5]:
            samples, rate = soundfile.read(path, frames=10_000, start=8_000)
            soundfile.write(tmp_path / "data" / label / f"{path.stem}.wav", samples, rate)
    shipped = load_data(tmp_path / "data", cache_dir=tmp_path)
    clips = reason_clips.read(tmp_path / "data")
    every: tuple[Protocol, ...] = ("donor", "row")
    for name in every:
        options: dict[str, Any] = {"repeats": 1, "folds": 2, "seed": 3}
        ours = reason_recipe.out_of_fold(shipped, name, **options)
        theirs = fold_scores(clips, "ensemble108", name, cache=tmp_path, **options)
        np.testing.assert_array_equal(ours.scores, theirs.scores)
        np.testing.assert_array_equal(ours.origin, theirs.origin)


def test_an_interrupted_run_goes_on_and_options_are_not_mixed_up(
    by_a_coin: ReasonClips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits: list[Path] = []

    class Teller(mfccmel.Xgb336):
        """Answers at once, writes to its work folder, and stops in its third fit."""

        def fit(self, examples: Sequence[Example], y: Any, groups: Any, *, work: Path, **rest: Any) -> None:
            (work / "checkpoint").write_text("…")
            self.history = [{"epoch": 1, "loss": 0.5}]
            fits.append(work)
            if len(fits) == 3:
                raise KeyboardInterrupt

        def scores(self, examples: Sequence[Example], *, cache: Path | None = None) -> np.ndarray:
            return np.full((len(examples), 2), 0.5)

    monkeypatch.setitem(mfccmel.MODELS, "xgb336", Teller)
    options: dict[str, Any] = {"repeats": 1, "folds": 4, "cache": tmp_path}
    with pytest.raises(KeyboardInterrupt):
        fold_scores(by_a_coin, "xgb336", "donor", **options)
    assert not fits[0].exists(), "a finished fold leaves no checkpoints"
    assert (fits[2] / "checkpoint").is_file(), "an interrupted one finds its own again"
    scored = fold_scores(by_a_coin, "xgb336", "donor", **options)
    assert len(fits) == 5
    assert fits[3] == fits[2]
    assert history_of(scored) == [{"epoch": 1, "loss": 0.5}]
    fold_scores(by_a_coin, "xgb336", "donor", options={"trees": 5}, **options)
    assert len(fits) == 9, "another option is another fit"
    fold_scores(by_a_coin, "xgb336", "clip", **options)
    assert len(fits) == 13, "another protocol is another fit"


def test_wrong_names_are_told(by_a_coin: ReasonClips, cache: Path) -> None:
    with pytest.raises(SettingsError, match=r"no protocol 'speaker'.*row, clip, donor"):
        reason_zoo.evaluate_model("prior", by_a_coin, protocols=["speaker"], cache=cache)  # type: ignore[list-item]
    with pytest.raises(SettingsError, match="hears whether there is a cry"):
        reason_zoo.evaluate_model("level", by_a_coin, cache=cache)
    with pytest.raises(DataError, match="found 12"):
        splits(by_a_coin, "donor", 13, 0)
    with pytest.raises(DataError, match="commonest has 24"):
        splits(by_a_coin, "clip", 25, 0)


def scores_that_are(honest: float, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(n,) labels and (n, 2) scores whose largest is right with its own value to the power of 1 / honest."""
    rng = np.random.default_rng(seed)
    top = rng.uniform(0.5, 1.0, n)
    answer = rng.integers(0, 2, n)
    right = rng.random(n) < top**honest
    scores = np.where(np.arange(2) == answer[:, None], top[:, None], 1 - top[:, None])
    return np.where(right, answer, 1 - answer), scores


def test_calibration_error_of_honest_and_boasting_scores() -> None:
    y, scores = scores_that_are(1.0, 20_000)
    assert calibration_error(y, scores) < 0.02
    y, scores = scores_that_are(3.0, 20_000)
    exact = np.mean([t - t**3 for t in np.linspace(0.5, 1, 1001)])
    assert calibration_error(y, scores) == pytest.approx(exact, abs=0.02)


def test_calibration_error_is_the_sum_over_the_reliability_bins() -> None:
    y, scores = scores_that_are(2.0, 500)
    bins = reliability(y, scores)
    assert len(bins) == 10
    assert {part["count"] for part in bins} == {50}
    assert calibration_error(y, scores) == pytest.approx(
        sum(part["count"] / 500 * abs(part["share"] - part["score"]) for part in bins)
    )
    order = np.argsort(scores.max(axis=1))[:50]
    assert bins[0]["score"] == pytest.approx(scores[order].max(axis=1).mean())
    assert bins[0]["share"] == pytest.approx((scores[order].argmax(axis=1) == y[order]).mean())


def test_equal_scores_are_one_bin() -> None:
    y = np.array([0] * 8 + [1] * 2)
    assert reliability(y, np.tile([0.8, 0.2], (10, 1))) == [
        {"score": pytest.approx(0.8), "share": 0.8, "count": 10}
    ]
    assert calibration_error(y, np.tile([0.8, 0.2], (10, 1))) == pytest.approx(0, abs=1e-12)
    assert calibration_error(y, np.tile([1.0, 0.0], (10, 1))) == pytest.approx(0.2)

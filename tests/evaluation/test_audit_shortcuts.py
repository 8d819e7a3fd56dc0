"""Labels that can be told without hearing the thing: each planted way is found, by itself, with its AUC."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import planted
import pytest
import soxr
from planted import RATE, Take
from sklearn.metrics import roc_auc_score

from pipeline.evaluation.audit.auc import auc_and_z, deal, fold_auc, group_weights
from pipeline.evaluation.audit.confounding import cramers_v
from pipeline.evaluation.audit.measure import band_edges

Audit = Callable[..., dict[str, Any]]
Change = Callable[[Take], Take]


def at_another_rate(take: Take) -> Take:
    return replace(take, samples=soxr.resample(take.samples, RATE, 22_050), rate=22_050)


def through_a_telephone(take: Take) -> Take:
    narrow = soxr.resample(soxr.resample(take.samples, RATE, 8000), 8000, RATE)
    return replace(take, samples=narrow * np.float32(np.std(take.samples) / np.std(narrow)))


def as_vorbis(take: Take) -> Take:
    return replace(take, name=take.name.replace(".wav", ".ogg"))


def cut_short(take: Take) -> Take:
    return replace(take, samples=take.samples[: int(1.9 * RATE)])


def quieter(take: Take) -> Take:
    return replace(take, samples=take.samples * np.float32(0.25))


def padded(take: Take) -> Take:
    return replace(take, samples=np.where(np.arange(len(take.samples)) > 2.2 * RATE, 0, take.samples))


# What is planted, the check that must find it, and those that it must drag along or may: a file at another
# rate has another bandwidth; a quieter one, of 16 bits, more samples that are zero.
PLANTED: list[tuple[Change, str, set[str]]] = [
    (at_another_rate, "sample-rate", {"bandwidth"}),
    (through_a_telephone, "bandwidth", set()),
    (as_vorbis, "format", {"bandwidth", "digital-silence"}),
    (cut_short, "length", set()),
    (quieter, "loudness", {"digital-silence"}),
    (padded, "digital-silence", {"loudness"}),
]


@pytest.mark.parametrize(("change", "trait", "beside"), PLANTED, ids=[name for _, name, _ in PLANTED])
def test_a_label_that_a_trait_tells_is_found(
    change: Change, trait: str, beside: set[str], audited: Audit, tmp_path: Path
) -> None:
    takes = planted.changed(planted.takes(), "falling", change)
    report = audited(planted.write(tmp_path, takes, ("path", "label", "group", "split")))
    found = planted.check(report, f"shortcut-{trait}")
    assert found["severity"] == "shortcut", planted.dumped(report)
    assert found["numbers"]["auc"] > 0.9
    assert f"mean AUC {found['numbers']['auc']:.2f} [" in found["finding"]
    assert found["numbers"]["p"] <= 0.01
    allowed = {f"shortcut-{name}" for name in {trait, "all-traits-together", *beside}}
    assert planted.by_severity(report, "leak", "shortcut") <= allowed, planted.dumped(report)
    assert report["verdict"]["leak"] == 0


def test_nothing_is_found_where_nothing_is_planted(audited: Audit, clean: Path) -> None:
    report = audited(clean)
    assert not planted.by_severity(report, "leak", "shortcut", "note"), planted.dumped(report)
    for name in ("sample rate", "format", "length"):
        assert report["plots"]["shortcuts"]["traits"][name]["auc"] == 0.5, "a constant tells nothing"
    null = planted.check(report, "chance")
    assert null["severity"] == "clear"
    assert null["numbers"]["p"] < 0.05, "the direction can be heard"


def test_a_class_from_a_collection_of_its_own_is_confounded(audited: Audit, tmp_path: Path) -> None:
    takes = planted.changed(planted.takes(), "falling", lambda take: replace(take, source="home"))
    report = audited(planted.write(tmp_path, takes, ("path", "label", "group", "source")))
    found = planted.check(report, "source-confounding")
    assert found["severity"] == "shortcut"
    assert found["numbers"]["cramers_v"] == pytest.approx(1.0)
    assert found["numbers"]["one_source_only"] == {"falling": "home", "rising": "studio"}
    assert planted.check(report, "shortcut-source")["numbers"]["auc"] == 1.0


def test_classes_from_both_collections_are_not(audited: Audit, tmp_path: Path) -> None:
    takes = [
        replace(take, source="home" if int(take.group[1:]) % 4 < 2 else "studio") for take in planted.takes()
    ]
    report = audited(planted.write(tmp_path, takes, ("path", "label", "group", "source")))
    assert planted.check(report, "source-confounding")["severity"] == "clear", planted.dumped(report)
    assert "shortcut-source" not in planted.by_severity(report, "shortcut")


@pytest.fixture(scope="module")
def voices(audited: Audit, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Five cuts of one cry of each of 20 donors, labelled by a coin per donor: only the donor tells."""
    cuts = planted.cries(shared / "data" / "donateacry" / "hungry", 20, 1.2, each=5)
    fallen = np.random.default_rng(2).permutation(np.arange(20) % 2)
    coin = dict(zip(sorted({who for who, _ in cuts}), fallen, strict=True))
    takes = [
        Take(f"cut{i}.wav", ("heads", "tails")[coin[who]], who, "train", samples)
        for i, (who, samples) in enumerate(cuts)
    ]
    root = tmp_path_factory.mktemp("voices")
    return audited(planted.write(root, takes, ("path", "label", "group")))


def test_a_random_split_promises_what_a_grouped_one_does_not_keep(voices: dict[str, Any]) -> None:
    found = planted.check(voices, "gap")
    assert found["severity"] == "note", planted.dumped(voices)
    assert found["numbers"]["random"]["value"] > 0.65
    # Twenty voices and labels dealt at random: some embedding finds 0.57 in them, which is chance as well.
    assert found["numbers"]["grouped"]["value"] < found["numbers"]["null"]["high_95"]
    assert found["numbers"]["grouped"]["low"] < 0.5
    assert found["numbers"]["gap"]["low"] > 0


def test_where_no_sound_tells_the_label_chance_does_as_well(voices: dict[str, Any]) -> None:
    found = planted.check(voices, "chance")
    assert found["severity"] == "note"
    assert found["numbers"]["p"] > 0.05
    assert 0.4 < found["numbers"]["mean"] < 0.6, "labels dealt anew average to one half"


def test_without_a_split_the_share_of_recordings_in_company_is_told(voices: dict[str, Any]) -> None:
    found = planted.check(voices, "groups")
    assert found["severity"] == "note"
    assert found["numbers"]["share"] > 0.8
    assert found["numbers"]["groups"] == 20


def test_auc_within_folds_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    y, scores, folds = rng.integers(0, 3, 300), rng.normal(size=(300, 3)).round(1), rng.integers(0, 4, 300)
    scores[np.arange(300), y] += 0.5
    found = fold_auc(y, scores, folds)[0]
    for k in range(3):
        right = pairs = 0.0
        for fold in range(4):
            inside = folds == fold
            number = np.sum(y[inside] == k) * np.sum(y[inside] != k)
            right += number * roc_auc_score(y[inside] == k, scores[inside, k])
            pairs += number
        assert found[k] == pytest.approx(right / pairs)
    weights = group_weights(np.arange(300), 3, rng)
    drawn = fold_auc(y, scores, folds, weights)
    for draw, counts in enumerate(weights.astype(int)):
        again = np.repeat(np.arange(300), counts)
        assert drawn[draw] == pytest.approx(fold_auc(y[again], scores[again], folds[again])[0])


def test_a_perfect_order_of_two_weighs_less_than_one_of_twenty() -> None:
    few, many = np.array([0, 1]), np.repeat([0, 1], 10)
    score = np.stack([-few, few], axis=1).astype(float)
    scores = np.stack([-many, many], axis=1).astype(float)
    auc_few, z_few = auc_and_z(few, score, np.zeros(2, np.int64))
    auc_many, z_many = auc_and_z(many, scores, np.zeros(20, np.int64))
    assert auc_few.tolist() == auc_many.tolist() == [1, 1]
    assert z_few[0] == pytest.approx(1.0)
    assert z_many[0] == pytest.approx(50 / np.sqrt(100 * 21 / 12))


def test_deals_keep_groups_whole() -> None:
    rng = np.random.default_rng(0)
    groups, y = np.repeat(np.arange(30), 3), np.repeat(rng.integers(0, 2, 30), 3)
    dealt = deal(y, groups, rng)
    assert all(len(set(dealt[groups == group])) == 1 for group in range(30))
    assert dealt[::3].sum() == y[::3].sum()
    assert (dealt != y).any()


def test_association_of_class_and_source() -> None:
    assert cramers_v(np.array([[50, 0], [0, 50]])) == pytest.approx(1.0)
    assert cramers_v(np.array([[25, 25], [25, 25]])) == 0.0
    assert np.isnan(cramers_v(np.array([[25, 25]])))


@pytest.mark.parametrize("limit", [4000, 5512.5])
def test_where_a_filter_cut_the_spectrum_off_is_measured(limit: float) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 3 * RATE).astype(np.float32)
    narrow = soxr.resample(soxr.resample(noise, RATE, 2 * limit), 2 * limit, RATE)
    assert band_edges(noise, RATE)[1] == RATE / 2
    assert band_edges(narrow, RATE)[1] == pytest.approx(limit, rel=0.06)

"""The report: ours beside the plain class, means over folds, intervals, and the table people read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.evaluation.detection import FIGURES, Scores, compare, report_on, to_markdown, write
from pipeline.evaluation.metrics import detection_figures, threshold_at


def made_up(suite: str = "clean", seed: int = 0, n: int = 400) -> Scores:
    """Two folds, three sources; ours far better than the plain class."""
    rng = np.random.default_rng(seed)
    is_cry = rng.random(n) < 0.4
    fold = np.arange(n) % 2
    source = np.where(fold == 0, "home", np.where(np.arange(n) % 4 == 1, "street", "car"))
    group = np.array([f"g{i // 6}" for i in range(n)])
    return Scores(suite, is_cry, rng.normal(3.0 * is_cry), rng.normal(1.0 * is_cry), fold, source, group)


@pytest.fixture(scope="module")
def scores() -> Scores:
    """One suite."""
    return made_up()


def test_values_are_means_over_folds(scores: Scores) -> None:
    report = compare(scores, draws=20)
    assert (report["clips"], report["cries"]) == (400, int(scores.is_cry.sum()))
    for who, values in (("ours", scores.logits), ("plain", scores.plain)):
        by_fold = [
            detection_figures(scores.is_cry[scores.fold == k], values[scores.fold == k]) for k in (0, 1)
        ]
        for figure in FIGURES:
            wanted = np.mean([f[figure] for f in by_fold])
            assert report[who][figure]["value"] == pytest.approx(wanted)
    for figure in FIGURES:
        difference = report["ours"][figure]["value"] - report["plain"][figure]["value"]
        assert report["ahead"][figure]["value"] == pytest.approx(difference)


def test_a_fold_does_not_count_by_its_scale(scores: Scores) -> None:
    """Each fold has a head of its own: what it calls 5 another may call 50."""
    moved = replace(scores, logits=np.where(scores.fold == 1, 100 + 10 * scores.logits, scores.logits))
    assert compare(moved, draws=5)["ours"]["auc"] == compare(scores, draws=5)["ours"]["auc"]


def test_intervals_hold_the_value_and_tell_a_lead_from_none(scores: Scores) -> None:
    report = compare(scores, draws=40)
    for who in ("ours", "plain", "ahead"):
        interval = report[who]["auc"]
        assert interval["low"] <= interval["value"] <= interval["high"]
    assert report["ahead"]["auc"]["low"] > 0
    level = compare(replace(scores, plain=scores.logits), draws=10)["ahead"]
    assert all(level[f] == {"value": 0.0, "low": 0.0, "high": 0.0, "level": 0.95} for f in FIGURES)
    assert compare(scores, draws=5, seed=1) == compare(scores, draws=5, seed=1)


def test_a_source_is_judged_at_the_others_threshold(scores: Scores) -> None:
    row = report_on([scores], draws=5)["by_source"]["car"]
    car = scores.source == "car"
    line = threshold_at(scores.logits[~car & ~scores.is_cry], 0.01)
    assert row["ours_recall"] == pytest.approx(np.mean(scores.logits[car & scores.is_cry] >= line))
    assert row["ours_false_positives"] == pytest.approx(np.mean(scores.logits[car & ~scores.is_cry] >= line))
    assert (row["cries"], row["others"]) == (
        int((car & scores.is_cry).sum()),
        int((car & ~scores.is_cry).sum()),
    )


def test_mixed_suites_are_averaged(tmp_path: Path) -> None:
    suites = [made_up("clean"), made_up("background, 0 dB", 1), made_up("white noise, 5 dB", 2)]
    report = report_on(suites, draws=10)
    for who in ("ours", "plain", "ahead"):
        values = [report["suites"][s.suite][who]["ap"]["value"] for s in suites[1:]]
        assert report["mixed_average"][who]["ap"] == pytest.approx(np.mean(values))
    assert "mixed_average" not in report_on(suites[:1], draws=5)
    write(report, tmp_path / "deep" / "report.json")
    assert json.loads((tmp_path / "deep" / "report.json").read_text()) == report


def test_the_table(scores: Scores) -> None:
    report = report_on([scores, made_up("white noise, 0 dB", 1)], draws=10)
    first, second = to_markdown(report).split("\n\n")
    assert len({line.count("|") for line in first.splitlines()}) == 1
    assert len({line.count("|") for line in second.splitlines()}) == 1
    auc = report["suites"]["clean"]["ours"]["auc"]
    assert f"{auc['value']:.3f} [{auc['low']:.3f}, {auc['high']:.3f}]" in first
    assert "mean of the mixed suites" in first
    assert {line.split("|")[1].strip() for line in second.splitlines()[2:]} == {"home", "street", "car"}


def test_suites_join() -> None:
    joined = Scores.join("both", [made_up(seed=0, n=10), made_up(seed=1, n=7)])
    assert joined.suite == "both"
    assert len(joined.logits) == len(joined.group) == 17

"""Figures of detection against scikit-learn's and against counting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from pipeline.evaluation.metrics import detection_figures, threshold_at

scores = st.lists(st.floats(-100, 100), min_size=1, max_size=300)


@settings(max_examples=100, deadline=None)
@given(values=scores, rate=st.floats(0, 0.99))
def test_the_threshold_lets_no_more_through_than_asked_and_no_lower_one_would_do(
    values: list[float], rate: float
) -> None:
    negatives = np.array(values)
    line = threshold_at(negatives, rate)
    assert np.mean(negatives >= line) <= rate
    below = negatives[negatives < line].max()
    assert np.mean(negatives >= below) > rate, "the next lower score would let too many through"


def test_known_counts() -> None:
    negatives = np.arange(1000.0)
    assert np.sum(negatives >= threshold_at(negatives, 0.01)) == 10
    assert np.sum(negatives >= threshold_at(negatives, 0.001)) == 1
    assert np.sum(negatives >= threshold_at(negatives[:999], 0.001)) == 1
    assert threshold_at(np.zeros(100), 0.5) > 0, "ties all fall on one side"
    assert threshold_at(np.zeros(0), 0.01) == -np.inf


def test_figures_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(3000) < 0.3
    given_scores = rng.normal(truth * 2.0).round(1)
    figures = detection_figures(truth, given_scores)
    assert figures["auc"] == pytest.approx(roc_auc_score(truth, given_scores))
    assert figures["ap"] == pytest.approx(average_precision_score(truth, given_scores))
    for rate in (0.01, 0.001):
        line = threshold_at(given_scores[~truth], rate)
        assert figures[f"recall_at_{rate:g}"] == pytest.approx(np.mean(given_scores[truth] >= line))
    assert figures["recall_at_0.001"] < figures["recall_at_0.01"]


def test_best_and_worst() -> None:
    truth = np.arange(10) >= 5
    assert set(detection_figures(truth, np.arange(10.0)).values()) == {1.0}
    worst = detection_figures(truth, -np.arange(10.0))
    assert worst["auc"] == 0
    assert worst["recall_at_0.01"] == 0


@pytest.mark.parametrize("truth", [np.ones(4, bool), np.zeros(4, bool)])
def test_one_kind_alone_has_no_figures(truth: np.ndarray) -> None:
    figures = detection_figures(truth, np.arange(4.0))
    assert set(figures) == {"auc", "ap", "recall_at_0.01", "recall_at_0.001"}
    assert np.isnan(list(figures.values())).all()

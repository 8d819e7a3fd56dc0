"""Thresholds for a budget of false alerts: chosen where they are not judged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.episodes import EpisodeRules
from pipeline.evaluation import night_figures as figure
from pipeline.evaluation.night_budget import chosen_elsewhere, points_by_fold, points_by_move, pooled
from pipeline.evaluation.night_figures import Heard
from pipeline.evaluation.night_room import Place
from pipeline.evaluation.night_truth import CryEpisode, Truth
from pipeline.zoo.base import Timeline
from pipeline.zoo.yamnet_class import averaged

HOP, WINDOW, LONG = 0.5, 1.0, 1800.0
PLACE = Place(rt60_s=0.3, volume_m3=30.0, distance_m=1.0)


def heard(fold: int, cry: float, other: float, *, suite: str | None = None) -> Heard:
    """Half an hour: two episodes scored ``cry``, one sound that is none scored ``other``, all else 0.01."""
    scores = np.full(int(LONG / HOP), 0.01)
    episodes = []
    for start in () if suite else (300.0, 900.0):
        scores[int(start / HOP) : int((start + 30) / HOP)] = cry
        pieces = ((start, start + 30),)
        donor = f"donor {fold} {start}"
        episodes.append(CryEpisode(start, start + 30, donor, "s", ("a",), 10.0, "quiet", PLACE, pieces))
    scores[int(1400 / HOP) : int(1405 / HOP)] = other
    truth = Truth(f"night {fold}", LONG, fold, ("s",), 0, suite, "quiet", -60.0, tuple(episodes), ())
    return Heard(truth, Timeline(scores, HOP, WINDOW), EpisodeRules(0.5, 0.25, hop_s=HOP, window_s=WINDOW))


def chosen(nights: list[Heard], suites: list[Heard] | None = None, budget: float = 0.0):
    return chosen_elsewhere(nights, suites or [], points_by_move(nights), budget, draws=20, seed=0)


def test_points_of_folds_together_are_those_of_all_nights():
    nights = [heard(0, 0.9, 0.3), heard(0, 0.4, 0.6), heard(1, 0.7, 0.5)]
    thresholds = figure.thresholds_of(nights)
    together, at_once = pooled(nights, points_by_fold(nights, thresholds)), figure.curve(nights, thresholds)
    assert len(together) == len(at_once) > 5
    for mine, whole in zip(together, at_once, strict=True):
        assert mine == pytest.approx(whole)


def test_a_fold_is_judged_at_the_threshold_of_the_others():
    """Fold 1's loud other sound sets fold 0's threshold, not its own: there it is a false alert."""
    found = chosen([heard(0, 0.95, 0.2), heard(1, 0.95, 0.8)])
    assert found is not None
    assert found["thresholds"]["0"] > 0.8 >= found["thresholds"]["1"] > 0.2
    assert found["figures"]["episode_recall"]["value"] == 1.0
    assert found["figures"]["false_alerts_per_24h"]["count"] == 1


def test_thresholds_carry_over_as_moves_from_each_folds_own():
    """Fold 1's scores and its own threshold are lower throughout: fold 0's threshold would miss its cries."""
    lower = heard(1, 0.3, 0.02)
    lower = replace(lower, rules=lower.rules.with_threshold(0.1))
    found = chosen([heard(0, 0.9, 0.45), lower])
    assert found is not None
    assert found["thresholds"]["1"] < 0.3
    assert found["figures"]["episode_recall"]["value"] == 1.0


def test_own_nights_never_move_the_threshold():
    first = chosen([heard(0, 0.95, 0.2), heard(1, 0.95, 0.4), heard(2, 0.95, 0.3)])
    second = chosen([heard(0, 0.95, 0.2), heard(1, 0.95, 0.4), heard(2, 0.95, 0.9)])
    assert first is not None
    assert second is not None
    assert first["thresholds"]["2"] == second["thresholds"]["2"]
    assert second["thresholds"]["0"] > first["thresholds"]["0"]


def test_suites_are_judged_at_the_same_thresholds():
    nights = [heard(0, 0.95, 0.2), heard(1, 0.95, 0.8)]
    found = chosen(nights, [heard(0, 0.0, 0.7, suite="pets"), heard(1, 0.0, 0.7, suite="pets")])
    assert found is not None
    assert found["by_suite"]["pets"]["false_alerts_per_24h"]["count"] == 1  # fold 1's alone


def test_one_fold_or_no_threshold_within_the_budget_gives_nothing():
    assert chosen([heard(0, 0.9, 0.3)]) is None
    assert chosen([heard(0, 0.9, 1.0), heard(1, 0.9, 1.0)]) is None


def test_averaging_takes_the_mean_of_log_odds_over_longer_windows():
    scores = np.array([0.9, 0.9, 0.1, 0.5])
    longer = averaged(Timeline(scores, 0.5, 1.0), 1.0)
    assert longer.window_s == 1.5
    assert longer.scores == pytest.approx([0.9, 0.5, 0.25])
    assert averaged(Timeline(scores, 0.5, 1.0), 60.0).scores == pytest.approx([0.6340], abs=1e-4)
    assert averaged(Timeline(scores, 0.5, 1.0), 0.0).scores is scores

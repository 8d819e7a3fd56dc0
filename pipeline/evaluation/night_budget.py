"""Thresholds for a budget of false alerts, chosen on nights of other folds than the one that is judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.evaluation import events
from pipeline.evaluation import night_figures as figure
from pipeline.evaluation.night_figures import Heard

Points = Sequence[dict[str, Any]]


def points_by_fold(
    nights: Sequence[Heard], thresholds: Sequence[float], tell: Callable[[int, int], None] | None = None
) -> dict[int, list[dict[str, Any]]]:
    """Each fold's recall and false alerts at each threshold (:func:`night_figures.curve`)."""
    folds = {fold: _of(nights, fold) for fold in sorted({n.truth.fold for n in nights})}
    points: dict[int, list[dict[str, Any]]] = {fold: [] for fold in folds}
    for done, threshold in enumerate(thresholds):
        if tell:
            tell(done, len(thresholds))
        for fold, its in folds.items():
            points[fold] += figure.curve(its, [threshold])
    return points


def points_by_move(
    nights: Sequence[Heard], tell: Callable[[int, int], None] | None = None
) -> dict[int, list[dict[str, Any]]]:
    """Each fold's points where its own threshold is moved by the same log-odds in all folds.

    Models of different folds have thresholds of their own, set by one rule on what each was taught with; a
    move is what carries over from one to another, as it does to a slider that starts there.

    Returns:
        By fold, for each move the point there; its "threshold" is the move.
    """
    folds = {fold: _of(nights, fold) for fold in sorted({n.truth.fold for n in nights})}
    own = {fold: _log_odds(its[0].rules.onset) for fold, its in folds.items()}
    moves = np.unique(
        [_log_odds(t) - own[fold] for fold, its in folds.items() for t in figure.thresholds_of(its)]
    )
    if len(moves) > figure.THRESHOLDS:
        moves = np.unique(np.quantile(moves, np.linspace(0, 1, figure.THRESHOLDS), method="nearest"))
    points: dict[int, list[dict[str, Any]]] = {fold: [] for fold in folds}
    for done, move in enumerate(moves.tolist()):
        if tell:
            tell(done, len(moves))
        for fold, its in folds.items():
            points[fold] += [{**p, "threshold": move} for p in figure.curve(its, [_moved(own[fold], move)])]
    return points


def pooled(nights: Sequence[Heard], by_fold: Mapping[int, Points]) -> list[dict[str, Any]]:
    """The points of several folds as those of all their nights together."""
    episodes = np.array([sum(len(n.truth.episodes) for n in _of(nights, f)) for f in by_fold], float)
    seconds = np.array([sum(_cry_free_s(n) for n in _of(nights, f)) for f in by_fold])
    together = []
    for row in zip(*by_fold.values(), strict=True):
        recall = np.array([p["episode_recall"] or 0.0 for p in row])
        rate = np.array([p["false_alerts_per_24h"] for p in row])
        together.append(
            {
                "threshold": row[0]["threshold"],
                "episode_recall": float(recall @ episodes / episodes.sum()) if episodes.any() else None,
                "false_alerts_per_24h": float(np.nansum(rate * seconds) / seconds.sum()),
            }
        )
    return together


def chosen_elsewhere(
    nights: Sequence[Heard],
    suites: Sequence[Heard],
    by_fold: Mapping[int, Points],
    budget_per_24h: float,
    *,
    draws: int,
    seed: int,
) -> dict[str, Any] | None:
    """Every fold at the threshold that the nights of the *other* folds give for a budget of false alerts.

    No threshold has seen the night it is applied to (only the grid it is taken from is that of all nights).
    None with a single fold, or where no threshold keeps within the budget.

    Args:
        by_fold: of :func:`points_by_move`.

    Returns:
        "thresholds" by fold, "figures" (:func:`night_figures.figures`) and "by_suite" at them.
    """
    thresholds = {}
    for fold in by_fold:
        others = {f: points for f, points in by_fold.items() if f != fold}
        point = figure.threshold_for(pooled(nights, others), budget_per_24h) if others else None
        if point is None:
            return None
        own = _log_odds(_of(nights, fold)[0].rules.onset)
        thresholds[fold] = _moved(own, point["threshold"])
    predicted = [n.predicted(thresholds[n.truth.fold]) for n in nights]
    return {
        "thresholds": {str(fold): value for fold, value in thresholds.items()},
        "figures": figure.figures(nights, predicted, draws=draws, seed=seed),
        "by_suite": figure.by_suite(suites, [s.predicted(thresholds[s.truth.fold]) for s in suites]),
    }


def _log_odds(score: float) -> float:
    kept = min(max(score, 1e-9), 1 - 1e-9)
    return float(np.log(kept / (1 - kept)))


def _moved(log_odds: float, move: float) -> float:
    return float(1 / (1 + np.exp(-(log_odds + move))))


def _of(nights: Sequence[Heard], fold: int) -> list[Heard]:
    return [n for n in nights if n.truth.fold == fold]


def _cry_free_s(night: Heard) -> float:
    return events.cry_free_s(night.truth.crying, night.truth.duration_s)

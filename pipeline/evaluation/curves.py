"""Curves behind the detection figures, on fixed grids so that folds can be averaged and files stay small.

Scores of different heads are not on one scale, so folds are never pooled: each fold has its curve, and curves
are averaged vertically (Fawcett 2006, Pattern Recognition Letters 27:861).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.metrics import threshold_at

FALSE_POSITIVE_GRID = np.concatenate([[0.0], np.geomspace(1e-3, 0.999, 31)])
RECALL_GRID = np.linspace(0.02, 1.0, 50)


def recall_at(is_cry: NDArray[np.bool_], scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """Recall where at most each share of :data:`FALSE_POSITIVE_GRID` of the other sounds is let through."""
    lines = [threshold_at(scores[~is_cry], rate) for rate in FALSE_POSITIVE_GRID]
    return np.array([(scores[is_cry] >= line).mean() for line in lines])


def precision_at(is_cry: NDArray[np.bool_], scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """Precision at each recall of :data:`RECALL_GRID`: the best at that recall or a higher one."""
    from sklearn.metrics import precision_recall_curve

    precision, recall, _ = precision_recall_curve(is_cry, scores)
    return np.array([precision[recall >= wanted - 1e-12].max() for wanted in RECALL_GRID])


def detection_curves(
    is_cry: NDArray[np.bool_], fold: NDArray[np.int64], by_name: dict[str, NDArray[np.floating]]
) -> dict[str, Any]:
    """ROC and precision-recall of several scores, means over the folds that hold both kinds; JSON-able.

    Args:
        is_cry, fold: (n,) truth and fold of each clip; by_name: (n,) scores by who gave them.
    """
    held = [f for f in np.unique(fold) if len(np.unique(is_cry[fold == f])) == 2]
    report: dict[str, Any] = {
        "false_positive_rate": FALSE_POSITIVE_GRID.round(5).tolist(),
        "recall": RECALL_GRID.round(3).tolist(),
    }
    for who, values in by_name.items():
        rows = [(is_cry[fold == f], values[fold == f]) for f in held]
        report[f"{who}_recall"] = np.mean([recall_at(*r) for r in rows], axis=0).round(4).tolist()
        report[f"{who}_precision"] = np.mean([precision_at(*r) for r in rows], axis=0).round(4).tolist()
    return report


def reliability(
    truth: NDArray[np.bool_], probability: NDArray[np.floating], bins: int = 10
) -> dict[str, Any]:
    """How often calibrated scores are right: bins of equal width, and the expected calibration error.

    (Naeini et al. 2015, AAAI: the mean distance between what was said and what happened, by bin count.)

    Returns:
        ``bins``: score (mean said), share (of cries), count of each bin that is not empty; ``error``.
    """
    which = np.minimum((probability * bins).astype(int), bins - 1)
    rows = [
        {
            "score": float(probability[which == k].mean()),
            "share": float(truth[which == k].mean()),
            "count": int((which == k).sum()),
        }
        for k in np.unique(which)
    ]
    error = sum(r["count"] * abs(r["score"] - r["share"]) for r in rows) / max(len(truth), 1)
    return {"bins": rows, "error": float(error)}

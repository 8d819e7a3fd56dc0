"""Figures of class scores: how often right, how well ranked, how honest."""

from __future__ import annotations

import numpy as np

from pipeline.training.reason_calibration import log_loss

FIGURES = ("accuracy", "balanced_accuracy", "macro_f1", "auc", "log_loss", "calibration_error")
TITLES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "auc": "AUC, one against the rest",
    "log_loss": "log loss of the scores, nats",
    "calibration_error": "calibration error of the scores",
}
RELIABILITY_BINS = 10


def metrics(y: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """Figures of one set of scores.

    Args:
        y: (n,) int true classes.
        scores: (n, classes) float, each row summing to 1.

    Returns:
        accuracy; balanced accuracy (mean recall of the classes present); macro-F1 (mean over the classes
        present in truth or answers); auc (mean over classes of one-against-rest AUC, ties count half;
        NaN where a single class is present); log_loss in nats; calibration_error (:func:`calibration_error`).
    """
    n_classes = scores.shape[1]
    table = confusion(y, scores.argmax(axis=1), n_classes)
    right, true, said = table.diagonal(), table.sum(axis=1), table.sum(axis=0)
    present, mentioned = true > 0, (true + said) > 0
    areas = one_vs_rest_auc(y, scores)
    return {
        "accuracy": float(right.sum() / len(y)),
        "balanced_accuracy": float((right[present] / true[present]).mean()),
        "macro_f1": float((2 * right[mentioned] / (true + said)[mentioned]).mean()),
        "auc": float(np.nanmean(areas)) if np.isfinite(areas).any() else float("nan"),
        "log_loss": log_loss(scores, y),
        "calibration_error": calibration_error(y, scores),
    }


def confusion(y: np.ndarray, answers: np.ndarray, n_classes: int) -> np.ndarray:
    """(classes, classes) int64 counts: true class by row, answer by column."""
    return np.bincount(y * n_classes + answers, minlength=n_classes**2).reshape(n_classes, n_classes)


def one_vs_rest_auc(y: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(classes,) area under the ROC of each class against the rest; NaN for an absent class."""
    from scipy.stats import rankdata

    n_classes = scores.shape[1]
    ranks = rankdata(scores, axis=0)
    positives = np.bincount(y, minlength=n_classes).astype(float)
    rank_sums = np.array([ranks[y == k, k].sum() for k in range(n_classes)])
    pairs = positives * (len(y) - positives)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(pairs > 0, (rank_sums - positives * (positives + 1) / 2) / pairs, np.nan)


def calibration_error(y: np.ndarray, scores: np.ndarray, bins: int = RELIABILITY_BINS) -> float:
    """Expected calibration error of the class with the largest score: |share right - mean score|, averaged
    over bins of that score with their counts as weights (Naeini, Cooper and Hauskrecht 2015, AAAI; Guo et al.
    2017, ICML), here bins of equal mass.

    It is never below nothing, so chance alone makes it positive, the more so the fewer rows there are.

    Args:
        y: (n,) int true classes; scores: (n, classes).

    Returns:
        A number in [0, 1].
    """
    score, right, count = _binned(y, scores, bins)
    return float(np.abs(right - score).sum() / count.sum())


def reliability(
    y: np.ndarray, scores: np.ndarray, bins: int = RELIABILITY_BINS
) -> list[dict[str, float | int]]:
    """Bins of the largest score, of equal mass: its mean (score), how often it was right (share), rows
    (count)."""
    score, right, count = _binned(y, scores, bins)
    return [
        {"score": float(s / n), "share": float(r / n), "count": int(n)}
        for s, r, n in zip(score, right, count, strict=True)
    ]


def _binned(y: np.ndarray, scores: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sum of the largest score, number of right answers and number of rows in each bin that holds any.

    Equal scores stay in one bin, so a model that always says the same has one bin.
    """
    top, right = scores.max(axis=1), scores.argmax(axis=1) == y
    edges = np.unique(np.quantile(top, np.arange(1, bins) / bins))
    which = np.searchsorted(edges, top, side="left")
    count = np.bincount(which, minlength=bins)
    held = count > 0
    score = np.bincount(which, weights=top, minlength=bins)[held]
    return score, np.bincount(which, weights=right, minlength=bins)[held], count[held]

"""What a split at random would promise beyond a split by group, on this very set.

The same quick model is held out twice: by recordings drawn at random, and by whole groups (donors,
recordings, and whatever holds the same audio). The model is kernel ridge regression on class indicators
(regularised least squares; R. Rifkin 2003) over the student's embedding with a Gaussian kernel. Its answers
are linear in the labels, so that each fold is solved once and labels dealt anew cost one matrix product: the
permutation null below refits the model on every deal.

Neither figure is the best one could get on this set. Their difference is what this is about.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.audit.auc import auc_and_z, deal, fold_auc, group_weights, interval, macro, share
from pipeline.evaluation.audit.folds import fold_numbers, whole_groups
from pipeline.evaluation.audit.gather import Progress
from pipeline.evaluation.audit.neighbours import standardised

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MOST = 4000  # recordings; whole groups are drawn from larger sets
RIDGE = 0.1
"""Added to the kernel's diagonal of ones. Set once, as was its width; nothing was tuned on any set."""


def gaussian_kernel(embedding: NDArray[np.floating]) -> NDArray[np.float32]:
    """(n, n) float32, exp(-d² / m) of standardised rows, m the median d² to the fifth nearest neighbour."""
    unit = standardised(embedding)
    squared = np.maximum(2 - 2 * (unit @ unit.T), 0)
    near = np.partition(squared, min(5, len(squared) - 1), axis=1)[:, min(5, len(squared) - 1)]
    return np.exp(-squared / max(float(np.median(near)), 1e-6)).astype(np.float32)


def hats(kernel: NDArray[np.float32], folds: Ints) -> list[tuple[Ints, Ints, Floats]]:
    """(train, test, hat) of each fold: hat @ centred targets of train + their mean answers test."""
    from scipy.linalg import cho_factor, cho_solve

    found = []
    for fold in range(int(folds.max()) + 1):
        train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        inner = kernel[np.ix_(train, train)].astype(np.float64)
        inner[np.diag_indices_from(inner)] += RIDGE
        solved = cho_solve(cho_factor(inner, lower=True, overwrite_a=True), kernel[np.ix_(train, test)])
        found.append((train, test, solved.T))
    return found


def answers(solved: list[tuple[Ints, Ints, Floats]], y: Ints, n_classes: int) -> Floats:
    """(n, classes) held-out scores under labels y."""
    target = np.eye(n_classes)[y]
    out = np.zeros((len(y), n_classes))
    for train, test, hat in solved:
        mean = target[train].mean(axis=0)
        out[test] = hat @ (target[train] - mean) + mean
    return out


def random_versus_grouped(
    embedding: NDArray[np.floating],
    y: Ints,
    n_classes: int,
    groups: Ints,
    *,
    repeats: int = 2,
    draws: int,
    deals: int,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any] | None:
    """The quick model held out at random and by group, their difference, and the grouped score by chance.

    Args:
        embedding: (n, d); y: (n,) int; groups: (n,) int.

    Returns:
        JSON-able figures ("random", "grouped", "gap" with value, low, high; "null" with p), or None when the
        set has too few classes or groups.
    """
    tell = progress or (lambda what, done, total: None)
    kept = whole_groups(groups, MOST, seed)
    y, embedding = y[kept], embedding[kept]
    groups = np.unique(groups[kept], return_inverse=True)[1].astype(np.int64)
    if len(np.unique(y)) < 2 or len(np.unique(groups)) < 2:
        return None
    kernel = gaussian_kernel(embedding)
    rng = np.random.default_rng(seed)
    weights = group_weights(groups, draws, rng)
    value: dict[str, list[float]] = {"random": [], "grouped": []}
    drawn: dict[str, list[Floats]] = {"random": [], "grouped": []}
    null: dict[str, Any] = {}
    for repeat in range(repeats):
        for step, kind in enumerate(value):
            tell("random and grouped folds", 2 * repeat + step, 2 * repeats)
            folds = fold_numbers(y, groups if kind == "grouped" else None, seed=seed + repeat)
            if folds is None:
                return None
            solved = hats(kernel, folds)
            scores = answers(solved, y, n_classes)
            value[kind].append(float(macro(fold_auc(y, scores, folds))[0]))
            drawn[kind].append(macro(fold_auc(y, scores, folds, weights)))
            if kind == "grouped" and not null:
                null = _null(solved, y, n_classes, groups, folds, deals, rng, tell)
    means = {kind: np.mean(drawn[kind], axis=0) for kind in value}
    figures = {kind: _figure(float(np.mean(value[kind])), means[kind]) for kind in value}
    gap = figures["random"]["value"] - figures["grouped"]["value"]
    return {
        **figures,
        "gap": _figure(gap, means["random"] - means["grouped"]),
        "null": null,
        "recordings": len(y),
        "groups": int(groups.max()) + 1,
        "repeats": repeats,
        "draws": draws,
    }


def _figure(value: float, drawn: Floats) -> dict[str, float]:
    low, high = interval(drawn)
    return {"value": value, "low": low, "high": high, "level": 0.95}


def _null(
    solved: list[tuple[Ints, Ints, Floats]],
    y: Ints,
    n_classes: int,
    groups: Ints,
    folds: Ints,
    deals: int,
    rng: np.random.Generator,
    tell: Progress,
) -> dict[str, Any]:
    """The grouped score, and under labels dealt anew with the model refitted on each deal."""
    aucs, z = auc_and_z(y, answers(solved, y, n_classes), folds)
    values, dealt_z = np.empty(deals), np.empty(deals)
    for number in range(deals):
        if number % 20 == 0:
            tell("labels dealt anew", number, deals)
        dealt = deal(y, groups, rng)
        dealt_aucs, one_z = auc_and_z(dealt, answers(solved, dealt, n_classes), folds)
        values[number], dealt_z[number] = macro(dealt_aucs[None])[0], one_z.mean()
    values = values[np.isfinite(values)]
    edges = np.histogram_bin_edges(values, bins=20)
    return {
        "value": float(macro(aucs[None])[0]),
        "p": share(dealt_z >= z.mean() - 1e-9),
        "mean": float(values.mean()) if len(values) else float("nan"),
        "high_95": float(np.percentile(values, 95)) if len(values) else float("nan"),
        "deals": deals,
        "histogram": {"edges": edges.tolist(), "counts": np.histogram(values, edges)[0].tolist()},
    }

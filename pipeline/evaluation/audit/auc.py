"""How well scores rank a class before the rest, fold by fold, with intervals and tests by group.

A cross-validated score of one fold cannot be compared with one of another: each fold has its own model. So
pairs (one recording of the class, one of the rest) are counted within folds only, and the AUC is the share of
those pairs in the right order, ties counting half. Pooling the folds first would bias a score without
information below one half.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def fold_auc(y: Ints, scores: Floats, folds: Ints, weights: Floats | None = None) -> Floats:
    """AUC of each class against the rest, within folds.

    Args:
        y: (n,) int class of each recording.
        scores: (n, classes) float, higher means more likely; rows of one fold come from one model.
        folds: (n,) int, the fold that each recording was held out in.
        weights: (draws, n) non-negative weights, such as bootstrap counts; ones when None.

    Returns:
        (draws, classes) float in [0, 1] ((1, classes) without weights); NaN where no fold has both a
        recording of the class and one of the rest.
    """
    right, pairs, _ = _counted(y, scores, folds, np.ones((1, len(y))) if weights is None else weights)
    return _share_of(right, pairs)


def auc_and_z(y: Ints, scores: Floats, folds: Ints) -> tuple[Floats, Floats]:
    """AUC of each class within folds, and how far it is from one half for the number of pairs behind it.

    The second is the sum over folds of Mann and Whitney's U less its mean without information, divided by its
    standard deviation (Mann and Whitney 1947; strata added up as van Elteren 1960 does). Tests compare
    this one: where a deal of labels leaves two pairs in one fold, an AUC of 1 is nothing to wonder at.

    Returns:
        (classes,) float AUC, NaN where undefined, and (classes,) float z, 0 there.
    """
    right, pairs, variance = _counted(y, scores, folds, np.ones((1, len(y))))
    z = (right - pairs / 2) / np.sqrt(np.where(variance > 0, variance, 1))
    return _share_of(right, pairs)[0], z[0]


def _share_of(right: Floats, pairs: Floats) -> Floats:
    return np.where(pairs > 0, right / np.where(pairs > 0, pairs, 1), np.nan)


def _counted(y: Ints, scores: Floats, folds: Ints, rows: Floats) -> tuple[Floats, Floats, Floats]:
    """Pairs in the right order, all pairs, and the variance of the former for weights of one."""
    right = np.zeros((len(rows), scores.shape[1]))
    pairs, variance = np.zeros_like(right), np.zeros_like(right)
    for fold in np.unique(folds):
        members = np.flatnonzero(folds == fold)
        inside = rows[:, members]
        for k in range(scores.shape[1]):
            positive = y[members] == k
            if positive.all() or not positive.any():
                continue
            below = _weight_below(scores[members, k], inside * ~positive)
            gain = inside * positive
            number = gain.sum(axis=1) * (inside * ~positive).sum(axis=1)
            right[:, k] += (gain * below).sum(axis=1)
            pairs[:, k] += number
            variance[:, k] += number * (len(members) + 1) / 12
    return right, pairs, variance


def _weight_below(scores: Floats, weights: Floats) -> Floats:
    """(draws, n): for each item the weight of all with a lower score, and half of those with the same."""
    order = np.argsort(scores, kind="stable")
    ranked = scores[order]
    new = np.r_[True, ranked[1:] != ranked[:-1]]
    run = np.cumsum(new) - 1
    starts = np.flatnonzero(new)
    total = np.add.reduceat(weights[:, order], starts, axis=1)
    below = np.cumsum(total, axis=1) - total / 2
    out = np.empty_like(weights)
    out[:, order] = below[:, run]
    return out


def macro(aucs: Floats) -> Floats:
    """Mean over classes of (draws, classes) AUCs, undefined ones left out; (draws,)."""
    defined = np.isfinite(aucs)
    total = np.where(defined, aucs, 0.0).sum(axis=1)
    count = defined.sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def group_weights(groups: Ints, draws: int, rng: np.random.Generator) -> Floats:
    """(draws, n) counts of a cluster bootstrap: whole groups drawn with replacement.

    Args:
        groups: (n,) int from 0, the group of each recording.
    """
    n = int(groups.max()) + 1
    return rng.multinomial(n, np.full(n, 1 / n), size=draws)[:, groups].astype(np.float64)


def interval(values: Floats, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of bootstrap values, undefined ones left out; (nan, nan) when none is defined."""
    defined = values[np.isfinite(values)]
    if not len(defined):
        return float("nan"), float("nan")
    low, high = np.percentile(defined, [50 * (1 - level), 100 - 50 * (1 - level)])
    return float(low), float(high)


def deal(y: Ints, groups: Ints, rng: np.random.Generator) -> Ints:
    """Labels dealt anew to whole groups, as if groups had nothing to do with them.

    Where every group holds one class, the groups' classes are shuffled. Else groups of the same size exchange
    their rows of labels (``intervals.permute_in_groups``).
    """
    first = np.full(int(groups.max()) + 1, -1, np.int64)
    first[groups] = y
    if (first[groups] == y).all():
        return rng.permutation(first)[groups]
    from pipeline.evaluation.intervals import permute_in_groups

    return permute_in_groups(y, groups, rng)


@dataclass(frozen=True)
class Ranking:
    """AUCs of one set of scores, with intervals and a test against labels dealt anew.

    Attributes:
        value: mean over the classes, with (low, high) 95 % interval by group.
        by_class: value, low, high, p of each class; classes whose AUC is undefined are left out.
        p: of the mean: share of deals at least as good, counted as Phipson and Smyth (2010) do.
        chance: mean and 95th percentile of the mean over deals.
    """

    value: float
    low: float
    high: float
    p: float
    chance: tuple[float, float]
    by_class: dict[str, dict[str, float]]
    draws: int


def ranking(
    classes: tuple[str, ...],
    observed: tuple[Floats, Floats],
    drawn: Floats,
    dealt: tuple[Floats, Floats],
    level: float = 0.95,
) -> Ranking:
    """Put AUCs, their bootstrap draws and their values under dealt labels together.

    The p of a class is adjusted for the number of classes by the largest standardised value of each deal
    (Westfall and Young 1993).

    Args:
        observed: AUC and z, (classes,) each (:func:`auc_and_z`); drawn: (draws, classes) AUCs;
            dealt: AUCs and z, (deals, classes) each; AUCs are NaN where undefined.
    """
    (aucs, z), (aucs_dealt, z_dealt) = observed, dealt
    usual, spread = z_dealt.mean(axis=0), z_dealt.std(axis=0)
    # Labels that deals cannot change have no spread: nothing is then more than usual.
    spread = np.where(spread > 1e-6, spread, np.inf)
    largest = ((z_dealt - usual) / spread).max(axis=1)
    by_class = {}
    for k, name in enumerate(classes):
        if np.isfinite(aucs[k]):
            low, high = interval(drawn[:, k], level)
            p = share(largest >= (z[k] - usual[k]) / spread[k] - 1e-9)
            by_class[name] = {"auc": float(aucs[k]), "low": low, "high": high, "p": p}
    low, high = interval(macro(drawn), level)
    known = macro(aucs_dealt)
    known = known[np.isfinite(known)]
    chance = (float(known.mean()), float(np.percentile(known, 95))) if len(known) else (float("nan"),) * 2
    p = share(z_dealt.mean(axis=1) >= z.mean() - 1e-9)
    return Ranking(float(macro(aucs[None])[0]), low, high, p, chance, by_class, len(z_dealt))


def share(better: NDArray[np.bool_]) -> float:
    """The p of a test by deals, the observed one counted among them (Phipson and Smyth 2010)."""
    return float((1 + better.sum()) / (1 + len(better)))

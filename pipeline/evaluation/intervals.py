"""How sure a figure is: bootstrap over groups, and permutation against chance.

Recordings of one donor resemble each other, so recordings are not independent and an interval over recordings
would be too narrow. Whole groups are drawn (a cluster bootstrap: Field and Welsh 2007, J. R. Stat. Soc. B
69), and labels are shuffled in whole groups.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Interval:
    """A figure with its percentile interval; ``level`` of bootstrap draws fell into [low, high]."""

    value: float
    low: float
    high: float
    level: float = 0.95

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def to_dict(self) -> dict[str, float]:
        """The four numbers by name."""
        return {"value": self.value, "low": self.low, "high": self.high, "level": self.level}


Statistic = Callable[[np.ndarray], dict[str, float]]


def bootstrap_by_group(
    groups: np.ndarray, statistic: Statistic, *, draws: int = 1000, seed: int = 0, level: float = 0.95
) -> dict[str, Interval]:
    """Intervals of several figures at once, drawing whole groups with replacement.

    Args:
        groups: (n,) labels; items of one group are drawn together.
        statistic: from (k,) int indices of items (repeats allowed) to named figures; a figure that is not
            defined on a draw is NaN there and that draw is left out for it.
        draws: number of bootstrap draws.
        seed: same seed, same intervals.
        level: share of draws inside the interval, in (0, 1).

    Returns:
        The figures on all items, each with its percentile interval.
    """
    members = _members(groups)
    point = statistic(np.arange(len(groups)))
    rng = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {name: [] for name in point}
    for _ in range(draws):
        chosen = rng.integers(0, len(members), len(members))
        for name, value in statistic(np.concatenate([members[i] for i in chosen])).items():
            drawn[name].append(value)
    tail = 50 * (1 - level)
    intervals = {}
    for name, values in drawn.items():
        low, high = np.nanpercentile(values, [tail, 100 - tail])
        intervals[name] = Interval(float(point[name]), float(low), float(high), level)
    return intervals


def permute_in_groups(labels: np.ndarray, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Labels dealt anew to whole groups: each group receives another group's row of labels.

    Groups exchange their labels with groups of the same size, so that what recordings of one donor share
    stays together; a group whose size no other has keeps its own. Under the hypothesis that sound says
    nothing about the label every such deal is equally likely.

    Args:
        labels: (n,) labels of the items.
        groups: (n,) group of each item.

    Returns:
        (n,) labels, the same multiset.
    """
    shuffled = np.array(labels)
    members = _members(groups)
    for size in {len(group) for group in members}:
        same = [group for group in members if len(group) == size]
        for to, source in zip(same, rng.permutation(len(same)), strict=True):
            shuffled[to] = labels[rng.permutation(same[source])]
    return shuffled


@dataclass(frozen=True)
class Permutation:
    """A figure against its distribution by chance."""

    value: float
    chance_mean: float
    chance_95: float
    p: float
    draws: int

    def to_dict(self) -> dict[str, float]:
        """The numbers by name."""
        return {
            "value": self.value,
            "chance_mean": self.chance_mean,
            "chance_95": self.chance_95,
            "p": self.p,
            "draws": self.draws,
        }


def permutation_test(
    labels: np.ndarray,
    groups: np.ndarray,
    statistic: Callable[[np.ndarray], dict[str, float]],
    *,
    draws: int = 1000,
    seed: int = 0,
) -> dict[str, Permutation]:
    """One-sided test of figures (larger is better) against labels dealt anew by :func:`permute_in_groups`.

    Args:
        labels: (n,) true labels.
        groups: (n,) groups.
        statistic: from (n,) labels to named figures.

    Returns:
        Per figure its value, the mean and 95th percentile by chance, and p = (1 + draws at least as good) /
        (1 + draws) (Phipson and Smyth 2010).
    """
    observed = statistic(labels)
    rng = np.random.default_rng(seed)
    chance: dict[str, list[float]] = {name: [] for name in observed}
    for _ in range(draws):
        for name, value in statistic(permute_in_groups(labels, groups, rng)).items():
            chance[name].append(value)
    tests = {}
    for name, value in observed.items():
        values = np.asarray(chance[name])
        better = int(np.sum(values >= value - 1e-12))
        tests[name] = Permutation(
            value=float(value),
            chance_mean=float(np.nanmean(values)),
            chance_95=float(np.nanpercentile(values, 95)),
            p=(1 + better) / (1 + draws),
            draws=draws,
        )
    return tests


def _members(groups: np.ndarray) -> list[np.ndarray]:
    """Indices of each group's items, groups in sorted order."""
    _, inverse = np.unique(np.asarray(groups), return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(inverse[order])) + 1)

"""What must stay together, and folds that keep it so (or do not, to show what that does)."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
FOLDS = 5


def joined(values: Sequence[Hashable | None], pairs: Iterable[tuple[int, int]] = ()) -> Ints:
    """Number the sets of items that belong together: equal values, and pairs, in chains.

    Args:
        values: (n,) group of each item; None belongs to nobody.
        pairs: items that belong together besides.

    Returns:
        (n,) int from 0, in order of first appearance.
    """
    parent = list(range(len(values)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    seen: dict[Hashable, int] = {}
    for index, value in enumerate(values):
        if value is not None:
            parent[root(index)] = root(seen.setdefault(value, index))
    for first, second in pairs:
        parent[root(first)] = root(second)
    number: dict[int, int] = {}
    return np.array([number.setdefault(root(i), len(number)) for i in range(len(values))], dtype=np.int64)


def fold_numbers(y: Ints, groups: Ints | None, *, n_folds: int = FOLDS, seed: int = 0) -> Ints | None:
    """The fold of each item: stratified, and with groups kept whole when they are given.

    Returns:
        (n,) int from 0, or None when two folds need more items of the commonest class, or more groups.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    commonest = int(np.bincount(y).max())
    available = commonest if groups is None else min(commonest, len(np.unique(groups)))
    n_folds = min(n_folds, available)
    if n_folds < 2:
        return None
    nothing = np.zeros(len(y))
    folds = np.empty(len(y), np.int64)
    if groups is None:
        splits = StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(nothing, y)
    else:
        splits = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed).split(nothing, y, groups)
    for number, (_, test) in enumerate(splits):
        folds[test] = number
    return folds


def whole_groups(groups: Ints, most: int, seed: int) -> Ints:
    """Indices of all items, or of about ``most`` of them in whole groups drawn at random; sorted int64."""
    if len(groups) <= most:
        return np.arange(len(groups))
    order = np.random.default_rng(seed).permutation(int(groups.max()) + 1)
    reached = np.cumsum(np.bincount(groups)[order])
    return np.flatnonzero(np.isin(groups, order[: max(2, int(np.searchsorted(reached, most)))]))

"""Splits that keep what belongs together on one side: donors, original recordings, sessions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from pipeline.errors import DataError
from pipeline.training.data import Clip


def check_groups(clips: Sequence[Clip], train: np.ndarray, test: np.ndarray) -> None:
    """Assert that no group is on both sides.

    Args:
        clips: all clips; train, test: (k,) int, indices into them.

    Raises:
        DataError: code ``leakage``, with groups that are on both sides.
    """
    both = {clips[i].group for i in train} & {clips[i].group for i in test}
    if both:
        some = ", ".join(sorted(both)[:3])
        raise DataError(f"{len(both)} group(s) are on both sides of a split ({some}).", "leakage")


def by_group(
    clips: Sequence[Clip], n_splits: int = 5, seed: int = 0, by: Literal["label", "kind"] = "label"
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Stratified folds with groups kept apart (scikit-learn's ``StratifiedGroupKFold``, shuffled).

    Args:
        clips: what to split.
        n_splits: number of folds, at least 2.
        seed: of the shuffle; the same seed gives the same folds.
        by: what to keep in proportion.

    Returns:
        One (train, test) pair of int index arrays per fold.

    Raises:
        DataError: fewer groups than folds in all, or a class with fewer clips than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    groups = np.asarray([clip.group for clip in clips])
    classes = np.asarray([getattr(clip, by) for clip in clips])
    found = len(set(groups))
    if n_splits < 2 or found < n_splits:
        raise DataError(
            f"{found} group(s) cannot make {n_splits} folds. Each recording session is one group: record "
            "on more occasions, or name the groups in a manifest.csv."
        )
    for name in sorted(set(classes)):
        count = int((classes == name).sum())
        if count < n_splits:
            raise DataError(f"{count} clip(s) of {name!r} cannot make {n_splits} folds; add some or drop it.")
    splitter = StratifiedGroupKFold(n_splits, shuffle=True, random_state=seed)
    folds = [(train, test) for train, test in splitter.split(np.zeros(len(clips)), classes, groups)]
    for train, test in folds:
        check_groups(clips, train, test)
    return folds


def leave_one_source_out(clips: Sequence[Clip]) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """For each source: everything else to train on, it to test on.

    Clips of other sources whose group is in the tested source (a donor in two releases of one corpus) are
    left out of training.

    Returns:
        (source, train, test) with int index arrays, sorted by source.

    Raises:
        DataError: fewer than two sources.
    """
    sources = np.asarray([clip.source for clip in clips])
    groups = np.asarray([clip.group for clip in clips])
    if len(set(sources)) < 2:
        raise DataError("Leaving a source out needs clips of at least two sources.")
    folds = []
    for source in sorted(set(sources)):
        held = sources == source
        train, test = np.flatnonzero(~held & ~np.isin(groups, groups[held])), np.flatnonzero(held)
        check_groups(clips, train, test)
        folds.append((str(source), train, test))
    return folds

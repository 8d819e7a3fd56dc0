"""How a reasons model is tested: three ways to split, one harness for all models, scores out of fold.

``donor`` keeps every donor on one side: what a family can expect, whose baby the model never heard.
``clip`` splits recordings at random; copies are made of training folds only, but recordings of one baby sit
on both sides.
``row`` augments first and splits the rows at random: what is usually published. Copies of one recording then
sit on both sides, so it measures memory; it is here to be compared with, never to be believed.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from pipeline.errors import DataError
from pipeline.training.reason_features import Progress, write_array
from pipeline.training.reason_set import ReasonSet

Protocol = Literal["row", "clip", "donor"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)


@dataclass(frozen=True, eq=False)
class Fold:
    """One fit and what it is tested on. Row ``i`` of the data is copy ``i % copies`` of clip ``i // copies``.

    Attributes:
        train, test: (k,) int64 rows.
        units: (len(train),) int64, what the protocol holds to be independent: rows, clips, or donors by
            number. A model that sets part of its training data aside keeps these together.
        seed: of every random part of the fit.
        place: where the scores will be kept (suffix ``.npy``); files a fit wants to keep go beside it. None:
            nothing is kept.
    """

    train: np.ndarray
    test: np.ndarray
    units: np.ndarray
    seed: int
    place: Path | None


FitScore = Callable[[Fold], np.ndarray]
"""Fits on ``fold.train``; gives (len(fold.test), classes) scores, zero for a class absent from training."""


@dataclass(frozen=True, eq=False)
class FoldScores:
    """Scores of rows by models that were fitted without them.

    Attributes:
        protocol: how the rows were split.
        labels: (rows,) int64, true class.
        origin: (rows,) int64, index of the clip each row came from.
        scores: (repeats, rows, classes) float64 in [0, 1], uncalibrated, each row sums to 1.
        classes: names of the classes.
        first: where the scores of the first fold are kept; None when they are not.
    """

    protocol: Protocol
    labels: np.ndarray
    origin: np.ndarray
    scores: np.ndarray
    classes: tuple[str, ...]
    first: Path | None = None


def splits(data: ReasonSet, protocol: Protocol, folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and test side of each fold: indices of rows for ``row``, of clips for the others.

    Raises:
        DataError: fewer donors (or recordings of a reason) than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    y = np.repeat(data.encoded, data.copies) if protocol == "row" else data.encoded
    commonest, donors = int(np.bincount(y).max()), len(set(data.groups.tolist()))
    if protocol == "donor" and donors < folds:
        raise DataError(f"{folds} folds with donors kept apart need at least {folds} donors; found {donors}.")
    if commonest < folds:
        raise DataError(
            f"{folds} folds need a reason with at least {folds} recordings; the commonest has {commonest}."
        )
    kind = StratifiedGroupKFold if protocol == "donor" else StratifiedKFold
    with warnings.catch_warnings():
        # A reason with fewer recordings than folds is missing from some test folds, which is harmless.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        splitter = kind(folds, shuffle=True, random_state=seed)
        return list(splitter.split(np.zeros(len(y)), y, data.groups if protocol == "donor" else None))


def units_of(data: ReasonSet, protocol: Protocol) -> np.ndarray:
    """(clips * copies,) int64: number of what the protocol holds to be independent, for each row."""
    rows = np.arange(len(data) * data.copies)
    if protocol == "row":
        return rows
    clips = rows // data.copies
    return clips if protocol == "clip" else np.unique(data.groups, return_inverse=True)[1][clips]


def out_of_fold(
    data: ReasonSet,
    protocol: Protocol,
    fit_score: FitScore,
    *,
    key: str,
    repeats: int = 3,
    folds: int = 5,
    seed: int = 0,
    cache_dir: Path | None = None,
    progress: Progress | None = None,
) -> FoldScores:
    """Score every row by a model fitted without its fold; repeated with new folds.

    ``donor``, ``clip``: the rows are the recordings themselves; augmented copies are made of training folds
    only. ``row``: the rows are recordings and copies alike, split at random.

    Args:
        fit_score: fits a model and scores with it.
        key: everything that decides a fit but the split: model, options, data, versions of libraries.
        cache_dir: when given, the scores of each fold are kept there and an interrupted run goes on.

    Raises:
        DataError: too few donors or recordings for the folds.
    """
    clips = np.arange(len(data))
    rows = np.arange(len(data) * data.copies) if protocol == "row" else clips * data.copies
    origin = rows // data.copies
    units = units_of(data, protocol)
    scores = np.zeros((repeats, len(rows), len(data.classes)))
    places = []
    for repeat in range(repeats):
        for number, (train, test) in enumerate(splits(data, protocol, folds, seed + repeat)):
            place = _place(cache_dir, f"{key} {protocol} {folds} {seed} {repeat} {number}")
            places.append(place)
            if place is not None and place.is_file():
                scores[repeat, test] = np.load(place)
            else:
                learned = train if protocol == "row" else _with_copies(train, data.copies)
                fold = Fold(learned, rows[test], units[learned], seed + repeat, place)
                scores[repeat, test] = fit_score(fold)
                if place is not None:
                    write_array(place, scores[repeat, test])
            if progress:
                progress(f"{protocol} folds", repeat * folds + number + 1, repeats * folds)
    return FoldScores(protocol, data.encoded[origin], origin, scores, data.classes, places[0])


def _with_copies(clips: np.ndarray, copies: int) -> np.ndarray:
    """Rows of clips and their copies, clip by clip."""
    return (clips[:, None] * copies + np.arange(copies)).ravel()


def _place(cache_dir: Path | None, key: str) -> Path | None:
    """Where the scores of one fold are kept."""
    if cache_dir is None:
        return None
    return cache_dir / "folds" / f"{hashlib.sha256(key.encode()).hexdigest()}.npy"

"""How reasons are told apart, and how that is tested: one pipeline, two protocols, scores out of fold.

``donor`` keeps every donor on one side: what a family can expect, whose baby the model never heard.
``row`` augments first and splits the rows at random: what is usually published. Copies of one recording then
sit on both sides, so it measures memory; it is here to be compared with, never to be believed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipeline.errors import DataError
from pipeline.training.reason_features import Progress, ReasonData, write_array

Protocol = Literal["row", "donor"]
PROTOCOLS: tuple[Protocol, ...] = ("row", "donor")
SMOTE_NEIGHBOURS = 5
_RECIPE = "2"  # raise when the pipeline or the splits change, so that cached scores are not mixed up


def build_pipeline(y: np.ndarray, seed: int = 0) -> Any:
    """The unfitted pipeline for training labels ``y``: SMOTE, scaler, selection, soft vote of four.

    Everything that learns sits inside, so that fitting it on a fold cannot see the rest of the data.

    Args:
        y: (rows,) int labels it will be fitted on; SMOTE's neighbours stay below the smallest class.
        seed: seed of every random part. One thread throughout: the same data give the same model.

    Raises:
        DataError: a single class, or a class with a single row, which has no neighbour.
    """
    from imblearn.over_sampling import SMOTE
    from imblearn.pipeline import Pipeline
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.feature_selection import SelectFromModel
    from sklearn.preprocessing import StandardScaler

    counts = np.unique(y, return_counts=True)[1]
    if len(counts) < 2:
        raise DataError(
            "Only one reason is left to train on in some part of the data; record more reasons, "
            "or more babies per reason."
        )
    smallest = int(counts.min())
    if smallest < 2:
        raise DataError(
            "A reason has a single recording left to train on; record it at least twice, "
            "or leave its folder out."
        )
    selector = RandomForestClassifier(n_estimators=50, max_depth=8, random_state=seed, n_jobs=1)
    return Pipeline(
        [
            ("smote", SMOTE(k_neighbors=min(SMOTE_NEIGHBOURS, smallest - 1), random_state=seed)),
            ("scale", StandardScaler()),
            ("select", SelectFromModel(selector, threshold="median")),
            ("vote", _soft_vote(seed)),
        ]
    )


def _soft_vote(seed: int) -> Any:
    """Mean of the class scores of random forest, calibrated SVM, k-nearest neighbours and XGBoost."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.ensemble import RandomForestClassifier, VotingClassifier
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.svm import SVC
    from xgboost import XGBClassifier

    # SVC(probability=True) is going away; a single calibrator over cross-validated decisions replaces it.
    svm = CalibratedClassifierCV(SVC(C=10.0, cache_size=500, random_state=seed), cv=3, ensemble=False)
    members = [
        ("forest", RandomForestClassifier(n_estimators=100, random_state=seed, n_jobs=1)),
        ("svm", svm),
        ("neighbours", KNeighborsClassifier(5, weights="distance", algorithm="brute", n_jobs=1)),
        (
            "boosting",
            XGBClassifier(tree_method="hist", random_state=seed, n_jobs=1),
        ),
    ]
    return VotingClassifier(members, voting="soft", n_jobs=1)


@dataclass(frozen=True, eq=False)
class FoldScores:
    """Scores of rows by models that were fitted without them.

    Attributes:
        protocol: how the rows were split.
        labels: (rows,) int64, true class.
        origin: (rows,) int64, index of the clip each row came from.
        scores: (repeats, rows, classes) float64 in [0, 1], uncalibrated, each row sums to 1.
        classes: names of the classes.
    """

    protocol: Protocol
    labels: np.ndarray
    origin: np.ndarray
    scores: np.ndarray
    classes: tuple[str, ...]


def splits(
    data: ReasonData, protocol: Protocol, folds: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Training and test rows of each fold, as indices into the rows the protocol tests on.

    Raises:
        DataError: fewer donors (or recordings of a reason) than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    y = data.encoded
    if protocol == "donor":
        donors = len(set(data.groups.tolist()))
        if donors < folds:
            raise DataError(
                f"{folds} folds with donors kept apart need at least {folds} donors; found {donors}."
            )
        commonest = int(np.bincount(y).max())
        if commonest < folds:
            raise DataError(
                f"{folds} folds need a reason with at least {folds} recordings; "
                f"the commonest has {commonest}."
            )
        apart = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        yield from apart.split(np.zeros(len(y)), y, data.groups)
    else:
        rows = np.repeat(y, data.features.shape[1])
        yield from StratifiedKFold(folds, shuffle=True, random_state=seed).split(np.zeros(len(rows)), rows)


def out_of_fold(
    data: ReasonData,
    protocol: Protocol,
    *,
    repeats: int = 3,
    folds: int = 5,
    seed: int = 0,
    cache_dir: Path | None = None,
    progress: Progress | None = None,
) -> FoldScores:
    """Score every row by a model fitted without its fold; repeated with new folds.

    ``donor``: the rows are the recordings themselves; augmented copies are made of training folds only.
    ``row``: the rows are recordings and copies alike, split at random.

    Args:
        cache_dir: when given, the scores of each fold are kept there and an interrupted run goes on.

    Raises:
        DataError: too few donors or recordings for the folds.
    """
    clips = np.arange(len(data))
    x, y, origin = data.rows(clips, augmented=protocol == "row")
    scores = np.zeros((repeats, len(y), len(data.classes)))
    for repeat in range(repeats):
        for fold, (train, test) in enumerate(splits(data, protocol, folds, seed + repeat)):
            key = f"{_RECIPE} {data.fingerprint()} {protocol} {folds} {seed} {repeat} {fold} {_versions()}"
            place = _place(cache_dir, key)
            if place is not None and place.is_file():
                scores[repeat, test] = np.load(place)
            else:
                tx, ty, _ = (
                    data.rows(train, augmented=True) if protocol == "donor" else (x[train], y[train], None)
                )
                scores[repeat, test] = _fit_score(tx, ty, x[test], len(data.classes), seed + repeat)
                if place is not None:
                    write_array(place, scores[repeat, test])
            if progress:
                progress(f"{protocol} folds", repeat * folds + fold + 1, repeats * folds)
    return FoldScores(protocol, y, origin, scores, data.classes)


def _fit_score(x: np.ndarray, y: np.ndarray, test: np.ndarray, n_classes: int, seed: int) -> np.ndarray:
    """Fit on training rows and score test rows; (rows, n_classes), zero for a class that was not in
    training."""
    model = fit(x, y, seed)
    scores = np.zeros((len(test), n_classes))
    scores[:, model.classes_] = model.predict_proba(test.astype(np.float32))
    return scores


def fit(x: np.ndarray, y: np.ndarray, seed: int) -> Any:
    """Fit the pipeline on (rows, features) and (rows,) labels with one thread of every numeric library.

    In float32, which trees use anyway and which halves what neighbours and support vectors take on disk.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(1):
        return build_pipeline(y, seed).fit(x.astype(np.float32), y)


def _place(cache_dir: Path | None, key: str) -> Path | None:
    """Where the scores of one fold are kept."""
    if cache_dir is None:
        return None
    return cache_dir / "folds" / f"{hashlib.sha256(key.encode()).hexdigest()}.npy"


def _versions() -> str:
    """Versions of the libraries that decide a fit."""
    import imblearn
    import sklearn
    import xgboost

    return f"{sklearn.__version__} {imblearn.__version__} {xgboost.__version__} {np.__version__}"

"""How reasons are told apart: one pipeline, fitted whole in every fold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import DataError
from pipeline.training import protocols
from pipeline.training.protocols import Fold, FoldScores, Protocol
from pipeline.training.reason_features import Progress, ReasonData

SMOTE_NEIGHBOURS = 5
RECIPE = "2"  # raise when the pipeline or the splits change, so that cached scores are not mixed up


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
    """Score every row by the recipe fitted without its fold; see ``protocols.out_of_fold``.

    Raises:
        DataError: too few donors or recordings for the folds.
    """
    x = data.features.reshape(len(data) * data.copies, -1)
    y = np.repeat(data.encoded, data.copies)

    def fit_score(fold: Fold) -> np.ndarray:
        return _fit_score(x[fold.train], y[fold.train], x[fold.test], len(data.classes), fold.seed)

    return protocols.out_of_fold(
        data,
        protocol,
        fit_score,
        key=f"{RECIPE} {data.fingerprint()} {_versions()}",
        repeats=repeats,
        folds=folds,
        seed=seed,
        cache_dir=cache_dir,
        progress=progress,
    )


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


def _versions() -> str:
    """Versions of the libraries that decide a fit."""
    import imblearn
    import sklearn
    import xgboost

    return f"{sklearn.__version__} {imblearn.__version__} {xgboost.__version__} {np.__version__}"

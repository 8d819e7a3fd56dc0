"""The ensemble's scores worked out here are the ones that scikit-learn gives, to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from pipeline import acoustics
from pipeline._reason_votes import votes_of
from pipeline.audio import load
from pipeline.reasons import ReasonModel


def test_the_shipped_model_scores_as_scikit_learn_does(a_cry: Any, another_cry: Any) -> None:
    model = ReasonModel.load()
    heard = np.array([acoustics.extract(load(path), model.schema) for path in (a_cry, another_cry)])
    scale = model.estimator[0]
    apart = np.random.default_rng(0).normal(0, 2, (40, len(scale.mean_)))
    rows = np.concatenate([heard, scale.mean_ + apart * scale.scale_]).astype(np.float32)
    np.testing.assert_array_equal(votes_of(model.estimator)(rows), model.estimator.predict_proba(rows))
    for features, row in zip(heard, rows, strict=False):
        wanted = model.estimator.predict_proba(row[None])[0]
        assert list(model.classify_features(features, model.schema).scores.values()) == pytest.approx(
            wanted / wanted.sum(), abs=1e-15
        )


def forest(seed: int = 0) -> RandomForestClassifier:
    return RandomForestClassifier(7, random_state=seed)


def vote(**options: Any) -> VotingClassifier:
    members = [("forest", forest()), ("other", LogisticRegression(max_iter=500))]
    return VotingClassifier(members, voting="soft", **options)


@pytest.mark.parametrize(
    "estimator",
    [
        make_pipeline(StandardScaler(), SelectFromModel(forest(1), threshold="median"), vote()),
        make_pipeline(SelectFromModel(forest(1), threshold=0.2), StandardScaler(), forest()),
        make_pipeline(StandardScaler(), vote(weights=[1, 5])),
        make_pipeline(vote()),
        vote(),
        forest(),
    ],
    ids=["as trained", "no vote", "weights", "a vote alone", "no pipeline", "a forest alone"],
)
def test_other_ensembles_score_as_scikit_learn_does(estimator: Pipeline) -> None:
    rng = np.random.default_rng(0)
    y = rng.choice([0, 1, 2], 90)
    x = (rng.normal(0, 1, (90, 6)) + y[:, None] * [1, 0, 0.5, 0, 0, 0]).astype(np.float32)
    estimator.fit(x, y)
    for rows in (x[:1], x):
        np.testing.assert_array_equal(votes_of(estimator)(rows), estimator.predict_proba(rows))

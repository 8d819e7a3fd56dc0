"""The reason ensemble's scores of a few rows, without what scikit-learn works out anew at each call.

``SelectFromModel`` asks its forest for the importance of every feature each time, and a forest hands its
trees to a pool of one thread: for one recording that is three quarters of the ensemble's time. The numbers
are the same to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Votes:
    """Scores as the fitted ensemble's ``predict_proba`` gives them; see :func:`votes_of`.

    Attributes:
        steps: what a row goes through first: fitted transformers, or (features,) bool, the features kept.
        voters: fitted classifiers, whose scores are averaged.
    """

    steps: tuple[Any, ...]
    voters: tuple[Any, ...]

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """(rows, features) float32 to (rows, classes) float64, each row summing to 1."""
        for step in self.steps:
            rows = rows[:, step] if isinstance(step, np.ndarray) else step.transform(rows)
        return np.average([_scores(voter, rows) for voter in self.voters], axis=0)


def votes_of(estimator: Any) -> Votes:
    """The scores of a fitted estimator.

    Args:
        estimator: a scikit-learn pipeline that ends in a soft vote without weights, as training makes it. Of
            any other, its own ``predict_proba`` is asked.
    """
    if not _is(estimator, "Pipeline"):
        return Votes((), (estimator,))
    *steps, last = (step for _name, step in estimator.steps)
    is_plain_vote = _is(last, "VotingClassifier") and last.voting == "soft" and last.weights is None
    return Votes(
        tuple(step.get_support() if _is(step, "SelectFromModel") else step for step in steps),
        tuple(last.estimators_) if is_plain_vote else (last,),
    )


def _is(what: Any, name: str) -> bool:
    """Whether it is scikit-learn's class of that name; not imported, as ONNX ensembles do without."""
    kind = type(what)
    return kind.__name__ == name and kind.__module__.startswith("sklearn.")


def _scores(voter: Any, rows: np.ndarray) -> np.ndarray:
    """``voter.predict_proba(rows)``; a forest's trees are asked here, one after the other."""
    if not _is(voter, "RandomForestClassifier"):
        return np.asarray(voter.predict_proba(rows))
    rows = np.ascontiguousarray(rows, dtype=np.float32)
    total = np.zeros((len(rows), len(voter.classes_)))
    for tree in voter.estimators_:
        total += tree.tree_.predict(rows)
    return total / len(voter.estimators_)

"""Figures for "is this a cry?": ranking quality and recall at a false positive rate people can live with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import DataError

FALSE_POSITIVE_RATES = (0.01, 0.001)


def threshold_at(negatives: NDArray[np.floating], rate: float) -> float:
    """The lowest threshold at which at most ``rate`` of the negatives score at or above it.

    Args:
        negatives: (n,) scores of sounds that are no cry.
        rate: allowed share, [0, 1).
    """
    allowed = int(np.floor(rate * len(negatives)))
    highest = np.sort(negatives)[::-1]
    return float(np.nextafter(highest[allowed], np.inf)) if len(negatives) else -np.inf


def detection_figures(is_cry: NDArray[np.bool_], scores: NDArray[np.floating]) -> dict[str, float]:
    """AUC, average precision (AP), and recall at 1 % and 0.1 % false positives.

    Args:
        is_cry: (n,) truth; scores: (n,) higher means more like a cry.

    Returns:
        Figures by name; NaN where one class is missing. AP as in scikit-learn (no interpolation).
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    names = ["auc", "ap", *(f"recall_at_{rate:g}" for rate in FALSE_POSITIVE_RATES)]
    if is_cry.all() or not is_cry.any():
        return dict.fromkeys(names, float("nan"))
    values = [roc_auc_score(is_cry, scores), average_precision_score(is_cry, scores)]
    lines = (threshold_at(scores[~is_cry], rate) for rate in FALSE_POSITIVE_RATES)
    values += [(scores[is_cry] >= line).mean() for line in lines]
    return dict(zip(names, map(float, values), strict=True))


def folds_with_both(fold: NDArray[np.int64], is_cry: NDArray[np.bool_]) -> list[np.int64]:
    """The folds with cries and other sounds, in order; ``fold`` and ``is_cry`` are (n,).

    Raises:
        DataError: there is none.
    """
    held = [number for number in np.unique(fold) if len(np.unique(is_cry[fold == number])) == 2]
    if not held:
        raise DataError(
            "No fold holds both cries and other sounds, so nothing can be judged. Add recordings of other "
            "sounds (or cries) from more sources or sessions."
        )
    return held

"""Calibrated chances and prediction sets for reasons, fitted on scores of donors the models had not heard.

The scores come from recordings as they are (no copies, no synthetic neighbours), so the classes have their
real shares. Regularisation pulls towards the base rate; its strength is chosen by held-out log loss over
donors, and infinitely strong is among the choices: where the sound says nothing, the base rate remains.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from pipeline.reasons import Calibration, log_scores

STRENGTHS = (np.inf, 1.0, 0.3, 0.1, 0.03, 0.01)  # strongest first: it wins ties
_PSEUDO_COUNT = 0.5  # Jeffreys: a reason rare in a fold still has a chance above nothing


def log_loss(probabilities: np.ndarray, y: np.ndarray) -> float:
    """Mean negative log probability of the true class, in nats; (..., n, classes) and (n,) int."""
    return float(-np.log(np.clip(of_true_class(probabilities, y), 1e-12, 1.0)).mean())


def of_true_class(values: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(..., n, classes) values -> (..., n), each row's value for its true class."""
    return np.take_along_axis(values, np.broadcast_to(y[:, None], (*values.shape[:-1], 1)), -1)[..., 0]


def fit_slope(scores: np.ndarray, y: np.ndarray, strength: float) -> Calibration:
    """Fit slope and offsets at one strength of regularisation.

    Args:
        scores: (repeats, n, classes) out-of-fold ensemble scores.
        y: (n,) int64 true classes.
        strength: weight of the squared distance from the base rate (slope 0); inf keeps the base rate.
    """
    n_classes = scores.shape[-1]
    counts = np.bincount(y, minlength=n_classes) + _PSEUDO_COUNT
    prior = np.log(counts / counts.sum())
    logs = log_scores(scores)
    centre = logs.mean(axis=(0, 1))
    if np.isinf(strength):
        return Calibration(0.0, tuple(prior.tolist()), tuple(centre.tolist()))
    z = (logs - centre).reshape(-1, n_classes)
    target = np.eye(n_classes)[np.tile(y, len(scores))]
    slope, offsets = _minimise(z, target, prior, strength)
    return Calibration(slope, tuple(offsets.tolist()), tuple(centre.tolist()))


def _minimise(
    z: np.ndarray, target: np.ndarray, prior: np.ndarray, strength: float
) -> tuple[float, np.ndarray]:
    """Slope and offsets that minimise log loss plus penalty; z and target are (rows, classes)."""
    from scipy.optimize import minimize

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        slope, shift = parameters[0], parameters[1:]
        logits = slope * z + prior + shift
        logits = logits - logits.max(axis=1, keepdims=True)
        log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        residual = (np.exp(log_p) - target) / len(z)
        value = -(target * log_p).sum() / len(z) + 0.5 * strength * (parameters**2).sum()
        gradient = np.concatenate([[(residual * z).sum()], residual.sum(axis=0)]) + strength * parameters
        return value, gradient

    # The slope is at least 0: scores that point the wrong way are noise, not to be read upside down.
    bounds = [(0.0, None), *[(None, None)] * len(prior)]
    found = minimize(loss, np.zeros(1 + len(prior)), jac=True, method="L-BFGS-B", bounds=bounds)
    return float(found.x[0]), prior + found.x[1:]


def fit_calibration(
    scores: np.ndarray, y: np.ndarray, groups: np.ndarray, *, coverage: float = 0.9, seed: int = 0
) -> Calibration:
    """Choose the strength over donors, fit on all rows, then set the threshold of the prediction sets.

    Args:
        scores: (repeats, n, classes) out-of-fold ensemble scores of recordings.
        y: (n,) int64; groups: (n,) donors.
        coverage: share of new donors' recordings whose true reason the set should hold, in (0, 1).
    """
    losses = dict.fromkeys(STRENGTHS, 0.0)
    for train, test in _donor_folds(y, groups, seed):
        for strength in STRENGTHS:
            held_out = fit_slope(scores[:, train], y[train], strength).probabilities(scores[:, test])
            losses[strength] += log_loss(held_out, y[test]) * len(test)
    strength = min(STRENGTHS, key=lambda s: round(losses[s], 9))
    calibration = fit_slope(scores, y, strength)
    threshold = set_threshold(calibration.probabilities(scores), y, groups, coverage)
    return replace(calibration, set_threshold=threshold, coverage=coverage)


def set_threshold(probabilities: np.ndarray, y: np.ndarray, groups: np.ndarray, coverage: float) -> float:
    """Split-conformal threshold with donors as the exchangeable unit.

    Each donor weighs the same, shared over their recordings, and one donor more than seen is counted on the
    unsafe side (Dunn, Wasserman and Ramdas 2022, distribution-free prediction sets for two-layer models).

    Returns:
        The largest t in [0, 1] for which the true class has at least probability t with weight ``coverage``;
        0 (every class) when there are too few donors for that.
    """
    _, inverse, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    weight = 1.0 / (sizes[inverse] * (len(sizes) + 1) * len(probabilities))
    true = of_true_class(probabilities, y)
    flat, weights = true.ravel(), np.tile(weight, len(probabilities))
    order = np.argsort(-flat, kind="stable")
    reached = np.flatnonzero(np.cumsum(weights[order]) >= coverage - 1e-12)
    return float(flat[order[reached[0]]]) if len(reached) else 0.0


@dataclass(frozen=True, eq=False)
class NestedCalibration:
    """What calibration gives donors it was not fitted on.

    Attributes:
        probabilities: (repeats, n, classes) float64.
        prior: (n, classes) float64, base rate of the same training donors, smoothed the same way.
        members: (repeats, n, classes) bool, prediction sets.
    """

    probabilities: np.ndarray
    prior: np.ndarray
    members: np.ndarray


def nested(
    scores: np.ndarray, y: np.ndarray, groups: np.ndarray, *, coverage: float = 0.9, seed: int = 0
) -> NestedCalibration:
    """Calibrate (strength, slope, offsets and set threshold) without a fold of donors, apply to that fold."""
    probabilities = np.empty(scores.shape)
    prior = np.empty(scores.shape[1:])
    members = np.zeros(scores.shape, dtype=bool)
    for train, test in _donor_folds(y, groups, seed + 1):
        calibration = fit_calibration(scores[:, train], y[train], groups[train], coverage=coverage, seed=seed)
        probabilities[:, test] = calibration.probabilities(scores[:, test])
        members[:, test] = calibration.members(probabilities[:, test])
        prior[test] = fit_slope(scores[:, train], y[train], np.inf).probabilities(scores[:, test])[0]
    return NestedCalibration(probabilities, prior, members)


def _donor_folds(y: np.ndarray, groups: np.ndarray, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Five folds with donors kept apart; fewer with little data, none at all with a single donor."""
    from sklearn.model_selection import StratifiedGroupKFold

    folds = min(5, len(set(groups.tolist())), int(np.bincount(y).max()))
    if folds < 2:
        return  # nothing can be held out: the strongest regularisation, the base rate, is chosen
    apart = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # A reason with fewer recordings than folds is missing from some; its chance is then the
        # pseudo-count's.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        yield from apart.split(np.zeros(len(y)), y, groups)

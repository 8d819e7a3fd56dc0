"""The reasons model under both protocols, side by side, with intervals by donor and tests against chance."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import SettingsError
from pipeline.evaluation.intervals import bootstrap_by_group, permutation_test
from pipeline.training.cache import default_cache
from pipeline.training.reason_calibration import log_loss, nested, of_true_class
from pipeline.training.reason_features import Progress, ReasonData, load_data
from pipeline.training.reason_recipe import PROTOCOLS, FoldScores, Protocol, out_of_fold

FIGURES = ("accuracy", "balanced_accuracy", "macro_f1", "auc", "log_loss")
TITLES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "auc": "AUC, one against the rest",
    "log_loss": "log loss of the scores, nats",
}


def metrics(y: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """Figures of one set of scores.

    Args:
        y: (n,) int true classes.
        scores: (n, classes) float, each row summing to 1.

    Returns:
        accuracy; balanced accuracy (mean recall of the classes present); macro-F1 (mean over the classes
        present in truth or answers); auc (mean over classes of one-against-rest AUC, ties count half);
        log_loss in nats.
    """
    n_classes = scores.shape[1]
    table = confusion(y, scores.argmax(axis=1), n_classes)
    right, true, said = table.diagonal(), table.sum(axis=1), table.sum(axis=0)
    present, mentioned = true > 0, (true + said) > 0
    return {
        "accuracy": float(right.sum() / len(y)),
        "balanced_accuracy": float((right[present] / true[present]).mean()),
        "macro_f1": float((2 * right[mentioned] / (true + said)[mentioned]).mean()),
        "auc": float(np.nanmean(one_vs_rest_auc(y, scores))),
        "log_loss": log_loss(scores, y),
    }


def confusion(y: np.ndarray, answers: np.ndarray, n_classes: int) -> np.ndarray:
    """(classes, classes) int64 counts: true class by row, answer by column."""
    return np.bincount(y * n_classes + answers, minlength=n_classes**2).reshape(n_classes, n_classes)


def one_vs_rest_auc(y: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(classes,) area under the ROC of each class against the rest; NaN for an absent class."""
    from scipy.stats import rankdata

    n_classes = scores.shape[1]
    ranks = rankdata(scores, axis=0)
    positives = np.bincount(y, minlength=n_classes).astype(float)
    rank_sums = np.array([ranks[y == k, k].sum() for k in range(n_classes)])
    pairs = positives * (len(y) - positives)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(pairs > 0, (rank_sums - positives * (positives + 1) / 2) / pairs, np.nan)


def _mean_over_repeats(y: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """Figures averaged over (repeats, n, classes) scores."""
    each = [metrics(y, repeat) for repeat in scores]
    return {name: float(np.mean([figures[name] for figures in each])) for name in FIGURES}


def protocol_report(data: ReasonData, folds: FoldScores, *, draws: int, seed: int) -> dict[str, Any]:
    """Figures, intervals, permutation test, per-class table and confusion matrix; JSON-able."""
    y, scores = folds.labels, folds.scores
    groups = data.groups[folds.origin]
    intervals = bootstrap_by_group(
        groups, lambda rows: _mean_over_repeats(y[rows], scores[:, rows]), draws=draws, seed=seed
    )
    # The first repeat alone is tested: the answer is the same and three times sooner.
    tests = permutation_test(groups=groups, labels=y, draws=draws, seed=seed, statistic=_tested(scores[0]))
    table = sum(confusion(y, repeat.argmax(axis=1), len(folds.classes)) for repeat in scores) / len(scores)
    aucs = np.mean([one_vs_rest_auc(y, repeat) for repeat in scores], axis=0)
    return {
        "rows": len(y),
        "repeats": len(scores),
        "figures": {name: interval.to_dict() for name, interval in intervals.items()},
        "permutation": {name: test.to_dict() for name, test in tests.items()},
        "per_class": _per_class(folds.classes, np.asarray(table), aucs),
        "confusion": np.asarray(table).tolist(),
    }


def _tested(scores: np.ndarray) -> Any:
    """The figures that are tested against labels dealt anew."""

    def statistic(labels: np.ndarray) -> dict[str, float]:
        figures = metrics(labels, scores)
        return {name: figures[name] for name in ("balanced_accuracy", "macro_f1", "auc")}

    return statistic


def _per_class(
    classes: Sequence[str], table: np.ndarray, aucs: np.ndarray
) -> dict[str, dict[str, float | None]]:
    """Recall, precision, F1, AUC and count of each class; None where nothing was said or there."""
    report: dict[str, dict[str, float | None]] = {}
    for k, name in enumerate(classes):
        true, said, right = table[k].sum(), table[:, k].sum(), table[k, k]
        report[name] = {
            "rows": float(true),
            "recall": float(right / true) if true else None,
            "precision": float(right / said) if said else None,
            "f1": float(2 * right / (true + said)) if true + said else None,
            "auc": None if np.isnan(aucs[k]) else float(aucs[k]),
        }
    return report


def floors(data: ReasonData) -> dict[str, Any]:
    """What needs no model: always the commonest reason, and the base rate as chances."""
    y = data.encoded
    shares = np.bincount(y) / len(y)
    rows = np.broadcast_to(shares, (len(y), len(shares)))
    figures = metrics(y, rows)
    return {
        "majority": data.classes[int(shares.argmax())],
        "base_rate": {name: float(share) for name, share in zip(data.classes, shares, strict=True)},
        **{name: figures[name] for name in FIGURES},
    }


def calibration_report(
    data: ReasonData, folds: FoldScores, *, coverage: float = 0.9, draws: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """What calibrated chances and prediction sets are worth on donors neither model nor calibration heard.

    ``lift`` is true when the calibrated chances have a smaller log loss than the base rate with the whole
    interval by donor above zero.
    """
    y = data.encoded
    held_out = nested(folds.scores, y, data.groups, coverage=coverage, seed=seed)
    _, donor, recordings = np.unique(data.groups, return_inverse=True, return_counts=True)
    donor_weight = 1.0 / recordings[donor]

    def figures(rows: np.ndarray) -> dict[str, float]:
        true = of_true_class(held_out.members[:, rows], y[rows]).mean(axis=0)
        ours = log_loss(held_out.probabilities[:, rows], y[rows])
        prior = log_loss(held_out.prior[rows], y[rows])
        return {
            "log_loss": ours,
            "log_loss_base_rate": prior,
            "gain": prior - ours,
            "coverage_by_recording": float(true.mean()),
            "coverage_by_donor": float(np.average(true, weights=donor_weight[rows])),
            "set_size": float(held_out.members[:, rows].sum(axis=-1).mean()),
        }

    intervals = bootstrap_by_group(data.groups, figures, draws=draws, seed=seed)
    return {
        "coverage_wanted": coverage,
        "lift": intervals["gain"].low > 0,
        **{name: interval.to_dict() for name, interval in intervals.items()},
    }


def evaluate(
    data: Path | ReasonData,
    *,
    protocols: Sequence[Protocol] = PROTOCOLS,
    schema: str = "acoustic108",
    repeats: int = 3,
    folds: int = 5,
    draws: int = 1000,
    seed: int = 0,
    per_class: int | None = None,
    cache_dir: Path | None = None,
    out: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Evaluate the reasons recipe under the given protocols.

    Args:
        data: a data folder (with a manifest, or a folder per reason), or data already read.
        protocols: ``row`` and/or ``donor``.
        repeats: how often donors are split anew (rows are split once); folds: into how many parts.
        draws: bootstrap and permutation draws.
        per_class: keep only that many recordings of each reason (a small cut).
        cache_dir: where features and fold scores are kept; ``~/.cache/crylens`` when None. Resumable.
        out: JSON file to write the report to.
        progress: called with (stage, done, total).

    Returns:
        JSON-able report: ``data``, ``options``, ``floors``, ``protocols`` (by name) and, when ``donor`` is
        among them, ``calibration``.

    Raises:
        SettingsError: unknown protocol.
        DataError: data that cannot be split so.
    """
    for protocol in protocols:
        if protocol not in PROTOCOLS:
            raise SettingsError(
                f"There is no protocol '{protocol}' for reasons; choose from {', '.join(PROTOCOLS)}."
            )
    cache = cache_dir or default_cache()
    if not isinstance(data, ReasonData):
        data = load_data(data, schema=schema, per_class=per_class, cache_dir=cache, progress=progress)
    report: dict[str, Any] = {
        "data": describe(data),
        "options": {"repeats": repeats, "folds": folds, "draws": draws, "seed": seed, "schema": data.schema},
        "floors": floors(data),
        "protocols": {},
    }
    for protocol in protocols:
        # Rows split at random are many and alike: one split says it. Donors are few: splits differ.
        times = repeats if protocol == "donor" else 1
        scored = out_of_fold(
            data, protocol, repeats=times, folds=folds, seed=seed, cache_dir=cache, progress=progress
        )
        report["protocols"][protocol] = protocol_report(data, scored, draws=draws, seed=seed)
        if protocol == "donor":
            report["calibration"] = calibration_report(data, scored, draws=draws, seed=seed)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return report


def describe(data: ReasonData) -> dict[str, Any]:
    """Counts of recordings and donors per reason, sources and licences."""
    return {
        "clips": len(data),
        "donors": len(set(data.groups.tolist())),
        "copies_per_clip": int(data.features.shape[1] - 1),
        "reasons": {
            name: {
                "clips": int((data.labels == name).sum()),
                "donors": len(set(data.groups[data.labels == name].tolist())),
            }
            for name in data.classes
        },
        "sources": [list(pair) for pair in data.licences],
        "fingerprint": data.fingerprint(),
    }


_PROTOCOL_TITLES = {
    "row": "rows split at random after augmentation (as usually published)",
    "donor": "donors kept apart (babies not heard before)",
}


def to_markdown(report: Mapping[str, Any]) -> str:
    """The report as Markdown tables, protocols side by side."""
    floor, level = report["floors"], "95 % intervals by donor in brackets"
    names = list(report["protocols"])
    lines = [
        f"| | {' | '.join(_PROTOCOL_TITLES[name] for name in names)} "
        f"| always '{floor['majority']}' / base rate |",
        "|---|" + "---|" * (len(names) + 1),
    ]
    for figure in FIGURES:
        cells = [_cell(report["protocols"][name]["figures"][figure]) for name in names]
        lines.append(f"| {TITLES[figure]} | {' | '.join(cells)} | {floor[figure]:.3f} |")
    for figure in ("balanced_accuracy", "macro_f1", "auc"):
        cells = [_chance_cell(report["protocols"][name]["permutation"][figure]) for name in names]
        lines.append(f"| {TITLES[figure]} by chance (mean, 95th percentile, p) | {' | '.join(cells)} | |")
    options = report["options"]
    lines += [
        "",
        f"{options['folds']} folds; donors split {options['repeats']} times, rows once; {level}, from "
        f"{options['draws']} draws. Chance: labels dealt anew among donors with equally many recordings, "
        "against the first repeat's scores.",
    ]
    for name in names:
        lines += ["", f"Per reason, {_PROTOCOL_TITLES[name]}:", "", *_class_table(report["protocols"][name])]
    return "\n".join(lines) + "\n"


def _cell(interval: Mapping[str, float]) -> str:
    return f"{interval['value']:.3f} [{interval['low']:.3f}, {interval['high']:.3f}]"


def _chance_cell(test: Mapping[str, float]) -> str:
    return f"{test['chance_mean']:.3f}, {test['chance_95']:.3f}, p = {test['p']:.3f}"


def _class_table(protocol: Mapping[str, Any]) -> list[str]:
    """Markdown rows of a per-class table."""
    lines = ["| reason | rows | recall | precision | F1 | AUC |", "|---|---|---|---|---|---|"]
    for name, row in protocol["per_class"].items():
        cells = ["–" if row[k] is None else f"{row[k]:.2f}" for k in ("recall", "precision", "f1", "auc")]
        lines.append(f"| {name} | {row['rows']:.0f} | {' | '.join(cells)} |")
    return lines

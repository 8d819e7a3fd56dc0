"""Can the label be told without hearing the thing? Each trait alone, held out by group.

For every trait (sample rate, bandwidth, format, length, loudness, digital silence, and the collection where
it is known) a binned naive Bayes classifier is fitted on four fifths of the groups and ranks the rest. It is
the simplest model that can use a trait in any shape, also when both long and short recordings are of one
class. A high AUC means that a model trained on this set may have learned the trait and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.audit.auc import auc_and_z, deal, fold_auc, group_weights, ranking
from pipeline.evaluation.audit.folds import fold_numbers, whole_groups
from pipeline.evaluation.audit.measure import Traits

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LINE = 0.65
"""A class is predictable from a trait when the whole 95 % interval of its AUC lies above this, and…"""
LEVEL = 0.01
"""…labels dealt anew to the groups do as well in at most this share of cases (adjusted for all classes)."""
BINS = 8
MOST = 10_000  # recordings that are looked at; whole groups are drawn from larger sets

TOGETHER = "all traits together"
MEANING = {
    "sample rate": "the sample rate that the file is stored at",
    "bandwidth": "how far up the spectrum reaches: old sample rates, filters and codecs cut it off",
    "format": "container, codec and number of channels",
    "length": "the length of the recording",
    "loudness": "RMS level and peak",
    "digital silence": "the share of samples that are exactly zero: padding and gating leave them",
    "source": "the collection that the recording comes from",
    TOGETHER: "sample rate, bandwidth, format, length, loudness and digital silence together",
}


@dataclass(frozen=True, eq=False)
class Trait:
    """One or more columns that tell of a recording what is no sound of the thing.

    Attributes:
        columns: each (n,) float64; categories: whether a column's values are names given as numbers.
    """

    name: str
    columns: tuple[Floats, ...]
    categories: tuple[bool, ...]


def traits_of(traits: Sequence[Traits], sources: Sequence[str | None]) -> list[Trait]:
    """The traits to be tried, as columns."""

    def codes(values: Sequence[str]) -> Floats:
        return np.unique(np.asarray(values), return_inverse=True)[1].astype(np.float64)

    def numbers(name: str) -> Floats:
        return np.array([getattr(one, name) for one in traits], dtype=np.float64)

    formats = codes([f"{one.container} {one.codec} {one.channels}" for one in traits])
    single = [
        Trait("sample rate", (numbers("rate"),), (True,)),
        # Rounded to what can be told apart, so that noise in the estimate makes no bins.
        Trait(
            "bandwidth", (np.round(numbers("limit_hz"), -2), np.round(numbers("edge_hz"), -2)), (False, False)
        ),
        Trait("format", (formats,), (True,)),
        Trait("length", (np.round(numbers("duration_s"), 3),), (False,)),
        Trait("loudness", (numbers("rms_db"), numbers("peak_db")), (False, False)),
        Trait("digital silence", (np.round(numbers("zeros"), 4),), (False,)),
    ]
    together = Trait(
        TOGETHER,
        tuple(column for trait in single for column in trait.columns),
        tuple(kind for trait in single for kind in trait.categories),
    )
    found = [*single, together]
    if len({source for source in sources if source}) > 1:
        found.append(Trait("source", (codes([source or "" for source in sources]),), (True,)))
    return found


def shortcuts(
    traits: Sequence[Trait],
    y: Ints,
    classes: tuple[str, ...],
    groups: Ints | None,
    *,
    draws: int,
    deals: int,
    seed: int = 0,
) -> dict[str, Any]:
    """AUC of each trait, held out by group.

    Args:
        y: (n,) int classes; groups: (n,) int, or None when every recording stands for itself.

    Returns:
        JSON-able: "traits": name to {auc, low, high, p, chance, by_class, alarm, classes over the line};
        "single": classes that only one group has, so that nothing about them can be held out; "folds".
        Empty "traits" when there are fewer than two classes that can be.
    """
    kept = whole_groups(np.arange(len(y)) if groups is None else groups, MOST, seed)
    y, held = y[kept], None if groups is None else np.unique(groups[kept], return_inverse=True)[1]
    belongs = np.arange(len(y)) if held is None else held
    spread = [len(np.unique(belongs[y == k])) for k in range(len(classes))]
    single = [name for name, count in zip(classes, spread, strict=True) if count == 1]
    folds = fold_numbers(y, held, seed=seed) if sum(count > 1 for count in spread) > 1 else None
    report: dict[str, Any] = {"single": single, "traits": {}, "line": LINE, "level": LEVEL}
    if folds is None:
        return report
    rng = np.random.default_rng(seed)
    weights = group_weights(belongs, draws, rng)
    dealt_labels = [deal(y, belongs, rng) for _ in range(deals)]
    report |= {"folds": int(folds.max()) + 1, "recordings": len(y), "draws": draws, "deals": deals}
    for trait in traits:
        columns = [column[kept] for column in trait.columns]
        binned = _Binned.of(columns, trait.categories, folds)
        scores = binned.scores(y, len(classes))
        # A constant ranks nothing, whatever the labels.
        tried = dealt_labels if binned.count > 1 else dealt_labels[:1]
        dealt = [auc_and_z(d, binned.scores(d, len(classes)), folds) for d in tried]
        found = ranking(
            classes,
            auc_and_z(y, scores, folds),
            fold_auc(y, scores, folds, weights),
            (np.stack([aucs for aucs, _ in dealt]), np.stack([z for _, z in dealt])),
        )
        report["traits"][trait.name] = _told(asdict(found), set(single))
    return report


def _told(found: dict[str, Any], single: set[str]) -> dict[str, Any]:
    """The ranking as JSON, with the classes that are over the line."""
    found["auc"] = found.pop("value")
    found["by_class"] = {name: row for name, row in found["by_class"].items() if name not in single}
    found["over"] = [
        name for name, row in found["by_class"].items() if row["low"] > LINE and row["p"] <= LEVEL
    ]
    return found


@dataclass(frozen=True, eq=False)
class _Binned:
    """Columns cut into bins, for each fold by the values outside it.

    Attributes:
        bins: (folds, columns, n) int64; count: number of bins of each column.
    """

    bins: Ints
    count: int
    folds: Ints

    @classmethod
    def of(cls, columns: Sequence[Floats], categories: Sequence[bool], folds: Ints) -> _Binned:
        numbered = []
        for fold in range(int(folds.max()) + 1):
            train = folds != fold
            numbered.append(
                [_bins(column, train, named) for column, named in zip(columns, categories, strict=True)]
            )
        bins = np.array(numbered)
        return cls(bins, int(bins.max()) + 1, folds)

    def scores(self, y: Ints, n_classes: int) -> Floats:
        """(n, classes) log odds of each class against the rest, by models fitted without the row's fold."""
        out = np.zeros((len(y), n_classes))
        for fold, bins in enumerate(self.bins):
            test = self.folds == fold
            for column in bins:
                out[test] += self._log_odds(column[~test], y[~test], n_classes)[column[test]]
        return out

    def _log_odds(self, bins: Ints, y: Ints, n_classes: int) -> Floats:
        """(bins, classes), smoothed by one recording spread as the bins are; 0 for a bin not seen."""
        table = np.bincount(bins * n_classes + y, minlength=self.count * n_classes)
        table = table.reshape(self.count, n_classes).astype(np.float64)
        share = table.sum(axis=1, keepdims=True) / max(len(y), 1)
        size = table.sum(axis=0)
        inside = (table + share) / (size + 1)
        outside = (table.sum(axis=1, keepdims=True) - table + share) / (len(y) - size + 1)
        seen = share > 0
        return np.where(seen, np.log(np.where(seen, inside, 1)) - np.log(np.where(seen, outside, 1)), 0.0)


def _bins(column: Floats, train: NDArray[np.bool_], named: bool) -> Ints:
    """Bin of each value: its own for names and for few different numbers, else by quantiles of ``train``."""
    values = np.unique(column)
    if named or len(values) <= BINS:
        return np.searchsorted(values, column).astype(np.int64)
    inner = np.quantile(column[train], np.arange(1, BINS) / BINS, method="nearest")
    return np.searchsorted(np.unique(inner), column, side="right").astype(np.int64)

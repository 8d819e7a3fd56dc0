"""The detector's window length, chosen without the sources it is judged on (nested selection).

For the fold that is to be judged, heads are taught without it and without one more fold, and judged on that
one, so that the choice never sees the judged fold (why it must not: Varma and Simon 2006, BMC Bioinformatics
7:91). The shipped head's choice comes from all folds, each left out once. Choices are made on YAMNet's
embedding and kept beside the bank. The penalty is not chosen: it sets the scale of the score, and heads of
several scales could not share a threshold.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from pipeline.detection import DetectorHead
from pipeline.evaluation.detection import Scores, judge
from pipeline.evaluation.metrics import detection_figures
from pipeline.training import detector_recipe as recipe
from pipeline.training.bank import Bank, Entry
from pipeline.training.detector_recipe import Windows

# Frames of a window: 1.44, 1.92 and 2.40 s.
WINDOWS = (2, 3, 4)
_VERSION = 3  # raise when recipe or grid change in a way the key does not show

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Chosen:
    """Choices made, in frames of a window.

    Attributes:
        by_fold: for each judged fold, the choice made without it.
        final: the choice for the head that is shipped.
        figures: mean average precision of each option, by which ``final`` was chosen.
    """

    by_fold: tuple[int, ...]
    final: int
    figures: tuple[float, ...]


def choose(
    bank: Bank,
    entries: Sequence[Entry],
    unseen: NDArray[np.bool_],
    *,
    options: Sequence[int] = WINDOWS,
    progress: Progress | None = None,
) -> Chosen:
    """Choose among ``options`` by average precision on folds left out, mean of the clean and changed passes.

    Args:
        unseen: (entries,) bool, clips that teach no judged head.

    Raises:
        DataError: the recordings cannot make folds.
    """
    fold_of = recipe.folds(entries)
    count = int(fold_of.max()) + 1
    if len(options) == 1:
        return Chosen((options[0],) * count, options[0], (float("nan"),))
    kinds = [(e.kind, int(fold)) for e, fold in zip(entries, fold_of, strict=True)]
    key = [_VERSION, list(options), bank.passes, kinds, unseen.tolist()]
    place = bank.folder.parent / f"choices-{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]}.json"
    if place.is_file():
        table = {tuple(k): v for k, v in json.loads(place.read_text())}
    else:
        table = _table(bank, entries, fold_of, unseen, options, progress)
        place.write_text(json.dumps([[list(k), v] for k, v in table.items()]))
    by_fold = []
    for fold in range(count):
        inner = [table[min(fold, j), max(fold, j), j] for j in range(count) if j != fold]
        by_fold.append(options[_best(inner)])
    outer = [table[j, j, j] for j in range(count)]
    means = np.nanmean(np.asarray(outer), axis=0)
    return Chosen(tuple(by_fold), options[_best(outer)], tuple(float(v) for v in means))


def _best(rows: Sequence[Sequence[float]]) -> int:
    """Index of the option with the highest mean; folds without both kinds (NaN) do not count."""
    table = np.asarray(rows, dtype=float)
    held = table[~np.isnan(table).any(axis=1)]
    return int(held.mean(axis=0).argmax()) if len(held) else 0


def _table(
    bank: Bank,
    entries: Sequence[Entry],
    fold_of: NDArray[np.int64],
    unseen: NDArray[np.bool_],
    options: Sequence[int],
    progress: Progress | None,
) -> dict[tuple[int, int, int], list[float]]:
    """(left out, left out too, judged) -> average precision of each option."""
    count = int(fold_of.max()) + 1
    absent = [(j, j) for j in range(count)] + list(combinations(range(count), 2))
    table: dict[tuple[int, int, int], list[float]] = {
        (a, b, j): [float("nan")] * len(options) for a, b in absent for j in {a, b}
    }
    for i, frames in enumerate(options):
        passes = [recipe.windows_of(h, h.embeddings, frames) for h in bank]
        for k, (a, b) in enumerate(absent):
            if progress:
                progress("choosing on sources left out", i * len(absent) + k, len(options) * len(absent))
            head = recipe.fit_head(passes, entries, unseen | (fold_of == a) | (fold_of == b))
            for j in {a, b}:
                table[a, b, j][i] = _average_precision(passes, entries, fold_of, head, j)
    return table


def _average_precision(
    passes: Sequence[Windows],
    entries: Sequence[Entry],
    fold_of: NDArray[np.int64],
    head: DetectorHead,
    fold: int,
) -> float:
    """Mean of the clean and the changed passes' average precision on one fold; NaN without both kinds."""
    judged = [judge(w, entries=entries, head=head, fold=fold, fold_of=fold_of) for w in passes]
    suites = [judged[0], Scores.join("changed", judged[1:])] if judged[1:] else judged
    return float(np.mean([detection_figures(s.is_cry, s.logits)["ap"] for s in suites]))

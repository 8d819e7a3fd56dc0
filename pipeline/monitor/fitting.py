"""From what people marked right and wrong: a threshold that keeps the one and drops the other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.monitor.marks import VERDICTS, MarkError, newest
from pipeline.monitor.models import EpisodeRow
from pipeline.monitor.store import Row, Store

FEWEST = 10
"""So many of each, right and wrong, are needed before a threshold is named."""


@dataclass(frozen=True)
class Fit:
    """A threshold that follows from marks, and what it would have done to them.

    Attributes:
        detector: that the marked episodes were heard with.
        right, wrong: marked episodes of that detector.
        others: marked episodes of other detectors, left out.
        threshold: a cry from this score on.
        kept: right ones that would have been told.
        dropped: wrong ones that would not.
        kept_unseen, dropped_unseen: the same, each judged by a threshold chosen without it.
    """

    detector: str
    right: int
    wrong: int
    others: int
    threshold: float
    kept: int
    dropped: int
    kept_unseen: int
    dropped_unseen: int


def fit(store: Store, *, room: str | None = None, may_miss: int = 0) -> Fit:
    """The lowest threshold that drops most of what was marked wrong and keeps what was marked right.

    An episode is told if and only if its best score reaches the threshold: nothing has to be heard again.
    Cries that were never told cannot be marked and are not in this: it can raise a threshold, not lower it.

    Args:
        room: only its episodes.
        may_miss: so many of the right ones may be dropped.

    Raises:
        MarkError: fewer than ``FEWEST`` of either are marked, or no threshold drops any wrong one.
        StoreError: the history cannot be read.
    """
    verdicts = newest(store, VERDICTS)
    rows = [row for row in _episodes(store, verdicts) if room in (None, row["room"])]
    detector = _detector(max(rows, key=lambda row: row["started_at"])) if rows else ""
    mine = [row for row in rows if _detector(row) == detector]
    right = sorted(row["peak"] for row in mine if verdicts[row["id"]]["kind"] == "right")
    wrong = sorted(row["peak"] for row in mine if verdicts[row["id"]]["kind"] == "wrong")
    if min(len(right), len(wrong)) < FEWEST or may_miss >= len(right):
        more = ", and more right ones than may be missed" if may_miss else ""
        raise MarkError(
            f"{len(right)} episodes of this detector are marked right and {len(wrong)} wrong: it takes "
            f"at least {FEWEST} of each to name a threshold{more}."
        )
    threshold = _between(right, wrong, may_miss)
    if threshold is None:
        raise MarkError(
            f"No threshold drops one of the {len(wrong)} wrong ones and keeps the {len(right)} right ones"
            + (f" but {may_miss}" if may_miss else "")
            + f": the faintest to be kept scored {right[may_miss]:.3f}, the best wrong one {wrong[-1]:.3f}, "
            f"the faintest wrong one {wrong[0]:.3f}."
        )
    kept_unseen = sum(
        peak >= (_between(right[:i] + right[i + 1 :], wrong, may_miss) or 0.0) for i, peak in enumerate(right)
    )
    dropped_unseen = sum(
        peak < (_between(right, wrong[:i] + wrong[i + 1 :], may_miss) or 0.0) for i, peak in enumerate(wrong)
    )
    return Fit(
        detector,
        len(right),
        len(wrong),
        len(rows) - len(mine),
        threshold,
        sum(peak >= threshold for peak in right),
        sum(peak < threshold for peak in wrong),
        kept_unseen,
        dropped_unseen,
    )


def _between(right: Sequence[float], wrong: Sequence[float], may_miss: int) -> float | None:
    """Half-way from the best wrong one that can be dropped to the faintest right one that is kept; sorted."""
    keep = right[may_miss]
    below = [peak for peak in wrong if peak < keep]
    if not below:
        return None
    middle = (below[-1] + keep) / 2
    short = math.floor(middle * 1000) / 1000
    return short if below[-1] < short <= keep else keep


def _detector(row: Row) -> str:
    """Of the models of an episode, the one that its scores are from."""
    return str(row["models"].split(";")[0])


def _episodes(store: Store, ids: Iterable[str]) -> list[Row]:
    wanted = set(ids)
    return [row for row in store.rows(EpisodeRow) if row["id"] in wanted]

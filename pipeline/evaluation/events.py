"""How well crying was found along hours of sound: figures on events, not on clips or windows.

Events are ``(n, 2)`` float64 arrays of start and end in seconds, sorted and disjoint. Truth and prediction
come from the same recording; figures over several recordings are sums of the counts of each.

**Found.** An episode of crying is found when a predicted episode overlaps it at all.

**False alert.** An alert is raised when a predicted episode begins and again every ``refractory_s`` while it
lasts. It is false when nobody cries then, nor did within ``margin_s`` before or will within ``margin_s``
after (score windows reach that far beyond a cry). Where a prediction runs on after the crying it rightly
began in, the first false alert comes ``refractory_s`` after the margin. False alerts less than
``refractory_s`` after the last counted one are one with it. A detector that always says "cry" thus raises an
alert every ``refractory_s``, and no merging can hide it.

Sources: event-based F1 with an onset collar: Mesaros, Heittola and Virtanen 2016, "Metrics for polyphonic
sound event detection", Applied Sciences 6(6). Intersection criteria: Bilen et al. 2020, "A framework for the
robust evaluation of sound event detection", ICASSP. Exact Poisson interval: Garwood 1936, Biometrika 28.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import DataError

Events = NDArray[np.float64]

MARGIN_S = 5.0
REFRACTORY_S = 60.0
ONSET_COLLAR_S = 2.0
INTERSECTION = 0.5
DAY_S = 86_400.0


def as_events(pairs: Events | Iterable[Sequence[float]]) -> Events:
    """Pairs of start and end as events, sorted.

    Raises:
        DataError: an end not after its start, a number that is not finite, or events that overlap.
    """
    rows = np.array(list(pairs), dtype=np.float64).reshape(-1, 2)
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    bad = ~np.isfinite(rows).all(axis=1) | ~(rows[:, 1] > rows[:, 0])
    if bad.any():
        start, end = rows[bad][0]
        raise DataError(f"An event from {start:g} s to {end:g} s: its end must come after its start.")
    overlapping = np.flatnonzero(rows[1:, 0] < rows[:-1, 1])
    if overlapping.size:
        i = int(overlapping[0])
        raise DataError(f"Events overlap at {rows[i + 1, 0]:g} s: join them into one first.")
    return rows


def widen(events: Events, margin_s: float, duration_s: float) -> Events:
    """Each event ``margin_s`` longer at both ends, joined where they then touch, cut to [0, duration_s]."""
    rows = np.clip(events + np.array([-margin_s, margin_s]), 0.0, duration_s)
    merged: list[list[float]] = []
    for start, end in rows[rows[:, 1] > rows[:, 0]]:
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    return as_events(merged)


def subtract(events: Events, holes: Events) -> Events:
    """What of the events lies in none of the holes."""
    left: list[tuple[float, float]] = []
    for start, end in events:
        at = start
        for hole_start, hole_end in holes[(holes[:, 1] > start) & (holes[:, 0] < end)]:
            if hole_start > at:
                left.append((at, hole_start))
            at = max(at, hole_end)
        if at < end:
            left.append((at, end))
    return as_events(left)


def length(events: Events) -> float:
    """Seconds in all."""
    return float(np.sum(events[:, 1] - events[:, 0]))


def overlap(one: Events, other: Events) -> NDArray[np.float64]:
    """Seconds that each event of one shares with each of the other: (len(one), len(other))."""
    start = np.maximum(one[:, None, 0], other[None, :, 0])
    end = np.minimum(one[:, None, 1], other[None, :, 1])
    return np.maximum(end - start, 0.0)


def found(truth: Events, predicted: Events) -> NDArray[np.bool_]:
    """Which true episodes a predicted one overlaps: (len(truth),)."""
    return np.asarray((overlap(truth, predicted) > 0).any(axis=1))


def onset_latency(truth: Events, predicted: Events, delay_s: float = 0.0) -> NDArray[np.float64]:
    """Seconds from the start of each found episode until it is known; NaN where it was missed.

    Args:
        delay_s: from the start of a predicted episode to the end of the window that began it.

    Returns:
        (len(truth),), 0 where the prediction was there already.
    """
    shared = overlap(truth, predicted) > 0
    latency = np.full(len(truth), np.nan)
    for i in np.flatnonzero(shared.any(axis=1)):
        first = predicted[np.argmax(shared[i]), 0]
        latency[i] = max(0.0, first + delay_s - truth[i, 0])
    return latency


def false_alerts(
    truth: Events,
    predicted: Events,
    duration_s: float,
    *,
    margin_s: float = MARGIN_S,
    refractory_s: float = REFRACTORY_S,
) -> NDArray[np.float64]:
    """Times of the false alerts, as defined in the module's description: (k,) seconds, sorted."""
    crying = widen(truth, margin_s, duration_s)
    kept: list[float] = []
    for part_start, part_end in subtract(predicted, crying):
        runs_on = bool(np.any(crying[:, 1] == part_start)) and not bool(np.any(predicted[:, 0] == part_start))
        at = part_start + (refractory_s if runs_on else 0.0)
        while at < part_end:
            # The same sum on both sides: a difference may fall short of the refractory time by rounding.
            earliest = kept[-1] + refractory_s if kept else at
            if at >= earliest:
                kept.append(at)
                at += refractory_s
            else:
                at = earliest
    return np.array(kept)


def cry_free_s(truth: Events, duration_s: float, margin_s: float = MARGIN_S) -> float:
    """Seconds in which an alert would be false."""
    return duration_s - length(widen(truth, margin_s, duration_s))


def poisson_interval(count: int, level: float = 0.95) -> tuple[float, float]:
    """Exact (Garwood) interval of the mean of a Poisson count.

    Args:
        count: events seen, 0 or more.
        level: coverage, at least, in (0, 1).
    """
    from scipy.stats import chi2

    tail = (1 - level) / 2
    low = float(chi2.ppf(tail, 2 * count)) / 2 if count else 0.0
    return low, float(chi2.ppf(1 - tail, 2 * count + 2)) / 2


def binomial_interval(hits: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """Exact interval of a share (Clopper and Pearson 1934, Biometrika 26)."""
    from scipy.stats import beta

    tail = (1 - level) / 2
    low = float(beta.ppf(tail, hits, trials - hits + 1)) if hits else 0.0
    high = float(beta.ppf(1 - tail, hits + 1, trials - hits)) if hits < trials else 1.0
    return low, high


def per_24h(count: int, seconds: float, level: float = 0.95) -> dict[str, float]:
    """A count over some seconds as a rate per 24 h: value, low, high (Poisson), level, hours, count."""
    scale = DAY_S / seconds if seconds > 0 else float("nan")
    low, high = poisson_interval(count, level)
    return {
        "value": count * scale,
        "low": low * scale,
        "high": high * scale,
        "level": level,
        "hours": seconds / 3600,
        "count": count,
    }


def seconds_per_bin(events: Events, duration_s: float, bin_s: float) -> NDArray[np.float64]:
    """Seconds of the events in each bin of ``bin_s``: (ceil(duration / bin),), the last bin may be short."""
    edges = np.minimum(np.arange(int(np.ceil(duration_s / bin_s)) + 1) * bin_s, duration_s)
    bins = np.column_stack([edges[:-1], edges[1:]])
    return np.asarray(overlap(bins, events).sum(axis=1))


def minutes_error(truth: Events, predicted: Events, duration_s: float, bin_s: float) -> tuple[float, float]:
    """How far the minutes of crying are off, bin by bin.

    Returns:
        (sum over the bins of the absolute error in minutes, number of bins; a short last one counts in part).
        Their ratio, over one recording or many, is the mean absolute error in minutes per bin.
    """
    wrong = np.abs(seconds_per_bin(predicted, duration_s, bin_s) - seconds_per_bin(truth, duration_s, bin_s))
    return float(wrong.sum()) / 60, duration_s / bin_s


@dataclass(frozen=True)
class Counts:
    """Events right and wrong; add those of several recordings.

    Attributes:
        hits: true events detected; misses: those not; false: predicted events that are none.
    """

    hits: int
    misses: int
    false: int

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.hits + other.hits, self.misses + other.misses, self.false + other.false)

    def f1(self) -> float:
        """2 hits / (2 hits + misses + false); NaN when there is nothing to find and nothing was found."""
        events = 2 * self.hits + self.misses + self.false
        return 2 * self.hits / events if events else float("nan")


def by_onset(truth: Events, predicted: Events, collar_s: float = ONSET_COLLAR_S) -> Counts:
    """Mesaros et al. 2016, onsets only: each true event matched to at most one prediction within the collar.

    The most pairs that can be made: on sorted onsets with one collar for all, taking the earliest that fits.
    """
    hits = i = j = 0
    while i < len(truth) and j < len(predicted):
        gap = predicted[j, 0] - truth[i, 0]
        if abs(gap) <= collar_s:
            hits, i, j = hits + 1, i + 1, j + 1
        elif gap < 0:
            j += 1
        else:
            i += 1
    return Counts(hits, len(truth) - hits, len(predicted) - hits)


def by_intersection(
    truth: Events, predicted: Events, detection: float = INTERSECTION, coverage: float = INTERSECTION
) -> Counts:
    """Bilen et al. 2020: a prediction stands when enough of it is crying, an episode when enough is covered.

    Args:
        detection: share of a prediction that must lie in true events (detection tolerance criterion).
        coverage: share of a true event that standing predictions must cover (ground truth intersection).
    """
    shared = overlap(truth, predicted)
    long = predicted[:, 1] - predicted[:, 0]
    stands = shared.sum(axis=0) >= detection * long - 1e-12
    covered = shared[:, stands].sum(axis=1)
    hits = int(np.sum(covered >= coverage * (truth[:, 1] - truth[:, 0]) - 1e-12))
    return Counts(hits, len(truth) - hits, int(np.sum(~stands)))

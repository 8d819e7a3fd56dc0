"""Event metrics against sed_eval, and against slow references written from the published definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, poisson

from pipeline.errors import DataError
from pipeline.evaluation import events
from pipeline.evaluation.events import Events

NONE = events.as_events([])
LONG = 400  # seconds of the recordings below, whose events begin and end on whole seconds


def from_seconds(marks: np.ndarray) -> Events:
    """Events of a recording in which every second is in an event or in none."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marks, [False]]).astype(int)))
    return events.as_events(edges.reshape(-1, 2))


def in_seconds(rows: Events) -> np.ndarray:
    marks = np.zeros(LONG, bool)
    for start, end in rows.astype(int):
        marks[start:end] = True
    return marks


def random_events(rng: np.random.Generator, most: int = 12) -> Events:
    edges = rng.choice(LONG, 2 * int(rng.integers(0, most)), replace=False)
    return from_seconds(in_seconds(np.sort(edges).reshape(-1, 2)))


# Sorted edges, two to an event; touching events become one.
recordings = st.lists(st.integers(0, LONG), unique=True, max_size=16).map(
    lambda edges: from_seconds(
        in_seconds(np.array(sorted(edges)[: len(edges) // 2 * 2], float).reshape(-1, 2))
    )
)


def test_a_detector_that_never_stops_raises_an_alert_every_refractory_time():
    times = events.false_alerts(NONE, events.as_events([(0.0, 600.0)]), 600.0)
    assert times.tolist() == [60.0 * k for k in range(10)]


def test_alerts_close_to_the_last_counted_one_are_one_with_it():
    predicted = events.as_events([(10, 12), (40, 45), (69.5, 75), (200, 201)])
    # The third reaches beyond 60 s after the first, and counts from there on.
    assert events.false_alerts(NONE, predicted, 300.0).tolist() == [10.0, 70.0, 200.0]


@pytest.mark.timeout(20)
def test_false_alerts_end_and_stay_apart_whatever_the_rounding():
    rng = np.random.default_rng(0)
    for _ in range(300):
        predicted = events.as_events(np.sort(rng.uniform(0, 3600, 40)).reshape(-1, 2))
        times = events.false_alerts(NONE, predicted, 3600.0)
        assert np.all(np.diff(times) >= events.REFRACTORY_S - 1e-9)
        inside = [np.any((predicted[:, 0] <= t) & (t < predicted[:, 1])) for t in times]
        assert all(inside)


def test_no_alert_is_false_beside_a_cry_and_one_that_runs_on_is():
    cry = events.as_events([(100.0, 110.0)])
    near = events.as_events([(96.0, 98.0), (111.0, 114.0)])
    assert not len(events.false_alerts(cry, near, 600.0))
    runs_on = events.as_events([(101.0, 300.0)])
    # The margin ends at 115 s, the refractory time 60 s later.
    assert events.false_alerts(cry, runs_on, 600.0).tolist() == [175.0, 235.0, 295.0]


@pytest.mark.parametrize(("count", "low", "high"), [(0, 0.0, 3.689), (1, 0.0253, 5.572), (10, 4.795, 18.390)])
def test_poisson_interval_is_garwoods(count, low, high):
    """The values of Garwood's table, as printed for example in Ulm 1990 (Am. J. Epidemiol. 131)."""
    assert events.poisson_interval(count) == pytest.approx((low, high), abs=2e-3)


def test_rate_of_alerts_is_scaled_to_a_day_with_its_interval():
    rate = events.per_24h(2, 6 * 3600.0)
    assert (rate["value"], rate["count"], rate["hours"]) == (8.0, 2, 6.0)
    assert rate["low"] == pytest.approx(4 * 0.2422, abs=2e-3)
    assert rate["high"] == pytest.approx(4 * 7.2247, abs=2e-3)


def test_onset_based_counts_are_those_of_sed_eval():
    from dcase_util.containers import MetaDataContainer
    from sed_eval.sound_event import EventBasedMetrics

    def listed(rows: Events) -> MetaDataContainer:
        names = {"filename": "night.wav", "event_label": "cry"}
        return MetaDataContainer([{**names, "onset": float(a), "offset": float(b)} for a, b in rows])

    rng, seen = np.random.default_rng(0), set()
    for _ in range(200):
        # Onsets on a grid of which the collar is a multiple: some lie on its very edge.
        collar = float(rng.choice([1, 2, 5, 20]))
        truth, predicted = random_events(rng, 30), random_events(rng, 30)
        if not len(truth):
            continue
        theirs = EventBasedMetrics(["cry"], evaluate_onset=True, evaluate_offset=False, t_collar=collar)
        theirs.evaluate(listed(truth), listed(predicted))
        ours = events.by_onset(truth, predicted, collar)
        assert (ours.hits, ours.misses, ours.false) == tuple(theirs.overall[k] for k in ("Ntp", "Nfn", "Nfp"))
        if ours.hits:
            f1 = theirs.results_overall_metrics()["f_measure"]["f_measure"]
            assert ours.f1() == pytest.approx(f1)
        seen.add(ours.hits)
    assert len(seen) > 8, "cases of many kinds"


def by_intersection_slowly(truth: Events, predicted: Events, share: float) -> tuple[int, int, int]:
    """Bilen et al. 2020, sections 2.1 and 2.2, counted second by second."""
    crying, standing = in_seconds(truth), np.zeros(LONG, bool)
    false = 0
    for start, end in predicted.astype(int):
        if crying[start:end].sum() / (end - start) >= share:
            standing[start:end] = True
        else:
            false += 1
    hits = sum(standing[a:b].sum() / (b - a) >= share for a, b in truth.astype(int))
    return hits, len(truth) - hits, false


@given(recordings, recordings, st.sampled_from([0.1, 0.25, 0.5, 0.75, 1.0]))
def test_intersection_based_counts_follow_the_definition(truth: Events, predicted: Events, share: float):
    ours = events.by_intersection(truth, predicted, share, share)
    assert (ours.hits, ours.misses, ours.false) == by_intersection_slowly(truth, predicted, share)


def false_alerts_slowly(truth: Events, predicted: Events, margin: int, refractory: int) -> list[float]:
    """As the module defines them, walking through the recording second by second."""
    near = np.zeros(LONG, bool)
    for start, end in truth.astype(int):
        near[max(0, start - margin) : end + margin] = True
    heard = in_seconds(predicted)
    alerts: list[float] = []
    not_before = 0
    for t in range(LONG):
        if not heard[t] or near[t]:
            continue
        if t and heard[t - 1] and near[t - 1]:  # runs on after the crying it began in
            not_before = max(not_before, t + refractory)
        elif t and not heard[t - 1]:
            not_before = alerts[-1] + refractory if alerts else 0
        if t >= not_before:
            alerts.append(float(t))
            not_before = t + refractory
    return alerts


@settings(max_examples=300)
@given(recordings, recordings, st.integers(0, 8), st.integers(1, 70))
def test_false_alerts_are_those_of_a_walk_through_the_night(
    truth: Events, predicted: Events, margin: int, refractory: int
):
    ours = events.false_alerts(truth, predicted, LONG, margin_s=margin, refractory_s=refractory)
    assert ours.tolist() == false_alerts_slowly(truth, predicted, margin, refractory)


@given(recordings, recordings, st.integers(0, 30))
def test_sets_of_seconds(one: Events, other: Events, margin: int):
    first, second = in_seconds(one), in_seconds(other)
    assert np.array_equal(in_seconds(events.subtract(one, other)), first & ~second)
    assert events.overlap(one, other).sum() == np.sum(first & second)
    assert events.length(one) == first.sum()
    wide = events.widen(one, margin, LONG)
    near = np.convolve(first, np.ones(2 * margin + 1))[margin : margin + LONG] > 0
    assert np.array_equal(in_seconds(wide), near)
    assert events.cry_free_s(one, LONG, margin) == LONG - near.sum()


@given(recordings, recordings, st.sampled_from([7.0, 60.0, 400.0, 3600.0]))
def test_minutes_of_crying_are_compared_bin_by_bin(truth: Events, predicted: Events, bin_s: float):
    one, other = in_seconds(truth).astype(float), in_seconds(predicted).astype(float)
    edges = range(0, LONG, int(bin_s))
    assert events.seconds_per_bin(truth, LONG, bin_s).tolist() == [
        one[i : i + int(bin_s)].sum() for i in edges
    ]
    wrong, bins = events.minutes_error(truth, predicted, LONG, bin_s)
    assert wrong * 60 == pytest.approx(sum(abs((one - other)[i : i + int(bin_s)].sum()) for i in edges))
    assert bins == LONG / bin_s


@given(recordings, recordings, st.sampled_from([0.0, 0.72, 30.0]))
def test_episodes_are_found_where_a_prediction_shares_time_with_them(
    truth: Events, predicted: Events, delay: float
):
    heard = in_seconds(predicted)
    found, latency = events.found(truth, predicted), events.onset_latency(truth, predicted, delay)
    for (start, end), known, late in zip(truth.astype(int), found, latency, strict=True):
        assert known == heard[start:end].any()
        if not known:
            assert np.isnan(late)
        elif heard[start]:
            began = start - int(np.argmin(heard[start::-1])) + 1 if not heard[: start + 1].all() else 0
            assert late == pytest.approx(max(0.0, began + delay - start))
        else:
            assert late == pytest.approx(int(np.argmax(heard[start:end])) + delay)


@given(st.integers(0, 400), st.sampled_from([0.8, 0.95, 0.99]))
def test_poisson_interval_holds_the_tails_it_is_defined_by(count: int, level: float):
    low, high = events.poisson_interval(count, level)
    assert poisson.cdf(count, high) == pytest.approx((1 - level) / 2)
    assert low == 0 if not count else poisson.sf(count - 1, low) == pytest.approx((1 - level) / 2)


@given(st.integers(1, 200), st.data(), st.sampled_from([0.8, 0.95]))
def test_binomial_interval_holds_the_tails_it_is_defined_by(trials: int, data: st.DataObject, level: float):
    hits = data.draw(st.integers(0, trials))
    low, high = events.binomial_interval(hits, trials, level)
    tail = pytest.approx((1 - level) / 2)
    assert low == 0 if not hits else binom.sf(hits - 1, trials, low) == tail
    assert high == 1 if hits == trials else binom.cdf(hits, trials, high) == tail


@pytest.mark.parametrize(
    ("pairs", "names"),
    [
        ([(5, 5)], "from 5 s to 5 s"),
        ([(7, 3)], "from 7 s to 3 s"),
        ([(0, float("nan"))], "nan"),
        ([(0, 10), (9, 20)], "overlap at 9 s"),
    ],
)
def test_events_that_cannot_be_are_refused(pairs: list[tuple[float, float]], names: str):
    with pytest.raises(DataError, match=names):
        events.as_events(pairs)


def test_f1_of_nothing_is_not_a_number():
    assert np.isnan(events.by_onset(NONE, NONE).f1())
    assert np.isnan(events.by_intersection(NONE, NONE).f1())
    assert (events.by_onset(NONE, NONE) + events.Counts(1, 2, 3)).f1() == pytest.approx(2 / 7)

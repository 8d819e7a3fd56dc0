"""Event metrics: false alerts and their refractory time."""

import numpy as np
import pytest

from pipeline.evaluation import events

NONE = events.as_events([])


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

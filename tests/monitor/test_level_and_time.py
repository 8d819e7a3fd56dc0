"""Level in dBFS, and a stream's seconds held to the time of day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.audio import SAMPLE_RATE
from pipeline.monitor.level import LevelMeter
from pipeline.monitor.recent import Recent
from pipeline.monitor.stretch import Anchor
from pipeline.streaming import WindowScore

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


@given(st.floats(1e-3, 0.99), st.integers(100, 4000))
def test_a_sine_is_three_decibels_below_its_peak(amplitude: float, pitch_hz: int) -> None:
    time_s = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    level = LevelMeter().push(
        (amplitude * np.sin(2 * np.pi * pitch_hz * time_s)).astype(np.float32), SAMPLE_RATE
    )
    assert level.level_dbfs == pytest.approx(20 * np.log10(amplitude) - 3.01, abs=0.05)
    assert (level.clipped, level.silent_s, level.stuck_s) == (0, 0, 0)


def test_silence_a_stuck_input_and_clipping_are_told_apart() -> None:
    meter = LevelMeter()
    for _ in range(30):
        level = meter.push(np.zeros((1600, 2), np.float32), SAMPLE_RATE)
    assert (level.silent_s, level.stuck_s) == (pytest.approx(3), pytest.approx(3))
    for _ in range(20):
        level = meter.push(np.full(1600, 0.25, np.float32), SAMPLE_RATE)
    assert (level.silent_s, level.level_dbfs) == (0, pytest.approx(-12.04, abs=0.01))
    assert level.stuck_s == pytest.approx(1.9, abs=0.2)
    level = meter.push(np.array([1.0, -1.0, 0.5], np.float32), SAMPLE_RATE)
    assert (level.clipped, level.stuck_s) == (2, 0)


@settings(max_examples=20, deadline=None)
@given(st.floats(-1e-4, 1e-4), st.integers(0, 2**32 - 1))
def test_a_sound_card_that_runs_fast_or_slow_does_not_drift_away_in_a_day(
    rate_error: float, seed: int
) -> None:
    """A hundred parts in a million is nine seconds a day; what comes is late now and then, by a second."""
    random, anchor = np.random.default_rng(seed), Anchor(BEGAN)
    for minute in range(24 * 60):
        for second in (60 * minute + np.arange(5) * 12).tolist():
            position_s = second * (1 + rate_error)
            late = float(random.exponential(0.02)) + (random.random() < 0.05)
            anchor.heard(position_s, BEGAN + timedelta(seconds=second + late))
    told = anchor.at(86_400 * (1 + rate_error))
    assert abs((told - BEGAN).total_seconds() - 86_400) < 0.2


@given(st.lists(st.floats(0.0, 9.0), max_size=20))
def test_lost_sound_moves_what_follows(losses: list[float]) -> None:
    anchor = Anchor(BEGAN)
    for loss in losses:
        anchor.lost(loss)
    assert anchor.at(5.0) == BEGAN + timedelta(seconds=5.0 + sum(losses))


@given(st.lists(st.tuples(st.floats(0.0, 30.0), st.floats(0.01, 30.0)), min_size=1, max_size=50))
def test_sound_is_never_placed_in_the_future(steps: list[tuple[float, float]]) -> None:
    """However much comes at once, or is said to be lost."""
    anchor, position_s, passed_s = Anchor(BEGAN), 0.0, 0.0
    for lost_s, heard_s in steps:
        anchor.lost(lost_s)
        position_s += heard_s
        passed_s += 1.0
        now = BEGAN + timedelta(seconds=passed_s)
        anchor.heard(position_s, now)
        assert anchor.at(position_s) <= now + timedelta(milliseconds=1)
    assert anchor.began <= BEGAN


def test_lost_sound_does_not_move_the_beginning() -> None:
    anchor = Anchor(BEGAN)
    anchor.lost(3600.0)
    anchor.heard(100.0, BEGAN + timedelta(seconds=3700))
    assert anchor.began == BEGAN
    assert anchor.at(100.0) == BEGAN + timedelta(seconds=3700)


def test_the_sound_kept_for_a_word_on_why_is_the_episodes_own_and_bounded() -> None:
    recent, rate = Recent(100, 2.4), 100
    ramp = np.arange(3600 * rate, dtype=np.float32)
    for second in range(3600):
        recent.push(ramp[second * rate : (second + 1) * rate], crying=second >= 3000)
        recent.score(WindowScore(second + 1 - 1.2, 0.5))
    samples, scores = recent.take(2999.0, 3600.0)
    assert samples[0] / rate == pytest.approx(2997.8 + 0.8, abs=0.01)  # from the first whole window on
    assert 50 * rate <= len(samples) <= 62 * rate
    assert len(scores) == pytest.approx(len(samples) / rate - 1.4, abs=1)

"""Episodes: the rules against an independent reference, stream against batch, edges against known truth."""

from __future__ import annotations

import math
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.episodes import Episode, EpisodeRules, EpisodeTracker, find_episodes, window_times
from pipeline.errors import CryError, SettingsError

HOP, WINDOW = 0.48, 1.92
steady = settings(deadline=None)  # a busy machine is no failure
# Few levels, so that thresholds are met exactly and runs and gaps of every length turn up.
SCORES = st.lists(
    st.one_of(st.sampled_from([0.0, 0.2, 0.4, 0.5, 0.6, 0.9, 1.0]), st.floats(0, 1)), max_size=60
)


@st.composite
def rules_(draw: st.DrawFn, min_duration: bool = True) -> EpisodeRules:
    onset = draw(st.one_of(st.sampled_from([0.0, 0.5, 0.6, 1.0]), st.floats(0, 1)))
    hop = draw(st.sampled_from([0.48, 0.1, 1.0]))
    return EpisodeRules(
        onset=onset,
        offset=draw(st.one_of(st.just(onset), st.floats(0, onset))),
        min_duration_s=draw(st.sampled_from([0.0, 0.48, 0.96, 1.2, 3.0])) if min_duration else 0.0,
        max_gap_s=draw(st.sampled_from([0.0, 0.3, 0.48, 0.96, 1.44, 2.0, 5.0])),
        hop_s=hop,
        window_s=draw(st.sampled_from([1.0, 1.92, 4.0])),
    )


def reference(scores: list[float], rules: EpisodeRules, duration_s: float | None) -> list[Episode]:
    """The written rules done plainly over the whole sequence, sharing no code with the tracker."""
    holds, inside = [], False
    for score in scores:
        inside = score >= (rules.offset if inside else rules.onset)
        holds.append(inside)
    runs: list[list[int]] = []
    for i, held in enumerate(holds):
        if held and runs and runs[-1][1] == i - 1:
            runs[-1][1] = i
        elif held:
            runs.append([i, i])
    merged: list[list[int]] = []
    for run in runs:
        gap_windows = run[0] - merged[-1][1] - 1 if merged else 0
        if merged and gap_windows * rules.hop_s < rules.max_gap_s - 1e-9:
            merged[-1][1] = run[1]
        else:
            merged.append(run)
    total = (len(scores) - 1) * rules.hop_s + rules.window_s
    total = total if duration_s is None else min(total, duration_s)
    centres = [i * rules.hop_s + rules.window_s / 2 for i in range(len(scores))]
    edges = [0.0, *((a + b) / 2 for a, b in pairwise(centres)), total]
    found = []
    for first, last in merged:
        inside_scores = scores[first : last + 1]
        start, end = edges[first], edges[last + 1]
        if end - start >= rules.min_duration_s - 1e-9:
            found.append(
                Episode(start, end, max(inside_scores), math.fsum(inside_scores) / len(inside_scores))
            )
    return found


def last_cell_start(count: int, rules: EpisodeRules) -> float:
    return 0.0 if count <= 1 else (count - 1) * rules.hop_s + (rules.window_s - rules.hop_s) / 2


@steady
@given(SCORES, rules_(), st.none() | st.floats(1e-3, 5))
def test_the_rules_as_written(scores: list[float], rules: EpisodeRules, tail: float | None) -> None:
    duration = None if tail is None else last_cell_start(len(scores), rules) + tail
    found = find_episodes(scores, rules, duration_s=duration)
    expected = reference(scores, rules, duration)
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert (a.start, a.end, a.peak, a.mean) == pytest.approx((b.start, b.end, b.peak, b.mean), abs=1e-9)


@steady
@given(SCORES, rules_(), st.data())
def test_any_chunking_gives_the_same_episodes(
    scores: list[float], rules: EpisodeRules, data: st.DataObject
) -> None:
    """Pushing in chunks of any size, looking at ``active`` in between, equals the batch, exactly."""
    duration = last_cell_start(len(scores), rules) + data.draw(st.floats(1e-3, 5))
    tracker, at = EpisodeTracker(rules), 0
    found: list[Episode] = []
    while at < len(scores):
        size = data.draw(st.integers(1, 20))
        for score in scores[at : at + size]:
            found += tracker.push(score)
            _ = tracker.active
        at += size
    found += tracker.finish(duration)
    assert tuple(found) == find_episodes(scores, rules, duration_s=duration)


@steady
@given(SCORES, rules_())
def test_an_episode_once_active_only_grows_and_is_returned(scores: list[float], rules: EpisodeRules) -> None:
    tracker = EpisodeTracker(rules)
    found: list[Episode] = []
    seen: list[Episode] = []
    for score in scores:
        found += tracker.push(score)
        seen += [tracker.active] if tracker.active else []
    found += tracker.finish()
    final = {episode.start: episode for episode in found}
    for episode in seen:
        assert episode.end <= final[episode.start].end + 1e-9
        assert episode.peak <= final[episode.start].peak
    # Whatever was returned had been shown as active, unless the end of the audio made it long enough.
    assert {e.start for e in found[:-1]} <= {e.start for e in seen}


@steady
@given(SCORES, rules_(min_duration=False))
def test_an_episode_exists_exactly_when_the_best_score_reaches_onset(
    scores: list[float], rules: EpisodeRules
) -> None:
    assert bool(find_episodes(scores, rules)) == (max(scores, default=-1.0) >= rules.onset)


@steady
@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=30), st.data())
def test_the_verdict_agrees_for_float32_scores_at_their_own_value(
    scores: list[float], data: st.DataObject
) -> None:
    row = np.array(scores, dtype=np.float32)
    threshold = data.draw(st.one_of(st.sampled_from([float(s) for s in row]), st.floats(0, 1)))
    rules = EpisodeRules(0.5, 0.3).with_threshold(threshold)
    assert bool(find_episodes(row, rules)) == (float(row.max()) >= threshold)


@steady
@given(SCORES, rules_(), st.floats(1e-3, 5))
def test_episodes_are_sorted_disjoint_inside_and_bounded(
    scores: list[float], rules: EpisodeRules, tail: float
) -> None:
    duration = last_cell_start(len(scores), rules) + tail
    previous_end = 0.0
    for episode in find_episodes(scores, rules, duration_s=duration):
        assert previous_end <= episode.start < episode.end <= duration
        assert 0 <= episode.mean <= episode.peak <= 1
        assert episode.peak >= rules.onset
        previous_end = episode.end


@steady
@given(SCORES, st.floats(0, 1), st.floats(0, 1), st.floats(0.1, 1))
def test_a_higher_threshold_never_adds_crying(scores: list[float], a: float, b: float, ratio: float) -> None:
    rules = EpisodeRules(1.0, ratio, max_gap_s=0.0)
    low, high = (find_episodes(scores, rules.with_threshold(t)) for t in sorted((a, b)))
    assert sum(e.duration_s for e in high) <= sum(e.duration_s for e in low) + 1e-9


@steady
@given(st.floats(2.0, 20.0), st.floats(2.0, 15.0))
def test_edges_are_true_to_half_a_hop_when_the_score_is_the_share_of_crying(
    start: float, length: float
) -> None:
    """The reason for the nearest-centre rule: a window half full of crying is where the edge is."""
    duration, end = 40.0, start + length
    windows = np.arange(int((duration - WINDOW) / HOP) + 1) * HOP
    share = np.clip(np.minimum(windows + WINDOW, end) - np.maximum(windows, start), 0, None) / WINDOW
    (found,) = find_episodes(np.minimum(share, 1.0), EpisodeRules(0.5, 0.5), duration_s=duration)
    assert abs(found.start - start) <= HOP / 2 + 1e-6
    assert abs(found.end - end) <= HOP / 2 + 1e-6


def test_a_clip_that_is_all_cry_is_covered_from_end_to_end() -> None:
    (found,) = find_episodes([0.9] * 11, EpisodeRules(0.5, 0.3), duration_s=6.9)
    assert found.start == 0.0
    assert found.end == pytest.approx(10 * HOP + WINDOW)
    (padded,) = find_episodes([0.9] * 11, EpisodeRules(0.5, 0.3), duration_s=6.5)
    assert padded.end == 6.5
    (short,) = find_episodes([0.9], EpisodeRules(0.5, 0.3), duration_s=0.5)
    assert (short.start, short.end) == (0.0, 0.5)


def test_hysteresis_holds_but_does_not_start() -> None:
    rules = EpisodeRules(0.6, 0.4, max_gap_s=0.0)
    (found,) = find_episodes([0.1, 0.5, 0.6, 0.5, 0.4, 0.3, 0.5, 0.1], rules)
    times = window_times(8, rules)
    assert found.start == pytest.approx(times[2] - HOP / 2)
    assert found.end == pytest.approx(times[4] + HOP / 2)
    assert found.peak == 0.6
    assert found.mean == pytest.approx(0.5)


def test_gaps_shorter_than_the_limit_merge_and_count_in_the_mean() -> None:
    scores = [0, 1, 0, 0, 1, 0, 0, 0, 1, 0]
    merged = find_episodes(scores, EpisodeRules(0.5, 0.5, max_gap_s=3 * HOP))
    assert len(merged) == 2  # two empty windows merge, three (a gap of exactly the limit) do not
    assert merged[0].mean == pytest.approx(2 / 4)
    assert len(find_episodes(scores, EpisodeRules(0.5, 0.5, max_gap_s=2 * HOP))) == 3


def test_short_episodes_are_dropped_and_exact_ones_kept() -> None:
    scores = [0, 1, 1, 1, 0, 0, 0, 1, 0, 0]
    rules = EpisodeRules(0.5, 0.5, max_gap_s=0.0, min_duration_s=3 * HOP)
    (kept,) = find_episodes(scores, rules)
    assert kept.duration_s == pytest.approx(3 * HOP)


def test_active_appears_once_long_enough_and_is_closed_after_the_gap() -> None:
    tracker = EpisodeTracker(EpisodeRules(0.5, 0.4, max_gap_s=2 * HOP, min_duration_s=2.0))
    seen = [(bool(tracker.push(s)), tracker.active is not None) for s in [0, 0.9, 0.9, 0.9, 0.1, 0.1, 0.1]]
    # Three windows speak for 1.44 s: not yet 2 s, however far the third one hears.
    assert seen == [(False, False)] * 7
    tracker = EpisodeTracker(EpisodeRules(0.5, 0.4, max_gap_s=2 * HOP, min_duration_s=1.44))
    seen = [(bool(tracker.push(s)), tracker.active is not None) for s in [0, 0.9, 0.9, 0.9, 0.1, 0.1, 0.1]]
    assert [active for _, active in seen] == [False, False, False, True, True, False, False]
    assert [closed for closed, _ in seen] == [False, False, False, False, False, True, False]
    tracker = EpisodeTracker(EpisodeRules(0.5, 0.4, max_gap_s=2 * HOP))
    closed = [len(tracker.push(s)) for s in [0, 0.9, 0.9, 0.1, 0.1, 0.1]]
    assert closed == [0, 0, 0, 0, 1, 0]
    assert tracker.active is None
    assert tracker.finish() == ()


def test_months_of_scores_take_constant_memory_and_keep_time() -> None:
    tracker = EpisodeTracker(EpisodeRules(0.5, 0.3))
    tracker.push(0.9)
    tracemalloc.start()
    for _ in range(60_000):
        tracker.push(0.9)
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 4_000
    assert tracker.active is not None
    assert tracker.active.end == pytest.approx(60_000 * HOP + WINDOW / 2 + HOP / 2)


def test_with_threshold_keeps_the_ratio_even_through_zero() -> None:
    rules = EpisodeRules(0.5, 0.3, min_duration_s=1.0, max_gap_s=3.0)
    assert rules.with_threshold(0.8).offset == pytest.approx(0.48)
    assert rules.with_threshold(0.0).with_threshold(0.8) == rules.with_threshold(0.8)
    assert rules.with_threshold(0.8).max_gap_s == 3.0
    assert find_episodes([0.0], rules.with_threshold(0.0)) != ()


@pytest.mark.parametrize(
    ("name", "given_"),
    [
        ("offset", {"onset": 0.4, "offset": 0.5}),
        ("onset", {"onset": 1.2}),
        ("onset", {"onset": -0.1, "offset": -0.2}),
        ("onset", {"onset": math.nan}),
        ("offset", {"offset": math.nan}),
        ("min_duration_s", {"min_duration_s": -1}),
        ("max_gap_s", {"max_gap_s": -0.5}),
        ("max_gap_s", {"max_gap_s": math.inf}),
        ("hop_s", {"hop_s": 0}),
        ("window_s", {"window_s": 0.3}),
        ("offset_ratio", {"offset_ratio": 1.5}),
    ],
)
def test_nonsense_rules_are_refused_by_name(name: str, given_: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match=f"'{name}'"):
        EpisodeRules(**({"onset": 0.5, "offset": 0.3} | given_))


def test_a_threshold_out_of_bounds_is_refused() -> None:
    with pytest.raises(SettingsError):
        EpisodeRules(0.5, 0.3).with_threshold(1.01)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -0.01, 1.01])
def test_bad_scores_are_refused_and_not_taken(bad: float) -> None:
    rules = EpisodeRules(0.5, 0.3)
    with pytest.raises(CryError, match="window 1 ") as caught:
        find_episodes([0.2, bad, 0.9], rules)
    assert caught.value.code == "score-invalid"
    tracker = EpisodeTracker(rules)
    tracker.push(0.9)
    with pytest.raises(CryError):
        tracker.push(bad)
    assert tracker.count == 1
    assert tracker.finish() == find_episodes([0.9], rules)


def test_a_table_of_scores_is_refused() -> None:
    with pytest.raises(CryError, match="shape"):
        find_episodes(np.zeros((3, 2)), EpisodeRules(0.5, 0.3))


@pytest.mark.parametrize("duration", [-1.0, math.nan, math.inf, 2.0])
def test_a_duration_that_cannot_hold_the_windows_is_refused(duration: float) -> None:
    with pytest.raises(CryError, match="do not fit") as caught:
        find_episodes([0.9] * 5, EpisodeRules(0.5, 0.3), duration_s=duration)
    assert caught.value.code == "duration-invalid"


def test_no_scores_no_episodes_and_a_finished_tracker_stays_finished() -> None:
    rules = EpisodeRules(0.5, 0.3)
    assert find_episodes([], rules) == () == find_episodes(np.zeros(0), rules, duration_s=0.0)
    assert len(find_episodes((s for s in [0.9]), rules)) == 1
    tracker = EpisodeTracker(rules)
    tracker.finish()
    with pytest.raises(RuntimeError):
        tracker.push(0.5)
    with pytest.raises(RuntimeError):
        tracker.finish()

"""The verdict in words, on real analyses decided at chosen thresholds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.analysis import Analysis
from pipeline.episodes import EpisodeRules, find_episodes
from pipeline.pages.verdict import (
    cry_verdict,
    reason_description,
    reason_verdict,
    score_description,
)
from pipeline.reasons import ReasonResult


def analysis_of(scores: list[float], threshold: float = 0.5, duration_s: float = 12.0) -> Analysis:
    values = np.asarray(scores, dtype=np.float32)
    rules = EpisodeRules(onset=threshold, offset=threshold, max_gap_s=0.5, hop_s=1.0, window_s=1.0)
    episodes = find_episodes(values, rules, duration_s=duration_s)
    top = float(values.max(initial=0.0))
    return Analysis(
        source="night.wav",
        duration_s=duration_s,
        embedder="student",
        is_cry=bool(episodes),
        cry_probability=top,
        threshold=threshold,
        window_times=np.arange(len(values)) + 0.5,
        window_scores=values,
        episodes=episodes,
        reasons=None,
        warnings=(),
        notices=(),
        _rules=rules,
    )


QUIET = [0.01] * 12


def test_one_cry_says_yes_and_when() -> None:
    words = cry_verdict(analysis_of([0.01, 0.01, *[0.98] * 4, *[0.01] * 6]))
    assert words.kind == "cry"
    assert words.headline == "Yes, a baby is crying, from 0:02 to 0:06"
    assert words.detail == "4 seconds of crying in 12 seconds of sound."


def test_several_cries_are_counted_and_listed() -> None:
    words = cry_verdict(analysis_of([0.98, 0.98, 0.01, 0.01, 0.01, 0.98, 0.98, 0.01, 0.01, 0.01, 0.98, 0.98]))
    assert words.headline == "Yes, a baby is crying, 3 times, first at 0:00"
    assert "0:00 to 0:02; 0:05 to 0:07; 0:10 to 0:12." in words.detail


def test_crying_all_through_says_so() -> None:
    assert cry_verdict(analysis_of([0.98] * 12)).detail == "Nearly all of the 12 seconds."


def test_no_cry() -> None:
    words = cry_verdict(analysis_of(QUIET))
    assert (words.kind, words.headline) == ("none", "No baby cry heard")


@pytest.mark.parametrize(
    ("top", "kind", "start"),
    [
        (0.55, "near-cry", "Probably a baby crying"),
        (0.45, "near-none", "Close to the line: probably no baby cry"),
        (0.95, "cry", "Yes, a baby is crying"),
        (0.05, "none", "No baby cry heard"),
    ],
)
def test_close_to_the_line_is_said(top: float, kind: str, start: str) -> None:
    words = cry_verdict(analysis_of([0.01, top, 0.01]))
    assert words.kind == kind
    assert words.headline.startswith(start)
    if kind.startswith("near"):
        assert f"{top:.2f}" in words.detail
        assert "0.50" in words.detail


@pytest.mark.parametrize(("top", "start"), [(0.94, "Perhaps"), (0.6, "Perhaps"), (0.4, "No baby cry heard")])
def test_a_high_line_turns_no_likely_cry_into_an_all_clear(top: float, start: str) -> None:
    words = cry_verdict(analysis_of([0.01, top, 0.01], threshold=0.957))
    assert words.headline.startswith(start)
    assert f"{top:.2f}" in words.detail


def test_silence_is_not_called_no_cry() -> None:
    words = cry_verdict(analysis_of([0.0, 0.0]), silent=True)
    assert words.kind == "silent"
    assert "silent" in words.headline


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_the_ends_of_the_slider_have_words(threshold: float) -> None:
    assert cry_verdict(analysis_of([0.0, 0.3, 0.9], threshold)).headline


def test_the_score_chart_is_told_in_words() -> None:
    told = score_description(analysis_of([0.01, 0.01, *[0.98] * 4, *[0.01] * 6]))
    assert "0:02 to 0:06" in told
    assert "threshold 0.50" in told
    assert "No stretch" in score_description(analysis_of(QUIET))


@pytest.fixture
def hungry() -> ReasonResult:
    return ReasonResult(
        label="hungry",
        threshold=0.6,
        scores={"belly_pain": 0.1, "hungry": 0.7, "tired": 0.2},
        probabilities={"belly_pain": 0.04, "hungry": 0.83, "tired": 0.13},
        base_rate={"belly_pain": 0.06, "hungry": 0.84, "tired": 0.10},
        prediction_set=("hungry", "tired"),
        coverage=0.9,
        statement="No better than guessing.",
    )


def test_a_reason_stands_beside_its_base_rate(hungry: ReasonResult) -> None:
    words = reason_verdict(hungry)
    assert words.headline == "Why? Hard to tell, perhaps hungry"
    assert (
        words.detail
        == "A chance of 83 in 100, no more than the 84 in 100 of any cry. It could be hungry or tired."
    )
    likelier = reason_verdict(replace(hungry, label="tired"))
    assert likelier.headline == "Why? Perhaps tired", "only what is likelier than usual stands alone"
    assert "13 in 100, against the 10 in 100 of any cry" in likelier.detail


def test_under_the_line_it_is_not_sure(hungry: ReasonResult) -> None:
    words = reason_verdict(hungry.with_threshold(0.8))
    assert words.headline == "Why? Not sure"
    assert "0.70" in words.detail
    assert "0.80" in words.detail


def test_the_reason_chart_is_told_in_words(hungry: ReasonResult) -> None:
    told = reason_description(hungry)
    assert told.index("hungry: 83 in 100, usually 84 in 100") < told.index("belly pain: 4 in 100")

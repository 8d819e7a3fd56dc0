"""Pushed sound is heard as the recording of it is: same scores, same episodes, however it is cut."""

from __future__ import annotations

import gc
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.analysis import Analysis, CryPipeline
from pipeline.audio import SAMPLE_RATE, Waveform, load
from pipeline.detection import load_head
from pipeline.errors import AudioError, SettingsError
from pipeline.settings import get_settings
from pipeline.streaming import EpisodeEvent, Heard, LiveListener, WindowScore

HOP = 7_680


@pytest.fixture(scope="module")
def student() -> CryPipeline:
    return CryPipeline.load("student")


def listener(pipeline: CryPipeline, rate: int = SAMPLE_RATE, threshold: float | None = None) -> LiveListener:
    chosen = get_settings()
    head = load_head("student", chosen)
    return LiveListener(
        pipeline.embedder, head, sample_rate=rate, threshold=threshold or pipeline.default_threshold
    )


def hear(live: LiveListener, samples: np.ndarray, cuts: list[int]) -> Heard:
    """Everything said of samples that are pushed in pieces which end at ``cuts``."""
    parts = [live.push(piece) for piece in np.split(samples, sorted(c for c in cuts if c < len(samples)))]
    parts.append(live.finish())
    windows = tuple(w for part in parts for w in part.windows)
    return Heard(windows, tuple(event for part in parts for event in part.events))


def assert_same(heard: Heard, analysis: Analysis, live: LiveListener) -> None:
    times = [w.time_s for w in heard.windows]
    assert times == pytest.approx(analysis.window_times.tolist())
    assert [w.score for w in heard.windows] == pytest.approx(analysis.window_scores.tolist(), abs=2e-5)
    ends = [event.episode for event in heard.events if event.kind == "end"]
    starts = [event.episode.start for event in heard.events if event.kind == "start"]
    assert [(e.start, e.end) for e in ends] == [(e.start, e.end) for e in analysis.episodes]
    assert starts == [e.start for e in analysis.episodes]
    assert [e.peak for e in ends] == pytest.approx([e.peak for e in analysis.episodes], abs=2e-5)
    assert live.duration_s == analysis.duration_s
    assert live.cry_probability == pytest.approx(analysis.cry_probability, abs=2e-5)
    for began, ended in zip(heard.events[::2], heard.events[1::2], strict=True):
        assert (began.kind, ended.kind) == ("start", "end")


@pytest.fixture(scope="module")
def a_minute(a_cry: Path, another_cry: Path, a_non_cry: Path) -> np.ndarray:
    """Silence, cries and other sounds, one after the other; longer than what is judged together."""
    still = np.zeros(4 * SAMPLE_RATE, np.float32)
    cry, other, vacuum = (load(path).samples for path in (a_cry, another_cry, a_non_cry))
    return np.concatenate([still, vacuum, cry, 0.2 * cry, still, cry, other, vacuum, other, still, vacuum])


@settings(max_examples=12, deadline=None)
@given(cuts=st.lists(st.integers(0, 12 * SAMPLE_RATE), max_size=12), until=st.integers(1, 12 * SAMPLE_RATE))
def test_however_it_is_cut(student: CryPipeline, a_minute: np.ndarray, cuts: list[int], until: int) -> None:
    samples = a_minute[2 * SAMPLE_RATE :][: max(until, SAMPLE_RATE // 2)]
    live = listener(student)
    assert_same(hear(live, samples, cuts), student.analyze(Waveform(samples), reasons="never"), live)


@pytest.mark.parametrize("threshold", [0.2, 0.925, 0.99])
def test_a_minute_in_tenths_of_seconds(student: CryPipeline, a_minute: np.ndarray, threshold: float) -> None:
    live = listener(student, threshold=threshold)
    heard = hear(live, a_minute, list(range(0, len(a_minute), 1600)))
    analysis = student.analyze(Waveform(a_minute), threshold, reasons="never")
    assert len(analysis.episodes) >= 1
    assert_same(heard, analysis, live)


@pytest.mark.parametrize(("rate", "channels", "dtype"), [(44_100, 2, "int16"), (8_000, 1, "float32")])
def test_any_rate_and_channels(
    student: CryPipeline, a_minute: np.ndarray, rate: int, channels: int, dtype: str
) -> None:
    import soxr

    mono = soxr.resample(a_minute[: 20 * SAMPLE_RATE], SAMPLE_RATE, rate)
    samples = np.repeat(mono[:, None], channels, axis=1)
    if dtype == "int16":
        samples = (np.clip(samples, -1, 1) * 32767).astype(np.int16)
    live = listener(student, rate)
    heard = hear(live, samples, list(range(0, len(samples), 4_001)))
    assert_same(heard, student.analyze(samples, sample_rate=rate, reasons="never"), live)


def test_a_score_comes_as_soon_as_its_window_is_heard(student: CryPipeline, a_minute: np.ndarray) -> None:
    sound = a_minute[5 * SAMPLE_RATE :]
    with listener(student) as live:
        pieces = [sound[i : i + 1600] for i in range(0, 5 * SAMPLE_RATE, 1600)]
        told = [(live.push(piece).windows, live.duration_s) for piece in pieces]
    for windows, heard_s in told:
        for window in windows:
            assert heard_s - (window.time_s + live.rules.window_s / 2) < 0.25


def test_silence_scores_nothing_until_its_end_tells_that_it_was_silence(student: CryPipeline) -> None:
    silence = np.zeros(10 * SAMPLE_RATE, np.int16)
    live = listener(student, threshold=1e-9)
    assert live.push(silence) == Heard()
    heard = live.finish()
    assert {w.score for w in heard.windows} == {0.0}
    assert heard.events == ()
    assert len(heard.windows) == len(student.analyze(silence, sample_rate=SAMPLE_RATE).window_scores)


def test_an_episode_is_told_while_it_lasts(student: CryPipeline, a_cry: Path) -> None:
    cry = np.tile(load(a_cry).samples, 3)
    with listener(student) as live:
        events = live.push(cry).events
        assert [event.kind for event in events] == ["start"]
        assert live.active is not None
        assert live.active.start == events[0].episode.start
        assert isinstance(events[0], EpisodeEvent)


def test_what_cannot_be_heard_is_refused(student: CryPipeline) -> None:
    with pytest.raises(AudioError, match="sample rate"):
        listener(student, rate=7)
    with pytest.raises(SettingsError):
        listener(student, threshold=1.5)
    live = listener(student)
    with pytest.raises(AudioError, match="int64"):
        live.push(np.zeros(10, np.int64))
    with pytest.raises(AudioError, match="NaN") as told:
        live.push(np.array([0.0, np.nan], np.float32))
    assert told.value.code == "non-finite"
    with pytest.raises(RuntimeError, match="over"):
        live.push(np.zeros(10, np.float32))
    with pytest.raises(AudioError) as told:
        listener(student).finish()
    assert told.value.code == "empty"


def test_no_thread_outlives_its_stream(student: CryPipeline) -> None:
    before = threading.active_count()
    dropped = [listener(student) for _ in range(5)]
    closed, finished = listener(student), listener(student)
    closed.push(np.zeros(100, np.float32))
    closed.close()
    closed.close()
    finished.push(np.full(SAMPLE_RATE, 0.1, np.float32))
    finished.finish()
    assert threading.active_count() > before
    del dropped
    gc.collect()
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before


def test_windows_are_plain_values() -> None:
    assert WindowScore(0.96, 0.5) == WindowScore(0.96, 0.5)

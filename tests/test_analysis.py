"""Both stages on real recordings: one verdict by every road, thresholds, silence, streams."""

from __future__ import annotations

import io
import json
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.analysis import REASON_STRETCH_S, Analysis, CryPipeline, loudest_cry
from pipeline.audio import Waveform, load
from pipeline.detection import load_head
from pipeline.errors import AudioError, SettingsError
from pipeline.reasons import ReasonModel, ReasonResult
from pipeline.settings import get_settings

PIPELINES = ["student", "yamnet"]


@pytest.fixture(scope="module")
def student() -> CryPipeline:
    """The shipped models with the bundled embedder."""
    return CryPipeline.load("student")


@pytest.fixture(scope="module")
def heard(student: CryPipeline, a_cry: Path) -> Analysis:
    """A real cry with its reasons."""
    return student.analyze(a_cry, reasons="always")


@pytest.fixture(scope="module")
def pipelines(student: CryPipeline, yamnet_dir: Path) -> dict[str, CryPipeline]:
    """Both embedders with the shipped heads."""
    with_yamnet = CryPipeline.load("yamnet", get_settings(yamnet_handle=str(yamnet_dir)))
    return {"student": student, "yamnet": with_yamnet}


@pytest.fixture
def no_models(student: CryPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on any use of a model fails the test."""

    def fail(*_: Any, **__: Any) -> None:
        pytest.fail("a model was run")

    monkeypatch.setattr(student.embedder, "embed", fail)
    monkeypatch.setattr(student.embedder, "embed_blocks", fail)
    monkeypatch.setattr(ReasonModel, "classify", fail)


def assert_consistent(analysis: Analysis) -> None:
    """The verdict, the timeline and the episodes say the same."""
    assert analysis.cry_probability == float(analysis.window_scores.max())
    assert analysis.is_cry == (analysis.cry_probability >= analysis.threshold) == bool(analysis.episodes)
    assert len(analysis.window_times) == len(analysis.window_scores)
    assert all(0 <= e.start < e.end <= analysis.duration_s for e in analysis.episodes)
    assert analysis.is_cry or analysis.reasons is None


@pytest.mark.parametrize("name", PIPELINES)
def test_a_cry_is_one_and_a_vacuum_cleaner_is_none(
    name: str, pipelines: dict[str, CryPipeline], a_cry: Path, another_cry: Path, a_non_cry: Path
) -> None:
    pipeline = pipelines[name]
    for path, is_cry in ((a_cry, True), (another_cry, True), (a_non_cry, False)):
        analysis = pipeline.analyze(path)
        assert_consistent(analysis)
        assert analysis.is_cry is is_cry
        assert analysis.embedder == name
        assert analysis.threshold == pipeline.default_threshold
        assert (analysis.reasons is not None) is is_cry
        assert analysis.source == str(path)
        assert (analysis.warnings, analysis.notices) == ((), ())


def test_the_timeline_covers_the_recording(heard: Analysis, a_cry: Path) -> None:
    assert heard.duration_s == pytest.approx(load(a_cry).duration_s)
    assert heard.window_scores.dtype == np.float32
    assert heard.window_times.dtype == np.float64
    np.testing.assert_allclose(np.diff(heard.window_times[:-1]), 0.48)
    assert heard.window_times[0] == pytest.approx(load_head("student", get_settings()).window_s / 2)
    assert heard.duration_s - 1.5 < heard.window_times[-1] <= heard.duration_s


@settings(max_examples=60, deadline=None)
@given(threshold=st.floats(0, 1), reason=st.floats(0, 1))
def test_any_thresholds_keep_verdict_episodes_and_reasons_in_step(
    threshold: float, reason: float, heard: Analysis
) -> None:
    decided = heard.decide(threshold, reason)
    assert_consistent(decided)
    assert decided.threshold == threshold
    assert (decided.reasons is not None) == decided.is_cry
    if decided.reasons is not None:
        assert decided.reasons.threshold == reason
        assert (decided.reasons.label is not None) == (max(decided.reasons.scores.values()) >= reason)
    assert decided.decide(heard.threshold, 0.6).to_dict() == heard.decide(reason_threshold=0.6).to_dict()


def test_the_edge_of_the_threshold(heard: Analysis) -> None:
    best = heard.cry_probability
    assert heard.decide(best).is_cry
    assert not heard.decide(float(np.nextafter(best, 2))).is_cry


def test_deciding_runs_no_model(heard: Analysis, no_models: None) -> None:
    assert not heard.decide(1.0).is_cry
    assert heard.decide(0.0, 1.0).is_cry
    assert heard.decide().to_dict() == heard.to_dict()


@pytest.mark.parametrize("bad", [-0.1, 1.1, float("nan"), float("inf"), "0.5"])
def test_thresholds_that_are_none(bad: Any, heard: Analysis, student: CryPipeline, a_cry: Path) -> None:
    with pytest.raises(SettingsError, match="Detection threshold"):
        heard.decide(bad)
    with pytest.raises(SettingsError, match="Reason threshold"):
        heard.decide(0.0, bad)
    with pytest.raises(SettingsError, match="Detection threshold"):
        student.analyze(a_cry, detection_threshold=bad)
    with pytest.raises(SettingsError, match="Reason threshold"):
        student.analyze(a_cry, reason_threshold=bad)


@pytest.mark.parametrize(("when", "cry", "other"), [("never", 0, 0), ("if_cry", 1, 0), ("always", 1, 1)])
def test_when_reasons_are_asked_for(
    when: Any,
    cry: int,
    other: int,
    student: CryPipeline,
    a_cry: Path,
    a_non_cry: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []
    classify = ReasonModel.classify

    def counted(self: ReasonModel, *arguments: Any, **options: Any) -> ReasonResult:
        asked.append(self)
        return classify(self, *arguments, **options)

    monkeypatch.setattr(ReasonModel, "classify", counted)
    analysis = student.analyze(a_cry, reasons=when)
    assert (len(asked), analysis.reasons is not None) == (cry, bool(cry))
    asked.clear()
    rejected = student.analyze(a_non_cry, reasons=when)
    assert (len(asked), rejected.reasons) == (other, None)
    assert (rejected.decide(0.0).reasons is not None) == (when == "always")


def test_as_plain_values(heard: Analysis) -> None:
    record = heard.decide(reason_threshold=0.6).to_dict()
    assert json.loads(json.dumps(record)) == record
    assert list(record) == [
        "path", "duration_s", "is_cry", "cry_probability", "threshold", "embedder", "episodes", "reasons",
        "warnings", "notices", "error",
    ]  # fmt: skip
    assert record["is_cry"] is True
    assert record["error"] is None
    assert record["episodes"]
    for episode in record["episodes"]:
        assert list(episode) == ["start_s", "end_s", "peak", "mean"]
        assert 0 <= episode["mean"] <= episode["peak"] <= 1
    assert {"label", "probabilities", "base_rate", "prediction_set"} <= set(record["reasons"])
    rejected = heard.decide(1.0).to_dict()
    assert (rejected["is_cry"], rejected["episodes"], rejected["reasons"]) == (False, [], None)


def test_the_same_sound_by_any_road(heard: Analysis, student: CryPipeline, a_cry: Path) -> None:
    data = a_cry.read_bytes()
    samples, rate = soundfile.read(a_cry, dtype="float32")
    with a_cry.open("rb") as file:
        analyses = [
            student.analyze(str(a_cry), reasons="always"),
            student.analyze(data, reasons="always"),
            student.analyze(io.BytesIO(data), reasons="always"),
            student.analyze(file, reasons="always"),
            student.analyze(samples, sample_rate=rate, reasons="always"),
            student.analyze(load(a_cry), reasons="always"),
        ]
    for analysis in analyses:
        np.testing.assert_allclose(analysis.window_scores, heard.window_scores, atol=1e-4)
        assert heard.reasons is not None
        assert analysis.reasons is not None
        assert analysis.reasons.scores == pytest.approx(heard.reasons.scores, abs=0.02)
    assert student.analyze(data, name="from the phone", reasons="never").source == "from the phone"


@pytest.mark.parametrize("level", [0.0, 1e-6])
@pytest.mark.parametrize("name", PIPELINES)
def test_silence_is_an_answer(level: float, name: str, pipelines: dict[str, CryPipeline]) -> None:
    noise = (level * np.random.default_rng(0).standard_normal(48_000)).astype(np.float32)
    analysis = pipelines[name].analyze(noise, sample_rate=16_000, reasons="always")
    assert analysis.cry_probability == 0.0
    assert not analysis.is_cry
    assert_consistent(analysis)


def test_a_cry_of_a_moment_is_still_answered(student: CryPipeline, a_cry: Path) -> None:
    samples = load(a_cry).samples[32_000:35_200]
    analysis = student.analyze(samples, sample_rate=16_000)
    assert len(analysis.window_scores) == 1
    assert analysis.duration_s == pytest.approx(0.2)
    assert_consistent(analysis)


@pytest.mark.parametrize("name", PIPELINES)
def test_a_cry_within_a_minute_of_rain(
    name: str, pipelines: dict[str, CryPipeline], a_cry: Path, shared: Path
) -> None:
    """From 30.1 s on a cry over quiet rain; the rest is rain alone."""
    rain = load(sorted((shared / "data" / "esc50" / "rain").glob("*.ogg"))[0]).samples
    sound = np.tile(rain, 12)[: 60 * 16_000] * np.float32(0.02 / np.sqrt(np.mean(rain**2)))
    cry = load(a_cry).samples
    cry = cry * np.float32(0.1 / np.sqrt(np.mean(cry**2)))
    start = int(30.1 * 16_000)
    sound[start : start + len(cry)] += cry
    analysis = pipelines[name].analyze(sound, sample_rate=16_000)
    assert_consistent(analysis)
    assert analysis.is_cry
    assert 28.5 < analysis.episodes[0].start < 33.0
    assert 32.0 < analysis.episodes[-1].end < 30.1 + len(cry) / 16_000 + 1.5
    assert analysis.duration_s == 60.0
    start_s, length_s = loudest_cry(analysis.window_scores, 1.92, 60.0)
    assert length_s == REASON_STRETCH_S
    assert 28.0 < start_s < 33.0
    assert analysis.reasons is not None


def test_blocks_leave_no_seam(student: CryPipeline, a_cry: Path) -> None:
    """Scores from 30 s blocks are those of the recording heard in one piece."""
    sound = np.tile(load(a_cry).samples, 10)
    analysis = student.analyze(sound, sample_rate=16_000, reasons="never")
    whole = student._head.evidence(student._head.scores(student.embedder.embed(sound)))
    np.testing.assert_allclose(analysis.window_scores, whole, atol=1e-3)


def test_a_long_recording_is_never_held_whole(student: CryPipeline, a_cry: Path, tmp_path: Path) -> None:
    """An hour at 8 kHz: 230 MB as we work with it; what is held at once stays far below."""
    samples, rate = soundfile.read(a_cry, dtype="int16")
    hour = tmp_path / "hour.wav"
    with soundfile.SoundFile(hour, "w", rate, 1, "PCM_16") as file:
        for _ in range(3_600 * rate // len(samples) + 1):
            file.write(samples)

    class Light:
        """Costs no time, holds nothing, so that what is measured is the road to it and from it."""

        name, notice = "student", None

        def embed_blocks(self, blocks: Any) -> Any:
            for block in blocks:
                yield np.zeros((len(block) // 7_680, 1024), np.float32)

    light = CryPipeline(Light(), student._head, student.reason_model, get_settings())  # type: ignore[arg-type]
    tracemalloc.start()
    try:
        analysis = light.analyze(hour, reasons="never")
        held = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert analysis.duration_s > 3_600
    assert len(analysis.window_scores) > 7_000
    assert held < 40e6


def test_loudest_stretch() -> None:
    assert loudest_cry(np.ones(3, np.float32), 1.92, 3.3) == (0.0, 3.3)
    scores = np.zeros(120, np.float32)
    scores[100:110] = 1.0
    start, length = loudest_cry(scores, 1.92, 120 * 0.48 + 1.44)
    assert length == REASON_STRETCH_S
    assert start == pytest.approx(100 * 0.48, abs=0.97)
    scores[:] = 0
    scores[-1] = 1.0
    start, length = loudest_cry(scores, 1.92, 120 * 0.48 + 1.44)
    assert start + length == pytest.approx(120 * 0.48 + 1.44, abs=0.5)


def test_the_setting_moves_the_threshold(student: CryPipeline, a_cry: Path) -> None:
    moved = CryPipeline(
        student.embedder, student._head, student.reason_model, get_settings(detection_threshold=0.91)
    )
    assert moved.default_threshold == 0.91
    assert moved.analyze(a_cry, reasons="never").threshold == 0.91
    assert moved.analyze(a_cry, detection_threshold=0.2, reasons="never").threshold == 0.2


def test_the_notice_of_the_embedder_reaches_the_answer(a_cry: Path) -> None:
    settings = get_settings(yamnet_handle="http://127.0.0.1:9/yamnet", yamnet_timeout_s=1)
    analysis = CryPipeline.load("auto", settings).analyze(a_cry, reasons="never")
    assert analysis.embedder == "student"
    assert "bundled embedder" in analysis.notices[0]
    assert analysis.to_dict()["notices"] == list(analysis.notices)


def test_what_is_no_recording_is_said(student: CryPipeline, tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("this is no sound")
    with pytest.raises(AudioError, match="text"):
        student.analyze(tmp_path / "text.wav")
    with pytest.raises(AudioError):
        student.analyze(np.full(16_000, np.nan, np.float32), sample_rate=16_000)


def test_a_waveform_of_its_own_name(student: CryPipeline, a_non_cry: Path) -> None:
    sound = replace(load(a_non_cry), source="hall.ogg")
    assert isinstance(sound, Waveform)
    assert student.analyze(sound, reasons="never").source == "hall.ogg"

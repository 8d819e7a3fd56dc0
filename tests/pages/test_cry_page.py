"""The full page through Streamlit's AppTest, with the bundled embedder and real sounds."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from streamlit.testing.v1 import AppTest

from pipeline.analysis import CryPipeline
from pipeline.pages.figures import ENVELOPE_BINS
from pipeline.pages.store import MAX_SOUNDS

ROOT = Path(__file__).resolve().parents[2]


def wav(samples: np.ndarray, rate: int = 16_000, kind: str = "WAV") -> bytes:
    held = io.BytesIO()
    soundfile.write(held, samples, rate, format=kind)
    return held.getvalue()


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the sounds that the models were run on, in order."""
    names: list[str] = []
    analyze = CryPipeline.analyze

    def counted(self: CryPipeline, source: Any, *args: Any, **options: Any) -> Any:
        names.append(options.get("name") or getattr(source, "source", "?"))
        return analyze(self, source, *args, **options)

    monkeypatch.setattr(CryPipeline, "analyze", counted)
    return names


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setenv("CRY_EMBEDDER", "student")
    started = AppTest.from_file(str(ROOT / "cry_classify_app.py"), default_timeout=120).run()
    assert not started.exception
    assert not started.error
    return started


def give(page: AppTest, *files: tuple[str, bytes]) -> AppTest:
    """Upload files and let the page run."""
    page.file_uploader[0].set_value([(name, data, "application/octet-stream") for name, data in files])
    return page.run()


def said(page: AppTest) -> str:
    """Everything the page says in alerts, as one text without escapes."""
    alerts = [*page.warning, *page.info, *page.success, *page.error]
    return "\n".join(alert.value for alert in alerts).replace("\\", "").replace("\u2060", "")


def slider(page: AppTest, name: str) -> Any:
    return next(one for one in page.slider if one.label.startswith(name))


def score_chart(page: AppTest) -> str:
    """What the score chart tells those who cannot see it."""
    return str(page.get("vega_lite_chart")[0].proto.alt)


def test_it_starts_with_three_ways_in(page: AppTest) -> None:
    assert [tab.label for tab in page.tabs] == ["Upload", "Record", "Try it"]
    assert "Add a sound above" in said(page)
    texts = " ".join(text.value for text in page.markdown)
    assert "It is not a medical device" in texts
    assert any("Embedder in use: **student**" in text.value for text in page.caption)


def test_a_cry_then_the_slider_without_the_models(page: AppTest, heard: list[str], a_cry: Path) -> None:
    give(page, ("cry.flac", a_cry.read_bytes()))
    assert "baby is crying, from" in said(page) or "Probably a baby crying, from" in said(page)
    assert heard == ["cry.flac"]
    assert len(page.get("vega_lite_chart")) == 4
    start = slider(page, "Detection").value
    assert f"threshold {start:.2f}" in score_chart(page)
    assert "Cry marked from" in score_chart(page)
    slider(page, "Detection").set_value(1.0).run()
    assert "Perhaps a baby crying" in said(page), "a likely cry under the highest line is no all-clear"
    assert len(page.get("vega_lite_chart")) == 3
    assert "threshold 1.00" in score_chart(page)
    assert "No stretch is marked" in score_chart(page)
    slider(page, "Detection").set_value(start).run()
    assert len(page.get("vega_lite_chart")) == 4
    assert heard == ["cry.flac"]


def test_the_reason_slider_only_changes_the_label(page: AppTest, heard: list[str], a_cry: Path) -> None:
    give(page, ("cry.flac", a_cry.read_bytes()))
    slider(page, "Reason").set_value(1.0).run()
    assert "Why? Not sure" in said(page)
    slider(page, "Reason").set_value(0.0).run()
    assert "perhaps" in said(page).split("Why? ")[1].splitlines()[0].lower()
    assert heard == ["cry.flac"]


def test_sounds_survive_and_bad_ones_hide_nothing(
    page: AppTest, heard: list[str], a_cry: Path, a_non_cry: Path
) -> None:
    give(page, ("cry.flac", a_cry.read_bytes()), ("broken.wav", b"RIFF, not really"))
    give(page, ("vacuum.ogg", a_non_cry.read_bytes()))
    sounds = page.radio(key="chosen-sound")
    assert sounds.options == ["vacuum\\.ogg", "broken\\.wav", "cry\\.flac"]
    assert "No baby cry heard" in said(page)
    sounds.set_value(_keys(page)[1]).run()
    assert "No answer for this sound" in said(page)
    assert "broken.wav" in said(page)
    page.run()
    assert heard.count("cry.flac") == 1
    page.button(key="forget-all").click().run()
    assert "Add a sound above" in said(page)


def _keys(page: AppTest) -> list[str]:
    return list(page.session_state["crylens-store"].sounds)


def test_a_recording_is_taken_over_once(page: AppTest, heard: list[str], a_cry: Path) -> None:
    samples, rate = soundfile.read(a_cry)
    page.audio_input[0].set_value(("audio.wav", wav(samples, rate), "audio/wav")).run()
    assert "crying, from" in said(page)
    page.run()
    assert heard == ["Recording 1"]


def test_every_demo_sound_gets_an_answer(page: AppTest) -> None:
    demos = [button.key for button in page.button if (button.key or "").startswith("demo-")]
    assert len(demos) >= 4
    for key in demos[:3]:
        page.button(key=key).click().run()
        assert not page.error
        assert not page.exception
    assert len(_keys(page)) == 3


def test_silence_is_an_answer(page: AppTest) -> None:
    give(page, ("night.wav", wav(np.zeros(48_000))))
    assert "The recording is silent" in said(page)
    slider(page, "Detection").set_value(0.0).run()
    assert "The recording is silent" in said(page)


def test_a_long_recording_keeps_its_charts_small(page: AppTest) -> None:
    hiss = np.random.default_rng(0).normal(0, 0.01, 8_000 * 630).astype(np.float32)
    give(page, ("long.flac", wav(hiss, 8_000, "FLAC")))
    assert not page.error
    outcome = next(iter(page.session_state["crylens-store"].outcomes.values()))
    assert outcome.analysis.duration_s == pytest.approx(630, abs=1)
    assert len(outcome.picture.times) <= ENVELOPE_BINS
    assert outcome.player_type == "audio/flac"


def test_too_many_files_are_told(page: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CryPipeline, "analyze", _not_a_sound)
    give(page, *((f"{number}.wav", wav(np.full(8_000, number / 1000))) for number in range(MAX_SOUNDS + 2)))
    assert "2 more were left out" in said(page)


def _not_a_sound(*_: Any, **__: Any) -> Any:
    raise RuntimeError("secret detail")


def test_an_unforeseen_error_is_told_without_its_details(
    page: AppTest, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, a_cry: Path
) -> None:
    monkeypatch.setattr(CryPipeline, "analyze", _not_a_sound)
    give(page, ("cry.flac", a_cry.read_bytes()))
    assert not page.exception
    assert "cry.flac" in said(page)
    assert "report problem" in said(page)
    assert "secret" not in said(page)
    assert "secret detail" in caplog.text


def test_an_embedder_that_cannot_be_had_can_be_left_again(
    page: AppTest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CRY_YAMNET_HANDLE", str(tmp_path / "nowhere"))
    page.selectbox(key="embedder").set_value("yamnet").run()
    assert "Cannot listen right now" in said(page)
    assert not page.exception
    page.selectbox(key="embedder").set_value("student").run()
    assert "Add a sound above" in said(page)


def test_too_large_and_empty_uploads_are_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRY_EMBEDDER", "student")
    monkeypatch.setenv("CRY_MAX_UPLOAD_BYTES", "1000")
    page = AppTest.from_file(str(ROOT / "cry_classify_app.py"), default_timeout=120).run()
    give(page, ("large.wav", b"x" * 1001), ("empty.wav", b""))
    assert "large.wav: it is 1 KB; at most 1 KB are taken here" in said(page)
    assert "empty.wav: the file is empty" in said(page)

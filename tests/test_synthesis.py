"""Demo sounds: made to measure, and heard by real models as what they claim to be."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy import signal

from pipeline.analysis import CryPipeline
from pipeline.audio import Waveform
from pipeline.settings import get_settings
from pipeline.synthesis import DEMOS, mix

KEYS = list(DEMOS)
SEEDS = [0, 1]
CRYING = {19, 20, 21, 22}  # YAMNet: crying and sobbing, baby cry, whimper, wail
BABY_CRY = 20


@cache
def made(key: str, seed: int) -> Waveform:
    """Each sound is made once for all tests."""
    return DEMOS[key].make(seed)


@pytest.fixture(scope="module")
def yamnet(yamnet_dir: Path) -> Callable[[np.ndarray], np.ndarray]:
    hub = pytest.importorskip("tensorflow_hub")
    model = hub.load(str(yamnet_dir))
    return lambda samples: np.asarray(model(samples)[0])


def pitch(samples: np.ndarray, low: float, high: float) -> np.ndarray:
    """Fundamental (Hz) of the loud, clearly voiced 40 ms frames, by autocorrelation."""
    frames = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64), 1280)[::320]
    loud = frames[np.std(frames, axis=1) > 0.25 * np.std(frames, axis=1).max()]
    found = []
    for frame in loud:
        auto = signal.correlate(frame, frame)[1279:]
        shortest, longest = int(16_000 / high), int(16_000 / low)
        lag = shortest + int(np.argmax(auto[shortest:longest]))
        if auto[lag] > 0.6 * auto[0]:
            found.append(16_000 / lag)
    return np.array(found)


def test_both_kinds_are_there_and_keys_match() -> None:
    assert {demo.is_cry for demo in DEMOS.values()} == {True, False}
    assert all(key == demo.key and demo.title and demo.description for key, demo in DEMOS.items())


@pytest.mark.parametrize("key", KEYS)
def test_a_demo_is_a_clean_short_recording_fixed_by_its_seed(key: str) -> None:
    sound = made(key, 0)
    assert sound.samples.dtype == np.float32
    assert sound.samples.ndim == 1
    assert 5.0 <= sound.duration_s <= 8.0
    assert np.abs(sound.samples).max() < 1.0
    assert abs(float(sound.samples.mean())) < 0.01
    assert not sound.is_silent
    assert np.array_equal(sound.samples, DEMOS[key].make().samples)
    assert not np.array_equal(sound.samples, made(key, 1).samples)


def test_the_cry_has_a_babys_pitch_and_rhythm_and_the_babble_a_grown_ups() -> None:
    cry = made("cry", 0).samples
    heard = pitch(cry, 200, 800)
    assert len(heard) > 80
    assert 330 < np.percentile(heard, 20) < np.percentile(heard, 80) < 550
    level = signal.sosfiltfilt(signal.butter(2, 4, fs=16_000, output="sos"), np.abs(cry))
    bursts, _ = signal.find_peaks(level, prominence=0.3 * level.max(), distance=8000)
    assert 4 <= len(bursts) <= 9
    babble = pitch(made("babble", 0).samples, 70, 400)
    assert 100 < np.median(babble) < 190


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 12.0])
def test_mix_keeps_the_asked_ratio(snr_db: float) -> None:
    rng = np.random.default_rng(0)
    front, back = 0.02 * rng.standard_normal(16_000), 0.5 * rng.standard_normal(16_000)
    added = mix(front, back, snr_db) - front
    assert 10 * np.log10(np.mean(front**2) / np.mean(added**2)) == pytest.approx(snr_db, abs=0.01)
    loud = mix(front * 40, back, snr_db)
    assert np.abs(loud).max() == pytest.approx(0.9)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("key", KEYS)
def test_yamnet_hears_a_baby_in_the_cries_only(
    key: str, seed: int, yamnet: Callable[[np.ndarray], np.ndarray]
) -> None:
    best = yamnet(made(key, seed).samples).max(axis=0)
    if DEMOS[key].is_cry:
        assert best[BABY_CRY] > 0.7
        assert int(best.argmax()) in CRYING
    else:
        assert best[BABY_CRY] < 0.1


@pytest.fixture(scope="module", params=["student", "yamnet"])
def detector(request: pytest.FixtureRequest, yamnet_dir: Path) -> CryPipeline:
    """The shipped detector with each embedder."""
    return CryPipeline.load(embedder=request.param, settings=get_settings(yamnet_handle=str(yamnet_dir)))


@pytest.mark.parametrize("key", KEYS)
def test_our_detector_tells_the_cries_from_the_rest(key: str, detector: CryPipeline) -> None:
    heard = detector.analyze(made(key, 0), reasons="never")
    assert heard.is_cry == DEMOS[key].is_cry, f"score {heard.cry_probability:.3f} at {heard.threshold:.3f}"
    if key == "cry":
        # The crying runs from 0.15 s to about 6 s of 7; the timeline must show it so.
        found = sum(min(e.end, 6.0) - e.start for e in heard.episodes)
        assert found > 4.0

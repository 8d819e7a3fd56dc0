"""Figures: bounded in size, the same in blocks and whole, showing what is in the sound."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from pipeline.pages import figures

RATE = figures.SAMPLE_RATE


def tone(hz: float, seconds: float, level: float = 0.5) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def pixels(picture: figures.Picture) -> np.ndarray:
    head, data = picture.mel_png.split(",", 1)
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("L"), dtype=float)


def test_blocks_and_whole_give_the_same_picture() -> None:
    samples = np.random.default_rng(1).normal(0, 0.1, 20 * RATE + 77).astype(np.float32)
    whole = figures.draw([samples], len(samples) / RATE)
    cuts = np.sort(np.random.default_rng(2).integers(0, len(samples), 60))
    pieces = figures.draw(np.split(samples, cuts), len(samples) / RATE)
    np.testing.assert_array_equal(whole.low, pieces.low)
    np.testing.assert_array_equal(whole.high, pieces.high)
    assert np.abs(pixels(whole) - pixels(pieces)).max() <= 2  # sums of floats in another order


def test_an_hour_stays_small() -> None:
    block = tone(440, 60)
    picture = figures.draw((block for _ in range(60)), 3600.0)
    assert len(picture.times) <= figures.ENVELOPE_BINS
    assert len(picture.mel_png) < 200_000
    assert picture.times[-1] < 3600.0


def test_a_click_survives_the_envelope() -> None:
    samples = np.zeros(600 * RATE, dtype=np.float32)
    samples[300 * RATE] = 0.9
    picture = figures.draw([samples], 600.0)
    assert picture.peak == pytest.approx(0.9)
    assert picture.high.max() == pytest.approx(0.9)
    assert picture.times[int(picture.high.argmax())] == pytest.approx(300, abs=1)


def test_the_spectrogram_shows_when_and_how_high() -> None:
    samples = np.concatenate([np.zeros(2 * RATE, np.float32), tone(1000, 2), tone(4000, 2)])
    image = pixels(figures.draw([samples], 6.0))
    assert image.shape == (figures.N_MELS, figures.COLUMNS)
    quiet, low, high = image[:, 50], image[:, 300], image[:, 500]
    assert quiet.max() < 30
    heights = 1 - np.array([low.argmax(), high.argmax()]) / figures.N_MELS
    assert heights[0] == pytest.approx(15 / 45.2, abs=0.03)  # mel of 1 kHz over mel of 8 kHz
    assert heights[1] == pytest.approx(35.2 / 45.2, abs=0.03)


def test_silence_is_dark_and_known() -> None:
    picture = figures.draw([np.zeros(RATE, np.float32)], 1.0)
    assert picture.is_silent
    assert pixels(picture).max() < 30
    assert not figures.draw([tone(500, 1, 0.01)], 1.0).is_silent


def test_the_shortest_sound_has_a_picture() -> None:
    picture = figures.draw([tone(500, 0.2)], 0.2)
    assert len(picture.times) > 100
    assert pixels(picture).max() > 200


def test_long_score_curves_keep_their_peaks() -> None:
    scores = np.zeros(50_000, dtype=np.float32)
    scores[31_337] = 0.97
    times, values = figures.score_curve(np.arange(50_000) * 0.48, scores)
    assert len(times) == len(values) <= figures.SCORE_POINTS
    assert values.max() == pytest.approx(0.97)
    assert times[int(values.argmax())] == pytest.approx(31_337 * 0.48, abs=30)

"""Our log-mel against YAMNet's own: the student must hear what its teacher heard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.audio import load
from pipeline.embedding.base import frame_count, pad_to_frames
from pipeline.embedding.logmel import columns_of, frames_of_log_mel, log_mel, mel_matrix

LENGTHS = [3_200, 15_600, 15_601, 16_000, 23_280, 40_000]


def assert_heard_alike(ours: np.ndarray, theirs: np.ndarray, samples: np.ndarray) -> None:
    """Within 1e-3, and in bands that hold nothing no further from the truth than YAMNet itself.

    There both give the rounding of single-precision transforms of loud sound, each its own.
    """
    assert ours.shape == theirs.shape
    apart = np.abs(ours - theirs)
    holds_something = theirs > np.log(0.01)
    assert apart[holds_something].max(initial=0) < 1e-3
    truth = in_double_precision(pad_to_frames(samples))
    assert np.abs(ours - truth).max() < 5e-3
    assert np.abs(ours - truth).mean() <= np.abs(theirs - truth).mean()


def in_double_precision(samples: np.ndarray) -> np.ndarray:
    """The recipe to the letter, with nothing rounded to single precision on the way."""
    frames = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64), 400)[::160]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    return np.log(np.abs(np.fft.rfft(frames * hann, 512)) @ mel_matrix().astype(np.float64) + 0.001)


def theirs(saved_model: Any, samples: np.ndarray) -> np.ndarray:
    return np.asarray(saved_model(samples)[2])


@pytest.mark.parametrize("clip", ["a_cry", "another_cry", "a_non_cry"])
def test_real_audio(clip: str, saved_model: Any, request: pytest.FixtureRequest) -> None:
    samples = load(request.getfixturevalue(clip)).samples
    ours = log_mel(pad_to_frames(samples))
    assert ours.dtype == np.float32
    assert_heard_alike(ours, theirs(saved_model, samples), samples)


@pytest.mark.parametrize("n", LENGTHS)
def test_every_kind_of_padding(n: int, saved_model: Any, a_cry: Path) -> None:
    samples = load(a_cry).samples[16_000 : 16_000 + n]
    assert_heard_alike(log_mel(pad_to_frames(samples)), theirs(saved_model, samples), samples)


def test_silence_and_full_scale(saved_model: Any) -> None:
    rng = np.random.default_rng(0)
    for samples in (np.zeros(16_000, np.float32), rng.choice([-1, 1], 16_000).astype(np.float32)):
        assert np.abs(log_mel(pad_to_frames(samples)) - theirs(saved_model, samples)).max() < 1e-3


@pytest.mark.parametrize("n", [*LENGTHS, 800_000])
def test_columns_are_those_of_the_frames_that_yamnet_embeds(n: int) -> None:
    samples = np.random.default_rng(n).normal(0, 0.1, n).astype(np.float32)
    columns = frames_of_log_mel(samples)
    assert columns.shape == (48 * frame_count(n) + 48, 64)
    assert len(columns) == columns_of(frame_count(n))
    assert columns.dtype == np.float32
    np.testing.assert_array_equal(columns, log_mel(pad_to_frames(samples))[: len(columns)])


def test_mel_bands_leave_out_the_constant_and_what_is_beyond_7500_hz() -> None:
    weights = mel_matrix()
    assert weights.shape == (257, 64)
    assert not weights[0].any()
    assert not weights[241:].any(), "bin 241 is 7531 Hz"
    assert (weights.sum(axis=0) > 0).all()

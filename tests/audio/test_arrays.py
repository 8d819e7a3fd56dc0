"""Arrays as sound: scales, channels, rates."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sounds import fails

from pipeline.audio import SAMPLE_RATE, Waveform, load, open_stream
from pipeline.errors import SettingsError


@pytest.mark.parametrize(
    ("dtype", "scale"), [("int16", 2**15), ("int32", 2**31), (">i2", 2**15), ("float64", 1)]
)
def test_integers_are_scaled(dtype: str, scale: float, cry: np.ndarray) -> None:
    values = (cry.astype(np.float64) * (scale - 1 if scale > 1 else 1)).astype(dtype)
    np.testing.assert_allclose(
        load(values, sample_rate=16000).samples, cry, atol=2.2 / min(scale, 2**15) + 1e-6
    )


def test_uint8_is_centred_on_128() -> None:
    values = np.tile(np.array([0, 128, 255], np.uint8), 2000)
    np.testing.assert_allclose(load(values, sample_rate=16000).samples[:3], [-1, 0, 127 / 128])


def test_channel_axis_is_the_shorter_one(cry: np.ndarray) -> None:
    pair = np.stack([cry, np.zeros_like(cry)])
    by_rows, by_columns = load(pair, sample_rate=16000), load(pair.T, sample_rate=16000)
    np.testing.assert_allclose(by_rows.samples, cry / 2, atol=1e-7)
    assert np.array_equal(by_rows.samples, by_columns.samples)
    assert np.array_equal(load(cry[None], sample_rate=16000).samples, cry)


def test_channels_that_cancel_are_told(cry: np.ndarray) -> None:
    wave = load(np.stack([cry, -cry]), sample_rate=16000)
    assert wave.is_silent
    assert "cancel" in wave.warnings[0]
    assert load(np.stack([cry, cry]), sample_rate=16000).warnings == ()


def test_integers_stored_as_floats_are_told(cry: np.ndarray) -> None:
    assert "full scale" in load(cry * 32768, sample_rate=16000).warnings[0]


def test_arrays_that_cannot_be_sound(cry: np.ndarray) -> None:
    for values in (cry.astype(object), cry.astype(complex), cry > 0, np.zeros((2, 2, 2)), np.zeros((99, 99))):
        fails("not-audio", source=values, sample_rate=16000)
    for rate in (None, 44100.5, True):
        with pytest.raises(SettingsError, match="sample_rate"):
            load(cry, sample_rate=rate)  # type: ignore[arg-type]
    fails("not-audio", "5 Hz", source=cry, sample_rate=5)


def test_arguments_out_of_range(a_cry: Path) -> None:
    with pytest.raises(SettingsError, match="arrays only"):
        load(a_cry, sample_rate=16000)
    for options in (
        {"start_s": -1},
        {"duration_s": 0},
        {"duration_s": float("nan")},
        {"start_s": float("inf")},
    ):
        with pytest.raises(SettingsError, match="_s cannot be"):
            load(a_cry, **options)
    with pytest.raises(SettingsError, match="block_s"):
        open_stream(a_cry, block_s=0)


def test_a_waveform_is_returned_as_it_is(cry: np.ndarray) -> None:
    wave = Waveform(cry, "mine", 44100, ("a note",))
    assert load(wave) is wave
    stream = open_stream(wave, block_s=2)
    assert np.array_equal(np.concatenate(list(stream)), cry)
    assert stream.warnings == ("a note",)


@hypothesis_settings(max_examples=60, deadline=None)
@given(
    seconds=st.floats(0.21, 2.0),
    rate=st.sampled_from([4000, 8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000, 192000])
    | st.integers(1000, 50_000),
    channels=st.integers(1, 8),
    dtype=st.sampled_from(["float32", "float64", "int16", "int32", "uint8"]),
    rows=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_array_becomes_mono_16_khz(
    seconds: float, rate: int, channels: int, dtype: str, rows: bool, seed: int
) -> None:
    n = int(np.ceil(seconds * rate))
    values = np.random.default_rng(seed).uniform(-1, 1, (n, channels))
    if dtype == "uint8":
        values = (values * 127 + 128).astype(dtype)
    elif dtype.startswith("int"):
        values = (values * np.iinfo(dtype).max).astype(dtype)
    else:
        values = values.astype(dtype)
    wave = load(values.T if rows else values, sample_rate=rate)
    assert wave.samples.dtype == np.float32
    assert wave.samples.shape == (len(wave.samples),)
    assert abs(len(wave.samples) - n * SAMPLE_RATE / rate) <= 1
    assert np.isfinite(wave.samples).all()
    assert float(np.abs(wave.samples).max()) < 2.5
    blocks = list(open_stream(values, sample_rate=rate, block_s=0.1))
    assert np.array_equal(np.concatenate(blocks), wave.samples)


def test_pyav_is_imported_only_when_needed(a_cry: Path) -> None:
    script = (
        "import sys; from pipeline.audio import load; load(sys.argv[1]); "
        "assert 'av' not in sys.modules and 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script, str(a_cry)], check=True, timeout=60)

"""Changes to training audio do what they say, keep the length, and give nothing away about the class."""

from __future__ import annotations

import inspect
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.audio import load
from pipeline.training import augment, synthetic
from pipeline.training.augment import Recipe

CODECS = ["vorbis", "mp3", "opus", "ulaw8k", "gsm8k"]
N = 32_000


@pytest.fixture
def rng() -> np.random.Generator:
    """A fixed source of chance."""
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def cry(a_cry: Path) -> np.ndarray:
    """Two loud seconds of a real cry."""
    return load(a_cry).samples[16_000 : 16_000 + N]


def power(samples: np.ndarray, low_hz: float, high_hz: float) -> float:
    """Power between two frequencies."""
    spectrum = np.abs(np.fft.rfft(samples.astype(np.float64))) ** 2
    frequency = np.fft.rfftfreq(len(samples), 1 / 16_000)
    return float(spectrum[(frequency >= low_hz) & (frequency < high_hz)].sum())


@settings(max_examples=40, deadline=None)
@given(snr_db=st.floats(-20, 40), loud=st.floats(0.001, 1), quiet=st.floats(0.001, 1))
def test_mix_has_the_ratio_asked_for(snr_db: float, loud: float, quiet: float) -> None:
    rng = np.random.default_rng(1)
    signal, noise = (rng.normal(0, s, N).astype(np.float32) for s in (loud, quiet))
    added = augment.mix(signal, noise, snr_db).astype(np.float64) - signal
    given_db = 20 * np.log10(augment.rms(signal) / augment.rms(added))
    assert given_db == pytest.approx(snr_db, abs=0.05)


def test_mix_with_silence_changes_nothing(cry: np.ndarray) -> None:
    np.testing.assert_array_equal(augment.mix(cry, np.zeros(N, np.float32), 0.0), cry)
    assert np.isfinite(augment.mix(np.zeros(N, np.float32), cry, 0.0)).all()


def test_band_limits_take_away_what_is_beyond_them(rng: np.random.Generator) -> None:
    noise = augment.coloured_noise(N, "white", rng)
    limited = augment.band_limit(noise, 300.0, 3_400.0)
    assert power(limited, 0, 150) < 0.001 * power(noise, 0, 150)
    assert power(limited, 5_000, 8_000) < 0.001 * power(noise, 5_000, 8_000)
    assert power(limited, 600, 2_500) == pytest.approx(power(noise, 600, 2_500), rel=0.05)
    np.testing.assert_array_equal(augment.band_limit(noise, None, None), noise)


@pytest.mark.parametrize(("colour", "slope_db"), [("white", 0), ("pink", -3), ("brown", -6)])
def test_noise_has_the_slope_of_its_colour(colour: str, slope_db: float, rng: np.random.Generator) -> None:
    noise = augment.coloured_noise(160_000, colour, rng)
    assert augment.rms(noise) == pytest.approx(1.0, abs=1e-3)
    density = [power(noise, f, 1.1 * f) / (0.1 * f) for f in (500, 4_000)]
    assert 10 * np.log10(density[1] / density[0]) == pytest.approx(3 * slope_db, abs=1.0)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("n", [N, 3_200, 4_001])
def test_codecs_keep_length_and_sound(codec: str, n: int, cry: np.ndarray) -> None:
    decoded = augment.codec_round_trip(cry[:n], codec)
    assert decoded.shape == (n,)
    assert decoded.dtype == np.float32
    if n == N:
        # Codecs delay by some milliseconds: the best alignment tells whether the sound is still the same.
        correlation = np.fft.irfft(np.fft.rfft(decoded, 2 * N) * np.conj(np.fft.rfft(cry, 2 * N)))
        limited = augment.band_limit(cry, None, 3_600.0) if codec.endswith("8k") else cry
        norm = augment.rms(decoded) * augment.rms(limited) * N
        assert 0.8 < correlation.max() / norm <= 1.2
        assert not np.array_equal(decoded, cry)


@settings(max_examples=30, deadline=None)
@given(level=st.floats(-60, -20), gain=st.floats(1e-3, 1))
def test_level_is_the_one_asked_for(level: float, gain: float) -> None:
    sound = (gain * np.sin(np.arange(N) * 0.3)).astype(np.float32)
    set_to = augment.set_level(sound, level)
    assert 20 * np.log10(augment.rms(set_to)) == pytest.approx(level, abs=0.01)
    assert np.abs(augment.set_level(sound, 20.0)).max() <= 1.0


def test_a_room_rings_on_and_keeps_the_energy(rng: np.random.Generator) -> None:
    click = np.zeros(N, np.float32)
    click[100] = 1.0
    ringing = augment.room(click, 0.5, 0.4, rng)
    assert ringing.shape == click.shape
    assert not ringing[:100].any() or np.abs(ringing[:100]).max() < 1e-6, "no sound before the sound"
    assert np.sum(ringing**2) == pytest.approx(1.0, rel=0.2)
    early, late = np.sum(ringing[200:2_100] ** 2), np.sum(ringing[6_000:7_900] ** 2)
    assert 1e-6 < late / early < 1e-2


def test_speed_moves_pitch_and_length() -> None:
    tone = np.sin(2 * np.pi * 500 * np.arange(N) / 16_000).astype(np.float32)
    fast = augment.faster(tone, 1.6)
    assert len(fast) == pytest.approx(N / 1.6, abs=2)
    assert np.argmax(np.abs(np.fft.rfft(fast, 16_000))) == pytest.approx(800, abs=3)


def test_a_stretch_of_any_length(rng: np.random.Generator, cry: np.ndarray) -> None:
    for n in (1, 100, N, 3 * N + 1):
        assert augment.fit_length(cry, n, rng).shape == (n,)
    short = augment.fit_length(cry[:1000], 2_500, rng)
    np.testing.assert_array_equal(short[:1000], short[1000:2000])


FULL = Recipe(
    partner_snr_db=5.0, noise="pink", noise_snr_db=10.0, room_s=0.4, low_hz=200.0, high_hz=5_500.0,
    codec="opus", level_dbfs=-30.0,
)  # fmt: skip


@pytest.mark.parametrize("codec", [None, *CODECS])
def test_silence_is_safe(codec: str | None, rng: np.random.Generator) -> None:
    silence = np.zeros(N, np.float32)
    for partner in (None, silence):
        out = augment.apply(silence, replace(FULL, codec=codec, noise=None), partner, rng)
        assert out.shape == (N,)
        assert np.isfinite(out).all()


def test_a_whole_recipe(cry: np.ndarray) -> None:
    partner = synthetic.make("chords", 1, 1.0)
    first = augment.apply(cry, FULL, partner, np.random.default_rng(3))
    assert first.shape == cry.shape
    assert first.dtype == np.float32
    assert 20 * np.log10(augment.rms(first)) == pytest.approx(-30, abs=0.5)
    np.testing.assert_array_equal(augment.apply(cry, FULL, partner, np.random.default_rng(3)), first)
    assert not np.array_equal(augment.apply(cry, FULL, partner, np.random.default_rng(4)), first)
    np.testing.assert_array_equal(augment.apply(cry, Recipe(), partner, np.random.default_rng(3)), cry)


def test_the_recipe_knows_nothing_of_the_class() -> None:
    """It is drawn from chance alone: no clip, label or kind goes in. Same chance, same recipe."""
    assert list(inspect.signature(Recipe.draw).parameters) == ["rng"]
    drawn = [asdict(Recipe.draw(np.random.default_rng(seed))) for seed in range(400)]
    assert drawn[:20] == [asdict(Recipe.draw(np.random.default_rng(seed))) for seed in range(20)]
    assert all(recipe["speed"] is None for recipe in drawn)
    shares = {
        name: np.mean([recipe[name] is not None for recipe in drawn])
        for name in ("partner_snr_db", "noise", "room_s", "low_hz", "high_hz", "codec", "level_dbfs")
    }
    wanted = {
        "partner_snr_db": 0.5,
        "noise": 0.3,
        "room_s": 0.35,
        "low_hz": 0.15,
        "high_hz": 0.4,
        "codec": 0.3,
    }
    assert shares == pytest.approx(wanted | {"level_dbfs": 0.8}, abs=0.08)
    assert {recipe["codec"] for recipe in drawn} == {None, *CODECS}


def test_a_cry_is_never_played_much_faster(rng: np.random.Generator) -> None:
    cries = [augment.draw_speed(rng, may_cry=True) for _ in range(200)]
    others = [augment.draw_speed(rng, may_cry=False) for _ in range(200)]
    assert all(0.92 <= speed <= 1.1 for speed in cries if speed)
    assert max(speed for speed in others if speed) > 1.8
    for drawn in (cries, others):
        assert 60 < sum(speed is None for speed in drawn) < 140


@pytest.mark.parametrize("kind", synthetic.KINDS)
def test_synthetic_sounds(kind: str) -> None:
    for seed in range(4):
        sound = synthetic.make(kind, seed, 2.0)
        assert sound.shape == (N,)
        assert sound.dtype == np.float32
        assert np.abs(sound).max() <= 0.5 + 1e-6
        np.testing.assert_array_equal(sound, synthetic.make(kind, seed, 2.0))
    if kind != "silence":
        assert augment.rms(sound) > 1e-3
        assert not np.array_equal(synthetic.make(kind, 0), synthetic.make(kind, 1))

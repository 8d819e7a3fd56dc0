"""Features: the names and order promised, librosa's own numbers, and no sound that breaks them."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from pipeline import acoustics
from pipeline.audio import load
from pipeline.errors import ArtifactError, AudioError


def plain_librosa(samples: np.ndarray) -> np.ndarray:
    """The 111 features as anyone would write them, call by call."""
    import librosa

    feature, sr = librosa.feature, 16_000
    blocks = [
        feature.mfcc(y=samples, sr=sr, n_mfcc=40),
        feature.chroma_stft(y=samples, sr=sr),
        feature.melspectrogram(y=samples, sr=sr)[:40],
        feature.spectral_contrast(y=samples, sr=sr),
        feature.tonnetz(y=librosa.effects.harmonic(samples), sr=sr),
        feature.zero_crossing_rate(samples),
        feature.rms(y=samples),
        feature.spectral_centroid(y=samples, sr=sr),
        feature.spectral_bandwidth(y=samples, sr=sr),
        feature.spectral_rolloff(y=samples, sr=sr),
        feature.spectral_flatness(y=samples),
    ]
    return np.concatenate([block.mean(axis=1) for block in blocks])


def test_names_are_108_in_the_promised_order() -> None:
    names = acoustics.feature_names("acoustic108")
    kinds = [name.rstrip("0123456789").rstrip("_") for name in names]
    expected = ["mfcc"] * 40 + ["chroma"] * 12 + ["mel"] * 40 + ["contrast"] * 7 + ["tonnetz"] * 6
    assert kinds == [*expected, "zero_crossing_rate", "rms", "spectral_centroid"]
    assert len(names) == len(set(names)) == 108
    extra = ("spectral_bandwidth", "spectral_rolloff", "spectral_flatness")
    assert acoustics.feature_names("acoustic111") == (*names, *extra)


@pytest.mark.parametrize("seconds", [2.5, 7.0])
def test_same_numbers_as_plain_librosa(a_cry: Path, another_cry: Path, seconds: float) -> None:
    for path in (a_cry, another_cry):
        samples = load(path).samples[: int(16_000 * seconds)]
        np.testing.assert_allclose(
            acoustics.extract(samples, "acoustic111"), plain_librosa(samples), rtol=2e-5, atol=2e-5
        )


def test_short_sound_stays_close_to_plain_librosa(a_cry: Path) -> None:
    samples = load(a_cry).samples[16_000:19_200]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = plain_librosa(samples)
    ours = acoustics.extract(samples, "acoustic111")
    tonnetz = slice(99, 105)
    assert np.abs(ours[tonnetz] - plain[tonnetz]).max() < 0.01
    np.testing.assert_allclose(
        np.delete(ours, range(99, 105)), np.delete(plain, range(99, 105)), rtol=2e-5, atol=2e-5
    )


ODD_SOUNDS = {
    "silence": np.zeros(16_000),
    "short silence": np.zeros(3_200),
    "short noise": np.random.default_rng(0).normal(0, 0.1, 3_200),
    "one frame": np.full(acoustics.N_FFT, 0.25),
    "click": np.eye(1, 8_000, 4_000)[0],
    "constant": np.full(16_000, 0.5),
    "barely there": np.full(8_000, 1e-30),
    "square at full scale": np.sign(np.sin(np.arange(40_000) / 5)),
    "two minutes": np.random.default_rng(1).normal(0, 0.01, 120 * 16_000),
}


@pytest.mark.parametrize("name", ODD_SOUNDS)
def test_every_sound_has_finite_features_and_no_warning(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        features = acoustics.extract(ODD_SOUNDS[name].astype(np.float32), "acoustic111")
    assert features.shape == (111,)
    assert features.dtype == np.float64
    assert np.isfinite(features).all()


def test_108_are_the_first_of_111_and_a_waveform_is_its_samples(a_cry: Path) -> None:
    waveform = load(a_cry)
    all_of_them = acoustics.extract(waveform, "acoustic111")
    assert np.array_equal(acoustics.extract(waveform.samples), all_of_them[:108])


def test_louder_sound_has_larger_rms_and_same_centroid(a_cry: Path) -> None:
    samples = load(a_cry).samples[:48_000]
    names = acoustics.feature_names()
    quiet, loud = acoustics.extract(samples * 0.25), acoustics.extract(samples)
    assert loud[names.index("rms")] == pytest.approx(4 * quiet[names.index("rms")], rel=1e-5)
    assert loud[names.index("spectral_centroid")] == pytest.approx(
        quiet[names.index("spectral_centroid")], rel=1e-4
    )


@pytest.mark.parametrize(
    ("samples", "code"),
    [
        (np.zeros(acoustics.N_FFT - 1), "too-short"),
        (np.zeros((2, 16_000)), "not-audio"),
        (np.full(16_000, np.nan), "non-finite"),
        (np.full(16_000, np.inf), "non-finite"),
    ],
)
def test_unusable_samples_are_named(samples: np.ndarray, code: str) -> None:
    with pytest.raises(AudioError) as caught:
        acoustics.extract(samples)
    assert caught.value.code == code


def test_unknown_schema_names_the_known_ones() -> None:
    with pytest.raises(ArtifactError, match="acoustic108, acoustic111"):
        acoustics.extract(np.zeros(16_000), "acoustic336")

"""Features: the names and order promised, librosa's own numbers, and no sound that breaks them."""

from __future__ import annotations

import runpy
import subprocess
import sys
import time
import warnings
from pathlib import Path

import librosa
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.ndimage import median_filter

from pipeline import _harmonic, _spectrum, _tonal, acoustics
from pipeline.audio import load
from pipeline.errors import ArtifactError, AudioError

ROOT = Path(__file__).resolve().parent.parent


# The features as anyone would write them, call by call; what the benchmark measures against.
usual_features = runpy.run_path(str(ROOT / "benchmarks" / "usual_features.py"))["usual_features"]


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
            acoustics.extract(samples, "acoustic111"), usual_features(samples), rtol=2e-5, atol=2e-5
        )


@pytest.mark.parametrize("silent", [slice(None, 24_000), slice(-60_000, None)])
def test_same_numbers_where_part_of_the_sound_is_digital_silence(a_cry: Path, silent: slice) -> None:
    samples = load(a_cry).samples.copy()
    samples[silent] = 0
    np.testing.assert_allclose(
        acoustics.extract(samples, "acoustic111"), usual_features(samples), rtol=2e-5, atol=2e-6
    )


@settings(max_examples=40, deadline=None)
@given(shape=st.tuples(st.integers(1, 90), st.integers(1, 7)), levels=st.integers(1, 300))
@example(shape=(16, 3), levels=300)
@example(shape=(17, 1), levels=2)
@example(shape=(300, 2), levels=300)
def test_running_median_is_the_median(shape: tuple[int, int], levels: int) -> None:
    rows = np.random.default_rng(levels).integers(0, levels, shape).astype(np.float32)
    expected = median_filter(rows, size=(_harmonic.MEDIAN, 1), mode="reflect")
    np.testing.assert_array_equal(_harmonic.running_median(rows), expected)


def test_transforms_and_banks_are_the_librarys_to_the_last_bits(another_cry: Path) -> None:
    samples = load(another_cry).samples[:50_001]
    spectrum = librosa.stft(samples)
    np.testing.assert_array_equal(_spectrum.transform(samples).T, spectrum)
    harmonic = librosa.decompose.hpss(spectrum)[0]
    np.testing.assert_array_equal(_harmonic.harmonic(spectrum.T, np.abs(spectrum.T)).T, harmonic)
    sound = librosa.istft(harmonic, length=len(samples))
    np.testing.assert_array_equal(_spectrum.inverse(np.ascontiguousarray(harmonic.T), len(samples)), sound)
    mel = librosa.filters.mel(sr=16_000, n_fft=2048)
    np.testing.assert_allclose(_spectrum.mel_bank(128).T, mel, rtol=1e-6, atol=1e-12)
    for tuning in (-0.5, -0.17, 0.0, 0.49):
        chroma = librosa.filters.chroma(sr=16_000, n_fft=2048, tuning=tuning)
        np.testing.assert_allclose(_tonal._chroma_bank(tuning).T, chroma, rtol=1e-5, atol=1e-7)


@settings(max_examples=25, deadline=None)
@given(hz=st.floats(160, 1800), cents=st.floats(-50, 50), noise=st.sampled_from([0.0, 1e-3, 0.1]))
def test_tuning_is_the_librarys(hz: float, cents: float, noise: float) -> None:
    at = np.arange(16_000) / 16_000
    sound = np.sin(2 * np.pi * hz * 2 ** (cents / 1200) * at) + 0.3 * np.sin(6.1 * np.pi * hz * at)
    sound += np.random.default_rng(0).normal(0, 1, 16_000) * noise
    magnitude = np.abs(librosa.stft(sound.astype(np.float32)))
    for per_octave in (12, 36):
        expected = librosa.estimate_tuning(S=magnitude, sr=16_000, bins_per_octave=per_octave)
        assert _tonal.tuning(np.ascontiguousarray(magnitude.T), per_octave) == expected


def test_several_times_as_fast_as_the_library(a_cry: Path) -> None:
    samples = load(a_cry).samples
    seconds: dict[str, list[float]] = {"usual": [], "ours": []}
    for _ in range(4):
        for name, function in (("usual", usual_features), ("ours", acoustics.extract)):
            start = time.perf_counter()
            function(samples)
            seconds[name].append(time.perf_counter() - start)
    assert min(seconds["usual"]) > 5 * min(seconds["ours"])


def test_nothing_that_compiles_is_imported() -> None:
    code = (
        "import sys, numpy; from pipeline import acoustics; acoustics.extract(numpy.ones(16_000)); "
        "print(sorted({'librosa', 'numba', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_short_sound_stays_close_to_plain_librosa(a_cry: Path) -> None:
    samples = load(a_cry).samples[16_000:19_200]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = usual_features(samples)
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

"""What the zoo's networks are given to hear, against TensorFlow's and librosa's own functions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.audio import load
from pipeline.embedding.logmel import log_mel
from pipeline.zoo import cryresnet, melcnn4s, spectrocnn


@pytest.fixture(scope="module")
def cry(a_cry: Path) -> np.ndarray:
    return load(a_cry).samples


def test_spectrocnn_sees_what_tensorflow_would_show_it(cry: np.ndarray) -> None:
    import tensorflow as tf

    waves = np.stack([spectrocnn.waveform(cry), spectrocnn.waveform(cry[::-1])]).astype(np.float32)
    assert waves.shape == (2, 128_000)
    spectrogram = tf.abs(tf.signal.stft(waves, frame_length=255, frame_step=128))[..., None]
    assert spectrogram.shape == (2, spectrocnn.FRAMES, spectrocnn.BINS, 1)
    wanted = tf.image.resize(spectrogram, (32, 32)).numpy()
    given = spectrocnn.pictures(waves)
    assert given.shape == (2, 32, 32, 1)
    assert given.dtype == np.float32
    np.testing.assert_allclose(given, wanted, atol=1e-4 * wanted.max())


def test_spectrocnn_cuts_and_pads_to_eight_seconds(cry: np.ndarray) -> None:
    short, long = spectrocnn.waveform(cry[:16_000]), spectrocnn.waveform(np.tile(cry, 3))
    assert not short[16_000:].any()
    np.testing.assert_allclose(short[:16_000], cry[:16_000], atol=1e-3)
    assert len(long) == 128_000


def test_spectrocnn_changes_time_level_and_noise_and_nothing_else(cry: np.ndarray) -> None:
    waves = np.stack([spectrocnn.waveform(cry)] * 8).astype(np.float32)
    out = spectrocnn.changed(waves, np.random.default_rng(0))
    np.testing.assert_array_equal(out, spectrocnn.changed(waves, np.random.default_rng(0)))
    assert len({wave.tobytes() for wave in out}) == 8
    for wave in out:
        lags = np.correlate(waves[0][::8], wave[::8], mode="full")
        shift = (np.argmax(lags) - (len(wave) // 8 - 1)) * 8 / 16_000
        assert abs(shift) <= 1.01
        gain = 20 * np.log10(np.sqrt(np.mean(wave**2)) / np.sqrt(np.mean(waves[0] ** 2)))
        assert -9 < gain < 6.3  # what is shifted out of the clip is gone as well
    assert not spectrocnn.changed(np.zeros_like(waves), np.random.default_rng(0)).any()


def test_cryresnet_sees_what_librosa_shows_at_8_khz(a_cry: Path, cry: np.ndarray) -> None:
    import librosa
    import soundfile

    sound, rate = soundfile.read(a_cry, dtype="float32")
    assert rate == 8_000
    sound = librosa.util.fix_length(sound, size=56_000)
    power = librosa.feature.melspectrogram(y=sound, sr=8_000, n_fft=1024, hop_length=256, n_mels=128)
    decibels = librosa.power_to_db(power, ref=np.max)
    wanted = (decibels - decibels.min()) / np.ptp(decibels)
    given = cryresnet.mel_picture(cry)
    assert given.shape == (128, 219)
    assert (given.min(), given.max()) == (0, 1)
    # Up to 16 kHz and down again changes only the bands just below 4 kHz.
    np.testing.assert_allclose(given[:120], wanted[:120], atol=0.05)
    assert np.mean(np.abs(given - wanted)) < 0.01


def test_cryresnet_cuts_pads_and_survives_silence(cry: np.ndarray) -> None:
    assert cryresnet.mel_picture(np.tile(cry, 2)).shape == (128, 219)
    short = cryresnet.mel_picture(cry[:16_000])
    assert short.shape == (128, 219)
    assert short[:, 120:].max() == 0
    assert not cryresnet.mel_picture(np.zeros(16_000, np.float32)).any()


def test_cryresnet_shows_the_network_a_224_picture_in_imagenet_units(cry: np.ndarray) -> None:
    import keras
    import tensorflow as tf

    mel = cryresnet.mel_picture(cry)[None].astype(np.float32)
    resized = tf.image.resize(mel[..., None], (224, 224)).numpy()
    picture = cryresnet.pictures(mel)
    assert picture.shape == (1, 224, 224)
    np.testing.assert_allclose(picture[..., None], resized, atol=1e-4)
    inputs = keras.Input((224, 224))
    given = np.asarray(keras.Model(inputs, cryresnet._channels(inputs))(picture))
    wanted = (resized - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(given, wanted, atol=1e-3)


def test_melcnn4s_pieces_cover_a_recording(cry: np.ndarray) -> None:
    heard = melcnn4s.columns(cry[: 16_000 * 6])
    assert heard.shape[1] == 64
    np.testing.assert_allclose(heard, log_mel(cry[: 16_000 * 6]), atol=0.01)
    cut = melcnn4s.pieces(heard)
    assert cut.shape == (2, 398, 64)
    np.testing.assert_array_equal(cut[0], heard[:398])
    np.testing.assert_array_equal(cut[1], heard[-398:])
    assert len(melcnn4s.pieces(melcnn4s.columns(cry[:8_000]))) == 1
    assert len(melcnn4s.pieces(melcnn4s.columns(cry[: int(16_000 * 4.5)]))) == 1, "half a second is no piece"
    assert len(melcnn4s.pieces(melcnn4s.columns(np.tile(cry, 4)[: 16_000 * 20]))) == 5


def test_melcnn4s_windows_reach_the_end(cry: np.ndarray) -> None:
    assert len(melcnn4s.windows(melcnn4s.columns(cry[:16_000]))) == 1
    heard = melcnn4s.columns(cry[: 16_000 * 6])
    seen = melcnn4s.windows(heard)
    assert len(seen) == 4  # starting at 0, 0.96, 1.92 and 2.88 s; the last ends at 6.88 s
    np.testing.assert_array_equal(seen[2], heard[192:590])
    np.testing.assert_allclose(seen[3][len(heard) - 288 :], np.log(0.001), atol=0.01)


def test_a_change_of_level_on_log_mel_is_one_of_the_sound(cry: np.ndarray) -> None:
    class Fixed:
        def uniform(self, low: float, high: float, size: tuple[int, ...]) -> np.ndarray:
            return np.full(size, -20.0)

    heard = log_mel(cry[: 16_000 * 4])[None]
    given = melcnn4s.louder(heard, Fixed())  # type: ignore[arg-type]
    np.testing.assert_allclose(given[0], log_mel(cry[: 16_000 * 4] * 0.1), atol=1e-3)

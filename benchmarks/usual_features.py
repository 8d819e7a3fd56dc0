"""The acoustic features as anyone would write them with librosa, call by call: what ours are held against."""

from __future__ import annotations

import librosa
import numpy as np

SAMPLE_RATE = 16_000


def usual_features(samples: np.ndarray, count: int = 111) -> np.ndarray:
    """108 or 111 features of (n,) float32 samples at 16 kHz, in the order of ``pipeline.acoustics``."""
    feature, sr = librosa.feature, SAMPLE_RATE
    rows = [
        feature.mfcc(y=samples, sr=sr, n_mfcc=40),
        feature.chroma_stft(y=samples, sr=sr),
        feature.melspectrogram(y=samples, sr=sr)[:40],
        feature.spectral_contrast(y=samples, sr=sr),
        feature.tonnetz(y=librosa.effects.harmonic(samples), sr=sr),
        feature.zero_crossing_rate(samples),
        feature.rms(y=samples),
        feature.spectral_centroid(y=samples, sr=sr),
    ]
    if count == 111:
        rows += [
            feature.spectral_bandwidth(y=samples, sr=sr),
            feature.spectral_rolloff(y=samples, sr=sr),
            feature.spectral_flatness(y=samples),
        ]
    return np.concatenate([row.mean(axis=1) for row in rows])

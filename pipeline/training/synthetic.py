"""Sounds no cry detector should fire at, made by arithmetic: tones, sweeps, beeps, hum, clicks, noise.

They widen the negatives beyond what any recorded set holds (alarms, chargers, fans, toys, a dead microphone).
"""

from __future__ import annotations

import numpy as np

from pipeline.training.augment import SAMPLE_RATE, FloatArray, coloured_noise

KINDS = ("silence", "noise", "hum", "tone", "sweep", "beeps", "clicks", "chords", "vibrato")


def make(kind: str, seed: int, duration_s: float = 5.0) -> FloatArray:
    """One synthetic non-cry: (n,) float32 at 16 kHz, peak at most 0.5, a function of kind and seed alone."""
    rng = np.random.default_rng([KINDS.index(kind), seed])
    n = int(duration_s * SAMPLE_RATE)
    t = np.arange(n) / SAMPLE_RATE
    sound = _MAKERS[kind](t, rng)
    peak = float(np.max(np.abs(sound)))
    return (sound * (0.5 / peak) if peak > 0.5 else sound).astype(np.float32)


def _phase(frequency: np.ndarray) -> np.ndarray:
    return 2 * np.pi * np.cumsum(frequency) / SAMPLE_RATE


def _harmonics(phase: np.ndarray, rng: np.random.Generator, count: int) -> np.ndarray:
    tilt = rng.uniform(0.5, 2.0)
    return sum(np.sin(k * phase + rng.uniform(0, 6)) / k**tilt for k in range(1, count + 1))


def _silence(t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal(len(t)) * rng.choice([0.0, 1e-5, 1e-4, 1e-3])


def _noise(t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    swell = 1 + rng.uniform(0, 0.9) * np.sin(2 * np.pi * rng.uniform(0.1, 3) * t + rng.uniform(0, 6))
    return 0.15 * swell * coloured_noise(len(t), str(rng.choice(["white", "pink", "brown"])), rng)


def _hum(t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    base = rng.choice([50.0, 60.0, rng.uniform(80, 400)])
    return 0.1 * _harmonics(2 * np.pi * base * t, rng, 12) + 0.01 * coloured_noise(len(t), "pink", rng)


def _tone(t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * rng.uniform(150, 5000) * t)


def _sweep(t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    low, high, rate = rng.uniform(250, 900), rng.uniform(900, 3000), rng.uniform(0.1, 4)
    course = 0.5 + 0.5 * np.sin(2 * np.pi * rate * t) if rng.random() < 0.5 else (rate * t) % 1.0
    return 0.3 * _harmonics(_phase(low + (high - low) * course), rng, int(rng.integers(1, 5)))


def _beeps(t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    rate, duty = rng.uniform(0.5, 8), rng.uniform(0.2, 0.8)
    gate = ((rate * t) % 1.0 < duty).astype(float)
    return 0.3 * gate * _harmonics(2 * np.pi * rng.uniform(300, 4000) * t, rng, int(rng.integers(1, 6)))


def _clicks(t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    hits = (rng.random(len(t)) < rng.uniform(0.5, 20) / SAMPLE_RATE).astype(float)
    decay = np.exp(-np.arange(1600) / rng.uniform(20, 400)) * rng.standard_normal(1600)
    return 0.3 * np.convolve(hits, decay)[: len(t)]


def _chords(t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    sound, step = np.zeros(len(t)), rng.uniform(0.2, 0.8)
    for start in np.arange(0, t[-1], step):
        note = 220.0 * 2 ** (rng.integers(0, 30) / 12)
        age = np.maximum(t - start, 0)
        attack = np.minimum(age / 0.01, 1)
        sound += (t >= start) * attack * np.exp(-age * rng.uniform(1, 6)) * np.sin(2 * np.pi * note * age)
    return 0.2 * sound


def _vibrato(t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A held voice-like note: what a singer, a violin or a toy makes in the cry's own register."""
    depth, rate = rng.uniform(0.005, 0.04), rng.uniform(4, 8)
    frequency = rng.uniform(200, 900) * (1 + depth * np.sin(2 * np.pi * rate * t))
    return 0.1 * _harmonics(_phase(frequency), rng, int(rng.integers(3, 12)))


_MAKERS = {
    "silence": _silence,
    "noise": _noise,
    "hum": _hum,
    "tone": _tone,
    "sweep": _sweep,
    "beeps": _beeps,
    "clicks": _clicks,
    "chords": _chords,
    "vibrato": _vibrato,
}

"""Demo sounds made from scratch: a baby's cry and household sounds that are none.

Nothing here is a recording: every sample is computed with numpy and scipy, so the sounds may be shipped,
shown and published freely. The same seed gives the same samples. All are mono float32 at 16 kHz, 5 to 8 s.

The cry follows what is known of infant cries: bursts of about a second, each on one outward breath, joined
by short voiced inward breaths; a fundamental of 350 to 550 Hz that rises and falls; strong harmonics coloured
by a vocal tract half as long as an adult's (resonances near 1.1, 3.3 and 5 kHz); wavering pitch and loudness
(jitter, shimmer) and stretches of hoarse, doubled voice (dysphonation).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy import signal
from scipy.interpolate import PchipInterpolator

from pipeline.audio import SAMPLE_RATE, Waveform

Samples = NDArray[np.float64]
_STEP = 80  # samples between control points of moving spectra: 5 ms
_TOP_HZ = 7600.0  # harmonics fade out below half the sample rate


@dataclass(frozen=True)
class Demo:
    """One demo sound.

    Attributes:
        key: short name, as in `DEMOS`.
        title: a few words for a button.
        is_cry: whether a baby cries in it.
        description: one sentence for people.
        build: gives (n,) float64 samples within [-1, 1] from a random generator.
    """

    key: str
    title: str
    is_cry: bool
    description: str
    build: Callable[[np.random.Generator], Samples]

    def make(self, seed: int = 0) -> Waveform:
        """The sound: mono float32 at 16 kHz, 5 to 8 s, within [-1, 1]; the same for the same seed."""
        samples = self.build(np.random.default_rng(seed))
        return Waveform(samples.astype(np.float32), source=self.title, source_rate=SAMPLE_RATE, warnings=())


# --- building blocks ---------------------------------------------------------------------------------------


def _length(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE)


def _curve(n: int, points: Sequence[tuple[float, float]]) -> Samples:
    """A smooth (n,) curve through ``(position in 0..1, value)`` points, without overshoot."""
    at, value = np.array(points, dtype=np.float64).T
    return PchipInterpolator(at, value)(np.linspace(0.0, 1.0, n))


def _drift(n: int, rate_hz: float, rng: np.random.Generator) -> Samples:
    """A slow random walk around 0, (n,), about 1 strong, that changes ``rate_hz`` times a second."""
    knots = rng.standard_normal(max(4, math.ceil(n / SAMPLE_RATE * rate_hz) + 3))
    return np.interp(np.linspace(0, len(knots) - 1, n), np.arange(len(knots)), knots)


def _band_noise(n: int, low: float, high: float, rng: np.random.Generator) -> Samples:
    """Noise between two frequencies in Hz, (n,), of RMS 1."""
    sos = signal.butter(2, [low, high], "bandpass", fs=SAMPLE_RATE, output="sos")
    noise = signal.sosfilt(sos, rng.standard_normal(n))
    return noise / np.sqrt(np.mean(noise**2))


def _fade(samples: Samples, attack_s: float, release_s: float) -> Samples:
    """Raised-cosine fade in and out."""
    n = len(samples)
    rise, fall = min(_length(attack_s), n // 2), min(_length(release_s), n // 2)
    shape = np.ones(n)
    shape[:rise] = 0.5 - 0.5 * np.cos(np.pi * np.arange(rise) / max(rise, 1))
    shape[n - fall :] = 0.5 + 0.5 * np.cos(np.pi * np.arange(fall) / max(fall, 1))
    return samples * shape


def _voice(f0: Samples, formants: Samples, widths: Sequence[float], tilt: float) -> Samples:
    """Harmonics of a moving fundamental through a moving vocal tract.

    Args:
        f0: (n,) fundamental, Hz.
        formants: (n_control, m) or (m,) resonances in Hz, evenly spread over the sound.
        widths: (m,) bandwidths of the resonances, Hz.
        tilt: power by which harmonics fall off at the source: ``k ** -tilt``.

    Returns:
        (n,) sound of RMS 1.
    """
    n = len(f0)
    grid = np.linspace(0, n - 1, max(2, n // _STEP))
    pitch = np.interp(grid, np.arange(n), f0)
    table = np.atleast_2d(formants)
    spread = np.linspace(0, n - 1, len(table)) if len(table) > 1 else np.array([0.0])
    tract = [np.interp(grid, spread, column) for column in table.T]
    phase = 2 * np.pi * np.cumsum(f0) / SAMPLE_RATE
    sound = np.zeros(n)
    for k in range(1, int(_TOP_HZ / f0.min()) + 1):
        hz = k * pitch
        gain = k**-tilt * np.clip((_TOP_HZ - hz) / 400.0, 0.0, 1.0)
        for centre, width in zip(tract, widths, strict=True):
            gain = gain * centre**2 / np.hypot(centre**2 - hz**2, width * hz)
        sound += np.interp(np.arange(n), grid, gain) * np.sin(k * phase)
    return sound / np.sqrt(np.mean(sound**2))


def _place(pieces: Sequence[tuple[float, Samples]], seconds: float) -> Samples:
    """Lay pieces at their start times (seconds) on a track; what runs over the end is cut."""
    track = np.zeros(_length(seconds))
    for start_s, piece in pieces:
        at = _length(start_s)
        part = piece[: max(0, len(track) - at)]
        track[at : at + len(part)] += part
    return track


def _room(samples: Samples, rng: np.random.Generator, decay_s: float = 0.25, wet: float = 0.25) -> Samples:
    """The sound in a small furnished room: a decaying noise tail, darker than the sound itself."""
    n = _length(2 * decay_s)
    tail = _band_noise(n, 150.0, 5000.0, rng) * 10 ** (-3 * np.arange(n) / _length(2 * decay_s))
    tail[: _length(0.004)] = 0.0
    reverb = signal.fftconvolve(samples, tail / np.sqrt(np.sum(tail**2)))[: len(samples)]
    return samples + wet * reverb


def _finish(samples: Samples, peak: float, rng: np.random.Generator, floor_db: float = -62.0) -> Samples:
    """Scale to a peak and add the faint hiss that any microphone has."""
    scaled = samples * (peak / np.max(np.abs(samples)))
    noisy = scaled + 10 ** (floor_db / 20) * _band_noise(len(samples), 60.0, 7000.0, rng)
    return np.clip(noisy, -1.0, 1.0)


def mix(foreground: Samples, background: Samples, snr_db: float) -> Samples:
    """Two sounds of one length together.

    Args:
        foreground: (n,) samples, kept as loud as they are.
        background: (n,) samples, scaled so that the foreground's power is ``snr_db`` above it.
        snr_db: ratio of the mean powers in dB.

    Returns:
        (n,) the sum, scaled down to a peak of 0.9 where it would exceed that.
    """
    ratio = np.mean(np.square(foreground)) / np.mean(np.square(background))
    total = foreground + background * np.sqrt(ratio / 10 ** (snr_db / 10))
    return total * min(1.0, 0.9 / np.max(np.abs(total)))


# --- the cry -----------------------------------------------------------------------------------------------


def _cry_burst(seconds: float, top_hz: float, rng: np.random.Generator) -> Samples:
    """One outward breath of crying: (n,), RMS about 1 at its loudest."""
    n = _length(seconds)
    height, end = rng.uniform(0.2, 0.5), rng.uniform(0.68, 0.8)  # no two cries rise and fall alike
    melody = _curve(
        n, [(0, rng.uniform(0.72, 0.85)), (height / 2, 0.95), (height, 1), (0.85, end + 0.1), (1, end)]
    )
    f0 = top_hz * melody * (1 + 0.01 * _drift(n, 25, rng) + 0.008 * _drift(n, 120, rng))
    f0 *= 1 + 0.012 * np.sin(2 * np.pi * rng.uniform(5, 7) * np.arange(n) / SAMPLE_RATE)
    opening = _curve(n, [(0, 0.8), (0.2, 1.0), (0.75, 1.03), (1, 0.8)])[::_STEP, None]
    tract = opening * np.array([1250.0, 3300.0, 5000.0]) * rng.uniform(0.96, 1.04, 3)
    widths = (180.0, 320.0, 500.0)
    voiced = _voice(f0, tract, widths, tilt=0.7)
    # Dysphonation: for a stretch the folds swing every other cycle differently, and air hisses through.
    at = rng.uniform(0.25, 0.6)
    rough = _curve(n, [(0, 0), (at - 0.1, 0), (at + 0.08, 1), (at + 0.2, 1), (at + 0.35, 0), (1, 0.1)])
    doubled = _voice(f0 / 2, tract, widths, tilt=0.7)
    cycle = 0.5 + 0.5 * np.sin(2 * np.pi * np.cumsum(f0) / SAMPLE_RATE)
    hiss = _band_noise(n, 900.0, 6500.0, rng) * cycle
    sound = (1 - 0.35 * rough) * voiced + 0.35 * rough * doubled + (0.12 + 0.3 * rough) * hiss
    sound *= 1 + 0.10 * _drift(n, 60, rng)
    loudness = _curve(n, [(0, 0.3), (0.12, 0.9), (0.35, 1.0), (0.75, 0.85), (1, 0.3)])
    return _fade(sound * loudness, 0.04, 0.09)


def _inspiration(seconds: float, rng: np.random.Generator) -> Samples:
    """The quick, half-voiced breath in between two bursts."""
    n = _length(seconds)
    f0 = rng.uniform(480, 560) * _curve(n, [(0, 0.8), (0.6, 1.1), (1, 1.25)])
    f0 *= 1 + 0.02 * _drift(n, 80, rng)
    voiced = _voice(f0, np.array([1300.0, 3600.0, 5200.0]), (300.0, 500.0, 700.0), tilt=1.2)
    sound = 0.5 * voiced + 0.6 * _band_noise(n, 1200.0, 6000.0, rng)
    return _fade(sound, 0.05, 0.05)


def _cry(rng: np.random.Generator) -> Samples:
    """A baby that has just begun to cry in earnest, in a small room."""
    pieces, at = [], 0.15
    for strength in (0.75, 0.9, 1.0, 1.0, 0.95, 0.9):
        burst = rng.uniform(0.7, 1.1)
        top = rng.uniform(400, 460) + 40 * strength
        pieces.append((at, strength * _cry_burst(burst, top, rng)))
        at += burst + rng.uniform(0.04, 0.09)
        breath = rng.uniform(0.14, 0.2)
        pieces.append((at, 0.16 * _inspiration(breath, rng)))
        at += breath + rng.uniform(0.05, 0.12)
        if at > 6.0:
            break
    return _finish(_room(_place(pieces, 7.0), rng, wet=0.15), 0.6, rng)


# --- what is not a cry -------------------------------------------------------------------------------------


def sleep_noise(n: int, rng: np.random.Generator) -> Samples:
    """What sleep machines call white noise: nearer to pink, from a small loudspeaker; (n,)."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    hz = np.fft.rfftfreq(n, 1 / SAMPLE_RATE)
    colour = np.clip((7000.0 - hz) / 3000.0, 0.0, 1.0) / np.sqrt(np.maximum(hz, 120.0))
    return np.fft.irfft(spectrum * colour, n)


def _white_noise(rng: np.random.Generator) -> Samples:
    """A sleep machine alone."""
    return _fade(_finish(sleep_noise(_length(6.0), rng), 0.35, rng), 0.1, 0.1)


def _cry_under_noise(rng: np.random.Generator) -> Samples:
    """The cry with a sleep machine running beside the cot."""
    cry = _cry(rng)
    return mix(cry, sleep_noise(len(cry), rng), snr_db=10.0)


# Resonances in Hz of an adult man's vowels, as in phonetics textbooks: a, e, i, o, u, schwa.
_VOWELS = np.array(
    [
        [730, 1090, 2440, 3400],
        [530, 1840, 2480, 3500],
        [270, 2290, 3010, 3600],
        [570, 840, 2410, 3300],
        [300, 870, 2240, 3300],
        [500, 1500, 2500, 3500],
    ],
    dtype=np.float64,
)
_CONSONANTS_HZ = ((3500.0, 7000.0), (2000.0, 5000.0), (1500.0, 4000.0), (600.0, 2500.0))


def _syllable(f0_hz: float, start: Samples, end: Samples, rng: np.random.Generator) -> Samples:
    """A consonant and a vowel that glides on: (n,)."""
    n = _length(rng.uniform(0.13, 0.24))
    f0 = f0_hz * _curve(n, [(0, 1.03), (0.3, 1.06), (1, 0.94)]) * (1 + 0.006 * _drift(n, 60, rng))
    glide = start + (end - start) * _curve(n, [(0, 0), (0.25, 0.1), (0.75, 0.9), (1, 1)])[::_STEP, None]
    vowel = _fade(_voice(f0, glide, (80.0, 100.0, 140.0, 200.0), tilt=1.5), 0.025, 0.05)
    low, high = _CONSONANTS_HZ[rng.integers(len(_CONSONANTS_HZ))]
    hiss = _fade(_band_noise(_length(rng.uniform(0.03, 0.09)), low, high, rng), 0.008, 0.012)
    return np.concatenate([0.22 * hiss, vowel])


def _babble(rng: np.random.Generator) -> Samples:
    """A grown-up talking nonsense: phrases of syllables, falling in pitch, with pauses."""
    pieces, at = [], 0.2
    while at < 6.2:
        syllables = rng.integers(4, 9)
        vowels = _VOWELS[rng.integers(len(_VOWELS), size=syllables + 1)]
        for i in range(syllables):
            pitch = 165 - 50 * i / syllables + rng.uniform(-10, 14)
            sound = _syllable(pitch, vowels[i], vowels[i + 1], rng)
            pieces.append((at, rng.uniform(0.6, 1.0) * sound))
            at += len(sound) / SAMPLE_RATE + rng.uniform(-0.01, 0.03)
        at += rng.uniform(0.3, 0.55)
    return _finish(_room(_place(pieces, 7.0), rng), 0.5, rng)


def _siren(rng: np.random.Generator) -> Samples:
    """An emergency vehicle some streets away: a tone that climbs and falls every few seconds."""
    n = _length(7.0)
    swing = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / SAMPLE_RATE / 3.2 + rng.uniform(0, 0.5))
    tone = _voice(560.0 * 2.3**swing, np.array([1000.0, 2200.0]), (900.0, 1500.0), tilt=1.3)
    street = _band_noise(n, 60.0, 800.0, rng)
    return _finish(_room(_fade(tone + 0.1 * street, 0.4, 0.4), rng, decay_s=0.6, wet=0.5), 0.4, rng)


# Brahms, Wiegenlied op. 49 no. 4 (1868), its first two lines in semitones above C5 and lengths in quarters.
_TUNE = (4, 4, 7, 4, 4, 7, 4, 7, 12, 11, 9, 9, 7)
_RHYTHM = (0.5, 0.5, 2.0, 0.5, 0.5, 2.0, 0.5, 0.5, 1.0, 1.0, 1.5, 0.5, 1.0)


def _music_box(rng: np.random.Generator) -> Samples:
    """A lullaby on plucked steel tongues: bright, inharmonic, dying away."""
    pieces, at = [], 0.15
    for semitone, quarters in zip(_TUNE, _RHYTHM, strict=True):
        hz = 523.25 * 2 ** (semitone / 12)
        t = np.arange(_length(1.8)) / SAMPLE_RATE
        note = np.zeros(len(t))
        # (ratio, strength, decay per second); 6.27 is the second mode of a bar clamped at one end.
        for ratio, strength, decay in ((1.0, 1.0, 2.2), (2.0, 0.25, 4.0), (6.27, 0.25, 12.0)):
            if ratio * hz < _TOP_HZ:
                note += strength * np.exp(-decay * t) * np.sin(2 * np.pi * ratio * hz * t)
        pick = 0.15 * np.exp(-t * 300) * rng.standard_normal(len(t))
        pieces.append((at, _fade(rng.uniform(0.8, 1.0) * (note + pick), 0.001, 0.3)))
        at += 0.5 * quarters * rng.uniform(0.98, 1.02)
    return _finish(_room(_place(pieces, 7.5), rng), 0.45, rng)


def _bark(rng: np.random.Generator) -> Samples:
    """One bark: pitch and mouth shoot up and close again within a fifth of a second."""
    n = _length(rng.uniform(0.14, 0.19))
    f0 = rng.uniform(420, 520) * _curve(n, [(0, 0.7), (0.25, 1.25), (0.5, 1.15), (1, 0.5)])
    f0 *= 1 + 0.05 * _drift(n, 200, rng)
    tract = np.array([900.0, 1500.0, 2600.0]) * _curve(n, [(0, 0.6), (0.3, 1.15), (1, 0.6)])[::_STEP, None]
    voiced = _voice(f0, tract, (250.0, 300.0, 500.0), tilt=0.9)
    throat = _voice(f0 / 2, tract, (250.0, 300.0, 500.0), tilt=0.5)
    sound = voiced + 0.5 * throat + 0.5 * _band_noise(n, 400.0, 4000.0, rng)
    return _fade(sound * _curve(n, [(0, 0.4), (0.15, 1), (0.5, 0.7), (1, 0.1)]), 0.008, 0.06)


def _dog(rng: np.random.Generator) -> Samples:
    """A medium-sized dog: barks in twos and threes, with pauses."""
    pieces, at = [], 0.3
    while at < 5.6:
        for _ in range(rng.integers(2, 4)):
            pieces.append((at, rng.uniform(0.8, 1.0) * _bark(rng)))
            at += rng.uniform(0.33, 0.45)
        at += rng.uniform(0.5, 0.9)
    return _finish(_room(_place(pieces, 6.5), rng, wet=0.35), 0.6, rng)


def _fan(rng: np.random.Generator) -> Samples:
    """A kitchen extractor: the hum of motor and blades inside a rush of air."""
    n = _length(6.0)
    turn = 1 + 0.01 * np.sin(2 * np.pi * 0.5 * np.arange(n) / SAMPLE_RATE) + 0.002 * _drift(n, 8, rng)
    motor = _voice(195.0 * turn, np.array([600.0, 2400.0]), (700.0, 400.0), tilt=1.0)
    blades = _voice(97.0 * turn, np.array([500.0, 1500.0]), (600.0, 900.0), tilt=0.6)
    air = 0.7 * _band_noise(n, 250.0, 1800.0, rng) + 0.5 * _band_noise(n, 1500.0, 6500.0, rng)
    sound = (0.8 * motor + 0.4 * blades + air) * (1 + 0.06 * _drift(n, 1.5, rng))
    return _fade(_finish(sound, 0.5, rng), 0.3, 0.3)


def _quiet_room(rng: np.random.Generator) -> Samples:
    """A sleeping house: mains hum and a microphone's hiss, 60 dB below full scale."""
    n = _length(6.0)
    t = np.arange(n) / SAMPLE_RATE
    hum = np.sin(2 * np.pi * 50 * t) + 0.4 * np.sin(2 * np.pi * 150 * t)
    return 1e-3 * (0.5 * hum + _band_noise(n, 60.0, 4000.0, rng))


_ALL = (
    Demo("cry", "A baby crying", True, "Crying, breath after breath, in a quiet room.", _cry),
    Demo(
        "cry_noise",
        "A cry under a white-noise machine",
        True,
        "The same crying, 10 dB above steady noise.",
        _cry_under_noise,
    ),
    Demo(
        "white_noise",
        "A white-noise machine",
        False,
        "Steady noise, sold to help babies sleep.",
        _white_noise,
    ),
    Demo("babble", "A grown-up talking", False, "A low voice speaking nonsense syllables.", _babble),
    Demo("siren", "A siren outside", False, "A tone that climbs and falls.", _siren),
    Demo("music_box", "A lullaby", False, "Brahms on a music box.", _music_box),
    Demo("dog", "A dog barking", False, "Barks in twos and threes.", _dog),
    Demo("fan", "A kitchen fan", False, "Hum and rushing air.", _fan),
    Demo("quiet", "A quiet room", False, "Next to nothing: mains hum and a little hiss.", _quiet_room),
)
DEMOS: Mapping[str, Demo] = MappingProxyType({demo.key: demo for demo in _ALL})

"""Random changes to training audio, so that a model learns the cry and not the recording.

The same distribution is drawn for cries and for everything else: whatever a codec, a band limit or a level
could give away about the class is thus spread over both. All functions take mono float32 at 16 kHz, shape
(n,), and return the same shape unless they say otherwise; randomness comes only from the generator passed in.
One step is drawn by class: speed (:func:`draw_speed`), as a cry played much faster is no baby's any more.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
FloatArray = NDArray[np.float32]

NOISE_COLOURS = {"white": 0.0, "pink": 0.5, "brown": 1.0}
_EPSILON = 1e-9


@dataclass(frozen=True)
class Recipe:
    """How one training example is changed; ``None`` leaves a step out. Levels in dB, frequencies in Hz."""

    speed: float | None = None
    partner_snr_db: float | None = None
    noise: str | None = None
    noise_snr_db: float = 10.0
    room_s: float | None = None
    room_direct: float = 0.5
    low_hz: float | None = None
    high_hz: float | None = None
    codec: str | None = None
    level_dbfs: float | None = None

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Recipe:
        """A random recipe: cries and non-cries alike are drawn from here."""

        def maybe(chance: float, value: float) -> float | None:
            return float(value) if rng.random() < chance else None

        colours, codecs = list(NOISE_COLOURS), ["vorbis", "mp3", "opus", "ulaw8k", "gsm8k"]
        return cls(
            partner_snr_db=maybe(0.5, rng.uniform(-3, 20)),
            noise=str(rng.choice(colours, p=[0.5, 0.3, 0.2])) if rng.random() < 0.3 else None,
            noise_snr_db=float(rng.uniform(-3, 20)),
            room_s=maybe(0.35, rng.uniform(0.15, 0.9)),
            room_direct=float(rng.uniform(0.2, 0.9)),
            low_hz=maybe(0.15, rng.uniform(100, 400)),
            high_hz=maybe(0.4, rng.choice([3400.0, 3800.0, 5500.0, 7000.0])),
            codec=str(rng.choice(codecs)) if rng.random() < 0.3 else None,
            level_dbfs=maybe(0.8, rng.uniform(-48, -12)),
        )


def draw_speed(rng: np.random.Generator, may_cry: bool) -> float | None:
    """A change of speed for half of the sounds: slight for cries, up to twice as fast for everything else."""
    if rng.random() < 0.5:
        return None
    return float(rng.uniform(0.92, 1.1) if may_cry else rng.uniform(1.1, 2.0))


def faster(samples: FloatArray, speed: float) -> FloatArray:
    """Play at another speed, pitch and formants too: (n / speed,). An adult's voice becomes a child's."""
    import soxr

    return soxr.resample(samples, SAMPLE_RATE * speed, SAMPLE_RATE).astype(np.float32)


def rms(samples: NDArray[np.floating]) -> float:
    """Root mean square over the whole array, 0 for an empty one."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0


def fit_length(samples: FloatArray, n: int, rng: np.random.Generator) -> FloatArray:
    """A random stretch of ``n`` samples, repeated where the sound is shorter."""
    if len(samples) < n:
        samples = np.tile(samples, -(-n // max(len(samples), 1)))
    start = int(rng.integers(0, len(samples) - n + 1))
    return samples[start : start + n]


def mix(signal: FloatArray, noise: FloatArray, snr_db: float) -> FloatArray:
    """Add noise of the same length so that signal over noise is ``snr_db`` in whole-clip RMS."""
    level = rms(noise)
    if level < _EPSILON or rms(signal) < _EPSILON:
        return (signal + noise).astype(np.float32)
    gain = rms(signal) / level * 10 ** (-snr_db / 20)
    return (signal + gain * noise).astype(np.float32)


def coloured_noise(n: int, colour: str, rng: np.random.Generator) -> FloatArray:
    """Noise with a 1/f**(2*exponent) power spectrum, RMS 1: white, pink or brown."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    frequency = np.maximum(np.fft.rfftfreq(n, 1 / SAMPLE_RATE), 20.0)
    shaped = np.fft.irfft(spectrum / frequency ** NOISE_COLOURS[colour], n)
    return (shaped / max(rms(shaped), _EPSILON)).astype(np.float32)


def room(samples: FloatArray, rt60_s: float, direct: float, rng: np.random.Generator) -> FloatArray:
    """Convolve with a synthetic room: a direct path and an exponentially decaying noise tail.

    Args:
        rt60_s: reverberation time to -60 dB, in seconds.
        direct: share of the energy in the direct path, (0, 1]: less is further away.
    """
    from scipy.signal import fftconvolve

    n = int(rt60_s * SAMPLE_RATE)
    tail = rng.standard_normal(n) * 10 ** (-3 * np.arange(n) / n)
    tail *= np.sqrt((1 - direct) / max(float(np.sum(tail**2)), _EPSILON))
    tail[0] += np.sqrt(direct)
    return fftconvolve(samples, tail)[: len(samples)].astype(np.float32)


def band_limit(samples: FloatArray, low_hz: float | None, high_hz: float | None) -> FloatArray:
    """Steep high-pass and/or low-pass (Butterworth, order 8 as second-order sections)."""
    from scipy.signal import butter, sosfilt

    for hz, kind in ((low_hz, "highpass"), (high_hz, "lowpass")):
        if hz is not None:
            samples = sosfilt(butter(8, hz, kind, fs=SAMPLE_RATE, output="sos"), samples).astype(np.float32)
    return samples


def codec_round_trip(samples: FloatArray, codec: str) -> FloatArray:
    """Encode and decode with a real codec through libsndfile: vorbis, mp3, opus, ulaw8k or gsm8k."""
    import soundfile
    import soxr

    rate = 8_000 if codec.endswith("8k") else SAMPLE_RATE
    container, subtype = {
        "vorbis": ("OGG", "VORBIS"),
        "opus": ("OGG", "OPUS"),
        "mp3": ("MP3", "MPEG_LAYER_III"),
        "ulaw8k": ("WAV", "ULAW"),
        "gsm8k": ("WAV", "GSM610"),
    }[codec]
    sound = samples if rate == SAMPLE_RATE else soxr.resample(samples, SAMPLE_RATE, rate)
    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(sound, -1, 1), rate, format=container, subtype=subtype)
    buffer.seek(0)
    decoded, _ = soundfile.read(buffer, dtype="float32")
    if rate != SAMPLE_RATE:
        decoded = soxr.resample(decoded, rate, SAMPLE_RATE)
    decoded = decoded[: len(samples)]
    return np.pad(decoded, (0, len(samples) - len(decoded))).astype(np.float32)


def set_level(samples: FloatArray, level_dbfs: float) -> FloatArray:
    """Scale to an RMS of ``level_dbfs``; silence stays silence. Peaks are clipped to [-1, 1]."""
    level = rms(samples)
    if level < _EPSILON:
        return samples
    return np.clip(samples * (10 ** (level_dbfs / 20) / level), -1, 1).astype(np.float32)


def apply(
    samples: FloatArray, recipe: Recipe, partner: FloatArray | None, rng: np.random.Generator
) -> FloatArray:
    """Carry a recipe out in the order sound meets the world: source, room, noise, band, codec, level."""
    out = np.asarray(samples, dtype=np.float32)
    if recipe.speed is not None:
        out = faster(out, recipe.speed)
    if recipe.partner_snr_db is not None and partner is not None and len(partner):
        out = mix(out, fit_length(partner, len(out), rng), recipe.partner_snr_db)
    if recipe.room_s is not None:
        out = room(out, recipe.room_s, recipe.room_direct, rng)
    if recipe.noise is not None:
        out = mix(out, coloured_noise(len(out), recipe.noise, rng), recipe.noise_snr_db)
    out = band_limit(out, recipe.low_hz, recipe.high_hz)
    if recipe.codec is not None:
        out = codec_round_trip(set_level(out, -20.0) if rms(out) > 0.2 else out, recipe.codec)
    if recipe.level_dbfs is not None:
        out = set_level(out, recipe.level_dbfs)
    return out

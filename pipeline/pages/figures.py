"""What the charts draw, in bounded size however long the sound: waveform envelope, mel picture, score curve.

A day of sound is walked once in blocks and leaves about a thousand columns; nothing here knows Streamlit
or Altair. Source of the shapes: short-time Fourier frames of 64 ms (1 024 samples at 16 kHz, Hann), 80 mel
bands to 8 kHz, levels in dB below the loudest point.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

SAMPLE_RATE = 16_000
COLUMNS = 600
"""Columns of the mel picture; a phone shows about 350, a desktop page about 700."""
ENVELOPE_BINS = 900
SCORE_POINTS = 900
N_FFT = 1_024
N_MELS = 80
RANGE_DB = 70.0
NOTHING_DB = -30.0
"""Band level of the faintest sound that fills the scale (a tone at -78 dBFS); below, all stays dark."""
FRAMES_PER_COLUMN = 8
"""At most: a column of a long recording is the mean of this many frames spread evenly over it."""
TICKS_HZ = (250, 500, 1_000, 2_000, 4_000, 8_000)
SILENCE = 10 ** (-90 / 20)
"""Peak below which a recording counts as silent, as in ``Waveform.is_silent``."""

# Dark violet to pale yellow, lightness rising evenly, so that it reads in grey and to colour-blind eyes.
_STOPS = np.array(
    [
        (9, 7, 32), (48, 18, 98), (98, 28, 122), (149, 43, 116), (198, 64, 96),
        (233, 99, 72), (248, 149, 68), (251, 205, 106), (252, 246, 190),
    ],
    dtype=np.float64,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Picture:
    """Everything the waveform and mel charts need, a few tens of KB.

    Attributes:
        duration_s: length of the sound, seconds.
        times: (n,) float64, start of each envelope bin, seconds.
        low, high: (n,) float32, smallest and largest sample of each bin, about [-1, 1].
        peak: largest absolute sample of the whole sound.
        mel_png: the mel spectrogram as a ``data:image/png`` address.
        mel_top: upper end of the mel axis (mel of 8 kHz); the lower end is 0.
        mel_ticks: (mel value, words) of the labelled frequencies.
    """

    duration_s: float
    times: np.ndarray
    low: np.ndarray
    high: np.ndarray
    peak: float
    mel_png: str
    mel_top: float
    mel_ticks: tuple[tuple[float, str], ...]

    @property
    def is_silent(self) -> bool:
        """Whether there is nothing to hear in it."""
        return self.peak < SILENCE


def draw(blocks: Iterable[np.ndarray], duration_s: float) -> Picture:
    """Walk the sound once and keep what the charts show.

    Args:
        blocks: consecutive (n,) float32 blocks, mono 16 kHz; one array for a short sound.
        duration_s: length of the whole, seconds; a little off does no harm.
    """
    from librosa import hz_to_mel

    total = max(N_FFT, round(duration_s * SAMPLE_RATE))
    envelope = _Envelope(max(1, -(-total // ENVELOPE_BINS)))
    mel = _MelColumns(total)
    for block in blocks:
        envelope.push(block)
        mel.push(block)
    low, high = envelope.finish()
    return Picture(
        duration_s=duration_s,
        times=np.arange(len(low)) * (envelope.bin_size / SAMPLE_RATE),
        low=low,
        high=high,
        peak=float(max(np.max(high, initial=0.0), -np.min(low, initial=0.0))),
        mel_png=png_address(mel.finish()),
        mel_top=float(hz_to_mel(SAMPLE_RATE / 2)),
        mel_ticks=tuple(
            (float(hz_to_mel(hz)), f"{hz // 1000} kHz" if hz >= 1000 else f"{hz} Hz") for hz in TICKS_HZ
        ),
    )


class _Envelope:
    """Smallest and largest sample of each bin, block by block."""

    def __init__(self, bin_size: int) -> None:
        self.bin_size = bin_size
        self._rest = np.zeros(0, dtype=np.float32)
        self._low: list[np.ndarray] = []
        self._high: list[np.ndarray] = []

    def push(self, block: np.ndarray) -> None:
        samples = np.concatenate([self._rest, block])
        whole = len(samples) // self.bin_size * self.bin_size
        self._keep(samples[:whole].reshape(-1, self.bin_size))
        self._rest = samples[whole:]

    def _keep(self, bins: np.ndarray) -> None:
        if bins.size:
            self._low.append(bins.min(axis=1))
            self._high.append(bins.max(axis=1))

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        self._keep(self._rest[np.newaxis, :])
        if not self._low:
            return np.zeros(0, dtype=np.float32), np.zeros(0, dtype=np.float32)
        return np.concatenate(self._low), np.concatenate(self._high)


class _MelColumns:
    """Mel power at evenly spaced frames, block by block; their number is bounded however long the sound."""

    def __init__(self, total: int) -> None:
        from librosa.filters import mel

        per_column = int(np.clip(total // COLUMNS // (N_FFT // 2), 1, FRAMES_PER_COLUMN))
        self._per_column = per_column
        self._starts = np.linspace(0, total - N_FFT, COLUMNS * per_column).astype(np.int64)
        self._filters = mel(sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=N_MELS, norm=None).T.astype(np.float32)
        self._window = np.hanning(N_FFT).astype(np.float32)
        self._buffer = np.zeros(0, dtype=np.float32)
        self._offset = 0  # index in the whole sound of the buffer's first sample
        self._done = 0
        self._power: list[np.ndarray] = []

    def push(self, block: np.ndarray) -> None:
        self._buffer = np.concatenate([self._buffer, block])
        reach = self._offset + len(self._buffer) - N_FFT
        ready = int(np.searchsorted(self._starts, reach, side="right"))
        for part in _slices(self._done, ready):
            frames = self._buffer[(self._starts[part] - self._offset)[:, np.newaxis] + np.arange(N_FFT)]
            spectrum = np.abs(np.fft.rfft(frames * self._window, axis=1)) ** 2
            self._power.append((spectrum @ self._filters).astype(np.float32))
        self._done = max(self._done, ready)
        keep_from = self._starts[self._done] if self._done < len(self._starts) else reach + N_FFT
        drop = int(np.clip(keep_from - self._offset, 0, len(self._buffer)))
        self._buffer = self._buffer[drop:]
        self._offset += drop

    def finish(self) -> np.ndarray:
        """(COLUMNS, N_MELS) float32 power; a sound shorter than announced ends in silence."""
        power = np.zeros((len(self._starts), N_MELS), dtype=np.float32)
        if self._power:
            found = np.concatenate(self._power)
            power[: len(found)] = found
        return power.reshape(COLUMNS, self._per_column, N_MELS).mean(axis=1)


def _slices(start: int, stop: int, step: int = 512) -> Iterator[slice]:
    """``start`` to ``stop`` in pieces, so that gathering frames never holds more than a few MB."""
    for first in range(start, stop, step):
        yield slice(first, min(first + step, stop))


def png_address(power: np.ndarray) -> str:
    """(columns, mels) power as a ``data:image/png;base64`` address, low frequencies at the bottom."""
    from PIL import Image

    level = 10 * np.log10(np.maximum(power, 1e-10))
    top = float(level.max(initial=NOTHING_DB))
    shade = np.clip((level - top) / RANGE_DB + 1, 0, 1)
    image = Image.fromarray((shade.T[::-1] * 255).astype(np.uint8))
    image.putpalette(_palette())
    held = io.BytesIO()
    image.save(held, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(held.getvalue()).decode("ascii")


def _palette() -> list[int]:
    at = np.linspace(0, len(_STOPS) - 1, 256)
    channels = [np.interp(at, np.arange(len(_STOPS)), _STOPS[:, i]) for i in range(3)]
    return np.stack(channels, axis=1).round().astype(int).ravel().tolist()


def score_curve(times: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most ``SCORE_POINTS`` points of the score: the highest of each group, so that no cry drops out.

    Args:
        times: (T,) float64, seconds.
        scores: (T,) float32 in [0, 1].
    """
    group = -(-len(scores) // SCORE_POINTS)
    if group <= 1:
        return times, scores
    starts = np.arange(0, len(scores), group)
    return times[starts], np.maximum.reduceat(scores, starts)

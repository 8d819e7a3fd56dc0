"""Sound in: path, bytes, file object or array to mono float32 at 16 kHz, whole or in blocks.

``load`` gives one ``Waveform``; ``open_stream`` gives the same samples in blocks, so that a recording of a
day is never held whole. Both take the same road: limits before and while decoding, channels mixed to their
mean, one soxr resampler over the whole recording (no seams between blocks).

Mixing is the plain mean of the channels. Two channels of opposite polarity cancel then; when a mix loses more
than 99 % of its channels' energy, the result carries a warning.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np
import soxr

from pipeline._decode import ACCEPTED, ArrayDecoder, Decoder, open_decoder
from pipeline._inputs import array_decoder, name_of, open_file, printable
from pipeline.errors import AudioError, SettingsError
from pipeline.settings import Settings, get_settings

SAMPLE_RATE = 16_000
SUPPORTED_SUFFIXES = (
    ".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".aac", ".mp4", ".m4b", ".mov",
    ".webm", ".mka", ".mkv", ".3gp", ".3g2", ".caf", ".aif", ".aiff", ".amr", ".au", ".w64",
)  # fmt: skip
SILENCE_PEAK = 10 ** (-90 / 20)
_LOUD = 8.0


@dataclass(frozen=True, eq=False)
class Waveform:
    """A recording, ready to be heard by a model.

    Attributes:
        samples: (n,) float32, mono, 16 kHz, full scale 1.0, all finite.
        source: name for people.
        source_rate: sample rate it came with in Hz, or None when unknown.
        warnings: sentences on what may be wrong with it (cut short, cancelling channels).
    """

    samples: np.ndarray
    source: str = "recording"
    source_rate: int | None = None
    warnings: tuple[str, ...] = ()

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.samples) / SAMPLE_RATE

    @cached_property
    def is_silent(self) -> bool:
        """True when nothing in it is louder than -90 dBFS (one step of 16 bit): no cry, and no error."""
        if not len(self.samples):
            return True
        return max(float(self.samples.max()), -float(self.samples.min())) < SILENCE_PEAK


AudioSource: TypeAlias = "str | Path | bytes | bytearray | memoryview | BinaryIO | np.ndarray | Waveform"


def load(
    source: AudioSource,
    *,
    sample_rate: int | None = None,
    name: str | None = None,
    settings: Settings | None = None,
    start_s: float = 0.0,
    duration_s: float | None = None,
) -> Waveform:
    """Read a recording, or one stretch of it, as mono float32 at 16 kHz.

    Args:
        source: path; bytes of a file; binary file object (read from its start where it can be rewound, and
            never closed); ``Waveform``; or array, float (full scale 1.0), int16, int32 or uint8, of shape
            (n,), (n, channels) or (channels, n): the shorter axis is the channels, of equal ones the second.
        sample_rate: Hz; needed for arrays, refused for anything else.
        name: what to call it in messages; default the path, the file object's name or "recording".
        settings: limits of length and size; default the environment's.
        start_s: begin of the stretch, in seconds.
        duration_s: length of the stretch, in seconds; None reads to the end. Only the stretch is held in
            memory; WAV and FLAC are entered at its start, other formats are decoded up to it.

    Returns:
        Waveform with samples (n,) float32. Silence is returned like any sound (``is_silent``).

    Raises:
        AudioError: codes missing, directory, unreadable, empty, too-short, too-long, too-large, not-audio,
            no-audio-track, non-finite.
        SettingsError: start, duration or sample rate cannot be used.
    """
    if isinstance(source, Waveform) and start_s == 0 and duration_s is None:
        return source
    stream = _open(source, sample_rate, name, settings, block_s=None, start_s=start_s, duration_s=duration_s)
    blocks = list(stream)
    samples = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
    return Waveform(samples, stream.name, stream.source_rate, stream.warnings)


def open_stream(
    source: AudioSource,
    *,
    sample_rate: int | None = None,
    name: str | None = None,
    settings: Settings | None = None,
    block_s: float = 30.0,
) -> AudioStream:
    """Open a recording to be read in blocks of ``block_s`` seconds; arguments and errors as in ``load``.

    What can be known at once (missing, too large, not audio) is raised here; what only decoding tells (too
    short, too long, non-finite) is raised while iterating.
    """
    return _open(source, sample_rate, name, settings, block_s=block_s, start_s=0.0, duration_s=None)


class AudioStream:
    """Blocks of (n,) float32 at 16 kHz, the last one shorter; iterable once, also a context manager.

    Joined together they equal ``load(...).samples``. ``warnings``, ``duration_s`` and ``peak`` are complete
    after the last block.

    Attributes:
        name: name for people.
    """

    def __init__(
        self,
        decoder: Decoder,
        name: str,
        settings: Settings,
        *,
        block: int | None,
        start: int = 0,
        length: int | None = None,
        warnings: tuple[str, ...] = (),
        owned: BinaryIO | None = None,
    ) -> None:
        self.name = name
        self._decoder, self._settings, self._owned = decoder, settings, owned
        self._block, self._start, self._length = block, start, length
        self._inherited = warnings
        self._count = 0
        self._peak = 0.0
        self._channel_energy = self._mono_energy = 0.0
        self._started = False

    @property
    def source_rate(self) -> int | None:
        """Sample rate of the recording itself, Hz."""
        return self._decoder.rate or None

    @property
    def duration_s(self) -> float:
        """Seconds given out so far."""
        return self._count / SAMPLE_RATE

    @property
    def peak(self) -> float:
        """Largest absolute sample value given out so far."""
        return self._peak

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences on what may be wrong with the recording."""
        notes = [f"{self.name}: {note}." for note in self._decoder.damage]
        if self._mono_energy < 0.01 * self._channel_energy:
            notes.append(f"{self.name}: its channels cancel each other when mixed (opposite polarity?).")
        if self._peak > _LOUD:
            notes.append(
                f"{self.name}: peaks at {self._peak:.0f} times full scale; floats should stay within 1.0."
            )
        return (*self._inherited, *notes)

    def __iter__(self) -> Iterator[np.ndarray]:
        if self._started:
            raise RuntimeError(f"{self.name} has been read already: an AudioStream can be iterated once.")
        self._started = True
        return self._blocks()

    def __enter__(self) -> AudioStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; done by itself after the last block."""
        self._decoder.close()
        if self._owned is not None:
            self._owned.close()

    def _blocks(self) -> Iterator[np.ndarray]:
        try:
            held: list[np.ndarray] = []
            have = 0
            for piece in self._stretch():
                self._peak = max(self._peak, float(np.abs(piece).max()))
                if not math.isfinite(self._peak):  # finite but immense values overflow in the resampler
                    raise self._non_finite()
                self._count += len(piece)
                held.append(piece)
                have += len(piece)
                if self._block and have >= self._block:
                    joined = np.concatenate(held)
                    cut = have - have % self._block
                    yield from (joined[at : at + self._block] for at in range(0, cut, self._block))
                    held, have = [joined[cut:]], have - cut
            self._check_length()
            if have:
                yield np.concatenate(held)
        finally:
            self.close()

    def _stretch(self) -> Iterator[np.ndarray]:
        """The 16 kHz samples from ``start``, at most ``length`` of them."""
        # Whole seconds keep the resampler's phase; the second before the stretch settles its filter.
        ahead = max(0, self._start // SAMPLE_RATE - 1)
        at = self._decoder.skip(ahead) * SAMPLE_RATE if ahead else 0
        end = math.inf if self._length is None else self._start + self._length
        limit = self._settings.max_duration_s * SAMPLE_RATE
        for piece in self._resampled():
            low, high = max(0, self._start - at), min(len(piece), end - at)
            at += len(piece)
            if at > limit + 1:
                raise _too_long(self.name, self._settings, f"more than {limit / SAMPLE_RATE:,.0f} s")
            if low < high:
                yield piece[low : int(high)]
            if at >= end:
                return

    def _resampled(self) -> Iterator[np.ndarray]:
        resampler: soxr.ResampleStream | None = None
        rate = 0
        nothing = np.empty(0, np.float32)
        for block, block_rate in self._decoder.blocks():
            mono = self._mix(block)
            if block_rate != rate:  # a chained or adaptive stream may change its rate on the way
                if resampler is not None:
                    yield resampler.resample_chunk(nothing, last=True)
                rate = block_rate
                resampler = (
                    None
                    if rate == SAMPLE_RATE
                    else soxr.ResampleStream(rate, SAMPLE_RATE, 1, "float32", "HQ")
                )
            piece = mono if resampler is None else resampler.resample_chunk(mono)
            if len(piece):
                yield piece
        if resampler is not None:
            tail = resampler.resample_chunk(nothing, last=True)
            if len(tail):
                yield tail

    def _mix(self, block: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", over="ignore"):
            mono = block[:, 0] if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float32)
            mono = np.ascontiguousarray(mono)
            if not np.isfinite(mono).all():
                raise self._non_finite()
            if block.shape[1] > 1:
                self._mono_energy += float(np.dot(mono, mono))
                self._channel_energy += float(np.square(block).sum()) / block.shape[1]
        return mono

    def _non_finite(self) -> AudioError:
        return AudioError(
            f"{self.name}: samples that are NaN or infinite were found; each has to be a number.",
            "non-finite",
        )

    def _check_length(self) -> None:
        if not self._count:
            if self._start:
                raise AudioError(
                    f"{self.name}: it ends before {self._start / SAMPLE_RATE:g} s, where to begin.",
                    "too-short",
                )
            raise AudioError(f"{self.name}: no sound is in it (0 samples). Accepted: {ACCEPTED}.", "empty")
        shortest = self._settings.min_duration_s
        if self._length is None and not self._start and self._count < round(shortest * SAMPLE_RATE):
            raise AudioError(
                f"{self.name}: {self.duration_s:.3f} s of sound found; at least {shortest:g} s are needed.",
                "too-short",
            )


def _open(
    source: AudioSource,
    sample_rate: int | None,
    name: str | None,
    settings: Settings | None,
    *,
    block_s: float | None,
    start_s: float,
    duration_s: float | None,
) -> AudioStream:
    settings = settings or get_settings()
    _check_seconds(block_s, start_s, duration_s)
    warnings: tuple[str, ...] = ()
    owned: BinaryIO | None = None
    decoder: Decoder
    if isinstance(source, Waveform):
        label, warnings = printable(name or source.source), source.warnings
        decoder = ArrayDecoder(source.samples[:, None], SAMPLE_RATE)
    elif isinstance(source, np.ndarray):
        label = printable(name or "recording")
        decoder = array_decoder(source, sample_rate, label)
    else:
        if sample_rate is not None:
            raise SettingsError("sample_rate is for arrays only; files carry their own.")
        label = printable(name or name_of(source))
        file, owned = open_file(source, label, settings)
        try:
            decoder = open_decoder(file, label)
        except BaseException:
            if owned is not None:
                owned.close()
            raise
    stream = AudioStream(
        decoder,
        label,
        settings,
        block=None if block_s is None else max(1, round(block_s * SAMPLE_RATE)),
        start=round(start_s * SAMPLE_RATE),
        length=None if duration_s is None else max(1, round(duration_s * SAMPLE_RATE)),
        warnings=warnings,
        owned=owned,
    )
    known = decoder.known_duration_s()
    if known is not None and known > settings.max_duration_s:
        stream.close()
        raise _too_long(label, settings, f"{known:,.0f} s")
    return stream


def _check_seconds(block_s: float | None, start_s: float, duration_s: float | None) -> None:
    for value, what in ((block_s, "block_s"), (duration_s, "duration_s")):
        if value is not None and not (value > 0 and math.isfinite(value)):
            raise SettingsError(f"{what} cannot be {value!r}: a number of seconds above 0 is needed.")
    if not (start_s >= 0 and math.isfinite(start_s)):
        raise SettingsError(f"start_s cannot be {start_s!r}: a number of seconds from 0 is needed.")


def _too_long(name: str, settings: Settings, found: str) -> AudioError:
    return AudioError(
        f"{name}: {found} of sound were found; at most {settings.max_duration_s:,.0f} s are accepted "
        "(CRY_MAX_DURATION_S).",
        "too-long",
    )

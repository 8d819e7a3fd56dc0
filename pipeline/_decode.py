"""Decoders behind ``audio.py``: libsndfile first, FFmpeg (PyAV) for what it cannot read, arrays as they are.

Every byte here comes from strangers. Formats are held to an allow-list on both libraries, no decoder is ever
given a path or an address (only an open file object), headers are believed for nothing but a warning, and
whatever a decoder raises becomes an ``AudioError``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, Protocol

import numpy as np
import soundfile

from pipeline._sniff import cut_to, identify, length_is_written, missing_end
from pipeline.errors import AudioError

if TYPE_CHECKING:
    import av

ACCEPTED = "WAV, FLAC, OGG, MP3, M4A/AAC, WebM/Opus, 3GP or CAF"
MIN_RATE, MAX_RATE = 1_000, 768_000
MAX_CHANNELS = 64
# libsndfile knows many more (MATLAB, sampler and synthesizer files): none of them is a recording of a child.
SNDFILE_FORMATS = frozenset({"WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "FLAC", "OGG", "CAF"})
# Right when read whole; but read in blocks, soundfile 0.14 with libsndfile 1.2.2 repeats and drops samples of
# MP3 and Opus (it seeks between reads, which these decoders cannot do exactly): FFmpeg reads both.
NOT_BY_SNDFILE = frozenset({"OPUS", "MPEG_LAYER_III", "MPEG_LAYER_II", "MPEG_LAYER_I"})
SEEKABLE = frozenset({"WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "FLAC"})
# Demuxers that read one file and nothing else: no playlist (hls, dash, concat), device or generator (lavfi).
DEMUXERS = "wav,w64,flac,ogg,mp3,aac,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,caf,aiff,au,amr"
VALUES_PER_BLOCK = 1 << 17
MAX_FAILURES = 5_000  # packets in a row that cannot be decoded: minutes of nothing but damage

_STREAMED_SIZES = (0x7FFFF000, 0)  # a recorder that cannot go back writes 2**31-1 or 2**32-1 (or 0) as length


class Decoder(Protocol):
    """A recording being decoded, once, from its start.

    ``rate``: sample rate first found, Hz. ``damage``: sentences on what was lost, complete after ``blocks``.
    """

    rate: int
    damage: list[str]

    def known_duration_s(self) -> float | None:
        """Length when it is certain (derived from data present, not from a header's claim), else None."""

    def skip(self, seconds: int) -> int:
        """Jump over whole seconds before reading; returns those really skipped (0 where it cannot)."""

    def blocks(self) -> Iterator[tuple[np.ndarray, int]]:
        """Yield ((frames, channels) float32, rate in Hz); full scale is 1.0."""

    def close(self) -> None:
        """Let go of decoder state (not of the file)."""


def open_decoder(file: BinaryIO, name: str) -> Decoder:
    """Find the decoder for an open, seekable binary file.

    Raises:
        AudioError: ``not-audio`` or ``no-audio-track``.
    """
    file.seek(0)
    found, reader = identify(file.read(64))
    if reader == "nobody":
        raise AudioError(_refusal(name, found), "not-audio")
    if reader == "sndfile":
        file.seek(0)
        try:
            return SndfileDecoder(file, name)
        except (soundfile.SoundFileError, OSError, ValueError, TypeError, RuntimeError):
            pass  # FFmpeg reads more codecs in the same containers; its refusal is the one reported
    return AvDecoder(file, name, found)


def _refusal(name: str, found: str) -> str:
    if found.startswith(("an MP4", "a QuickTime")):
        return (
            f"{name}: {found} was found, but it is damaged or cut short and its index is missing, so no "
            f"sound can be read from it. Accepted: {ACCEPTED}."
        )
    return f"{name}: not a readable sound file ({found} was found). Accepted: {ACCEPTED}."


def check_shape(rate: int, channels: int, name: str) -> None:
    """Refuse sample rates and channel counts that no recording has."""
    if not MIN_RATE <= rate <= MAX_RATE:
        raise AudioError(
            f"{name}: a sample rate of {rate} Hz was found; {MIN_RATE:,} to {MAX_RATE:,} Hz are accepted.",
            "not-audio",
        )
    if not 1 <= channels <= MAX_CHANNELS:
        raise AudioError(
            f"{name}: {channels} channels were found; 1 to {MAX_CHANNELS} are accepted.", "not-audio"
        )


class _Nameless:
    """A file object without its name: soundfile guesses formats from a name's ending (even bare RAW)."""

    def __init__(self, file: BinaryIO) -> None:
        self.read, self.seek, self.tell = file.read, file.seek, file.tell
        if hasattr(file, "readinto"):
            self.readinto = file.readinto


class SndfileDecoder:
    """libsndfile over a file object. Opening reads the first block: what it cannot decode shows at once."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._sound = soundfile.SoundFile(_Nameless(file))
        self.damage: list[str] = []
        self._failed = False
        self._done = 0
        try:
            self.rate, self._channels = self._sound.samplerate, self._sound.channels
            if self._sound.format not in SNDFILE_FORMATS or self._sound.subtype in NOT_BY_SNDFILE:
                raise soundfile.SoundFileRuntimeError("not a format for libsndfile")
            check_shape(self.rate, self._channels, name)
            self._claimed = self._sound.frames
            self._size = max(1024, VALUES_PER_BLOCK // self._channels)
            self._first: np.ndarray | None = self._read()
            if not len(self._first):
                raise soundfile.SoundFileRuntimeError("no frames decoded")
        except Exception:
            self._sound.close()
            raise

    def known_duration_s(self) -> float | None:
        """libsndfile holds PCM lengths to the bytes that are there; compressed lengths are a claim."""
        raw = self._sound.format in SEEKABLE - {"FLAC"}
        return self._claimed / self.rate if raw else None

    def skip(self, seconds: int) -> int:
        if self._sound.format not in SEEKABLE or seconds * self.rate >= self._claimed:
            return 0
        try:
            self._sound.seek(seconds * self.rate)
        except soundfile.SoundFileError:  # a damaged file: go back and read through it instead
            self._sound.seek(0)
            seconds = 0
        self._first, self._done = None, seconds * self.rate
        return seconds

    def blocks(self) -> Iterator[tuple[np.ndarray, int]]:
        while True:
            block = self._first if self._first is not None else self._read()
            self._first = None
            if not len(block):
                break
            self._done += len(block)
            yield block, self.rate
        self._note_damage()

    def close(self) -> None:
        self._sound.close()

    def _read(self) -> np.ndarray:
        """One block; on a decoding error, the frames before it."""
        if self._failed:
            return np.empty((0, self._channels), np.float32)
        # A failing read leaves what it decoded in the buffer but not its length: mark the rest.
        buffer = np.full((self._size, self._channels), np.nan, np.float32)
        try:
            return self._sound.read(self._size, dtype="float32", always_2d=True, out=buffer)
        except soundfile.SoundFileError:
            self._failed = True
            unread = np.isnan(buffer[:, -1])
            return buffer[: int(np.argmax(unread)) if unread.any() else self._size]

    def _note_damage(self) -> None:
        info = self._sound.extra_info
        cut = re.search(r"\b(?:data|SSND)\s*:\s*(\d+) \(should be (\d+)\)", info)
        lost_s = (self._claimed - self._done) / self.rate
        if self._failed or (self._claimed < 2**62 and lost_s > 0.1):
            self.damage.append(f"it is damaged or cut short: {self._done / self.rate:.1f} s could be read")
        elif cut and int(cut[2]) < int(cut[1]) < _STREAMED_SIZES[0]:
            self.damage.append(cut_to(int(cut[2]) / int(cut[1])))
        elif "lacks an end-of-stream bit" in info or "Junk after the last page" in info:
            self.damage.append(
                f"it ends without its end mark, probably cut short: {self._done / self.rate:.1f} s read"
            )


class AvDecoder:
    """FFmpeg through PyAV, over a file object, with demuxers held to ``DEMUXERS``."""

    def __init__(self, file: BinaryIO, name: str, found: str) -> None:
        import av

        self._name, self._found = name, found
        self._end = missing_end(file, found)
        self._counted = length_is_written(file, found)
        file.seek(0)
        self.damage: list[str] = []
        try:
            self._container: av.container.InputContainer = av.open(
                _Nameless(file),
                mode="r",
                metadata_errors="replace",
                options={"format_whitelist": DEMUXERS, "protocol_whitelist": "none"},
            )
        except (av.error.FFmpegError, OSError, ValueError, RuntimeError) as error:
            raise AudioError(_refusal(name, found), "not-audio") from error
        try:
            self._stream = self._pick()
            self.rate = int(self._stream.codec_context.sample_rate or 0)
            if self.rate:
                check_shape(self.rate, self._stream.codec_context.channels or 1, name)
        except AudioError:
            self._container.close()
            raise

    def known_duration_s(self) -> float | None:
        return None

    def skip(self, seconds: int) -> int:
        return 0

    def blocks(self) -> Iterator[tuple[np.ndarray, int]]:
        done_s, bad = 0.0, 0
        held: list[np.ndarray] = []  # FFmpeg's frames last milliseconds: join them before any arithmetic
        held_values = 0
        kind: tuple[int, int, str] = (0, 0, "")  # rate, channels, sample format
        for frame in self._frames():
            if frame is None:
                bad += 1
                continue
            now = (frame.sample_rate, frame.layout.nb_channels, frame.format.name)
            if held and (now != kind or held_values >= VALUES_PER_BLOCK):
                yield _joined(held, kind), kind[0]
                held, held_values = [], 0
            if now != kind:
                kind = now
                check_shape(kind[0], kind[1], self._name)
                self.rate = self.rate or kind[0]
            held.append(frame.to_ndarray())
            held_values += held[-1].size
            done_s += frame.samples / kind[0]
        if held:
            yield _joined(held, kind), kind[0]
        if bad and not done_s:
            raise AudioError(_refusal(self._name, self._found), "not-audio")
        self._note_damage(done_s, bad)

    def close(self) -> None:
        self._container.close()

    def _pick(self) -> av.AudioStream:
        streams = [stream for stream in self._container.streams.audio if stream.codec_context is not None]
        if streams:
            return streams[0]
        if self._container.streams.audio:
            raise AudioError(
                f"{self._name}: its sound is in a coding that cannot be read here. Accepted: {ACCEPTED}.",
                "not-audio",
            )
        raise AudioError(
            f"{self._name}: {self._found} without a sound track was found. Accepted: a file with sound in it "
            f"({ACCEPTED}).",
            "no-audio-track",
        )

    def _frames(self) -> Iterator[av.AudioFrame | None]:
        """Decoded frames; None for each packet that could not be decoded."""
        import av

        packets = self._container.demux(self._stream)
        failures = 0
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except (av.error.FFmpegError, OSError, ValueError):  # the file ends in the middle of something
                yield None
                return
            try:
                frames = packet.decode()
            except (av.error.FFmpegError, OSError, ValueError):
                yield None
                failures += 1
                if failures > MAX_FAILURES:
                    return
                continue
            failures = 0
            yield from (frame for frame in frames if isinstance(frame, av.AudioFrame) and frame.samples)

    def _note_damage(self, done_s: float, bad: int) -> None:
        import av

        claimed = (self._container.duration or 0) / av.time_base if self._counted else 0.0
        if bad:
            self.damage.append(f"it is damaged or cut short: {done_s:.1f} s could be read")
        elif claimed - done_s > max(0.25, 0.01 * done_s):
            self.damage.append(f"it is cut short: {done_s:.1f} s could be read of {claimed:.1f} s announced")
        elif self._end:
            self.damage.append(self._end)


def _joined(frames: list[np.ndarray], kind: tuple[int, int, str]) -> np.ndarray:
    """Decoded FFmpeg frames (planar: (channels, n), else (1, n * channels)) as one (n, channels) float32."""
    values = np.concatenate(frames, axis=1)
    return to_float(values.T if kind[2].endswith("p") else values.reshape(-1, kind[1]))


def to_float(values: np.ndarray) -> np.ndarray:
    """Integers to float32 with full scale at 1.0 (uint8 is centred on 128); floats as they are."""
    if values.dtype == np.uint8:
        return (values.astype(np.float32) - 128.0) / 128.0
    if values.dtype.kind == "i":
        return (values / 2.0 ** (8 * values.dtype.itemsize - 1)).astype(np.float32)
    with np.errstate(over="ignore"):  # beyond float32 becomes infinite, and is refused as such
        return values.astype(np.float32, copy=False)


class ArrayDecoder:
    """Samples that are in memory already."""

    def __init__(self, values: np.ndarray, rate: int) -> None:
        self._values, self.rate = values, rate
        self.damage: list[str] = []

    def known_duration_s(self) -> float | None:
        return len(self._values) / self.rate

    def skip(self, seconds: int) -> int:
        if seconds * self.rate >= len(self._values):
            return 0
        self._values = self._values[seconds * self.rate :]
        return seconds

    def blocks(self) -> Iterator[tuple[np.ndarray, int]]:
        size = max(1024, VALUES_PER_BLOCK // self._values.shape[1])
        for start in range(0, len(self._values), size):
            yield to_float(self._values[start : start + size]), self.rate

    def close(self) -> None:
        self._values = self._values[:0]

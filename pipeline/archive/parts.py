"""A long recording heard in parts, by several workers, with the result of hearing it whole.

Parts are cut between windows (every 0.48 s). Each is given all samples that its windows hear, so parts
overlap by what one window hears more than one hop. Their scores, put together, are the scores of the whole,
to the last bit; all that follows (silence, evidence, episodes, reasons) is ``CryPipeline.analyze``'s, once.

The samples have to be the same ones. A file at 16 kHz in a format that can be entered anywhere is read from
where a part begins. A resampler's output depends, in its last bits, on where it was started, and compressed
formats cannot be entered exactly: all others are decoded from their beginning for each part, which costs a
quarter of what the student costs, and nothing beside YAMNet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from pipeline import audio
from pipeline._decode import SEEKABLE, AvDecoder, SndfileDecoder
from pipeline.analysis import Analysis, CryPipeline
from pipeline.embedding.base import FRAME_SAMPLES, HOP_SAMPLES
from pipeline.errors import AudioError

if TYPE_CHECKING:
    from pipeline.audio import AudioSource, AudioStream
    from pipeline.settings import Settings

# Recordings longer than this are heard in parts, in seconds.
LONG_S = 3600.0
# Ten minutes: small enough to share out and to hold in memory, long beside the overlap.
PART_WINDOWS = 1250
_BLOCK = 30 * audio.SAMPLE_RATE
# Windows heard before a part and thrown away. None are needed while a window's score follows from its own
# samples alone; anything before the embedder that remembers (a slow gain) would need as many as it remembers.
CONTEXT_WINDOWS = 0


@dataclass(frozen=True, slots=True)
class Length:
    """What a file says of its length, and whether it can be entered exactly, anywhere."""

    seconds: float
    direct: bool


@dataclass(frozen=True, slots=True)
class Part:
    """Windows ``first`` to ``first + count``; None: to the end."""

    first: int
    count: int | None


def measured(source: AudioSource, name: str, settings: Settings) -> Length:
    """Length and entrance of a recording as its header claims; 0 s when it claims none.

    The claim is only planned with: parts that do not turn out as planned are heard again, whole.

    Raises:
        AudioError: it cannot be opened as sound.
    """
    with audio.open_stream(source, name=name, settings=settings) as stream:
        decoder = stream._decoder
        if isinstance(decoder, SndfileDecoder):
            direct = decoder.rate == audio.SAMPLE_RATE and decoder._sound.format in SEEKABLE
            return Length(decoder._claimed / decoder.rate, direct)
        if isinstance(decoder, AvDecoder):
            return Length((decoder._container.duration or 0) / 1e6, False)
        return Length(decoder.known_duration_s() or 0.0, True)


def divided(length: Length, workers: int) -> list[Part]:
    """The parts of a recording: of ten minutes, or, where each is decoded from the beginning, one per worker.

    The last one is open: where the recording really ends is seen only then.
    """
    windows = int(length.seconds * audio.SAMPLE_RATE) // HOP_SAMPLES
    size = PART_WINDOWS if length.direct else max(PART_WINDOWS, -(-windows // workers))
    firsts = list(range(0, max(1, windows - size // 2), size))
    return [Part(first, size) for first in firsts[:-1]] + [Part(firsts[-1], None)]


def hear(
    pipeline: CryPipeline, source: AudioSource, part: Part, *, direct: bool, name: str, settings: Settings
) -> dict[str, Any]:
    """Score the windows of one part.

    Returns:
        ``first`` and ``count`` as asked for; ``scores``, one per window; ``samples``, where the part ends,
        in samples at 16 kHz; ``peak``, largest absolute value; ``regular``: it turned out as planned, and
        nothing is wrong with it.

    Raises:
        AudioError: as :func:`pipeline.audio.load`.
    """
    before = min(part.first, CONTEXT_WINDOWS)
    window = int(pipeline._head.window)
    start = (part.first - before) * HOP_SAMPLES
    length = None
    if part.count is not None:
        length = (before + part.count + window - 2) * HOP_SAMPLES + FRAME_SAMPLES
    stretch = _direct if direct else _from_the_beginning
    heard = _Stretch(source, name, settings, start, length)
    scores = pipeline._score(stretch(heard))[before:]  # type: ignore[arg-type]
    complete = heard.count == length and len(scores) == part.count if length else len(scores) > 0
    return {
        "first": part.first,
        "count": part.count,
        "scores": scores.tolist(),
        "samples": start + heard.count,
        "peak": heard.peak,
        "regular": bool(complete and not heard.warnings),
    }


def joined(
    pipeline: CryPipeline, source: AudioSource, found: Sequence[Mapping[str, Any]], *, name: str
) -> Analysis:
    """What ``pipeline.analyze(source)`` gives, from the parts, sorted, instead of from the sound."""
    scores = np.concatenate([np.asarray(part["scores"], dtype=np.float32) for part in found])
    peak = max(part["peak"] for part in found)
    return _AsHeard(pipeline, scores, found[-1]["samples"], peak).analyze(source, name=name)


class _AsHeard(CryPipeline):
    """A pipeline whose recording has been listened to already: it goes on from the scores."""

    def __init__(self, pipeline: CryPipeline, scores: NDArray[np.float32], samples: int, peak: float) -> None:
        super().__init__(pipeline.embedder, pipeline._head, pipeline.reason_model, pipeline._settings)
        self._scores, self._samples, self._peak = scores, samples, peak

    def _score(self, stream: AudioStream) -> NDArray[np.float32]:
        stream._count, stream._peak = self._samples, self._peak
        return self._scores


@dataclass(slots=True)
class _Stretch:
    """A stretch of a recording, in samples at 16 kHz, and what was found when it was read."""

    source: AudioSource
    name: str
    settings: Settings
    start: int
    length: int | None
    count: int = 0
    peak: float = 0.0
    warnings: tuple[str, ...] = ()

    def take(self, block: np.ndarray) -> np.ndarray:
        self.count += len(block)
        self.peak = max(self.peak, float(np.abs(block).max()))
        return block


def _direct(stretch: _Stretch) -> Iterator[np.ndarray]:
    """In blocks, read from where it begins."""
    rate = audio.SAMPLE_RATE
    try:
        waveform = audio.load(
            stretch.source,
            name=stretch.name,
            settings=stretch.settings,
            start_s=stretch.start / rate,
            duration_s=None if stretch.length is None else stretch.length / rate,
        )
    except soundfile.SoundFileError as error:  # a damaged file refuses to be entered there
        raise AudioError(
            f"{stretch.name}: damaged near {stretch.start / rate:.0f} s.", "not-audio"
        ) from error
    stretch.warnings = waveform.warnings
    for at in range(0, len(waveform.samples), _BLOCK):
        yield stretch.take(waveform.samples[at : at + _BLOCK])


def _from_the_beginning(stretch: _Stretch) -> Iterator[np.ndarray]:
    """In blocks; what comes before is decoded and passed over."""
    end = np.inf if stretch.length is None else stretch.start + stretch.length
    at = 0
    with audio.open_stream(stretch.source, name=stretch.name, settings=stretch.settings) as stream:
        for block in stream:
            low, high = max(0, stretch.start - at), int(min(len(block), end - at))
            at += len(block)
            if low < high:
                yield stretch.take(block[low:high])
            if at >= end:
                break
        stretch.warnings = stream.warnings

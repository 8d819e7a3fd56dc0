"""What one recording is, in numbers: how it was stored, how it sounds to a fingerprint and to the student.

Kept on disk by the SHA-256 of the file's bytes, so that a second audit (or one that was interrupted) reads no
audio again, whatever the files are called.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from pipeline._decode import AvDecoder, Decoder, SndfileDecoder, open_decoder
from pipeline._inputs import open_file
from pipeline.audio import load
from pipeline.embedding.student import StudentEmbedder
from pipeline.errors import AudioError
from pipeline.evaluation.audit import fingerprint
from pipeline.settings import Settings

LONGEST_S = 1800.0
"""Of a longer recording, this many seconds from its start are looked at."""
SEGMENT_FRAMES = 21  # of the embedding: 10 s
_RECIPE = "3"  # raise when anything measured here changes, so that cached values are not mixed up
_CLIFF_DB = 18.0
_FLOOR_DB = -120.0
_LEVEL = 0.1  # RMS at which the student hears every recording, so that a copy at another gain looks the same

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Traits:
    """What was done to a recording rather than what it is of.

    Attributes:
        rate: sample rate of the file, Hz; channels: number of them.
        container, codec: such as "WAV" and "PCM_16".
        duration_s: length in seconds (at most LONGEST_S; ``cut`` when it was longer).
        rms_db, peak_db: level of the mono mix, dB relative to full scale; -120 for digital silence.
        edge_hz: highest frequency within 70 dB of the strongest.
        limit_hz: where the spectrum falls off a cliff (a low-pass filter, a former lower sample rate), else
            half the sample rate.
        zeros: share of samples that are exactly zero, [0, 1].
        digest: SHA-256 of the decoded sound at 16 kHz, rounded to 16 bit, digital silence around it left
            out: equal for the same samples in another container. Empty for digital silence.
    """

    rate: int
    channels: int
    container: str
    codec: str
    duration_s: float
    cut: bool
    rms_db: float
    peak_db: float
    edge_hz: float
    limit_hz: float
    zeros: float
    digest: str


@dataclass(frozen=True, eq=False)
class Evidence:
    """Everything kept about one recording.

    Attributes:
        traits: see there.
        hashes, times: landmarks, (k,) uint32 and (k,) int32 (``fingerprint.landmarks``).
        bands: (columns, 33) float16 (``fingerprint.band_energies``).
        embedding: (1 + segments, 2048) float32: mean and standard deviation of the student's frames, of the
            whole recording and, when it is longer than 15 s, of each 10 s.
    """

    traits: Traits
    hashes: NDArray[np.uint32]
    times: NDArray[np.int32]
    bands: NDArray[np.float16]
    embedding: FloatArray


def examine(path: Path, name: str, student: StudentEmbedder, cache: Path, settings: Settings) -> Evidence:
    """The evidence of one recording, from the cache when these bytes were looked at before.

    Raises:
        AudioError: it cannot be used.
    """
    file, _ = open_file(path, name, settings)
    with file:
        try:
            key = hashlib.file_digest(cast(io.BufferedReader, file), "sha256")
            key.update(f"{_RECIPE} {student.checksum}".encode())
            place = cache / "audit" / key.hexdigest()[:2] / f"{key.hexdigest()}.npz"
            kept = _read(place)
            if kept is not None:
                return kept
            file.seek(0)
            found = _measure(open_decoder(file, name), name, student, settings)
        except OSError as error:
            raise AudioError(
                f"{name}: it cannot be read ({error.strerror or error}).", "unreadable"
            ) from error
    _write(place, found)
    return found


def sound_of(path: Path, name: str, settings: Settings) -> FloatArray:
    """The sound that the evidence is about: (n,) float32 mono at 16 kHz, the first half hour at most.

    Raises:
        AudioError: it cannot be used.
    """
    file, _ = open_file(path, name, settings)
    with file:
        decoder = open_decoder(file, name)
        try:
            mono, rate, _, _ = _decoded(decoder, name)
        finally:
            decoder.close()
    return load(mono, sample_rate=rate, name=name, settings=settings).samples


def _measure(decoder: Decoder, name: str, student: StudentEmbedder, settings: Settings) -> Evidence:
    try:
        mono, rate, channels, cut = _decoded(decoder, name)
        container, codec = _coding(decoder)
    finally:
        decoder.close()
    samples = load(mono, sample_rate=rate, name=name, settings=settings).samples
    edge, limit = band_edges(mono, rate)
    traits = Traits(
        rate=rate,
        channels=channels,
        container=container,
        codec=codec,
        duration_s=len(mono) / rate,
        cut=cut,
        rms_db=_decibels(float(np.sqrt(np.mean(np.square(mono, dtype=np.float64))))),
        peak_db=_decibels(float(np.abs(mono).max())),
        edge_hz=edge,
        limit_hz=limit,
        zeros=float(np.mean(mono == 0)),
        digest=digest_of(samples),
    )
    hashes, times = fingerprint.landmarks(samples)
    return Evidence(traits, hashes, times, fingerprint.band_energies(samples), _heard(samples, student))


def _decoded(decoder: Decoder, name: str) -> tuple[FloatArray, int, int, bool]:
    """Mono samples at the file's own rate, that rate, number of channels, whether more was left unread."""
    blocks: list[FloatArray] = []
    rate = channels = count = 0
    cut = False
    for block, block_rate in decoder.blocks():
        if rate and (block_rate, block.shape[1]) != (rate, channels):
            raise AudioError(f"{name}: its sample rate or channels change on the way.", "not-audio")
        rate, channels = block_rate, block.shape[1]
        blocks.append(block[:, 0] if channels == 1 else block.mean(axis=1, dtype=np.float32))
        count += len(block)
        if count > LONGEST_S * rate:
            cut = True
            break
    if not count:
        raise AudioError(f"{name}: no sound is in it.", "empty")
    mono = np.ascontiguousarray(np.concatenate(blocks)[: int(LONGEST_S * rate)], dtype=np.float32)
    if not np.isfinite(mono).all():
        raise AudioError(f"{name}: samples that are NaN or infinite were found.", "non-finite")
    return mono, rate, channels, cut


def _coding(decoder: Decoder) -> tuple[str, str]:
    """Container and codec as the decoding library names them."""
    if isinstance(decoder, SndfileDecoder):
        return str(decoder._sound.format), str(decoder._sound.subtype)
    if isinstance(decoder, AvDecoder):
        container = decoder._container.format.name.split(",")[0].upper()
        return container, str(decoder._stream.codec_context.name).upper()
    return "unknown", "unknown"


def digest_of(samples: FloatArray) -> str:
    """SHA-256 of (n,) samples rounded to 16 bit, without digital silence at both ends; "" for silence."""
    whole = np.clip(np.round(samples * 32767.0), -32768, 32767).astype("<i2")
    sounding = np.flatnonzero(whole)
    if not len(sounding):
        return ""
    return hashlib.sha256(whole[sounding[0] : sounding[-1] + 1].tobytes()).hexdigest()


def _decibels(value: float) -> float:
    return max(_FLOOR_DB, 20 * float(np.log10(max(value, 1e-12))))


def band_edges(mono: FloatArray, rate: int) -> tuple[float, float]:
    """How far up a recording's spectrum reaches, and where a filter cut it off.

    Args:
        mono: (n,) float32 samples at ``rate`` Hz.

    Returns:
        Highest frequency whose mean power lies within 70 dB of the strongest; and the frequency of the
        steepest cliff above 1 kHz, behind which nothing comes back: the median level of the 500 Hz below lies
        18 dB or more above that of the 500 Hz (or less, up to the end) above, and above all that follows.
        Without such a cliff, half the sample rate. Both in Hz.
    """
    nyquist = rate / 2
    size = int(2 ** np.round(np.log2(rate / 20)))  # about 20 Hz per bin
    level = _mean_spectrum_db(mono, size)
    if level is None:
        return nyquist, nyquist
    width = rate / size
    edge = min(nyquist, float((np.flatnonzero(level > level.max() - 70)[-1] + 1) * width))
    span, gap = max(3, round(500 / width)), max(1, round(100 / width))
    from scipy.ndimage import median_filter

    smooth = median_filter(level, size=span, mode="nearest")
    half = span // 2
    places = np.arange(max(round(1000 / width), half + gap), len(level) - half - gap)
    if not len(places):
        return edge, nyquist
    # Highest smoothed level from each place on: a gap in the middle of a spectrum is no band limit.
    after = np.maximum.accumulate(smooth[::-1])[::-1]
    drop = smooth[places - half - gap] - after[places + half + gap]
    best = int(drop.argmax())
    return edge, float(places[best] * width) if drop[best] >= _CLIFF_DB else nyquist


def _mean_spectrum_db(mono: FloatArray, size: int) -> NDArray[np.float64] | None:
    """Mean power spectrum in dB relative to its highest value, at least -110; None for digital silence."""
    from scipy.fft import rfft

    if len(mono) < size:
        mono = np.pad(mono, (0, size - len(mono)))
    frames = np.lib.stride_tricks.sliding_window_view(mono, size)[:: size // 2]
    shape = np.blackman(size).astype(np.float32)  # side lobes below -58 dB and falling: a cliff stays a cliff
    power = np.zeros(size // 2 + 1)
    for start in range(0, len(frames), 512):
        power += np.square(np.abs(rfft(frames[start : start + 512] * shape)), dtype=np.float64).sum(axis=0)
    power[:2] = 0  # an offset is no sound
    top = float(power.max())
    return 10 * np.log10(power / top + 1e-11) if top > 0 else None


def _heard(samples: FloatArray, student: StudentEmbedder) -> FloatArray:
    """The student's pooled frames at a set level; see :class:`Evidence`."""
    rms = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
    frames = student.embed(samples * np.float32(_LEVEL / rms) if rms > 1e-7 else samples)
    pieces = [frames]
    if len(frames) > 1.5 * SEGMENT_FRAMES:
        pieces += np.array_split(frames, round(len(frames) / SEGMENT_FRAMES))
    return np.stack([np.concatenate([piece.mean(axis=0), piece.std(axis=0)]) for piece in pieces])


def _read(place: Path) -> Evidence | None:
    """Cached evidence, or None when there is none or it is damaged."""
    try:
        with np.load(place, allow_pickle=False) as held:
            traits = Traits(**json.loads(str(held["traits"])))
            return Evidence(
                traits, held["hashes"], held["times"], held["bands"], held["embedding"].astype(np.float32)
            )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None  # cut short by a full disk: measured again, and written anew


def _write(place: Path, found: Evidence) -> None:
    """Save so that presence means it is whole."""
    content = io.BytesIO()
    arrays: dict[str, Any] = {
        "traits": np.array(json.dumps(asdict(found.traits))),
        "hashes": found.hashes,
        "times": found.times,
        "bands": found.bands,
        "embedding": found.embedding.astype(np.float16),
    }
    np.savez(content, **arrays)
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=place.parent, suffix=".part", delete=False) as part:
        part.write(content.getvalue())
    os.replace(part.name, place)

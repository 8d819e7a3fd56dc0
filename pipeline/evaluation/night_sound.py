"""Annotated nights: hours of sound made of recordings, with exact truth, streamed in blocks.

A background never stops. Over it come other sounds and, in a night with crying, episodes; each from a place
of its own in a room (:mod:`pipeline.evaluation.night_room`). An episode is then set to the asked
signal-to-noise ratio: mean power of its pieces, as heard in the room, over that of the background in
just that stretch, both above 250 Hz. (Cries begin there. Hum and rumble below would make any ratio easy.)
Other sounds are as loud as their level at one metre and their place make them.

Everything is planned first (:mod:`pipeline.evaluation.night_plan`), and rendered sound by sound, each from a
seed of its own, when a block needs it: the same options give the same samples, whatever the blocks.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import SettingsError
from pipeline.evaluation import night_material as material
from pipeline.evaluation.night_crying import CRY_BAND_HZ
from pipeline.evaluation.night_material import FloatArray, Material, Sound
from pipeline.evaluation.night_plan import NIGHT_VERSION, NightOptions, Piece, plan_night
from pipeline.evaluation.night_room import SAMPLE_RATE, hear
from pipeline.evaluation.night_truth import CryEpisode, OtherSound, write_truth

BLOCK_S = 30.0
_BED_S, _BED_FADE_S = 60.0, 1.0
# A sleep machine is set to another noise after this long.
_SAME_NOISE_S = 600.0
_FADE = SAMPLE_RATE // 50
_BED, _EPISODE, _SOUND, _NOISE_KIND = range(4)


@dataclass(frozen=True)
class _Layer:
    """One sound of a night: where it goes, and how it is made (``length`` samples at the most)."""

    start: int
    length: int
    make: Callable[[], NDArray[np.float64]]


class Night:
    """A planned night: its truth, and its sound in blocks.

    Attributes:
        truth: what is in it; name: of the night, as in the truth.
    """

    def __init__(self, sounds: Material, options: NightOptions) -> None:
        """Plan a night of a fold's sounds.

        Raises:
            SettingsError: the fold has no such background.
            DataError: the fold's cries or sounds cannot be used.
            AudioError: a recording cannot be read.
        """
        self._plan = plan_night(sounds, options)
        self.truth = self._plan.truth
        self.name = self.truth.name
        self._samples = round(self.truth.duration_s * SAMPLE_RATE)
        self._recordings = sounds.of_background(options.background)
        self._bed = self._bed_layers()
        self._layers = [
            *self._bed,
            *map(self._sound_layer, range(len(self._plan.cuts)), self.truth.sounds, self._plan.cuts),
            *map(self._episode_layer, range(len(self._plan.pieces)), self.truth.episodes, self._plan.pieces),
        ]

    @functools.cached_property
    def key(self) -> str:
        """Hex digest of the truth and of the content of every recording used."""
        used: set[Sound] = {p.sound for pieces in self._plan.pieces for p in pieces}
        used |= {cut.sound for cut in self._plan.cuts} | set(self._recordings)
        parts = [str(NIGHT_VERSION), self.truth.to_json(), *sorted(map(material.digest, used))]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]

    def blocks(self, block_s: float = BLOCK_S) -> Iterator[FloatArray]:
        """The sound: mono float32 at 16 kHz in [-1, 1], in blocks of ``block_s`` (the last may be shorter).

        Each sample is the sum of the same numbers in the same order however the blocks are cut.
        """
        size = max(1, round(block_s * SAMPLE_RATE))
        playing: dict[int, NDArray[np.float64]] = {}
        for start in range(0, self._samples, size):
            end = min(start + size, self._samples)
            out = np.zeros(end - start)
            for i, layer in enumerate(self._layers):
                if layer.start >= end or layer.start + layer.length <= start:
                    playing.pop(i, None)
                    continue
                if i not in playing:
                    playing[i] = layer.make()
                _add(out, playing[i], layer.start - start)
            yield np.clip(out, -1.0, 1.0).astype(np.float32)

    def _rng(self, *what: int) -> np.random.Generator:
        return np.random.default_rng([*self._plan.seed, *what])

    def _sound_layer(self, index: int, planned: OtherSound, cut: Piece) -> _Layer:
        def make() -> NDArray[np.float64]:
            dry = _faded(material.samples_of(cut.sound)[cut.first : cut.end])
            gain = 10 ** (planned.level_dbfs / 20) / max(_rms(dry), 1e-9)
            return hear(gain * dry, planned.place, self._rng(_SOUND, index))

        start = round(planned.start_s * SAMPLE_RATE)
        return _Layer(start, cut.length + planned.place.tail_samples, make)

    def _episode_layer(self, index: int, episode: CryEpisode, pieces: tuple[Piece, ...]) -> _Layer:
        start, end = round(episode.start_s * SAMPLE_RATE), round(episode.end_s * SAMPLE_RATE)

        def make() -> NDArray[np.float64]:
            dry = np.zeros(end - start)
            for p in pieces:
                piece = _faded(material.samples_of(p.sound)[p.first : p.end])
                dry[p.at : p.at + p.length] = piece * (10 ** (p.db / 20) / max(_rms(piece), 1e-9))
            heard = hear(dry, episode.place, self._rng(_EPISODE, index))
            crying = np.concatenate([heard[p.at : p.at + p.length] for p in pieces])
            bed = np.zeros(end - start)
            for layer in self._bed:
                if layer.start < end and layer.start + layer.length > start:
                    _add(bed, layer.make(), layer.start - start)
            gain = audible_rms(bed) / audible_rms(crying) * 10 ** (episode.snr_db / 20)
            return np.asarray(heard * gain)

        return _Layer(start, end - start + episode.place.tail_samples, make)

    def _bed_layers(self) -> list[_Layer]:
        """The background in pieces of a minute, each faded into the next."""
        length, fade = round(_BED_S * SAMPLE_RATE), round(_BED_FADE_S * SAMPLE_RATE)
        gain = 10 ** (self.truth.background_dbfs / 20)
        up = np.sin(0.5 * np.pi * (np.arange(fade) + 0.5) / fade)

        @functools.lru_cache(maxsize=8)
        def render(j: int) -> NDArray[np.float64]:
            sound = self._background(j, length + fade).astype(np.float64)
            out = gain / max(_rms(sound), 1e-9) * sound
            if j:
                out[:fade] *= up
            out[-fade:] *= up[::-1]
            return np.asarray(out)

        count = -(-self._samples // length)
        return [_Layer(j * length, length + fade, functools.partial(render, j)) for j in range(count)]

    def _background(self, j: int, n: int) -> FloatArray:
        """Minute ``j`` of the background, (n,), at any level."""
        kind, rng = self.truth.background, self._rng(_BED, j)
        if kind == "white_noise":
            kinds = ["white", "pink", "brown", *(["recorded"] if self._recordings else [])]
            kind = str(self._rng(_NOISE_KIND, int(j * _BED_S // _SAME_NOISE_S)).choice(kinds))
        if kind in material.MADE_SOUNDS or kind == "quiet":
            return material.made_noise(kind, n, rng)
        return material.patchwork(self._recordings, n, rng)


def _add(out: NDArray[np.float64], sound: NDArray[np.float64], at: int) -> None:
    """Add a sound that begins at ``at`` (may be negative) to a block, in place."""
    first, end = max(at, 0), min(at + len(sound), len(out))
    if end > first:
        out[first:end] += sound[first - at : end - at]


def _faded(samples: NDArray[np.floating]) -> NDArray[np.float64]:
    """With 20 ms of fading at both ends."""
    out = np.array(samples, np.float64)
    n = min(_FADE, len(out) // 2)
    ramp = (np.arange(n) + 0.5) / max(n, 1)
    out[:n] *= ramp
    out[len(out) - n :] *= ramp[::-1]
    return out


def audible_rms(samples: NDArray[np.floating]) -> float:
    """Root mean square of what lies above 250 Hz; (n,) at 16 kHz."""
    from scipy.signal import butter, sosfilt

    return _rms(sosfilt(butter(4, CRY_BAND_HZ[0], "highpass", fs=SAMPLE_RATE, output="sos"), samples))


def _rms(samples: NDArray[np.floating]) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0


def write_sound(night: Night, path: Path) -> None:
    """The night as a 16-bit WAV file.

    Raises:
        SettingsError: the file cannot be written.
    """
    import soundfile

    try:
        with soundfile.SoundFile(path, "w", SAMPLE_RATE, 1, "PCM_16") as file:
            for block in night.blocks():
                file.write(block)
    except (OSError, soundfile.LibsndfileError) as error:
        raise SettingsError(f"The night cannot be written to {path}: {error}.") from error


def write_audio(night: Night, folder: Path) -> Path:
    """``<name>.wav``, ``<name>.json`` and ``<name>.rttm`` in the folder; the path of the first.

    Raises:
        SettingsError: the folder cannot be written to.
    """
    path = folder / f"{night.name}.wav"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_truth(night.truth, folder)
    except OSError as error:
        raise SettingsError(f"The night cannot be written to {folder}: {error}.") from error
    write_sound(night, path)
    return path

"""How faint may a cry be in this room? Known cries are mixed, in memory, into what was heard of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.audio import SAMPLE_RATE, Waveform, load
from pipeline.errors import AudioError, CryError
from pipeline.monitor.ears import Ears
from pipeline.monitor.level import LevelMeter, dbfs
from pipeline.monitor.sources import Block, Source
from pipeline.settings import Settings
from pipeline.synthesis import DEMOS, sleep_noise

Samples = NDArray[np.float32]

SHORTEST_S = 30.0
# From as loud as a microphone can take well, down until it is missed.
_LOUDEST_DBFS, _QUIETEST_DBFS, _STEP_DB = -14.0, -98.0, 3.0
_SEEDS = 6
# Sound of the room around each cry, and the longest stretch taken of a recording of one, in seconds.
_BEFORE_S, _AFTER_S, _CRY_S = 8.0, 5.0, 10.0
# A sleep machine at the cot against the room: 50 to 55 dB(A) where a quiet bedroom has 30 to 35.
NOISE_ABOVE_DB = 20.0


@dataclass(frozen=True)
class Faintest:
    """One cry: ``level_dbfs`` is the faintest that was caught, as all louder ones were; None: not even the
    loudest. ``above_db``: that against the background.
    """

    cry: str
    level_dbfs: float | None
    above_db: float | None


@dataclass(frozen=True)
class Background:
    """All cries against one background.

    Attributes:
        name: "room", or "room with white noise".
        level_dbfs: its level half of the time, dB of full scale.
        cries: one each.
        all_caught_dbfs: at and above this level every cry was caught; None where there is no such level.
        half_caught_dbfs: at and above this level half of them were; None where there is no such level.
    """

    name: str
    level_dbfs: float
    cries: tuple[Faintest, ...]
    all_caught_dbfs: float | None
    half_caught_dbfs: float | None


@dataclass(frozen=True)
class SoundCheck:
    """What was found: seconds heard, the detection threshold, whether the cries were recordings (else they
    were synthetic), and the backgrounds.
    """

    heard_s: float
    threshold: float
    embedder: str
    recorded: bool
    backgrounds: tuple[Background, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def hear(source: Source, seconds: float, settings: Settings) -> Samples:
    """Listen for a while; recordings are not waited for.

    Returns:
        (n,) float32 at 16 kHz.

    Raises:
        AudioError: it fails, ends before half a minute, or is silent.
    """
    parts: list[Samples] = []
    rate, heard_s, kind = 0, 0.0, None
    for block in source.blocks():
        if not isinstance(block, Block):
            raise AudioError(block.words)
        found = (block.part, block.rate, block.samples.shape[1:])
        if kind not in (None, found):
            break
        kind, rate = found, block.rate
        parts.append(block.samples)
        heard_s += len(block.samples) / rate
        if heard_s >= seconds:
            break
    if heard_s < SHORTEST_S:
        raise AudioError(
            f"{source.name}: {heard_s:.0f} s came of it; a sound check needs {SHORTEST_S:.0f} s.", "too-short"
        )
    joined = np.concatenate(parts)
    if not np.any(joined):
        raise AudioError(f"{source.name}: nothing but silence came of it. Is the microphone muted?", "silent")
    return load(joined, sample_rate=rate, name=source.name, settings=settings).samples


def reference_cries() -> list[Waveform]:
    """Synthetic cries that differ in pitch, rhythm and hoarseness."""
    return [DEMOS["cry"].make(seed) for seed in range(_SEEDS)]


def own_cry(path: Path) -> Waveform:
    """A recording of a cry; of a longer one the loudest ten seconds.

    Raises:
        AudioError: it cannot be used.
    """
    whole = load(path)
    most = round(_CRY_S * SAMPLE_RATE)
    if len(whole.samples) <= most:
        return whole
    energy = np.cumsum(np.square(whole.samples, dtype=np.float64))
    at = int(np.argmax(energy[most:] - energy[:-most])) + 1
    return Waveform(whole.samples[at : at + most], whole.source, whole.source_rate, whole.warnings)


def sound_check(
    room: Samples,
    ears: Ears,
    cries: Sequence[Waveform],
    *,
    white_noise: bool = True,
    recorded: bool = False,
) -> SoundCheck:
    """Find the faintest level of each cry that is caught.

    Args:
        room: (n,) float32 at 16 kHz, half a minute or more.
        ears: as the monitor hears, with its threshold.
        white_noise: once more with a simulated sleep machine, 20 dB above the room.
        recorded: the cries are recordings; they are not the synthetic ones.

    Raises:
        CryError: there is crying in the room itself.
    """
    found = [_background("room", room, ears, cries)]
    if white_noise:
        level_dbfs = min(found[0].level_dbfs + NOISE_ABOVE_DB, _LOUDEST_DBFS)
        noise = _at_level(sleep_noise(len(room), np.random.default_rng(0)), level_dbfs)
        noisy = np.clip(room + noise, -1.0, 1.0)
        found.append(_background("room with white noise", noisy, ears, cries))
    heard_s = len(room) / SAMPLE_RATE
    return SoundCheck(heard_s, ears.threshold, ears.embedder.name, recorded, tuple(found))


def _background(name: str, background: Samples, ears: Ears, cries: Sequence[Waveform]) -> Background:
    alone = _episodes(background, ears)
    if alone:
        raise CryError(
            f"In the {name} itself crying was heard, from {alone[0][0]:.0f} to {alone[0][1]:.0f} s. Try "
            "again when nobody cries, or raise the --detection-threshold if nobody did.",
            "not-quiet",
        )
    level_dbfs, faintest = typical_dbfs(background), []
    for number, cry in enumerate(cries):
        around = _around(background, cry, number / len(cries))
        limit = _limit(around, cry.samples, ears)
        above = None if limit is None else limit - level_dbfs
        faintest.append(Faintest(f"{cry.source} {number + 1}", limit, above))
    limits = sorted(float("inf") if one.level_dbfs is None else one.level_dbfs for one in faintest)
    half, most = limits[(len(limits) - 1) // 2], limits[-1]
    return Background(
        name,
        level_dbfs,
        tuple(faintest),
        None if np.isinf(most) else most,
        None if np.isinf(half) else half,
    )


def _limit(around: Samples, cry: Samples, ears: Ears) -> float | None:
    """The faintest level at which a cry is caught, all louder ones having been caught too."""
    begin = round(_BEFORE_S * SAMPLE_RATE)
    caught = None
    for level_dbfs in np.arange(_LOUDEST_DBFS, _QUIETEST_DBFS - 1, -_STEP_DB).tolist():
        mixed = around.copy()
        mixed[begin : begin + len(cry)] += _at_level(cry, level_dbfs)
        heard = _episodes(np.clip(mixed, -1.0, 1.0), ears)
        end_s = _BEFORE_S + len(cry) / SAMPLE_RATE
        if not any(start < end_s and end > _BEFORE_S for start, end in heard):
            return caught
        caught = level_dbfs
    return caught


def _around(background: Samples, cry: Waveform, share: float) -> Samples:
    """A stretch of the room that a cry fits into; another one for each ``share`` in [0, 1)."""
    length = round((_BEFORE_S + _AFTER_S) * SAMPLE_RATE) + len(cry.samples)
    at = round(share * max(0, len(background) - length))
    return np.resize(background[at:], length).astype(np.float32)


def _episodes(samples: Samples, ears: Ears) -> list[tuple[float, float]]:
    """What the monitor would call crying, from when to when, seconds."""
    with ears.listener(SAMPLE_RATE, "sound check") as listener:
        events = [*listener.push(samples).events, *listener.finish().events]
    return [(event.episode.start, event.episode.end) for event in events if event.kind == "end"]


def typical_dbfs(samples: Samples) -> float:
    """The level that (n,) samples at 16 kHz have half of the time, dB of full scale."""
    meter, half_s = LevelMeter(), SAMPLE_RATE // 2
    levels = [
        meter.push(samples[at : at + half_s], SAMPLE_RATE).level_dbfs
        for at in range(0, len(samples) - half_s + 1, half_s)
    ]
    return float(np.median(levels))


def _at_level(samples: NDArray[Any], level_dbfs: float) -> Samples:
    rms = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
    return (samples * 10 ** ((level_dbfs - dbfs(rms)) / 20)).astype(np.float32)


def told(check: SoundCheck) -> list[str]:
    """What it means, line by line."""
    lines = [
        f"Heard {check.heard_s:.0f} s, judged with the {check.embedder} embedder at {check.threshold:.2f}."
    ]
    for one in check.backgrounds:
        lines.append(f"The {one.name} has {one.level_dbfs:.0f} dBFS.")
        if one.all_caught_dbfs is None:
            missed = sum(cry.level_dbfs is None for cry in one.cries)
            lines.append(f"  {missed} of {len(one.cries)} reference cries were missed even when loud.")
        else:
            lines.append(f"  Caught down to {_level(one.all_caught_dbfs, one)}: every reference cry.")
        if one.half_caught_dbfs is not None and len(one.cries) > 1:
            lines.append(f"  Caught down to {_level(one.half_caught_dbfs, one)}: half of them.")
    lines.append(
        "While the baby cries, compare with the level that the monitor shows: well above these figures it is "
        "caught; near or below them it may be missed. Move the microphone nearer, or turn the noise down."
    )
    if not check.recorded:
        lines.append(
            "The reference cries are synthetic and clearer than most real ones: allow at least 12 dB more, "
            "and try a recording of your own baby with --cry. A single short cry is missed at any level now "
            "and then; crying that goes on has more chances."
        )
    return lines


def _level(level_dbfs: float, background: Background) -> str:
    above = level_dbfs - background.level_dbfs
    return f"{level_dbfs:.0f} dBFS, {abs(above):.0f} dB {'above' if above >= 0 else 'below'} the background"

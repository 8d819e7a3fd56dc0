"""The plan of a night: what is heard when, drawn from a seed before a single sample is made.

Episodes of crying: the cries of one donor, cut to what is crying in them
(:mod:`pipeline.evaluation.night_crying`), one after the other with pauses for breath, until a length drawn at
random is reached; a donor with few clips is heard in them again and again, but each at most twelve times.
Other sounds come at random times; in a negative suite one after the other.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from pipeline.errors import DataError, SettingsError
from pipeline.evaluation import night_material as material
from pipeline.evaluation.night_material import Material, Sound
from pipeline.evaluation.night_room import SAMPLE_RATE, Place
from pipeline.evaluation.night_truth import CryEpisode, OtherSound, Truth

NIGHT_VERSION = 4
SHORTEST_S = 60.0
SNR_BOUNDS_DB = (-30.0, 60.0)
# Mean power of the backgrounds, dB below full scale, give or take 2 dB; others are as loud as household.
_BACKGROUND_DBFS = {"quiet": -60.0, "white_noise": -38.0, "fan": -40.0}
_OTHER_BACKGROUND_DBFS = -42.0
# Episodes: log-normal around 40 s, in these bounds; at most this part of a night is crying.
_EPISODE_S, _EPISODE_SPREAD, _EPISODE_BOUNDS_S = 40.0, 0.8, (10.0, 300.0)
_MOST_CRYING = 0.4
_MOST_REPEATS = 12
_BREATH_S = (0.2, 1.5)
_CRY_FARTHEST_M, _SOUND_FARTHEST_M, _DOOR_CHANCE = 4.0, 8.0, 0.3
_PIECE_SPREAD_DB = 3.0
_LEVEL_AT_1M_DBFS = (-32.0, -16.0)
_SOUND_LONGEST_S = 20.0
_LISTED = "one of " + ", ".join(material.SUITE_NAMES)
_PLANNING = 99

T = TypeVar("T")


@dataclass(frozen=True)
class NightOptions:
    """What a night should be.

    Attributes:
        duration_s: 60 s or more; background: its name; seed: 0 or more.
        snr_db: ratios that the episodes share evenly, each in [-30, 60].
        episodes_per_hour, sounds_per_hour: 0 or more; the first is lowered where crying would fill the night.
        suite: a negative suite instead of a night: its sounds one after the other, no crying.
        part: number of this stretch where one night is made in several; each part is drawn anew.

    Raises:
        SettingsError: a value out of bounds; names it.
    """

    duration_s: float
    background: str = "quiet"
    snr_db: tuple[float, ...] = (10.0,)
    seed: int = 0
    episodes_per_hour: float = 12.0
    sounds_per_hour: float = 40.0
    suite: str | None = None
    part: int = 0

    def __post_init__(self) -> None:
        low, high = SNR_BOUNDS_DB
        checks = (
            ("Length of a night", self.duration_s, SHORTEST_S <= self.duration_s < np.inf, "60 s or more"),
            ("Signal-to-noise ratios", self.snr_db, bool(self.snr_db), "one or more, in dB"),
            *(("Signal-to-noise ratio", r, low <= r <= high, f"{low:g} to {high:g} dB") for r in self.snr_db),
            ("Episodes per hour", self.episodes_per_hour, 0 <= self.episodes_per_hour < np.inf, "0 or more"),
            ("Sounds per hour", self.sounds_per_hour, 0 <= self.sounds_per_hour < np.inf, "0 or more"),
            ("Seed", self.seed, self.seed >= 0, "0 or more"),
            ("Part", self.part, self.part >= 0, "0 or more"),
            ("Suite", self.suite, self.suite in (None, *material.SUITE_NAMES), _LISTED),
        )
        for name, value, valid, bounds in checks:
            if not valid:
                raise SettingsError(f"{name} cannot be {value!r}: it must be {bounds}.")


@dataclass(frozen=True)
class Piece:
    """Samples [first, end) of a sound, ``at`` samples into its event, ``db`` louder than the other pieces."""

    at: int
    sound: Sound
    first: int
    end: int
    db: float = 0.0

    @property
    def length(self) -> int:
        """Samples."""
        return self.end - self.first


@dataclass(frozen=True)
class Plan:
    """A night to be rendered.

    Attributes:
        truth: what is in it; seed: what every part of it draws from.
        pieces: of each episode of the truth; cuts: the stretch of each of its other sounds.
    """

    truth: Truth
    seed: tuple[int, ...]
    pieces: tuple[tuple[Piece, ...], ...]
    cuts: tuple[Piece, ...]


def plan_night(sounds: Material, options: NightOptions) -> Plan:
    """Plan a night of a fold's sounds; the same arguments give the same plan.

    Raises:
        SettingsError: the fold has no such background.
        DataError: the fold's cries or sounds cannot be used.
        AudioError: a recording cannot be read.
    """
    material.require_background(options.background, [sounds])
    kind = options.suite or f"night {options.background}"
    seed = (NIGHT_VERSION, options.seed, sounds.fold, zlib.crc32(kind.encode()), options.part)
    rng = np.random.default_rng([*seed, _PLANNING])
    samples = round(options.duration_s * SAMPLE_RATE)
    background = _BACKGROUND_DBFS.get(options.background, _OTHER_BACKGROUND_DBFS)
    background_dbfs = round(background + float(rng.uniform(-2, 2)), 2)
    episodes = [] if options.suite else _episodes(sounds, options, samples, rng)
    others = (_suite if options.suite else _at_random)(sounds, options, samples, rng)
    truth = Truth(
        name=f"{kind.replace(' ', '-')}-fold{sounds.fold}-seed{options.seed}-part{options.part}",
        duration_s=samples / SAMPLE_RATE,
        fold=sounds.fold,
        sources=sounds.sources,
        seed=options.seed,
        suite=options.suite,
        background=options.background,
        background_dbfs=background_dbfs,
        episodes=tuple(e for e, _ in episodes),
        sounds=tuple(o for o, _ in others),
    )
    return Plan(truth, seed, tuple(p for _, p in episodes), tuple(c for _, c in others))


def _episodes(
    sounds: Material, options: NightOptions, samples: int, rng: np.random.Generator
) -> list[tuple[CryEpisode, tuple[Piece, ...]]]:
    """Who cries when, how loud and from where, with the pieces of each episode."""
    wanted = round(options.episodes_per_hour * options.duration_s / 3600)
    donors = _deck(sorted(sounds.cries), rng)
    budget = _MOST_CRYING * samples
    plans: list[tuple[str, tuple[Piece, ...]]] = []
    lengths: list[int] = []
    for _ in range(max(wanted, 1) if options.episodes_per_hour else 0):
        target = float(np.clip(_EPISODE_S * np.exp(rng.normal(0, _EPISODE_SPREAD)), *_EPISODE_BOUNDS_S))
        donor, pieces = _crying(sounds, donors, min(target * SAMPLE_RATE, budget), rng)
        length = pieces[-1].at + pieces[-1].length
        if plans and sum(lengths) + length > budget:
            break
        plans.append((donor, pieces))
        lengths.append(length)
    ratios = _deck(options.snr_db, rng)
    episodes = []
    for start, length, (donor, pieces) in zip(_spread(lengths, samples, rng), lengths, plans, strict=True):
        places = [((start + p.at) / SAMPLE_RATE, (start + p.at + p.length) / SAMPLE_RATE) for p in pieces]
        episode = CryEpisode(
            start_s=start / SAMPLE_RATE,
            end_s=(start + length) / SAMPLE_RATE,
            donor=donor,
            source=pieces[0].sound.source,
            clips=tuple(dict.fromkeys(p.sound.name for p in pieces)),
            snr_db=float(next(ratios)),
            background=options.background,
            place=Place.draw(rng, _CRY_FARTHEST_M),
            pieces=tuple(places),
        )
        episodes.append((episode, pieces))
    return episodes


def _crying(
    sounds: Material, donors: Iterator[str], target: float, rng: np.random.Generator
) -> tuple[str, tuple[Piece, ...]]:
    """The next donor whose clips hold crying, and pieces of it up to the target (samples) or just beyond."""
    for _ in range(len(sounds.cries)):
        donor = next(donors)
        stretches = [(s, a, b) for s in sounds.cries[donor] for a, b in material.crying(s)]
        if stretches:
            break
    else:
        raise DataError(
            f"No night can be made of fold {sounds.fold} ({', '.join(sounds.sources)}): not one of its "
            f"{sum(map(len, sounds.cries.values()))} cries holds a second of crying with a pitch. Add more "
            "recordings of crying."
        )
    target = min(target, _MOST_REPEATS * sum(b - a for _, a, b in stretches))
    order = _deck(stretches, rng)
    pieces: list[Piece] = []
    at = 0
    while not pieces or at < target:
        sound, a, b = next(order)
        if pieces:
            at += round(rng.uniform(*_BREATH_S) * SAMPLE_RATE)
        pieces.append(Piece(at, sound, a, b, round(float(rng.uniform(-1, 1)) * _PIECE_SPREAD_DB, 2)))
        at += b - a
    return donor, tuple(pieces)


def _at_random(
    sounds: Material, options: NightOptions, samples: int, rng: np.random.Generator
) -> list[tuple[OtherSound, Piece]]:
    """Other sounds of the fold, labels evenly, at random times."""
    labels = [label for label in sounds.own_labels if label != options.background]
    decks = {label: _deck(sounds.others[label], rng) for label in labels}
    planned = []
    for _ in range(round(options.sounds_per_hour * options.duration_s / 3600) if labels else 0):
        cut = _cut(next(decks[labels[int(rng.integers(len(labels)))]]), rng)
        if cut.length:
            planned.append(_placed(cut, int(rng.integers(max(1, samples - cut.length))), samples, rng))
    return sorted(planned, key=lambda pair: pair[0].start_s)


def _suite(
    sounds: Material, options: NightOptions, samples: int, rng: np.random.Generator
) -> list[tuple[OtherSound, Piece]]:
    """A suite's sounds one after the other, half a second to three apart, labels in turn."""
    labels = sounds.suite(options.suite or "")
    decks = {label: _deck(sounds.others[label], rng) for label in labels}
    turn = _deck(labels, rng)
    if not any(len(material.samples_of(s)) for label in labels for s in sounds.others[label]):
        raise DataError(f"Fold {sounds.fold} has no sound of the suite '{options.suite}'.")
    planned, at = [], 0
    while at < samples:
        cut = _cut(next(decks[next(turn)]), rng)
        if cut.length:
            planned.append(_placed(cut, at, samples, rng))
        at += cut.length + round(rng.uniform(0.5, 3.0) * SAMPLE_RATE)
    return planned


def _placed(cut: Piece, start: int, samples: int, rng: np.random.Generator) -> tuple[OtherSound, Piece]:
    """A sound with its level and its place."""
    planned = OtherSound(
        start_s=start / SAMPLE_RATE,
        end_s=min(start + cut.length, samples) / SAMPLE_RATE,
        label=cut.sound.label,
        source=cut.sound.source,
        clip=cut.sound.name,
        level_dbfs=round(float(rng.uniform(*_LEVEL_AT_1M_DBFS)), 1),
        place=Place.draw(rng, _SOUND_FARTHEST_M, _DOOR_CHANCE),
    )
    return planned, cut


def _cut(sound: Sound, rng: np.random.Generator) -> Piece:
    """A recording, or a stretch of a long one."""
    n, most = len(material.samples_of(sound)), round(_SOUND_LONGEST_S * SAMPLE_RATE)
    first = int(rng.integers(0, n - most + 1)) if n > most else 0
    return Piece(0, sound, first, min(n, first + most))


def _deck(items: Sequence[T], rng: np.random.Generator) -> Iterator[T]:
    """Items in random order, all once, then anew."""
    while items:
        for i in rng.permutation(len(items)):
            yield items[int(i)]


def _spread(lengths: Sequence[int], total: int, rng: np.random.Generator) -> list[int]:
    """Where events of these lengths start, in their order, gaps at random but none very short."""
    if not lengths:
        return []
    free = total - sum(lengths)
    least = min(30.0 * SAMPLE_RATE, 0.5 * free / (len(lengths) + 1))
    gaps = least + rng.dirichlet(np.ones(len(lengths) + 1)) * (free - least * (len(lengths) + 1))
    before = np.cumsum(gaps[:-1]) + np.concatenate([[0], np.cumsum(lengths)[:-1]])
    return [int(at) for at in before]

"""The same audio, donor or original on both sides: who holds what, and what follows from it.

With a split, a leak is the same audio (or donor) on two of its sides. Without one, it is the same audio in
files that no group holds together: whichever way such a set is split, by recording or by group, nothing keeps
the copies on one side. What groups do hold together is worth a note, no more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.audit.dataset import Item
from pipeline.evaluation.audit.folds import fold_numbers
from pipeline.evaluation.audit.gather import Sounds
from pipeline.evaluation.audit.names import Family, donor
from pipeline.evaluation.audit.neighbours import Match

Ints = NDArray[np.int64]
Kind = Literal["exact", "near"]
_MEMBERS = 12  # of a sound in many files, so many different (side, group, label) stand for all


@dataclass(frozen=True)
class Pair:
    """Two files that hold the same audio.

    Attributes:
        first, second: indices of items.
        kind: "exact" (the same samples) or "near".
        change: how the second differs, in words ("", or "pitch +2 semitones").
        error: share of fingerprint bits that differ; 0 for exact copies.
        overlap_s: seconds that were compared; None for exact copies.
    """

    first: int
    second: int
    kind: Kind
    change: str = ""
    error: float = 0.0
    overlap_s: float | None = None


def file_pairs(sounds: Sounds, matches: Sequence[Match]) -> list[Pair]:
    """Matches between sounds, and sounds in several files, as pairs of files.

    A sound in many files gives pairs of those that differ in side, group or label, and one more for each of
    the others.
    """
    files: dict[int, list[int]] = defaultdict(list)
    for index, sound in enumerate(sounds.of.tolist()):
        if sound >= 0:
            files[sound].append(index)
    differing: dict[int, list[int]] = {}
    pairs: list[Pair] = []
    for sound, members in files.items():
        kinds: dict[tuple[Any, ...], int] = {}
        for index in members:
            item = sounds.items[index]
            first = kinds.setdefault((item.split, item.group, item.label), index)
            if first != index:
                pairs.append(Pair(first, index, "exact"))
        differing[sound] = list(kinds.values())[:_MEMBERS]
        pairs += [Pair(a, b, "exact") for a, b in combinations(differing[sound], 2)]
    for match in matches:
        likeness = match.likeness
        for a in differing[match.first]:
            pairs += [
                Pair(a, b, "near", likeness.change, max(0.0, likeness.error), likeness.overlap_s)
                for b in differing[match.second]
            ]
    return sorted(pairs, key=lambda pair: (pair.first, pair.second))


def is_apart(items: Sequence[Item], has_split: bool) -> Callable[[int, int], bool]:
    """Whether two files are where the same audio must not be: see the module's description."""

    def apart(first: int, second: int) -> bool:
        one, other = items[first], items[second]
        if has_split:
            return one.split is not None and other.split is not None and one.split != other.split
        return one.group is None or one.group != other.group

    return apart


def sounds_apart(sounds: Sounds, has_split: bool) -> Callable[[int, Ints], NDArray[np.bool_]]:
    """For the search among sounds: whether any file of one and any file of another are apart.

    Approximate for sounds in several files (their first file speaks for them); exact copies are found
    without it.
    """
    first = np.zeros(len(sounds.evidence), np.int64)
    for index in range(len(sounds.items) - 1, -1, -1):
        if sounds.of[index] >= 0:
            first[sounds.of[index]] = index
    values = [sounds.items[i].split if has_split else sounds.items[i].group for i in first]
    names = {value: number for number, value in enumerate(sorted({v for v in values if v is not None}))}
    code = np.array([-1 if value is None else names[value] for value in values])

    def apart(i: int, others: Ints) -> NDArray[np.bool_]:
        if has_split:
            return (code[others] != code[i]) & (code[others] >= 0) & (code[i] >= 0)
        return (code[others] != code[i]) | (code[i] < 0)

    return apart


def touched(pairs: Iterable[Pair]) -> set[int]:
    """Files in any of the pairs."""
    return {index for pair in pairs for index in (pair.first, pair.second)}


def sides(items: Sequence[Item], pairs: Iterable[Pair]) -> dict[str, int]:
    """Pairs by the two sides they join, such as ``{"test / train": 12}``."""
    count: dict[str, int] = defaultdict(int)
    for pair in pairs:
        names = sorted({items[pair.first].split or "", items[pair.second].split or ""})
        if len(names) == 2:
            count[" / ".join(names)] += 1
    return dict(sorted(count.items()))


def contradictions(items: Sequence[Item], pairs: Iterable[Pair]) -> list[Pair]:
    """Pairs that hold the same audio under two labels."""
    return [pair for pair in pairs if items[pair.first].label != items[pair.second].label]


def divided(values: Sequence[str | None], by: Sequence[str | None]) -> dict[str, list[int]]:
    """Values (donors, groups) that occur on more than one side: value to its items.

    Args:
        values: (n,) group of each item; by: (n,) side of each item; None counts for nothing.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for index, (value, side) in enumerate(zip(values, by, strict=True)):
        if value is not None and side is not None:
            members[value].append(index)
    return {value: indices for value, indices in sorted(members.items()) if len({by[i] for i in indices}) > 1}


def donors_of(items: Sequence[Item]) -> list[str | None]:
    """Donor in each file name, where it is a Donate-a-Cry name."""
    return [donor(item.name) for item in items]


def with_company(y: Ints, together: Ints, seed: int = 0) -> float | None:
    """Share of recordings that a random stratified split into five would test against their own company.

    Args:
        y: (n,) int classes; together: (n,) int, what belongs together.

    Returns:
        Share in [0, 1] whose fold leaves somebody of theirs in training; None for sets too small to split.
    """
    folds = fold_numbers(y, None, seed=seed)
    if folds is None:
        return None
    total = np.bincount(together)
    key = together * (int(folds.max()) + 1) + folds
    inside = np.bincount(key)[key]
    return float(np.mean(total[together] > inside))


@dataclass(frozen=True)
class NamedCopies:
    """A family of names, and whether sound or name make it certain.

    Attributes:
        family: see ``names.Family``.
        heard: whether two members of it hold the same audio by fingerprint.
        apart: whether members are where copies must not be.
    """

    family: Family
    heard: bool
    apart: bool

    @property
    def certain(self) -> bool:
        """The sound agrees, or the shared name is too particular for chance."""
        return self.heard or self.family.telling


def named_copies(
    families: Iterable[Family], pairs: Iterable[Pair], apart: Callable[[int, int], bool]
) -> list[NamedCopies]:
    """Families of names judged by sound and by where their members are."""
    heard: dict[int, set[int]] = defaultdict(set)
    for pair in pairs:
        heard[pair.first].add(pair.second)
        heard[pair.second].add(pair.first)
    return [
        NamedCopies(
            family,
            any(heard[a] & set(family.members) for a in family.members),
            any(apart(a, b) for a, b in combinations(family.members[:200], 2)),
        )
        for family in families
    ]

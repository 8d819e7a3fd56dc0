"""Which recordings hold the same audio: pairs found by lookups, then compared one by one.

Candidates come from two directions. Landmark hashes that agree at one shift (an inverted index: linear in the
number of hashes, common ones left out) find copies and excerpts at the same tempo. The nearest neighbours in
the student's embedding (blocked matrix products) find copies whose fine structure has gone: heavy coding,
other tempo, other pitch. Only pairs whose fingerprint bits agree are reported; a neighbour alone is none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.audit import fingerprint as fp
from pipeline.evaluation.audit.measure import Evidence

Progress = Callable[[str, int, int], None]
Pairs = NDArray[np.int64]  # (k, 2), first < second

MIN_VOTES = 5
"""Hashes that must agree at one shift (give or take a column) before two recordings are compared."""
NEIGHBOURS = 5
LONGEST_CHANGED_S = 30.0
"""Changed copies (pitch, tempo) are looked for among recordings up to this length."""
_COMMON = 40  # a hash in more sounds than this says nothing
_BLOCK = 200_000  # hashes looked up at once
_LAGS = 1 << 21
_ROWS = 1024  # of the similarity matrix at once


@dataclass(frozen=True)
class Match:
    """Two sounds that hold the same audio."""

    first: int
    second: int
    likeness: fp.Likeness


def same_audio(
    evidence: Sequence[Evidence],
    apart: Callable[[int, NDArray[np.int64]], NDArray[np.bool_]],
    progress: Progress | None = None,
) -> list[Match]:
    """All pairs of different sounds that hold the same audio.

    Args:
        evidence: the sounds.
        apart: whether sound i and each of the sounds j matter as a pair (other side of the split, other
            donor); embedding neighbours are looked for among those only.

    Returns:
        Matches, each pair once, first < second, in order.
    """
    tell = progress or (lambda what, done, total: None)
    by_hash = landmark_candidates(evidence, tell)
    nearest = neighbour_candidates(evidence, apart, tell)
    near = _compared(evidence, np.unique(np.concatenate([by_hash, nearest]), axis=0), tell)
    found = {(match.first, match.second) for match in near}
    rest = [(int(i), int(j)) for i, j in nearest if (int(i), int(j)) not in found]
    near += _compared_changed(evidence, rest, tell)
    return sorted(near, key=lambda match: (match.first, match.second))


def landmark_candidates(evidence: Sequence[Evidence], tell: Progress) -> Pairs:
    """Pairs with at least ``MIN_VOTES`` equal hashes at one shift; (k, 2) int64, first < second."""
    lengths = np.array([len(e.hashes) for e in evidence])
    if not lengths.sum():
        return np.zeros((0, 2), np.int64)
    sound = np.repeat(np.arange(len(evidence)), lengths)
    hashes = np.concatenate([e.hashes for e in evidence])
    times = np.concatenate([e.times for e in evidence])
    order = np.lexsort((sound, hashes))
    hashes_sorted, sound_sorted, times_sorted = hashes[order], sound[order], times[order]
    # A hash of many sounds (mains hum, one note held) finds nothing in particular.
    new = np.r_[True, (np.diff(hashes_sorted.astype(np.int64)) != 0) | (np.diff(sound_sorted) != 0)]
    _values, first = np.unique(hashes_sorted, return_index=True)
    spread = np.add.reduceat(new.astype(np.int64), first)
    rare = np.repeat(spread <= _COMMON, np.diff(np.r_[first, len(hashes_sorted)]))
    hashes_sorted, sound_sorted, times_sorted = hashes_sorted[rare], sound_sorted[rare], times_sorted[rare]
    edges = np.searchsorted(np.cumsum(lengths), np.arange(0, lengths.sum() + _BLOCK, _BLOCK), side="left")
    edges = np.unique(np.r_[0, edges, len(evidence)])
    starts = np.r_[0, np.cumsum(lengths)]
    found = [np.zeros((0, 2), np.int64)]
    for low, high in pairwise(edges.tolist()):
        tell("looking for the same audio", low, len(evidence))
        block = slice(starts[low], starts[high])
        found.append(
            _voted(
                hashes[block],
                sound[block],
                times[block],
                hashes_sorted,
                sound_sorted,
                times_sorted,
            )
        )
    return np.unique(np.concatenate(found), axis=0)


def _voted(
    hashes: NDArray[np.uint32],
    sound: NDArray[np.int64],
    times: NDArray[np.int32],
    all_hashes: NDArray[np.uint32],
    all_sound: NDArray[np.int64],
    all_times: NDArray[np.int32],
) -> Pairs:
    """Pairs of a block of sounds with later sounds that enough hashes vote for at one shift."""
    left = np.searchsorted(all_hashes, hashes, "left")
    count = np.searchsorted(all_hashes, hashes, "right") - left
    query = np.repeat(np.arange(len(hashes)), count)
    hit = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + left[query]
    later = all_sound[hit] > sound[query]
    query, hit = query[later], hit[later]
    pair = sound[query] * np.int64(len(all_sound) + 1) + all_sound[hit]
    lag = times[query].astype(np.int64) - all_times[hit]
    key, votes = np.unique(pair * _LAGS + lag + _LAGS // 2, return_counts=True)
    # A shift that is no whole number of columns spreads its votes over two.
    beside = np.r_[np.where(np.diff(key) == 1, votes[1:], 0), 0]
    chosen = np.unique(key[votes + beside >= MIN_VOTES] // _LAGS)
    return np.stack([chosen // (len(all_sound) + 1), chosen % (len(all_sound) + 1)], axis=1)


def neighbour_candidates(
    evidence: Sequence[Evidence],
    apart: Callable[[int, NDArray[np.int64]], NDArray[np.bool_]],
    tell: Progress,
) -> Pairs:
    """Each sound (and each 10 s of a long one) with its nearest neighbours among those that matter.

    Cosine of the student's pooled embedding, each dimension standardised over the set.
    """
    if len(evidence) < 2:
        return np.zeros((0, 2), np.int64)
    rows = np.concatenate([e.embedding for e in evidence])
    owner = np.repeat(np.arange(len(evidence)), [len(e.embedding) for e in evidence])
    unit = standardised(rows)
    pairs = [np.zeros((0, 2), np.int64)]
    for start in range(0, len(rows), _ROWS):
        tell("looking for neighbours", start, len(rows))
        similarity = unit[start : start + _ROWS] @ unit.T
        for row, i in enumerate(owner[start : start + _ROWS]):
            similarity[row, ~apart(int(i), owner) | (owner == i)] = -np.inf
        k = min(NEIGHBOURS, len(rows) - 1)
        nearest = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
        usable = np.isfinite(np.take_along_axis(similarity, nearest, axis=1))
        mine = np.repeat(owner[start : start + _ROWS], k).reshape(-1, k)
        both = np.stack([mine[usable], owner[nearest[usable]]], axis=1)
        pairs.append(np.sort(both, axis=1))
    return np.unique(np.concatenate(pairs), axis=0)


def standardised(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    """(n, d) rows with each dimension standardised over the set, then each row of length 1, float32."""
    scaled = (rows - rows.mean(axis=0)) / (rows.std(axis=0) + 1e-3)
    length = np.linalg.norm(scaled, axis=1, keepdims=True)
    return (scaled / np.maximum(length, 1e-9)).astype(np.float32)


def _compared(evidence: Sequence[Evidence], pairs: Pairs, tell: Progress) -> list[Match]:
    """Pairs whose bits agree at some shift."""
    found = []
    spectra = _SpectraOf(evidence)
    for done, (i, j) in enumerate(pairs.tolist()):
        if done % 200 == 0:
            tell("comparing pairs", done, len(pairs))
        size = fp.transform_size(spectra.columns(i), spectra.columns(j))
        likeness = fp.best_shift(spectra.plain(i, size), spectra.plain(j, size))
        if likeness.same:
            found.append(Match(i, j, likeness))
    return found


def _compared_changed(
    evidence: Sequence[Evidence], pairs: Sequence[tuple[int, int]], tell: Progress
) -> list[Match]:
    """Pairs whose bits agree when pitch, tempo or speed of one is changed."""
    found = []
    spectra = _SpectraOf(evidence)
    longest = LONGEST_CHANGED_S / fp.COLUMN_S
    for done, (i, j) in enumerate(pairs):
        if done % 50 == 0:
            tell("comparing pairs at other pitch and tempo", done, len(pairs))
        if max(spectra.columns(i), spectra.columns(j)) > longest:
            continue
        size = fp.transform_size(fp.longest_changed(spectra.columns(i)), spectra.columns(j))
        likeness = fp.compare_changed(
            spectra.plain(i, size), spectra.changed(i, size), spectra.plain(j, size)
        )
        if likeness.same:
            found.append(Match(i, j, likeness))
    return found


class _SpectraOf:
    """Transforms of sounds, the latest kept: pairs come sorted by their first sound."""

    def __init__(self, evidence: Sequence[Evidence], keep: int = 256) -> None:
        self._evidence, self._keep = evidence, keep
        self._plain: dict[tuple[int, int], fp.Spectra] = {}
        self._changed: tuple[tuple[int, int], list[tuple[str, fp.Spectra]]] | None = None

    def columns(self, index: int) -> int:
        """Columns of a sound's bits, at least 1."""
        return max(1, len(self._evidence[index].bands))

    def plain(self, index: int, size: int) -> fp.Spectra:
        """As it is."""
        key = (index, size)
        if key not in self._plain:
            if len(self._plain) >= self._keep:
                del self._plain[next(iter(self._plain))]
            self._plain[key] = fp.Spectra.of(fp.signs(self._evidence[index].bands), size)
        return self._plain[key]

    def changed(self, index: int, size: int) -> list[tuple[str, fp.Spectra]]:
        """At other tempos and speeds."""
        key = (index, size)
        if self._changed is None or self._changed[0] != key:
            self._changed = (key, fp.changed_spectra(self._evidence[index].bands, size))
        return self._changed[1]

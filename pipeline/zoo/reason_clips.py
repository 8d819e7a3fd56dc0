"""Recordings with reasons, as the zoo's models take them: examples, not numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.training.data import Clip
from pipeline.training.reason_features import AUGMENTED, ORIGINAL
from pipeline.training.reason_set import ReasonSet, arrays_of, choose_clips, licences_of, names_of
from pipeline.zoo.base import Example
from pipeline.zoo.examples import content


@dataclass(frozen=True, eq=False, kw_only=True)
class ReasonClips(ReasonSet):
    """Clips with reasons, and the kinds of copies each of them has.

    Attributes:
        clips: the recordings.
        kinds: the recording itself first, then the copies.
    """

    clips: tuple[Clip, ...]
    kinds: tuple[str, ...] = (ORIGINAL, *AUGMENTED)

    @property
    def copies(self) -> int:
        """Rows per clip: the recording itself first, then its augmented copies."""
        return len(self.kinds)

    def examples(self, rows: np.ndarray | None = None) -> list[Example]:
        """The examples of some rows (all when None), where row ``i`` is copy ``i % copies`` of clip
        ``i // copies``."""
        every = range(len(self) * self.copies) if rows is None else rows.tolist()
        return [Example(self.clips[i // self.copies], self.kinds[i % self.copies]) for i in every]

    def fingerprint(self) -> str:
        """SHA-256 of everything a fit can see: decoded samples, kinds of copies, labels and groups."""
        digest = hashlib.sha256("\0".join(self.kinds).encode())
        for clip in self.clips:
            digest.update(content(Example(clip)).encode())
        return self.labelled(digest)


def of_clips(clips: Sequence[Clip], root: Path, *, augmented: bool = True) -> ReasonClips:
    """A set of clips whose labels are reasons (or any other classes), below the folder ``root``."""
    labels, groups = arrays_of(clips)
    return ReasonClips(
        clips=tuple(clips),
        kinds=(ORIGINAL, *AUGMENTED) if augmented else (ORIGINAL,),
        labels=labels,
        groups=groups,
        names=names_of(clips, root),
        licences=licences_of(clips),
    )


def read(
    root: Path,
    *,
    classes: Sequence[str] | None = None,
    unverified_tags: bool = False,
    per_class: int | None = None,
    augmented: bool = True,
) -> ReasonClips:
    """Every recording under ``root`` that has a reason; see
    :func:`pipeline.training.reason_set.choose_clips` for the options.

    Raises:
        DataError: fewer than two reasons, a reason with a single clip, or a class that is not there.
    """
    chosen = choose_clips(root, classes=classes, unverified_tags=unverified_tags, per_class=per_class)
    return of_clips(chosen, root, augmented=augmented)

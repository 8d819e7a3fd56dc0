"""Recordings with reasons: which ones take part, what they are labelled, and what must stay together."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from pipeline.errors import AudioError, DataError
from pipeline.training.data import NO_REASON, Clip, read_manifest

UPLOAD_TAGS = {
    "hu": "hungry",
    "bu": "burping",
    "bp": "belly_pain",
    "dc": "discomfort",
    "ti": "tired",
    "lo": "lonely",
    "ch": "cold_hot",
    "sc": "scared",
}
"""What a Donate-a-Cry uploader's tag stands for; the ninth, dk, says that nobody knew."""
# One upload: the donor's installation and the time stamp, whatever release of the corpus it is in.
_UPLOAD = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}-\d{9,}", re.IGNORECASE)


@dataclass(frozen=True, eq=False, kw_only=True)
class ReasonSet:
    """Recordings with reasons; what they sound like is a subclass's matter.

    Attributes:
        labels: (clips,) str, the reason of each clip.
        groups: (clips,) str, the donor (or session) that must stay on one side of any split.
        names: path of each clip relative to the data folder.
        licences: (source, licence) pairs the clips come from, for the model card.
    """

    labels: np.ndarray
    groups: np.ndarray
    names: tuple[str, ...]
    licences: tuple[tuple[str, str], ...] = field(default=())

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def classes(self) -> tuple[str, ...]:
        """The reasons found, sorted: a new reason is a new folder."""
        return tuple(sorted(set(self.labels.tolist())))

    @property
    def encoded(self) -> np.ndarray:
        """(clips,) int64: index into :attr:`classes`."""
        return np.searchsorted(np.asarray(self.classes), self.labels).astype(np.int64)

    @property
    def copies(self) -> int:
        """Rows per clip: the recording itself first, then its augmented copies."""
        raise NotImplementedError

    def fingerprint(self) -> str:
        """SHA-256 of everything a fit can see; two data sets with the same one give the same model."""
        raise NotImplementedError

    def labelled(self, digest: hashlib._Hash) -> str:
        """A running digest of the sounds, finished with labels and groups."""
        digest.update("\0".join([*self.labels.tolist(), *self.groups.tolist()]).encode())
        return digest.hexdigest()


def choose_clips(
    root: Path,
    *,
    classes: Sequence[str] | None = None,
    unverified_tags: bool = False,
    per_class: int | None = None,
) -> list[Clip]:
    """Every recording under ``root`` that has a reason, sorted by reason and path.

    Args:
        root: a folder with a manifest, or with one folder per reason.
        classes: take exactly these labels, whatever kind of sound they are (so ``silence`` can be one);
            all reasons of cries when None.
        unverified_tags: also take Donate-a-Cry uploads that nobody has checked, with the reason their
            uploader tagged them with (:data:`UPLOAD_TAGS`), except those that are known to hold no cry
            (``checked_uploads.csv``), those that are in the data a second time and those that hold too
            little sound to be read.
        per_class: keep only the first clips of each reason: a small cut for trying things out.

    Raises:
        DataError: fewer than two reasons, a reason with a single clip, or a class that is not there.
    """
    clips = read_manifest(root)
    taken = [clip for clip in clips if _takes_part(clip, classes)]
    if unverified_tags:
        tagged = _tagged(clips, known=taken)
        taken += [clip for clip in tagged if classes is None or clip.label in classes]
    taken.sort(key=lambda clip: (clip.label, clip.path.as_posix()))
    if per_class is not None:
        taken = _first(taken, per_class)
    labels = Counter(clip.label for clip in taken)
    _require_usable(labels, root)
    if missing := sorted(set(classes or ()) - set(labels)):
        raise DataError(
            f"There is no recording of {', '.join(missing)} under {root}; found "
            f"{', '.join(sorted({clip.label for clip in clips if clip.kind != 'unverified'}))}."
        )
    return taken


def arrays_of(clips: Sequence[Clip]) -> tuple[np.ndarray, np.ndarray]:
    """(clips,) labels and (clips,) groups."""
    return np.asarray([clip.label for clip in clips]), np.asarray([clip.group for clip in clips])


def names_of(clips: Sequence[Clip], root: Path) -> tuple[str, ...]:
    """Paths relative to the data folder (or to the folder of the manifest)."""
    folder = Path(root).expanduser().resolve()
    folder = folder.parent if folder.is_file() else folder
    return tuple(clip.path.relative_to(folder).as_posix() for clip in clips)


def licences_of(clips: Iterable[Clip]) -> tuple[tuple[str, str], ...]:
    """(source, licence) pairs, sorted."""
    return tuple(sorted({(clip.source, clip.licence or "not stated") for clip in clips}))


def _takes_part(clip: Clip, classes: Sequence[str] | None) -> bool:
    if classes is not None:
        return clip.kind != "unverified" and clip.label in classes
    return clip.kind == "cry" and clip.label not in NO_REASON


def _tagged(clips: Iterable[Clip], known: Iterable[Clip]) -> list[Clip]:
    """Unverified uploads as cries with the reason of their tag, each upload once."""
    from pipeline.training.checked import checked_uploads

    checked = checked_uploads()
    seen = {_upload(clip.path.name) for clip in known}
    tagged = []
    for clip in clips:
        reason = UPLOAD_TAGS.get(clip.label) if clip.kind == "unverified" else None
        if reason is None or checked.get(clip.path.name) == "not_cry":
            continue
        upload = _upload(clip.path.name)
        if upload not in seen and _is_readable(clip.path):
            seen.add(upload)
            tagged.append(replace(clip, kind="cry", label=reason))
    return tagged


def _is_readable(path: Path) -> bool:
    from pipeline.audio import load

    try:
        load(path)
    except AudioError:
        return False
    return True


def _upload(name: str) -> str:
    found = _UPLOAD.match(name)
    return found[0].lower() if found else name


def _first(clips: Sequence[Clip], per_class: int) -> list[Clip]:
    taken: Counter[str] = Counter()
    first = []
    for clip in clips:
        if taken[clip.label] < per_class:
            taken[clip.label] += 1
            first.append(clip)
    return first


def _require_usable(labels: Counter[str], root: Path) -> None:
    """Refuse data no classifier can be fitted on, saying what was found."""
    if len(labels) < 2 or min(labels.values()) < 2:
        found = ", ".join(f"{label}: {count}" for label, count in sorted(labels.items())) or "none"
        raise DataError(
            f"Training on reasons needs at least two reasons with two recordings each under {root}; "
            f"found {found}. Put recordings into one folder per reason, such as hungry/ and tired/."
        )

"""Features of every clip with a reason, and of its augmented copies, kept on disk by content.

A value in the cache is keyed by the decoded samples, the kind of copy and the versions of the code that
computes it, so the cache never needs to be emptied by hand, and work that was interrupted goes on where it
stopped. An augmented copy is not a new recording: it stays with its clip and its donor (see
:meth:`ReasonData.rows`).
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import acoustics
from pipeline._cache import default_cache
from pipeline.training.reason_set import ReasonSet, arrays_of, choose_clips, licences_of, names_of

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, steps done, steps in all)."""

ORIGINAL = "original"
AUGMENTED = ("pitch+2", "pitch-2", "stretch0.9", "stretch1.1")
# Raise the number when augmentation or features change, so that cached values are not mixed up.
ACOUSTIC_VERSION = f"2 librosa {version('librosa')}"


@dataclass(frozen=True, eq=False, kw_only=True)
class ReasonData(ReasonSet):
    """Clips with reasons, as numbers.

    Attributes:
        features: (clips, copies, features) float64; copy 0 is the recording itself.
        schema: name of the feature schema.
    """

    features: np.ndarray
    schema: str

    @property
    def copies(self) -> int:
        """Rows per clip: the recording itself first, then its augmented copies."""
        return int(self.features.shape[1])

    def rows(self, clips: np.ndarray, *, augmented: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Training rows of the given clips: the recordings, and their augmented copies when asked for.

        Args:
            clips: (k,) int, indices of clips.

        Returns:
            X (rows, features) float64; y (rows,) int64; origin (rows,) int64, the clip each row was made
            from.
        """
        copies = self.features.shape[1] if augmented else 1
        x = self.features[clips, :copies].reshape(len(clips) * copies, -1)
        origin = np.repeat(clips, copies)
        return x, self.encoded[origin], origin

    def fingerprint(self) -> str:
        """SHA-256 of everything a fit can see; two data sets with the same one give the same model."""
        digest = hashlib.sha256(self.schema.encode())
        digest.update(np.ascontiguousarray(self.features).tobytes())
        return self.labelled(digest)


def augment(samples: np.ndarray, kind: str) -> np.ndarray:
    """One augmented copy of (n,) float32 samples at 16 kHz: pitch two semitones up or down, or time
    stretched to rate 0.9 (slower) or 1.1; ``original`` gives the samples back."""
    if kind == ORIGINAL:
        return samples
    from librosa.effects import pitch_shift, time_stretch

    if kind.startswith("pitch"):
        changed = pitch_shift(samples, sr=acoustics.SAMPLE_RATE, n_steps=float(kind.removeprefix("pitch")))
    elif kind.startswith("stretch"):
        changed = time_stretch(samples, rate=float(kind.removeprefix("stretch")))
    else:
        raise ValueError(f"unknown augmentation '{kind}'; known are {ORIGINAL}, {', '.join(AUGMENTED)}")
    return np.asarray(changed, dtype=np.float32)


def load_data(
    root: Path,
    *,
    schema: str = "acoustic108",
    augmented: bool = True,
    per_class: int | None = None,
    cache_dir: Path | None = None,
    progress: Progress | None = None,
) -> ReasonData:
    """Read every clip under ``root`` that has a reason, with its features and those of its copies.

    Args:
        root: a folder with a manifest, or with one folder per reason.
        schema: feature schema.
        augmented: also compute the augmented copies (five times the work).
        per_class: keep only the first clips of each reason (by path): a small cut for trying things out.
        cache_dir: where values are kept; :func:`default_cache` when None.

    Raises:
        DataError: fewer than two reasons, or a reason with a single clip.
        AudioError: a clip cannot be read.
    """
    from pipeline.audio import load

    clips = choose_clips(root, per_class=per_class)
    kinds = (ORIGINAL, *AUGMENTED) if augmented else (ORIGINAL,)
    cache = (cache_dir or default_cache()) / "features"
    width = len(acoustics.feature_names(schema))
    features = np.empty((len(clips), len(kinds), width))
    for i, clip in enumerate(clips):
        features[i] = cached_features(load(clip.path).samples, kinds, cache)[:, :width]
        if progress:
            progress("features", i + 1, len(clips))
    labels, groups = arrays_of(clips)
    return ReasonData(
        features=features,
        labels=labels,
        groups=groups,
        names=names_of(clips, root),
        schema=schema,
        licences=licences_of(clips),
    )


def cached_features(samples: np.ndarray, kinds: Sequence[str], cache: Path) -> np.ndarray:
    """Features of (n,) float32 samples and of their copies; (kinds, 111) float64, in ``acoustic111``
    order."""
    content = content_of(samples)
    return np.stack(
        [
            cached_array(
                content,
                f"{ACOUSTIC_VERSION}{kind}",
                cache,
                lambda kind=kind: acoustics.extract(augment(samples, kind), "acoustic111"),  # type: ignore[misc]
            )
            for kind in kinds
        ]
    )


def content_of(samples: np.ndarray) -> Any:
    """A running SHA-256 of (n,) float32 samples, which :func:`cached_array` goes on from."""
    return hashlib.sha256(np.ascontiguousarray(samples, dtype=np.float32).tobytes())


def cached_array(content: Any, what: str, cache: Path, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """A value kept by content: read where it is there, else computed and kept.

    Args:
        content: SHA-256 of the samples it is computed from (:func:`content_of`).
        what: everything else that decides the value: name and version of the computation, kind of copy.
        cache: folder of such values.
    """
    key = content.copy()
    key.update(what.encode())
    place = cache / key.hexdigest()[:2] / f"{key.hexdigest()}.npy"
    if place.is_file():
        return np.load(place)
    values = compute()
    write_array(place, values)
    return values


def write_array(place: Path, values: np.ndarray) -> None:
    """Save an array so that its presence means it is whole."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=place.parent, suffix=".part", delete=False) as part:
        np.save(part, values)
    os.replace(part.name, place)

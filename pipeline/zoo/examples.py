"""What models are given to hear: samples of an example, and what a front end makes of them, kept by content.

A front end is a named, versioned function of samples. Its values are kept under the SHA-256 of the decoded
samples, the kind of copy and the front end's version (:mod:`pipeline.training.reason_features` keeps its own
in the same place and the same way), so models that share a front end share the work, and an interrupted run
goes on.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline._cache import default_cache
from pipeline.errors import AudioError
from pipeline.training.reason_features import augment, cached_array, content_of
from pipeline.zoo.base import Example, Progress

_COPIES = "1"  # raise when augment() changes, so that cached values are not mixed up


@dataclass(frozen=True)
class FrontEnd:
    """A function of samples whose values are kept.

    Attributes:
        key: its name and version with all that decides its values ("mel128 2 8kHz 7s"); the version of
            librosa, which makes the copies, is added.
        compute: from (n,) float32 samples, mono at 16 kHz in [-1, 1], to an array of any shape and dtype.
        kept_as: version to keep values under instead, where other code keeps the same values.
    """

    key: str
    compute: Callable[[NDArray[np.float32]], NDArray[Any]]
    kept_as: str | None = None

    @property
    def version(self) -> str:
        """The beginning of the key its values are kept under; the kind of copy follows."""
        return self.kept_as or f"{self.key} copies {_COPIES} librosa {version('librosa')} "


def samples_of(example: Example) -> NDArray[np.float32]:
    """(n,) float32 samples of an example, mono at 16 kHz in [-1, 1], the augmented copy when it is one.

    Raises:
        AudioError: the recording cannot be read.
    """
    return augment(_decode(example.clip.path), example.copy)


def cached(
    examples: Sequence[Example],
    front_end: FrontEnd,
    *,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> list[NDArray[Any]]:
    """The front end's values for each example, in order; computed where they are not kept yet.

    Args:
        cache: folder of the whole cache; ``~/.cache/crylens`` when None. Values are in ``features/`` below.
        progress: called with (name of the front end, done, total).

    Raises:
        AudioError: a recording cannot be read, or the front end refuses it.
    """
    folder = (cache or default_cache()) / "features"
    what = front_end.version
    values = []
    for done, example in enumerate(examples, 1):
        values.append(
            cached_array(
                _content(example.clip.path),
                what + example.copy,
                folder,
                functools.partial(_compute, front_end, example),
            )
        )
        if progress:
            progress(front_end.key, done, len(examples))
    return values


def content(example: Example) -> str:
    """SHA-256 (hex) of what an example sounds like: decoded samples and kind of copy."""
    key = _content(example.clip.path).copy()
    key.update(f"copies {_COPIES} {example.copy}".encode())
    return str(key.hexdigest())


def _compute(front_end: FrontEnd, example: Example) -> NDArray[Any]:
    try:
        return np.asarray(front_end.compute(samples_of(example)))
    except AudioError as error:
        raise AudioError(f"{example.clip.path.name}: {error}", error.code) from error


def _decode(path: Path) -> NDArray[np.float32]:
    from pipeline.audio import load

    return load(path).samples


def _content(path: Path) -> Any:
    """Running SHA-256 of a file's samples; a file is decoded again only when it was written to."""
    written = path.stat()
    return _content_of_file(path, written.st_size, written.st_mtime_ns)


@functools.lru_cache(maxsize=100_000)
def _content_of_file(path: Path, size: int, written_ns: int) -> Any:
    del size, written_ns  # they are here to be part of the key
    return content_of(_decode(path))

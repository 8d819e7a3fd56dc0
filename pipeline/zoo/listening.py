"""What detection models share: clip scores from the best window, and listening along sound of any length."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.episodes import EpisodeRules
from pipeline.errors import SettingsError
from pipeline.zoo import saving
from pipeline.zoo.base import DETECTION_CLASSES, DetectionModel, Example, Progress, Task, Timeline
from pipeline.zoo.examples import samples_of

SAMPLE_RATE = 16_000
STRETCH_S = 300.0


class Listener(ABC):
    """A detection model that scores windows along a recording and is the same on clips and on nights.

    Attributes:
        threshold: score from which on this model says "cry", as it is used.
        offset_ratio: share of the threshold down to which an episode holds.
    """

    task: Task = "detection"
    recipe = "1"
    name: str
    about: str
    threshold: float = 0.5
    offset_ratio: float = 0.5

    def __init__(self, classes: Sequence[str] = DETECTION_CLASSES) -> None:
        """Make it; ``classes`` can only be those of detection.

        Raises:
            SettingsError: other classes.
        """
        if tuple(classes) != DETECTION_CLASSES:
            raise SettingsError(
                f"'{self.name}' tells {' from '.join(DETECTION_CLASSES[::-1])}; it has no classes "
                f"{', '.join(classes)}."
            )
        self.classes: tuple[str, ...] = DETECTION_CLASSES
        self.history: list[dict[str, Any]] = []
        self.options: dict[str, Any] = {}
        self._learned: dict[str, Any] = {}

    @abstractmethod
    def timeline(self, samples: NDArray[np.float32]) -> Timeline:
        """Scores along (n,) mono float32 samples at 16 kHz; each window's depends on its samples alone."""

    def fit(
        self,
        examples: Sequence[Example],
        y: NDArray[np.int64],
        groups: NDArray[np.str_],
        *,
        seed: int,
        work: Path,
        cache: Path,
        progress: Progress | None = None,
    ) -> None:
        """Learn nothing, as this model never does; only what it was shown is noted for its card."""
        del work, cache, progress
        self._learned = saving.learned_from(examples, y, groups, self.classes, seed)

    def scores(self, examples: Sequence[Example], *, cache: Path | None = None) -> NDArray[np.float64]:
        """(n, 2) float64, the best window's score in the second column, rows summing to 1."""
        del cache
        best = np.array([self.timeline(samples_of(e)).scores.max() for e in examples], np.float64)
        return np.column_stack([1 - best, best])

    def save(self, folder: Path) -> None:
        """Write a folder with manifest and card; such a model has no weights of its own.

        Raises:
            ArtifactError: ``fit`` was never called, or the folder cannot be written.
        """
        saving.save(self, folder, files={}, about=self.about, learned=self._learned)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            ArtifactError: missing or of another model.
        """
        found = saving.open_model(folder, cls.name)
        model = cls()
        model._learned = {
            k: v for k, v in found.manifest["training"].items() if k not in ("options", "recipe")
        }
        return model


def rules_of(model: DetectionModel, timeline: Timeline) -> EpisodeRules:
    """How the model's scores become episodes: its threshold (0.5 when it names none) and hysteresis."""
    threshold = float(getattr(model, "threshold", 0.5))
    return EpisodeRules(
        onset=threshold,
        offset=threshold * float(getattr(model, "offset_ratio", 0.5)),
        hop_s=timeline.hop_s,
        window_s=timeline.window_s,
    )


def listen(
    model: DetectionModel, blocks: Iterable[NDArray[np.float32]], stretch_s: float = STRETCH_S
) -> Timeline:
    """The timeline of sound that comes in blocks, as long as it may be.

    The model is given stretches that begin where its next window does, so that every window hears what it
    would in the whole; only the last stretch may end in a window that is not full.

    Args:
        stretch_s: seconds handed over at a time, at least two windows of the model.

    Raises:
        SettingsError: windows that are too long for such stretches, or do not begin on whole samples.
    """
    most = round(stretch_s * SAMPLE_RATE)
    kept = np.zeros(0, np.float32)
    parts: list[NDArray[np.float64]] = []
    for block in blocks:
        kept = np.concatenate([kept, np.asarray(block, np.float32)])
        while len(kept) >= most:
            heard = model.timeline(kept[:most])
            hop, window = _in_samples(model.name, heard)
            # All full windows but the last: YAMNet's front end looks 15 ms beyond what a window stands for.
            full = (most - window) // hop
            if window > most // 2 or full < 1:
                raise SettingsError(
                    f"Windows of {heard.window_s:g} s are too long for '{model.name}' to stream."
                )
            parts.append(heard.scores[:full])
            kept = kept[full * hop :]
    # At least the last full window is left.
    heard = model.timeline(kept)
    return Timeline(np.concatenate([*parts, heard.scores]), heard.hop_s, heard.window_s)


def _in_samples(name: str, timeline: Timeline) -> tuple[int, int]:
    """Hop and window in samples.

    Raises:
        SettingsError: the hop is no whole number of samples.
    """
    hop = timeline.hop_s * SAMPLE_RATE
    if abs(hop - round(hop)) > 1e-6 or round(hop) < 1:
        raise SettingsError(f"The windows of '{name}' are {timeline.hop_s!r} s apart: no whole samples.")
    return round(hop), round(timeline.window_s * SAMPLE_RATE)

"""What needs no sound: always the commonest class, and the shares of the classes. A model must beat both."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ArtifactError
from pipeline.zoo import saving
from pipeline.zoo.base import Example, Progress, Task

_FILE = "shares.json"


class Prior:
    """Answers every sound with the shares of the classes it was fitted on."""

    name = "prior"
    task: Task = "reasons"
    recipe = "1"
    about = "No sound is heard: the answer is always the share of each class among what it was fitted on."

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        self.history: list[dict[str, Any]] = []
        self.options: dict[str, Any] = {}
        self._shares: NDArray[np.float64] | None = None
        self._learned: dict[str, Any] = {}

    def fit(
        self,
        examples: Sequence[Example],
        y: NDArray[np.int64],
        groups: NDArray[Any],
        *,
        seed: int,
        work: Path,
        cache: Path,
        progress: Progress | None = None,
    ) -> None:
        """Count the classes."""
        del work, cache, progress
        self._shares = np.bincount(y, minlength=len(self.classes)) / len(y)
        self._learned = saving.learned_from(examples, y, groups, self.classes, seed)

    def scores(self, examples: Sequence[Example], *, cache: Path | None = None) -> NDArray[np.float64]:
        """(n, classes) float64, the same row n times.

        Raises:
            ArtifactError: it is not fitted.
        """
        del cache
        if self._shares is None:
            raise ArtifactError(f"The model '{self.name}' has learned nothing yet; fit it or load it.")
        return np.tile(self.answer(self._shares), (len(examples), 1))

    def answer(self, shares: NDArray[np.float64]) -> NDArray[np.float64]:
        """The row of scores made of the (classes,) shares."""
        return shares

    def save(self, folder: Path) -> None:
        """Write the shares with manifest and card.

        Raises:
            ArtifactError: it is not fitted, or the folder cannot be written.
        """
        shares = [] if self._shares is None else self._shares.tolist()
        saving.save(
            self, folder, files={_FILE: json.dumps(shares).encode()}, about=self.about, learned=self._learned
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote; the checksum is verified first.

        Raises:
            ArtifactError: missing, changed or of another model.
        """
        found = saving.open_model(folder, cls.name)
        model = cls(tuple(found.manifest["schema"]["classes"]))
        model._shares = np.asarray(json.loads(found.read_bytes(_FILE)), dtype=np.float64)
        model._learned = {
            k: v for k, v in found.manifest["training"].items() if k not in ("options", "recipe")
        }
        return model


class Majority(Prior):
    """Answers every sound with the commonest class it was fitted on, as if it were sure."""

    name = "majority"
    about = "No sound is heard: the answer is always the commonest class among what it was fitted on."

    def answer(self, shares: NDArray[np.float64]) -> NDArray[np.float64]:
        """1 for the commonest class (the first of equals), 0 for the others."""
        return np.eye(len(shares))[int(shares.argmax())]


MODELS: dict[str, type[Prior]] = {"majority": Majority, "prior": Prior}

"""What the zoo's models of the classical kind share: features of examples in, an estimator, scores out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ArtifactError, DataError
from pipeline.zoo import saving
from pipeline.zoo.base import Example, Progress, Task
from pipeline.zoo.examples import FrontEnd, cached

MODEL_FILE = "model.joblib"


class Classical:
    """A front end that gives one vector per example, and a scikit-learn estimator; a subclass says which."""

    name: str
    task: Task = "reasons"
    about: str
    recipe: str
    front_end: FrontEnd
    features: int

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        self.history: list[dict[str, Any]] = []
        self.options: dict[str, Any] = {}
        self._estimator: Any = None
        self._learned: dict[str, Any] = {}

    def fitted(self, x: NDArray[np.float64], y: NDArray[np.int64], groups: NDArray[Any], seed: int) -> Any:
        """The estimator fitted on (n, features), (n,) and (n,); ``classes_`` are indices into ``classes``."""
        raise NotImplementedError

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
        """Learn from examples; see :class:`pipeline.zoo.base.Model`. Too short to need ``work``.

        Raises:
            DataError: fewer than two classes, or too few recordings of one.
            AudioError: a recording cannot be used.
        """
        del work
        if len(np.unique(y)) < 2:
            raise DataError(f"'{self.name}' needs at least two classes to learn from; there is one.")
        x = self.vectors(examples, cache=cache, progress=progress)
        self._estimator = self.fitted(x, y, groups, seed)
        self._learned = saving.learned_from(examples, y, groups, self.classes, seed)

    def vectors(
        self, examples: Sequence[Example], *, cache: Path | None, progress: Progress | None = None
    ) -> NDArray[np.float64]:
        """(n, features) float64 of the examples, in order."""
        values = cached(examples, self.front_end, cache=cache, progress=progress)
        return np.reshape(values, (len(examples), -1))[:, : self.features]

    def scores(self, examples: Sequence[Example], *, cache: Path | None = None) -> NDArray[np.float64]:
        """(n, classes) float64 scores, rows summing to 1, zero for a class it never met; uncalibrated.

        Raises:
            ArtifactError: it is not fitted.
            AudioError: a recording cannot be used.
        """
        if self._estimator is None:
            raise ArtifactError(f"The model '{self.name}' has learned nothing yet; fit it or load it.")
        scores = np.zeros((len(examples), len(self.classes)))
        x = self.vectors(examples, cache=cache).astype(np.float32)
        scores[:, self._estimator.classes_] = self._estimator.predict_proba(x)
        return scores

    def save(self, folder: Path) -> None:
        """Write the model with its manifest and card.

        Raises:
            ArtifactError: it is not fitted, or the folder cannot be written.
        """
        saving.save(
            self,
            folder,
            files={MODEL_FILE: saving.joblib_bytes(self._estimator)},
            about=self.about,
            learned=self._learned,
            schema={"front_end": self.front_end.key, "features": self.features, "sample_rate": 16_000},
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote; checksum, library versions and types are verified first.

        Raises:
            ArtifactError: missing, changed, of another model or of other versions of the libraries.
        """
        found = saving.open_model(folder, cls.name)
        training = found.manifest["training"]
        model = cls(tuple(found.manifest["schema"]["classes"]), **training["options"])
        model._estimator = found.load_joblib(MODEL_FILE)
        model._learned = {k: v for k, v in training.items() if k not in ("options", "recipe")}
        return model

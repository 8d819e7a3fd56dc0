"""What the zoo's networks share around the loop of :mod:`pipeline.zoo.deep`: which examples teach, the part
set aside, scores by ONNX Runtime, and the model folder.

A trained network is kept and run as ONNX, whether it was just trained or loaded: what is measured is what is
shipped, scores need no TensorFlow, and nothing is unpickled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ArtifactError, DataError, SettingsError
from pipeline.settings import get_settings
from pipeline.training.reason_features import ORIGINAL
from pipeline.zoo import saving
from pipeline.zoo.base import Example, Progress, Task
from pipeline.zoo.deep import CHECKPOINT, Lesson, Recipe, Rows, Taught, digest, set_aside, teach
from pipeline.zoo.deep_onnx import BATCH, Session, to_onnx
from pipeline.zoo.examples import FrontEnd, cached

MODEL_FILE = "model.onnx"
VALIDATION_SHARE = 0.2
_CHUNK = 256  # examples whose inputs are made at once


@dataclass(frozen=True, eq=False)
class Material:
    """Examples as a network meets them.

    Attributes:
        kept: (n, ...) front-end values, one for each row.
        y: (n,) class.
        train, validation: rows.
        facts: about the split, for the model folder; JSON-able.
    """

    kept: NDArray[Any]
    y: NDArray[np.int64]
    train: Rows
    validation: Rows
    facts: dict[str, Any]


class DeepModel:
    """Base of the zoo's networks; see :class:`pipeline.zoo.base.Model` for the interface.

    A subclass says what it is, and gives the network and its inputs.

    Attributes:
        facts: what is worth telling of a fit: epochs, validation figures, difference of the ONNX export.
    """

    name: str
    task: Task = "reasons"
    recipe: str
    about: str
    front_end: FrontEnd

    def __init__(self, classes: Sequence[str], options: dict[str, Any]) -> None:
        """Note the classes and the options, defaults included.

        Raises:
            SettingsError: fewer than two classes, or the same twice.
        """
        if len(classes) < 2 or len(set(classes)) < len(classes):
            raise SettingsError(f"{self.name} needs two or more different classes, not {list(classes)}.")
        self.classes = tuple(classes)
        self.options = options
        self.history: list[dict[str, Any]] = []
        self.facts: dict[str, Any] = {}
        self._learned: dict[str, Any] = {}
        self._onnx = b""
        self._session: Session | None = None

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
        """Learn from examples; some of the groups are set aside to choose the epoch by.

        An augmented copy in the same group as its recording is left out unless the option ``copies`` is set.
        What is guaranteed when a fit is interrupted: see :mod:`pipeline.zoo.deep`.

        Raises:
            DataError: a single class, too few groups, or labels that are no classes of this model.
            AudioError: a recording cannot be read.
        """
        y, groups = np.asarray(y, np.int64), np.asarray(groups, str)
        if not len(y) == len(groups) == len(examples):
            raise DataError(f"{len(examples)} examples came with {len(y)} labels and {len(groups)} groups.")
        if len(y) and (y.min() < 0 or y.max() >= len(self.classes)):
            raise DataError(f"{self.name}: a label is outside the {len(self.classes)} classes.")
        chosen = self._taking_part(examples, groups)
        taken, y, groups = [examples[i] for i in chosen], y[chosen], groups[chosen]
        material = self._material(taken, y, groups, seed=seed, cache=cache, progress=progress)
        network, taught = self._learn(material, seed=seed, work=work, progress=progress)
        rows = range(0, len(material.kept), BATCH)
        self._onnx, parity = to_onnx(
            network, (self._inputs(material.kept[start : start + BATCH], None) for start in rows)
        )
        self._session = None
        self.history = taught.history
        self.facts |= {
            **material.facts,
            "best_epoch": taught.best + 1,
            "epochs": len(taught.history),
            "val_macro_f1": taught.at_best["val_macro_f1"],
            "val_loss": taught.at_best["val_loss"],
            "parameters": int(network.count_params()),
            "onnx_difference_nats": parity,
            "onnx_compared_on": len(material.kept),
        }
        self._learned = saving.learned_from(taken, y, groups, self.classes, seed)
        for checkpoint in Path(work).rglob(CHECKPOINT):
            checkpoint.unlink()

    def _taking_part(self, examples: Sequence[Example], groups: NDArray[np.str_]) -> Rows:
        """Rows that teach: copies only where they stand for themselves, or where they are asked for."""
        if self.options.get("copies"):
            return np.arange(len(examples))
        pairs = [(e.clip.path, str(g)) for e, g in zip(examples, groups, strict=True)]
        originals = {pair for pair, e in zip(pairs, examples, strict=True) if e.copy == ORIGINAL}
        teaches = [
            e.copy == ORIGINAL or pair not in originals for pair, e in zip(pairs, examples, strict=True)
        ]
        return np.flatnonzero(teaches)

    def _material(
        self,
        examples: Sequence[Example],
        y: NDArray[np.int64],
        groups: NDArray[np.str_],
        *,
        seed: int,
        cache: Path,
        progress: Progress | None,
    ) -> Material:
        """Front-end values, with a fifth of the groups for validation; recordings judge, not their copies."""
        rest, part = set_aside(y, groups, VALIDATION_SHARE, seed)
        original = np.array([example.copy == ORIGINAL for example in examples])
        judged = part[original[part]] if original[part].any() else part
        kept = np.stack(cached(examples, self.front_end, cache=cache, progress=progress))
        return Material(kept, y, rest, judged, {"train": len(rest), "validation": len(judged)})

    def _learn(
        self, material: Material, *, seed: int, work: Path, progress: Progress | None
    ) -> tuple[Any, Taught]:
        """Train; gives the whole network, from :meth:`_inputs` to logits, and how it went."""
        lesson = self._lesson(material, seed)
        taught = teach(lesson, self._recipe(), seed=seed, work=work, progress=progress)
        return taught.network, taught

    def _lesson(self, material: Material, seed: int) -> Lesson:
        return Lesson(
            name=self.name,
            network=lambda: self._network(material),
            inputs=lambda rows, rng: self._inputs(material.kept[rows], rng),
            y=material.y,
            n_classes=len(self.classes),
            train=material.train,
            validation=material.validation,
            content=f"{self.recipe} {self.options} {seed} {digest([material.kept])}",
        )

    def _recipe(self) -> Recipe:
        raise NotImplementedError

    def _network(self, material: Material) -> Any:
        """The untrained network, (n, ...) inputs to (n, classes) logits."""
        raise NotImplementedError

    def _inputs(self, kept: NDArray[Any], rng: np.random.Generator | None) -> NDArray[np.float32]:
        """(k, ...) front-end values to (k, ...) inputs, changed at random when a generator is given."""
        raise NotImplementedError

    def onnx(self) -> bytes:
        """The network as ONNX: inputs to scores.

        Raises:
            ArtifactError: neither trained nor loaded.
        """
        if not self._onnx:
            raise ArtifactError(f"The model '{self.name}' has learned nothing yet; fit it or load it.")
        return self._onnx

    def _run(self, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        if self._session is None:
            self._session = Session(self.onnx(), get_settings().threads)
        return self._session.run(inputs)

    def scores(self, examples: Sequence[Example], *, cache: Path) -> NDArray[np.float64]:
        """(n, classes) softmax scores, each row summing to 1; uncalibrated.

        Raises:
            ArtifactError: neither trained nor loaded.
            AudioError: a recording cannot be read.
        """
        self.onnx()
        parts = [np.zeros((0, len(self.classes)))]
        for start in range(0, len(examples), _CHUNK):
            kept = np.stack(cached(examples[start : start + _CHUNK], self.front_end, cache=cache))
            parts.append(self._run(self._inputs(kept, None)))
        return np.concatenate(parts)

    def save(self, folder: Path) -> None:
        """Write the ONNX network, manifest (with the training curve) and card.

        Raises:
            ArtifactError: not trained, or the folder cannot be written.
        """
        saving.save(
            self,
            Path(folder),
            files={MODEL_FILE: self.onnx()} if self._learned else {},
            about="\n\n".join([self.about, *self._notes()]),
            learned=self._learned and {**self._learned, "facts": self.facts},
            schema={"front_end": self.front_end.key, "sample_rate": 16_000},
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote; the network's checksum is verified before it is opened.

        Raises:
            ArtifactError: missing, changed or not of this model.
        """
        artifact = saving.open_model(Path(folder), cls.name)
        manifest = artifact.manifest
        found = manifest["schema"].get("front_end")
        if found != cls.front_end.key:
            raise ArtifactError(
                f"{folder}: it was trained on the front end {found!r}; this version computes "
                f"{cls.front_end.key!r}. Train it again."
            )
        try:
            model = cls(tuple(manifest["schema"]["classes"]), **manifest["training"]["options"])  # type: ignore[arg-type]
        except (KeyError, TypeError) as error:
            raise ArtifactError(
                f"{folder}: its manifest does not describe a {cls.name} ({error})."
            ) from error
        model._onnx = artifact.read_bytes(MODEL_FILE)
        model._session = Session(model._onnx, get_settings().threads)
        options = ("options", "recipe", "facts")
        model._learned = {k: v for k, v in manifest["training"].items() if k not in options}
        model.facts = dict(manifest["training"].get("facts", {}))
        model.history = list(manifest["metrics"].get("history", []))
        return model

    def _notes(self) -> list[str]:
        """Paragraphs for the card."""
        facts = self.facts
        return [
            f"Options: {', '.join(f'{key} {value}' for key, value in self.options.items())}.",
            f"{facts.get('parameters', 0):,} parameters. The best of {facts.get('epochs')} epochs was number "
            f"{facts.get('best_epoch')}, with macro-F1 {facts.get('val_macro_f1', 0):.3f} on the groups set "
            "aside to choose it by, which is no test. Log scores of the ONNX export differ from the trained "
            f"network's by at most {facts.get('onnx_difference_nats', 0):.1e} nats on its inputs.",
        ]

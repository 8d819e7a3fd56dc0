"""What the sound says, and cannot say, about why a baby cries.

Scores are the ensemble's raw votes. Probabilities are those scores calibrated on recordings of donors that
the model had not heard; where the sound carries nothing, they come out close to the base rate, and that is
the honest answer. The statement says in one sentence how far it can be trusted, from figures measured in
training.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import acoustics
from pipeline._reason_votes import Votes, votes_of
from pipeline.errors import ArtifactError, SettingsError

if TYPE_CHECKING:
    from pipeline.audio import Waveform
    from pipeline.settings import Settings

KIND = "reasons"
MODEL_FILE = "model.joblib"
CALIBRATION_FILE = "calibration.json"
_SMALLEST_SCORE = 1e-6


@dataclass(frozen=True)
class ReasonResult:
    """The answer for one sound.

    Attributes:
        label: the reason with the highest score if that reaches ``threshold``, else None: "not sure".
        threshold: in [0, 1], what ``label`` was decided with.
        scores: the ensemble's scores per reason, in [0, 1], summing to 1; not calibrated.
        probabilities: calibrated chances per reason, summing to 1.
        base_rate: share of each reason among the training recordings, summing to 1.
        prediction_set: the reasons that together hold the true one with probability ``coverage``, likeliest
        first.
        coverage: what the set was made for, 0.9 in the shipped model.
        statement: one sentence for a parent on how far this can be trusted.
    """

    label: str | None
    threshold: float
    scores: dict[str, float]
    probabilities: dict[str, float]
    base_rate: dict[str, float]
    prediction_set: tuple[str, ...]
    coverage: float
    statement: str

    @property
    def best(self) -> str:
        """The reason with the highest score, whatever the threshold."""
        return max(self.scores, key=self.scores.__getitem__)

    def with_threshold(self, threshold: float) -> ReasonResult:
        """The same answer with its label decided at another threshold; nothing else changes.

        Raises:
            SettingsError: the threshold is outside [0, 1].
        """
        threshold = checked_threshold(threshold)
        label = self.best if self.scores[self.best] >= threshold else None
        return replace(self, threshold=threshold, label=label)

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON-able values, fields by their own names."""
        return {**asdict(self), "prediction_set": list(self.prediction_set)}


@dataclass(frozen=True)
class Calibration:
    """From ensemble scores to probabilities: softmax(offset + slope * (log score - centre)) over the reasons.

    With slope 0 the sound is ignored and the offsets alone give the base rate.

    Attributes:
        slope: how far the scores are believed, at least 0; one number for all reasons.
        offsets: (classes,) log chances at average scores.
        centre: (classes,) mean log score of the recordings it was fitted on.
        set_threshold: a reason is in the prediction set when its probability is at least this.
        coverage: what the set was made for, in (0, 1).
    """

    slope: float
    offsets: tuple[float, ...]
    centre: tuple[float, ...]
    set_threshold: float = 0.0
    coverage: float = 0.9

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Calibration:
        """The inverse of ``dataclasses.asdict`` after a trip through JSON."""
        return cls(
            slope=float(stored["slope"]),
            offsets=tuple(stored["offsets"]),
            centre=tuple(stored["centre"]),
            set_threshold=float(stored["set_threshold"]),
            coverage=float(stored["coverage"]),
        )

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """(..., classes) ensemble scores -> (..., classes) probabilities, float64, summing to 1."""
        logits = self.slope * (log_scores(scores) - np.asarray(self.centre)) + np.asarray(self.offsets)
        powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return powers / powers.sum(axis=-1, keepdims=True)

    def members(self, probabilities: np.ndarray) -> np.ndarray:
        """(..., classes) bool, which reasons are in the prediction set; the likeliest always is."""
        best = probabilities.max(axis=-1, keepdims=True)
        # A hair of slack: a probability that equals the threshold but for rounding belongs to the set.
        return probabilities >= np.minimum(self.set_threshold * (1 - 1e-9), best)


def log_scores(scores: np.ndarray) -> np.ndarray:
    """Logarithm of scores in [0, 1], kept finite."""
    return np.log(np.clip(np.asarray(scores, dtype=np.float64), _SMALLEST_SCORE, 1.0))


def checked_threshold(threshold: float) -> float:
    """``threshold`` as float in [0, 1].

    Raises:
        SettingsError: it is outside.
    """
    if not 0.0 <= threshold <= 1.0:
        raise SettingsError(f"The reason threshold cannot be {threshold}; it lies between 0 and 1.")
    return float(threshold)


def trust_statement(figures: Mapping[str, Any]) -> str:
    """One plain sentence on how far reasons can be trusted, from the figures a model was measured with.

    Args:
        figures: as training stores them: ``clips``, ``donors``, ``majority`` (name), ``majority_share``,
            ``accuracy``, ``balanced_accuracy``, ``chance`` (fractions) and ``lift`` (bool: on donors kept
            apart, calibrated chances were closer to the truth than the base rate, beyond doubt).
    """
    heard = f"{figures['clips']} recordings from {figures['donors']} families it had not heard"
    usual = figures["majority"].replace("_", " ")
    if not figures["lift"]:
        comparison = f"right {figures['accuracy']:.0%} of the time, against {figures['majority_share']:.0%}"
        return (
            f"On {heard}, this model was no better than always guessing '{usual}' ({comparison}), "
            "so take these chances as how common each reason is, not as what this cry means."
        )
    return (
        f"On {heard}, the sound told a little about the reason (each reason found "
        f"{figures['balanced_accuracy']:.0%} of the time on average, against {figures['chance']:.0%} by "
        "chance): a hint, not an answer."
    )


@dataclass(frozen=True, eq=False)
class ReasonModel:
    """A trained reasons model, ready to use; see :meth:`load`.

    Attributes:
        classes: reasons in the order of the estimator's scores.
        schema: name of the feature schema it was fitted on.
        base_rate: share of each reason among the training recordings.
        statement: the sentence its results carry.
        default_threshold: in [0, 1], used when :meth:`classify` is given none.
    """

    classes: tuple[str, ...]
    schema: str
    estimator: Any
    calibration: Calibration
    base_rate: dict[str, float]
    statement: str
    default_threshold: float = 0.6

    @classmethod
    def load(cls, folder: str | Path | None = None, settings: Settings | None = None) -> ReasonModel:
        """Open a trained model.

        Args:
            folder: a model folder; ``artifacts/reasons`` when None.
            settings: for the folder of artifacts and the default threshold.

        Raises:
            ArtifactError: missing, altered, written by other library versions, or fitted on other features
                than this program computes.
        """
        from pipeline.artifacts import open_artifact
        from pipeline.settings import get_settings

        settings = settings or get_settings()
        artifact = open_artifact(Path(folder) if folder else "reasons", settings=settings, kind=KIND)
        schema = artifact.manifest["schema"]
        _require_schema(schema)
        stored = json.loads(artifact.read_bytes(CALIBRATION_FILE))
        model = cls(
            classes=tuple(schema["classes"]),
            schema=schema["name"],
            estimator=artifact.load_joblib(MODEL_FILE),
            calibration=Calibration.from_dict(stored["calibration"]),
            base_rate=stored["base_rate"],
            statement=trust_statement(stored["figures"]),
            default_threshold=settings.reason_threshold,
        )
        model._require_consistent()
        return model

    def _require_consistent(self) -> None:
        """Refuse a model whose parts do not fit together."""
        wanted = (len(acoustics.feature_names(self.schema)), list(range(len(self.classes))))
        found = (self.estimator.n_features_in_, [int(c) for c in self.estimator.classes_])
        if wanted != found or set(self.base_rate) != set(self.classes):
            raise ArtifactError(
                f"The reasons model does not fit its manifest: {found[0]} features and {len(found[1])} "
                f"reasons instead of {wanted[0]} and {len(self.classes)}. "
                "Train it again (crylens train reasons)."
            )

    def classify(self, waveform: Waveform | np.ndarray, threshold: float | None = None) -> ReasonResult:
        """Reasons for the sound given, all of it; callers choose the stretch (a few seconds of crying).

        Args:
            waveform: a ``Waveform``, or (n,) float32 samples, mono at 16 kHz.
            threshold: in [0, 1]; ``default_threshold`` when None.

        Raises:
            AudioError: shorter than one analysis frame (0.128 s), or NaN or infinite samples.
            SettingsError: the threshold is outside [0, 1].
        """
        threshold = checked_threshold(self.default_threshold if threshold is None else threshold)
        return self.classify_features(acoustics.extract(waveform, self.schema), self.schema, threshold)

    def classify_features(
        self, features: np.ndarray, schema: str, threshold: float | None = None
    ) -> ReasonResult:
        """As :meth:`classify`, from (features,) float64 that were extracted under ``schema``.

        Raises:
            ArtifactError: another schema than the model was fitted on.
        """
        if schema != self.schema or np.shape(features) != (len(acoustics.feature_names(self.schema)),):
            raise ArtifactError(
                f"This reasons model was fitted on '{self.schema}' and does not take '{schema}' features "
                f"of shape {np.shape(features)}. Extract '{self.schema}', or train a model on '{schema}'.",
                code="schema-mismatch",
            )
        scores = self._votes(np.asarray(features, dtype=np.float32)[None, :])[0]
        scores = np.asarray(scores, dtype=np.float64) / np.sum(scores, dtype=np.float64)
        probabilities = self.calibration.probabilities(scores)
        members = self.calibration.members(probabilities)
        likeliest = [int(i) for i in np.argsort(-probabilities, kind="stable") if members[i]]
        undecided = ReasonResult(
            label=None,
            threshold=0.0,
            scores=self._named(scores),
            probabilities=self._named(probabilities),
            base_rate={name: float(self.base_rate[name]) for name in self.classes},
            prediction_set=tuple(self.classes[i] for i in likeliest),
            coverage=self.calibration.coverage,
            statement=self.statement,
        )
        return undecided.with_threshold(self.default_threshold if threshold is None else threshold)

    @cached_property
    def _votes(self) -> Votes:
        return votes_of(self.estimator)

    def _named(self, values: np.ndarray) -> dict[str, float]:
        """(classes,) values by name of the reason."""
        return {name: float(value) for name, value in zip(self.classes, values, strict=True)}


def _require_schema(schema: Mapping[str, Any]) -> None:
    """Refuse a model whose feature names, or their order, are not the ones this program computes."""
    name = str(schema.get("name"))
    ours = list(acoustics.feature_names(name))
    theirs = list(schema.get("features", []))
    if theirs != ours:
        where = next((i for i, (a, b) in enumerate(zip(theirs, ours, strict=False)) if a != b), len(theirs))
        raise ArtifactError(
            f"The reasons model was fitted on other features than '{name}' has here ({len(theirs)} against "
            f"{len(ours)} names, first difference at number {where}). "
            "Train it again (crylens train reasons).",
            code="schema-mismatch",
        )

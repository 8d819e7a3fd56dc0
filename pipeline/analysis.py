"""The two stages in order: is a baby crying and when, then how far the sound can say why."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline import audio
from pipeline.audio import AudioSource, AudioStream, Waveform
from pipeline.detection import DetectorHead, load_head
from pipeline.embedding import Embedder, load_embedder
from pipeline.episodes import Episode, EpisodeRules, find_episodes, window_times
from pipeline.errors import SettingsError
from pipeline.reasons import ReasonModel, ReasonResult
from pipeline.settings import Settings, get_settings

# The reason model was trained on clips of about this length, in seconds.
REASON_STRETCH_S = 7.0

ReasonsWhen = Literal["if_cry", "always", "never"]


@dataclass(frozen=True, eq=False)
class Analysis:
    """What was heard in one recording. Times are seconds from its start.

    Attributes:
        source: name of the recording, for people.
        duration_s: length of what was heard.
        embedder: "yamnet" or "student".
        is_cry: ``cry_probability >= threshold``; true exactly when there are episodes.
        cry_probability: the highest of ``window_scores``; 0 for silence.
        threshold: detection threshold in use.
        window_times: (T,) float64, centre of each scored window.
        window_scores: (T,) float32 in [0, 1], as decisions are made on them: where crying goes on for long, a
            window counts for more than by itself (:class:`pipeline.detection.Evidence`).
        episodes: when the baby cries.
        reasons: None when no cry, or when reasons were not asked for.
        warnings: what was wrong with the recording, in sentences.
        notices: which embedder is in use and why, where that is not what was expected.
    """

    source: str
    duration_s: float
    embedder: str
    is_cry: bool
    cry_probability: float
    threshold: float
    window_times: NDArray[np.float64]
    window_scores: NDArray[np.float32]
    episodes: tuple[Episode, ...]
    reasons: ReasonResult | None
    warnings: tuple[str, ...]
    notices: tuple[str, ...]
    _rules: EpisodeRules
    _heard_reasons: ReasonResult | None = None

    def decide(
        self, detection_threshold: float | None = None, reason_threshold: float | None = None
    ) -> Analysis:
        """The same recording judged at other thresholds; no model runs.

        Args:
            detection_threshold: [0, 1]; None keeps the one in use.
            reason_threshold: [0, 1]; None keeps the one in use.

        Returns:
            A new analysis. Lowering the threshold past a rejected recording can only show reasons that were
            computed, that is after ``analyze(..., reasons="always")``.

        Raises:
            SettingsError: a threshold outside [0, 1].
        """
        threshold = _checked("Detection threshold", detection_threshold, self.threshold)
        rules = self._rules.with_threshold(threshold)
        is_cry = self.cry_probability >= threshold
        heard = self._heard_reasons
        if heard is not None and reason_threshold is not None:
            heard = heard.with_threshold(_checked("Reason threshold", reason_threshold, heard.threshold))
        return replace(
            self,
            is_cry=is_cry,
            threshold=threshold,
            episodes=find_episodes(self.window_scores, rules, duration_s=self.duration_s) if is_cry else (),
            reasons=heard if is_cry else None,
            _rules=rules,
            _heard_reasons=heard,
        )

    def to_dict(self) -> dict[str, Any]:
        """What REST and the command line print as JSON."""
        return {
            "path": self.source,
            "duration_s": round(self.duration_s, 3),
            "is_cry": self.is_cry,
            "cry_probability": self.cry_probability,
            "threshold": self.threshold,
            "embedder": self.embedder,
            "episodes": [
                {
                    "start_s": round(e.start, 3),
                    "end_s": round(e.end, 3),
                    "peak": float(e.peak),
                    "mean": float(e.mean),
                }
                for e in self.episodes
            ],
            "reasons": self.reasons.to_dict() if self.reasons else None,
            "warnings": list(self.warnings),
            "notices": list(self.notices),
            "error": None,
        }


class CryPipeline:
    """Both stages with their models loaded: load once, analyze many."""

    def __init__(
        self, embedder: Embedder, head: DetectorHead, reason_model: ReasonModel, settings: Settings
    ) -> None:
        """Put the parts together; most callers want :meth:`load`."""
        self.embedder = embedder
        self.reason_model = reason_model
        self._head = head
        self._settings = settings

    @classmethod
    def load(cls, embedder: str | None = None, settings: Settings | None = None) -> CryPipeline:
        """Load the models.

        Args:
            embedder: "auto", "yamnet", "student"; None reads the setting (``CRY_EMBEDDER``, else "auto").
            settings: read from ``config.yml`` and the environment when None.

        Raises:
            EmbedderError: YAMNet was asked for by name and cannot be had.
            ArtifactError: a trained model is missing, altered, or from versions that cannot be trusted.
            SettingsError: a setting that cannot be used.
        """
        settings = settings or get_settings()
        chosen = load_embedder(embedder, settings)
        head = load_head(chosen.name, settings, getattr(chosen, "checksum", None))
        return cls(chosen, head, ReasonModel.load(settings=settings), settings)

    @property
    def default_threshold(self) -> float:
        """The setting's detection threshold, else the one shipped with the detector."""
        configured = self._settings.detection_threshold
        return float(self._head.threshold) if configured is None else configured

    def analyze(
        self,
        source: AudioSource,
        detection_threshold: float | None = None,
        reason_threshold: float | None = None,
        reasons: ReasonsWhen = "if_cry",
        sample_rate: int | None = None,
        name: str | None = None,
    ) -> Analysis:
        """Hear one recording, of any length, in blocks.

        Args:
            source: path, bytes, seekable binary file, array or Waveform.
            detection_threshold: [0, 1]; None for :attr:`default_threshold`.
            reason_threshold: [0, 1]; None for the setting (0.6).
            reasons: run stage 2 only when a cry was found, always (for :meth:`Analysis.decide`), or never.
            sample_rate: Hz, for arrays only.
            name: what to call the recording; its file name by default.

        Raises:
            AudioError: the recording cannot be used; says what was found and what is accepted.
            SettingsError: a threshold outside [0, 1].
        """
        threshold = _checked("Detection threshold", detection_threshold, self.default_threshold)
        reason_threshold = _checked("Reason threshold", reason_threshold, self._settings.reason_threshold)
        position = source.tell() if _is_seekable(source) else None  # type: ignore[union-attr]
        with audio.open_stream(source, sample_rate=sample_rate, name=name, settings=self._settings) as stream:
            scores = self._score(stream)
        if stream.peak < audio.SILENCE_PEAK:
            scores = np.zeros_like(scores)
        evidence = self._head.evidence(scores)
        heard = None
        probability = float(evidence.max())
        if reasons == "always" or (reasons == "if_cry" and probability >= threshold):
            if position is not None:
                source.seek(position)  # type: ignore[union-attr]
            start_s, length_s = loudest_cry(scores, self._head.window_s, stream.duration_s)
            stretch = audio.load(
                source,
                sample_rate=sample_rate,
                name=name,
                settings=self._settings,
                start_s=start_s,
                duration_s=length_s,
            )
            heard = self.reason_model.classify(stretch, threshold=reason_threshold)
        rules = self._head.rules()
        analysis = Analysis(
            source=stream.name,
            duration_s=stream.duration_s,
            embedder=self.embedder.name,
            is_cry=False,
            cry_probability=probability,
            threshold=threshold,
            window_times=np.minimum(window_times(len(scores), rules), stream.duration_s),
            window_scores=evidence,
            episodes=(),
            reasons=None,
            warnings=stream.warnings,
            notices=(self.embedder.notice,) if self.embedder.notice else (),
            _rules=rules,
            _heard_reasons=heard,
        )
        return analysis.decide(threshold)

    def _score(self, stream: AudioStream) -> NDArray[np.float32]:
        blocks: Iterator[NDArray[np.float32]] = iter(stream)
        parts = list(self._head.score_blocks(self.embedder.embed_blocks(blocks)))
        return np.concatenate(parts) if parts else np.zeros(1, dtype=np.float32)


def loudest_cry(scores: NDArray[np.float32], window_s: float, duration_s: float) -> tuple[float, float]:
    """The stretch of at most 7 s whose windows score highest together: (start, length) in seconds."""
    from pipeline.embedding import FRAME_HOP_S

    if duration_s <= REASON_STRETCH_S + FRAME_HOP_S:
        return 0.0, duration_s
    inside = max(1, int((REASON_STRETCH_S - window_s) / FRAME_HOP_S) + 1)
    sums = np.convolve(scores, np.ones(min(inside, len(scores))), mode="valid")
    start_s = min(float(np.argmax(sums)) * FRAME_HOP_S, duration_s - REASON_STRETCH_S)
    return start_s, REASON_STRETCH_S


def _checked(name: str, value: float | None, default: float) -> float:
    if value is None:
        return default
    if not (isinstance(value, (int, float, np.floating)) and math.isfinite(value) and 0.0 <= value <= 1.0):
        raise SettingsError(f"{name} cannot be {value!r}: give a number from 0 to 1.")
    return float(value)


def _is_seekable(source: object) -> bool:
    return not isinstance(source, Waveform) and hasattr(source, "seekable") and bool(source.seekable())

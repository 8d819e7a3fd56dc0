"""Stage 1: embeddings to cry scores.

Mean and standard deviation of the embeddings over a short window (2048 numbers) → StandardScaler → PCA →
logistic regression → calibration. The same head scores windows along the audio and, by the best of them, the
clip, so that the verdict and the timeline never contradict each other.

Along longer sound a second look is taken (:class:`Evidence`): faint crying that no single window is sure of
gives itself away by going on, where a cat or a creaking door is soon over.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from pipeline.artifacts import open_artifact
from pipeline.embedding.base import EMBEDDING_SIZE, FRAME_HOP_S, FRAME_WINDOW_S
from pipeline.episodes import EpisodeRules
from pipeline.errors import ArtifactError
from pipeline.settings import Settings

HEAD_FILE = "head.npz"
FEATURES = 2 * EMBEDDING_SIZE

FloatArray = NDArray[np.float32]

# Log-odds are summed in whole steps of this size: a running sum then never drifts, however long a stream.
_STEPS_PER_LOGIT = 2**20
_LEAST_SCORE = 1e-6
_ABOUT_AS_SURE = 1.0  # log-odds


def window_features(embeddings: FloatArray, window: int) -> FloatArray:
    """Mean and standard deviation over each run of ``window`` frames.

    Args:
        embeddings: (frames, 1024).
        window: frames per window; fewer frames than that make one window of all there are.

    Returns:
        (max(1, frames - window + 1), 2048) float32: 1024 means, then 1024 deviations (population).
    """
    frames = np.asarray(embeddings, dtype=np.float32)
    window = min(window, len(frames))
    count = len(frames) - window + 1
    shifted = [frames[i : i + count] for i in range(window)]  # far faster than a strided view's std
    mean = np.sum(shifted, axis=0) / np.float32(window)
    variance = np.sum([np.square(part - mean) for part in shifted], axis=0) / np.float32(window)
    return np.concatenate([mean, np.sqrt(variance)], axis=1)


@dataclass(frozen=True, eq=False)
class DetectorHead:
    """A trained head, as plain arrays: nothing to unpickle, nothing to run but a product.

    Attributes:
        scaler_mean, scaler_scale: (2048,) StandardScaler.
        pca_mean: (2048,); pca_components: (k, 2048).
        coefficients: (k,); intercept: () logistic regression.
        calibration: (2,) slope and offset on the logit, fitted on audio of sources kept out of training.
        threshold: () shipped threshold on the calibrated score.
        window: () frames per window.
        sustained_windows: () how many windows in a row are judged together; 0: none are.
        sustained_gain: () how much lower than a single window's their mean log-odds may be at the threshold.
        sustained_slope: () log-odds of the windows together per mean log-odds of each.
    """

    scaler_mean: NDArray[np.float64]
    scaler_scale: NDArray[np.float64]
    pca_mean: NDArray[np.float64]
    pca_components: NDArray[np.float64]
    coefficients: NDArray[np.float64]
    intercept: NDArray[np.float64]
    calibration: NDArray[np.float64]
    threshold: NDArray[np.float64]
    window: NDArray[np.int64]
    sustained_windows: NDArray[np.int64]
    sustained_gain: NDArray[np.float64]
    sustained_slope: NDArray[np.float64]

    def __post_init__(self) -> None:
        """Fold the three linear steps into one weight vector.

        Raises:
            ArtifactError: arrays whose shapes do not fit together.
        """
        k = (len(self.coefficients) if np.ndim(self.coefficients) == 1 else 0,)
        wanted: dict[str, tuple[int, ...]] = {"scaler_mean": (FEATURES,)}
        wanted |= {"scaler_scale": (FEATURES,), "pca_mean": (FEATURES,)}
        wanted |= {"pca_components": (*k, FEATURES), "coefficients": k, "calibration": (2,)}
        for name in (f.name for f in fields(self)):
            array = np.asarray(getattr(self, name))
            if array.shape != wanted.get(name, ()) or array.dtype.kind not in "iuf":
                raise ArtifactError(
                    f"The detector head's {name} is {array.dtype} of shape {array.shape}; numbers of shape "
                    f"{wanted.get(name, ())} are needed. Train it again."
                )
        weights = (self.coefficients @ self.pca_components) / self.scaler_scale
        bias = float(self.intercept) - float(self.coefficients @ self.pca_components @ self.pca_mean)
        object.__setattr__(self, "_weights", weights)
        object.__setattr__(self, "_bias", bias - float(weights @ self.scaler_mean))

    @property
    def window_s(self) -> float:
        """Seconds that one window looks at."""
        return (int(self.window) - 1) * FRAME_HOP_S + FRAME_WINDOW_S

    def logits(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Uncalibrated log-odds of (windows, 2048) features, shape (windows,)."""
        return features.astype(np.float64) @ self._weights + self._bias  # type: ignore[attr-defined]

    def scores(self, embeddings: FloatArray) -> FloatArray:
        """Calibrated score of each window of (frames, 1024) embeddings, (windows,) float32 in [0, 1]."""
        slope, offset = self.calibration
        logits = slope * self.logits(window_features(embeddings, int(self.window))) + offset
        return (1.0 / (1.0 + np.exp(-np.clip(logits, -60, 60)))).astype(np.float32)

    def score_blocks(self, blocks: Iterable[FloatArray]) -> Iterator[FloatArray]:
        """Scores of a stream of embedding blocks; concatenated they equal ``scores`` of the whole."""
        window = int(self.window)
        kept = np.empty((0, EMBEDDING_SIZE), np.float32)
        complete = False
        for block in blocks:
            frames = np.concatenate([kept, np.asarray(block, dtype=np.float32)])
            if len(frames) >= window:
                complete = True
                yield self.scores(frames)
            kept = frames[max(0, len(frames) - (window - 1)) :]
        if not complete and len(kept):
            yield self.scores(kept)

    def evidence(self, scores: FloatArray) -> FloatArray:
        """What decisions on a whole recording are made on (:class:`Evidence`): (T,) to (T,) float32."""
        listener = Evidence(self)
        return np.fromiter(map(listener.push, scores.tolist()), np.float32, len(scores))

    def rules(self, threshold: float | None = None) -> EpisodeRules:
        """How window scores become episodes at a threshold (the shipped one by default)."""
        rules = EpisodeRules(
            onset=float(self.threshold),
            offset=0.5 * float(self.threshold),
            hop_s=FRAME_HOP_S,
            window_s=self.window_s,
        )
        return rules if threshold is None else rules.with_threshold(threshold)

    def to_bytes(self) -> bytes:
        """The head as an ``.npz`` file."""
        buffer = io.BytesIO()
        np.savez(buffer, **{f.name: getattr(self, f.name) for f in fields(self)})
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> DetectorHead:
        """Read ``to_bytes`` back; pickled arrays are refused.

        Raises:
            ArtifactError: not such a file.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                return cls(**{f.name: arrays[f.name] for f in fields(cls)})
        except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise ArtifactError(f"The detector head cannot be read ({error}). Train it again.") from error


class Evidence:
    """Window scores as decisions are made on them, one at a time and in constant memory.

    The mean log-odds of the last ``sustained_windows`` are a score of their own: they reach the shipped
    threshold ``sustained_gain`` below it, and grow ``sustained_slope`` times as fast from there, since the
    mean of many looks varies less than each of them. It counts where it is higher than the window's score,
    and only at windows about as sure as the mean or surer: what was heard before does not draw out an episode
    that is over. Nothing is judged together before so many windows were heard; clips of some seconds are
    judged by their windows alone.
    """

    def __init__(self, head: DetectorHead) -> None:
        """Begin a recording or stream that ``head`` scores."""
        self._most = int(head.sustained_windows)
        self._gain, self._slope = float(head.sustained_gain), float(head.sustained_slope)
        self._threshold = _logit(float(head.threshold))
        self._kept: deque[int] = deque()
        self._sum = 0

    def push(self, score: float) -> float:
        """Take the next window's score in [0, 1]; returns what counts at that window, never below it."""
        score = float(score)
        if not self._most:
            return score
        logit = _logit(score)
        steps = round(logit * _STEPS_PER_LOGIT)
        self._kept.append(steps)
        self._sum += steps
        if len(self._kept) > self._most:
            self._sum -= self._kept.popleft()
        if len(self._kept) < self._most:
            return score
        mean = self._sum / (self._most * _STEPS_PER_LOGIT)
        if logit < mean - _ABOUT_AS_SURE:
            return score
        together = self._threshold + self._slope * (mean - self._threshold + self._gain)
        return max(score, float(np.float32(1 / (1 + math.exp(-max(together, -60.0))))))


def _logit(score: float) -> float:
    """Log-odds, of scores not nearer to 0 and 1 than what float32 can tell from them."""
    kept = min(max(score, _LEAST_SCORE), 1 - _LEAST_SCORE)
    return math.log(kept / (1 - kept))


def load_head(embedder: str, settings: Settings, checksum: str | None = None) -> DetectorHead:
    """The head trained for an embedder ("yamnet" or "student"), its checksum verified first.

    Args:
        checksum: SHA-256 of the network that will be listened with, where it has one (the student).

    Raises:
        ArtifactError: missing, altered, or trained on the embedding of another network than that one.
    """
    artifact = open_artifact(f"detector-{embedder}", settings=settings, kind="detector")
    trained_on = artifact.manifest["schema"].get("embedder_sha256")
    if checksum and trained_on and trained_on != checksum:
        raise ArtifactError(
            f"The detector in {artifact.folder} was trained on another {embedder} network (SHA-256 "
            f"{trained_on[:12]}…, not {checksum[:12]}…). Train it again: "
            f"python -m pipeline train detector --embedder {embedder}."
        )
    return DetectorHead.from_bytes(artifact.read_bytes(HEAD_FILE))

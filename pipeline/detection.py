"""Stage 1: embeddings to cry scores.

Mean and standard deviation of the embeddings over a short window (2048 numbers) → StandardScaler → PCA →
logistic regression → calibration. The same head scores windows along the audio and, by its best window, the
clip, so that the verdict and the timeline never contradict each other.
"""

from __future__ import annotations

import io
import zipfile
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

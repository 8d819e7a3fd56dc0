"""The models, loaded once for all rooms, and the words for which ones they are."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.detection import DetectorHead
from pipeline.embedding import Embedder
from pipeline.reasons import ReasonModel
from pipeline.settings import Settings
from pipeline.streaming import LiveListener


@dataclass(frozen=True)
class Ears:
    """Both stages, for streams.

    Attributes:
        threshold: detection threshold in use.
        models: names and checksums of what decides, as stored with what was decided.
        describer: judges reasons; None where none are asked for.
    """

    embedder: Embedder
    head: DetectorHead
    describer: ReasonModel | None
    threshold: float
    models: str
    settings: Settings

    @classmethod
    def load(cls, settings: Settings, *, reasons: bool = True) -> Ears:
        """Load the models; errors as of ``CryPipeline.load``."""
        from pipeline.analysis import CryPipeline
        from pipeline.detection import load_head

        pipeline = CryPipeline.load(settings.embedder, settings)
        embedder = pipeline.embedder
        head = load_head(embedder.name, settings, getattr(embedder, "checksum", None))
        names = [f"detector-{embedder.name}"] + (["reasons"] if reasons else [])
        return cls(
            embedder,
            head,
            pipeline.reason_model if reasons else None,
            pipeline.default_threshold,
            "; ".join(_version(name, settings) for name in names),
            # A monitor's stream has no longest length: months are meant.
            settings.model_copy(update={"max_duration_s": float("inf")}),
        )

    def listener(self, rate: int, name: str) -> LiveListener:
        """A listener for one stretch of sound at ``rate`` Hz."""
        return LiveListener(
            self.embedder,
            self.head,
            sample_rate=rate,
            threshold=self.threshold,
            name=name,
            settings=self.settings,
        )

    def reasons(
        self, samples: NDArray[np.float32], rate: int, scores: NDArray[np.float32], name: str
    ) -> dict[str, Any] | None:
        """What can be said about why, of the stretch of an episode that is surest to be crying.

        Args:
            samples: (n,) or (n, channels) of the episode at ``rate`` Hz.
            scores: (T,) of its windows, the first of which begins with the samples.
        """
        if self.describer is None:
            return None
        from pipeline.analysis import loudest_cry
        from pipeline.audio import load

        start_s, length_s = loudest_cry(scores, self.head.window_s, len(samples) / rate)
        stretch = load(
            samples,
            sample_rate=rate,
            name=name,
            settings=self.settings,
            start_s=start_s,
            duration_s=length_s,
        )
        return self.describer.classify(stretch, threshold=self.settings.reason_threshold).to_dict()


def _version(name: str, settings: Settings) -> str:
    """Name, date and checksum of an artifact."""
    from pipeline.artifacts import open_artifact

    manifest = open_artifact(name, settings=settings).manifest
    sums = sorted(file["sha256"] for path, file in manifest["files"].items() if not path.endswith(".md"))
    return f"{name} {manifest['created'][:10]} {sha256(''.join(sums).encode()).hexdigest()[:12]}"

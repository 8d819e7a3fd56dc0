"""YAMNet's own classes for crying, as they are: what an untrained detector hears.

``yamnet-class``: the class "Baby cry, infant cry" in every frame of 0.96 s, 0.48 s apart.
``yamnet-crying-max``: the highest of the three classes "Crying, sobbing", "Baby cry, infant cry" and
"Whimper" on one frame after the other, 0.975 s each without overlap, from 0.8 on: so home video systems with
a YAMNet detector use it. Their gate on loudness, which drops quiet cries, is left out.
``yamnet-class-20s``: the first, averaged over 20 s, so that our second look has its like beside it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.embedding.base import FRAME_HOP_S, FRAME_SAMPLES, FRAME_WINDOW_S, HOP_SAMPLES, SAMPLE_RATE
from pipeline.embedding.yamnet import BABY_CRY_CLASS, CRYING_CLASSES, YamnetEmbedder
from pipeline.zoo.base import DETECTION_CLASSES, Timeline
from pipeline.zoo.listening import Listener

STEP_S = FRAME_SAMPLES / SAMPLE_RATE
_BABY_CRY = BABY_CRY_CLASS - CRYING_CLASSES.start
# Frames of 0.975 s laid out this far apart (the next multiple of YAMNet's hop) are heard one by one.
_APART = 3 * HOP_SAMPLES


@functools.cache
def shared_yamnet() -> YamnetEmbedder:
    """YAMNet as the settings name it, loaded once.

    Raises:
        EmbedderError: it cannot be had.
    """
    from pipeline.settings import get_settings

    return YamnetEmbedder(get_settings())


def step_scores(yamnet: YamnetEmbedder, samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """YAMNet's three crying classes on frames of 0.975 s one after the other.

    Args:
        samples: (n,) at 16 kHz; the last frame is padded with zeros.

    Returns:
        (max(1, ceil(n / 15600)), 3) float32.
    """
    count = max(1, -(-len(samples) // FRAME_SAMPLES))
    apart = np.zeros((count, _APART), np.float32)
    heard = np.zeros(count * FRAME_SAMPLES, np.float32)
    heard[: len(samples)] = samples
    apart[:, :FRAME_SAMPLES] = heard.reshape(count, FRAME_SAMPLES)
    return yamnet.embed_and_score(apart.ravel())[1][::3][:count, CRYING_CLASSES]


class YamnetClass(Listener):
    """The class "Baby cry, infant cry" by itself."""

    name = "yamnet-class"
    about = 'No training: YAMNet\'s own class "Baby cry, infant cry", frame by frame.'
    threshold = 0.5

    def __init__(
        self, classes: Sequence[str] = DETECTION_CLASSES, *, yamnet: YamnetEmbedder | None = None
    ) -> None:
        """Make it; ``yamnet`` is loaded from the settings when it is first needed and None is given."""
        super().__init__(classes)
        self._yamnet = yamnet

    @property
    def yamnet(self) -> YamnetEmbedder:
        """What it listens with."""
        return self._yamnet or shared_yamnet()

    def timeline(self, samples: NDArray[np.float32]) -> Timeline:
        """Scores along (n,) mono float32 samples at 16 kHz.

        Raises:
            EmbedderError: YAMNet cannot be had.
        """
        return self.of_frames(self.yamnet.embed_and_score(samples)[1][:, CRYING_CLASSES])

    def of_frames(self, crying: NDArray[np.floating]) -> Timeline:
        """The timeline of what YAMNet already heard: (frames, 3), its crying classes."""
        return Timeline(np.asarray(crying[:, _BABY_CRY], np.float64), FRAME_HOP_S, FRAME_WINDOW_S)


class YamnetCryingMax(YamnetClass):
    """The best of the three crying classes, in steps."""

    name = "yamnet-crying-max"
    about = "No training: the highest of YAMNet's three crying classes, every 0.975 s, from 0.8 on."
    threshold = 0.8
    offset_ratio = 1.0

    def timeline(self, samples: NDArray[np.float32]) -> Timeline:
        """Scores along (n,) mono float32 samples at 16 kHz.

        Raises:
            EmbedderError: YAMNet cannot be had.
        """
        return self.of_steps(step_scores(self.yamnet, samples))

    def of_steps(self, crying: NDArray[np.floating]) -> Timeline:
        """The timeline of :func:`step_scores`, (steps, 3)."""
        return Timeline(np.asarray(crying, np.float64).max(axis=1), STEP_S, STEP_S)


class YamnetClass20s(YamnetClass):
    """The class "Baby cry, infant cry", its log-odds averaged over the last 20 s."""

    name = "yamnet-class-20s"
    about = 'No training: YAMNet\'s class "Baby cry, infant cry", its log-odds averaged over 20 s.'

    def of_frames(self, crying: NDArray[np.floating]) -> Timeline:
        """The timeline of what YAMNet already heard: (frames, 3), its crying classes."""
        return averaged(super().of_frames(crying), 20.0)


def averaged(timeline: Timeline, mean_s: float) -> Timeline:
    """The timeline of longer windows: the mean log-odds of the ones in each stretch of ``mean_s`` seconds.

    A sound shorter than that has one window, the mean of all it has.
    """
    count = min(max(1, round(mean_s / timeline.hop_s)), len(timeline.scores))
    if count == 1:
        return timeline
    odds = np.clip(timeline.scores, 1e-9, 1 - 1e-9)
    sums = np.cumsum(np.concatenate([[0.0], np.log(odds / (1 - odds))]))
    means = (sums[count:] - sums[:-count]) / count
    return Timeline(
        1 / (1 + np.exp(-means)), timeline.hop_s, timeline.window_s + (count - 1) * timeline.hop_s
    )


MODELS = {model.name: model for model in (YamnetClass, YamnetCryingMax, YamnetClass20s)}

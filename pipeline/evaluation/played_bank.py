"""The sound of the detector's banks, for models that hear sound and not the bank's embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.embedding.base import FRAME_SAMPLES
from pipeline.training import augment
from pipeline.training.bank import Bank, MixedBank

START_JITTER = 7680  # as in pipeline.training.bank: a changed sound may begin up to 0.48 s later


class Played:
    """The sound of a bank's pass, as it is heard when the bank is built."""

    def play(self: Any, k: int, wanted: NDArray[np.bool_]) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """(entry, samples) of the wanted entries of pass ``k``; recordings too short to be heard are not."""
        for i, change, partner, rng in self._plan(k):
            if not wanted[i]:
                continue
            clean = self.sound(self.entries[i]).astype(np.float32)
            if not len(clean):
                continue
            if change == augment.Recipe():
                yield i, clean
                continue
            if len(clean) > 2 * FRAME_SAMPLES:
                clean = clean[int(rng.integers(0, START_JITTER)) :]
            other = self.sound(self.entries[partner]).astype(np.float32) if partner >= 0 else None
            yield i, augment.apply(clean, change, other, rng)


class PlayedBank(Played, Bank):
    """Pass 0 clean, pass 1 changed."""


class PlayedMixedBank(Played, MixedBank):
    """One pass for each of its conditions."""

"""YAMNet's last layer, found out from what it answers: which class scores follow from an embedding.

Its scores are a logistic function of a linear one of its embedding, so least squares on log-odds give that
layer back, whatever form the model comes in. It helps to teach the student and is no part of it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.embedding.yamnet import YamnetEmbedder
from pipeline.errors import DataError
from pipeline.settings import Settings
from pipeline.training import synthetic
from pipeline.training.bank import Bank

FRAMES = 6_144
# Of our own sounds; the bank's have smaller ones.
_FIRST_SEED = 1_000
_LEAST_SCORE = 1e-30
_LARGEST_SCORE = 1 - 1e-4
# Log-odds by which the layer may miss what the teacher said, root of the mean square.
_CLOSE = 0.05


@dataclass(frozen=True)
class TeacherClasses:
    """Log-odds of the classes are ``embedding @ weights + bias``: (1024, 521) and (521,) float32."""

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]


def teacher_classes(bank: Bank, settings: Settings) -> TeacherClasses:
    """The layer, found out the first time from sound of the bank and kept beside it.

    Raises:
        DataError: the teacher's scores do not follow from its embedding.
        EmbedderError: YAMNet cannot be loaded.
    """
    path = bank.folder.parent / "classes.npz"
    if not path.is_file():
        found = _find_out(bank, YamnetEmbedder(settings))
        unfinished = path.with_suffix(".part.npz")
        np.savez(unfinished, weights=found.weights, bias=found.bias)
        unfinished.replace(path)
    with np.load(path, allow_pickle=False) as arrays:
        return TeacherClasses(arrays["weights"], arrays["bias"])


def _sounds(bank: Bank) -> Iterator[NDArray[np.float32]]:
    """The bank's clips in random order, then as many of our own sounds as are wanted."""
    for i in np.random.default_rng(bank.seed).permutation(len(bank.entries)):
        yield bank.sound(bank.entries[int(i)]).astype(np.float32)
    for seed, kind in enumerate(itertools.cycle(synthetic.KINDS), start=_FIRST_SEED):
        yield synthetic.make(kind, seed)


def _find_out(bank: Bank, yamnet: YamnetEmbedder) -> TeacherClasses:
    embeddings: list[np.ndarray] = []
    odds: list[np.ndarray] = []
    heard = 0
    for sound in _sounds(bank):
        if not len(sound):
            continue
        embedding, scores = yamnet.embed_and_score(sound)
        # Scores that single precision rounds to 0 or 1 have no log-odds left.
        usable = (scores.min(axis=1) > _LEAST_SCORE) & (scores.max(axis=1) < _LARGEST_SCORE)
        score = scores[usable].astype(np.float64)
        embeddings.append(embedding[usable].astype(np.float64))
        odds.append(np.log(score) - np.log1p(-score))
        heard += len(score)
        if heard >= FRAMES:
            break
    x = np.concatenate(embeddings)
    x = np.hstack([x, np.ones((len(x), 1))])
    y = np.concatenate(odds)
    # The least of ridges: some of the 1024 numbers are zero on all of this sound.
    products = x.T @ x + 1e-6 * len(x) * np.eye(x.shape[1])
    layer = np.linalg.solve(products, x.T @ y)
    off = float(np.sqrt(np.mean(np.square(x @ layer - y))))
    if off > _CLOSE:
        raise DataError(
            f"The teacher's class scores do not follow from its embeddings (log-odds differ by {off:.2g}): "
            "CRY_YAMNET_HANDLE does not name a YAMNet."
        )
    return TeacherClasses(layer[:-1].astype(np.float32), layer[-1].astype(np.float32))

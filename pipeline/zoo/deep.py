"""How the zoo's networks learn: one seeded loop in Keras with class weights, a validation part of groups kept
apart, the best epoch kept, early stopping, and going on after an interruption.

What is guaranteed: on one machine, with the same libraries and as many threads, the same data, options and
seed give the same network, bit for bit, and so does a fit that was interrupted at any time and started again
(it goes on behind the last finished epoch). Every epoch draws order, changes and dropout from the seed and
its own number alone. Threads are those of the settings (``CRY_THREADS``, 2), not the machine's. On a GPU, or
with another number of threads, sums are added up in another order and figures differ. A GPU is used where
TensorFlow finds one; the pinned build is for the processor.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import DataError
from pipeline.settings import get_settings
from pipeline.zoo.base import Progress

CHECKPOINT = "checkpoint.npz"
LEAST_STEPS = 4  # in an epoch: few rows make small batches, not a network that is hardly ever corrected
_PREDICT = 64

Rows = NDArray[np.int64]
Inputs = Callable[[Rows, np.random.Generator | None], NDArray[np.float32]]


@dataclass(frozen=True)
class Recipe:
    """How a network is taught.

    Attributes:
        epochs: at most; patience: epochs without a better one after which it stops.
        batch: rows per step.
        watch: the best epoch has the highest macro-F1 on the validation part, or the lowest loss.
        weighted: classes count alike in the loss, however many rows they have.
        rate: learning rate; decay: weight decay (AdamW), None for plain Adam.
        rows: of an epoch at most, drawn anew for each; None for all there are.
    """

    epochs: int
    batch: int
    patience: int
    watch: Literal["macro_f1", "loss"]
    weighted: bool
    rate: float
    decay: float | None = None
    rows: int | None = None


@dataclass(frozen=True, eq=False)
class Lesson:
    """What is to be learned.

    Attributes:
        name: for progress.
        network: makes the untrained network, which ends in logits.
        inputs: (rows, generator) to (rows, ...) float32; the generator, given in training only, is for
            augmentation.
        y: (n,) class of every row; n_classes: how many there are.
        train, validation: rows.
        content: everything else that decides what is learned, in words: the data's digest, options, seed.
    """

    name: str
    network: Callable[[], Any]
    inputs: Inputs
    y: NDArray[np.int64]
    n_classes: int
    train: Rows
    validation: Rows
    content: str


@dataclass(frozen=True, eq=False)
class Taught:
    """A trained network (Keras, logits) as of its best epoch, and what happened in each."""

    network: Any
    history: list[dict[str, Any]]
    best: int

    @property
    def at_best(self) -> dict[str, Any]:
        """The row of the history that the network is of."""
        return self.history[self.best]


def teach(
    lesson: Lesson, recipe: Recipe, *, seed: int, work: Path, progress: Progress | None = None
) -> Taught:
    """Train, or go on from the checkpoint in ``work`` if it is of this very lesson.

    Args:
        work: folder; its checkpoint, when training is done, gives the network at once and may be deleted.

    Returns:
        The network of the best epoch; history with epoch (from 1), loss (training, with dropout and changes),
        val_loss and val_macro_f1.
    """
    network = _compiled(lesson, recipe, seed)
    place, key = work / CHECKPOINT, _key(lesson, recipe, seed)
    weights = class_weights(lesson.y[lesson.train], lesson.n_classes) if recipe.weighted else None
    history, best = _restore(network, place, key)
    for epoch in range(len(history), recipe.epochs):
        if epoch - 1 - best.epoch >= recipe.patience:
            break
        loss = _one_epoch(
            network, lesson, recipe, weights, np.random.SeedSequence([seed, epoch]), epoch, progress
        )
        val_loss, val_f1 = _judge(network, lesson, weights)
        history.append({"epoch": epoch + 1, "loss": loss, "val_loss": val_loss, "val_macro_f1": val_f1})
        # Macro-F1 moves in steps: of two epochs alike in it, the one with the lower loss is better.
        merit = (val_f1, -val_loss) if recipe.watch == "macro_f1" else (-val_loss, val_f1)
        if best.merit is None or merit > best.merit:
            best = _Best(epoch, merit, network.get_weights())
        _keep(place, key, network, history, best)
    network.set_weights(best.weights)
    _keep(place, key, network, history, best, done=True)
    return Taught(network, history, best.epoch)


@dataclass(frozen=True, eq=False)
class _Best:
    epoch: int
    merit: tuple[float, float] | None
    weights: Sequence[NDArray[Any]]


def _compiled(lesson: Lesson, recipe: Recipe, seed: int) -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(get_settings().threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        pass  # TensorFlow is already running in this process; its threads were set then.
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    network = lesson.network()
    if recipe.decay is None:
        optimizer = keras.optimizers.Adam(recipe.rate)
    else:
        optimizer = keras.optimizers.AdamW(recipe.rate, weight_decay=recipe.decay)
    network.compile(
        optimizer=optimizer,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    optimizer.build(network.trainable_variables)
    return network


def _one_epoch(
    network: Any,
    lesson: Lesson,
    recipe: Recipe,
    weights: NDArray[np.float32] | None,
    seeds: np.random.SeedSequence,
    epoch: int,
    progress: Progress | None,
) -> float:
    """One pass over the training rows, or as many as an epoch has, in an order of its own; the mean loss."""
    rng = np.random.default_rng(seeds)
    _seed_dropout(network, seeds)
    taken = rng.permutation(lesson.train)[: recipe.rows]
    batch = max(1, min(recipe.batch, len(taken) // LEAST_STEPS))
    steps = -(-len(taken) // batch)
    order = np.resize(taken, steps * batch)  # the last step is filled up from the first
    total = 0.0
    for step in range(steps):
        rows = order[step * batch : (step + 1) * batch]
        y = lesson.y[rows]
        weight = None if weights is None else weights[y]
        loss = network.train_on_batch(lesson.inputs(rows, rng), y, sample_weight=weight)
        network.reset_metrics()  # Keras would give the mean since the epoch began, rounded on the way
        total += float(np.asarray(loss if not isinstance(loss, list) else loss[0]))
        if progress:
            done = epoch * steps + step + 1
            progress(
                f"{lesson.name}, epoch {epoch + 1}, loss {total / (step + 1):.3f}",
                done,
                recipe.epochs * steps,
            )
    return total / steps


def _seed_dropout(network: Any, seeds: np.random.SeedSequence) -> None:
    """Dropout draws from the epoch's own seed, so that an epoch is the same whatever ran before it."""
    for k, layer in enumerate(network._flatten_layers(include_self=False)):
        generator = getattr(layer, "seed_generator", None)
        if generator is not None:
            state = np.random.default_rng(np.random.SeedSequence(seeds.entropy, spawn_key=(k,)))
            generator.state.assign(state.integers(0, 2**31, 2, dtype=np.uint32))


def _judge(network: Any, lesson: Lesson, weights: NDArray[np.float32] | None) -> tuple[float, float]:
    """Loss, weighted as in training, and macro-F1 on the validation rows."""
    rows = lesson.validation
    logits = np.concatenate(
        [
            np.asarray(network.predict_on_batch(lesson.inputs(rows[i : i + _PREDICT], None)), np.float64)
            for i in range(0, len(rows), _PREDICT)
        ]
    )
    y = lesson.y[rows]
    weight = np.ones(len(y)) if weights is None else weights[y].astype(np.float64)
    log_scores = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    loss = -np.sum(weight * log_scores[np.arange(len(y)), y]) / np.sum(weight)
    if not np.isfinite(loss):
        raise DataError(
            f"{lesson.name}: the loss is no longer a number; the learning rate is too high for this data."
        )
    return float(loss), macro_f1(y, logits.argmax(axis=1), lesson.n_classes)


def macro_f1(y: NDArray[np.int64], answers: NDArray[np.int64], n_classes: int) -> float:
    """Mean F1 over the classes present in truth or answers; both (n,)."""
    table = np.bincount(y * n_classes + answers, minlength=n_classes**2).reshape(n_classes, n_classes)
    both = table.sum(axis=0) + table.sum(axis=1)
    return float((2 * table.diagonal()[both > 0] / both[both > 0]).mean())


def class_weights(y: NDArray[np.int64], n_classes: int) -> NDArray[np.float32]:
    """(n_classes,) n / (classes present * rows of the class); zero for a class that is absent."""
    counts = np.bincount(y, minlength=n_classes)
    present = counts > 0
    weights = np.zeros(n_classes, np.float32)
    weights[present] = len(y) / (present.sum() * counts[present])
    return weights


def set_aside(y: NDArray[np.int64], groups: NDArray[np.str_], share: float, seed: int) -> tuple[Rows, Rows]:
    """Split rows into (rest, part), groups whole and classes in proportion as far as groups allow.

    Of the possible parts the one with the most classes is taken, then the one nearest to ``share``; the rest
    always holds every class.

    Raises:
        DataError: a single class, or no group can be spared without losing a class.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    found = np.unique(y)
    if len(found) < 2:
        raise DataError(
            "There is a single class to learn. Give recordings of at least two, from several sessions."
        )
    names = np.unique(groups)
    parts: list[tuple[Rows, Rows]] = []
    commonest = int(np.bincount(y).max())
    if len(names) >= 2 and commonest >= 2:
        folds = max(2, min(round(1 / share), len(names), commonest))
        parts = _stratified(StratifiedGroupKFold(folds, shuffle=True, random_state=seed), y, groups)
    whole = [(rest, part) for rest, part in parts if len(part) and len(np.unique(y[rest])) == len(found)]
    if not whole:
        raise DataError(
            f"{len(y)} recording(s) in {len(names)} group(s) (donors, sessions) are too few to set a part "
            "aside for validation: the rest must still hold every class. Record on more occasions, or name "
            "the groups in a manifest.csv."
        )
    return min(whole, key=lambda pair: (-len(np.unique(y[pair[1]])), abs(len(pair[1]) / len(y) - share)))


def _stratified(splitter: Any, y: NDArray[np.int64], groups: NDArray[np.str_]) -> list[tuple[Rows, Rows]]:
    import warnings

    with warnings.catch_warnings():
        # A class with fewer rows than parts is missing from some of them, which is looked at afterwards.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        return [(rest, part) for rest, part in splitter.split(np.zeros(len(y)), y, groups)]


def digest(arrays: Sequence[NDArray[Any]]) -> str:
    """SHA-256 of arrays with their shapes and types."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(f"{array.dtype} {array.shape} ".encode())
        total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()


def _key(lesson: Lesson, recipe: Recipe, seed: int) -> str:
    import keras
    import tensorflow as tf

    rows = digest([lesson.y, lesson.train, lesson.validation])
    parts = [lesson.name, lesson.content, rows, asdict(recipe), seed, keras.__version__, tf.__version__]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _keep(
    place: Path, key: str, network: Any, history: list[dict[str, Any]], best: _Best, done: bool = False
) -> None:
    """Write the checkpoint whole or not at all; a finished one holds the best network alone."""
    place.parent.mkdir(parents=True, exist_ok=True)
    state = {"key": key, "history": history, "best": best.epoch, "merit": best.merit, "done": done}
    arrays = {"state": np.frombuffer(json.dumps(state).encode(), np.uint8)}
    arrays |= {f"b{k}": array for k, array in enumerate(best.weights)}
    if not done:
        arrays |= {f"w{k}": array for k, array in enumerate(network.get_weights())}
        arrays |= {f"o{k}": np.asarray(v) for k, v in enumerate(network.optimizer.variables)}
    unfinished = place.with_suffix(".part")
    with unfinished.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    unfinished.replace(place)


def _restore(network: Any, place: Path, key: str) -> tuple[list[dict[str, Any]], _Best]:
    """Take up a checkpoint of the same lesson; anything else in its place is not looked at."""
    nothing: tuple[list[dict[str, Any]], _Best] = ([], _Best(-1, None, ()))
    if not place.is_file():
        return nothing
    with np.load(place, allow_pickle=False) as file:
        state = json.loads(file["state"].tobytes())
        if state["key"] != key:
            return nothing
        if not state["done"]:
            network.set_weights([file[f"w{k}"] for k in range(len(network.weights))])
            for k, variable in enumerate(network.optimizer.variables):
                variable.assign(file[f"o{k}"])
        weights = [file[f"b{k}"] for k in range(len(network.weights))]
    return state["history"], _Best(state["best"], tuple(state["merit"]), weights)

"""Distil the student: a small network taught to give YAMNet's embedding from log-mel columns.

The teacher's embedding is the target (knowledge distillation, Hinton et al. 2015, on features rather than
logits). What the teacher's own classes make of an embedding tells which of its errors matter: the loss asks
for the teacher's class scores, too, read off the student's embedding with the teacher's last layer.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import artifacts
from pipeline._cache import default_cache
from pipeline.embedding.base import EMBEDDING_SIZE
from pipeline.embedding.logmel import MEL_BANDS, PATCH_HOP_COLUMNS, columns_of
from pipeline.errors import DataError
from pipeline.settings import Settings, get_settings
from pipeline.training.bank import Bank, BankPass
from pipeline.training.data import read_manifest
from pipeline.training.remix import Remixes, RemixPass
from pipeline.training.student_network import network, to_onnx
from pipeline.training.teacher_classes import TeacherClasses, teacher_classes

# Of network and lessons: students that were kept are taught anew when it changes.
VERSION = 3
EPOCHS = 32
PASSES = 4
REMIX_PASSES = 8
# Frames in a row that are taught together: five hops of sound give four frames.
SEGMENT = 4
SEGMENTS_PER_EPOCH = 10_240
BATCH = 32
PEAK_RATE = 3e-3
WEIGHT_DECAY = 1e-4

Lesson = BankPass | RemixPass
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Frames:
    """Training frames gathered from the bank and its remixes.

    Attributes:
        columns: list of (columns, 64) float16 arrays, one per pass.
        embeddings: list of (frames, 1024) float16.
        index: (n, 3) int64: pass, first column, first frame row of each segment of four frames.
        deviation: (1024,) float32, the teacher's deviation per dimension, floored.
    """

    columns: list[np.ndarray]
    embeddings: list[np.ndarray]
    index: np.ndarray
    deviation: np.ndarray

    @classmethod
    def gather(cls, lessons: Iterable[Lesson], banned: np.ndarray | None = None) -> Frames:
        """All segments of examples in which no banned clip had a part, as clip or mixed in.

        Args:
            lessons: passes of one bank, of its remixes, or of both.
            banned: (entries,) bool; None bans nothing.

        Raises:
            DataError: nothing is left.
        """
        columns, embeddings, rows = [], [], []
        for k, heard in enumerate(lessons):
            columns.append(heard.columns)
            embeddings.append(heard.embeddings)
            for example in heard.examples:
                parts = [example.entry] + ([example.partner] if example.partner >= 0 else [])
                if banned is not None and banned[parts].any():
                    continue
                frame = np.arange(example.frames - SEGMENT + 1)  # none of a clip shorter than a segment
                start = example.column_start + frame * PATCH_HOP_COLUMNS
                rows.append(np.stack([np.full_like(frame, k), start, example.start + frame], axis=1))
        index = np.concatenate(rows) if rows else np.empty((0, 3), np.int64)
        if not len(index):
            raise DataError("No training audio is left for the student once the banned clips are gone.")
        # Of what may teach only: even the scale of the targets must not know the banned clips.
        chosen = np.random.default_rng(0).choice(len(index), min(20_000, len(index)), replace=False)
        sample = np.array([embeddings[k][frame] for k, _, frame in index[np.sort(chosen)]], np.float32)
        deviation = sample.std(axis=0)
        return cls(columns, embeddings, index, np.maximum(deviation, 0.1 * deviation.max()))

    def batch(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Columns (n, 240, 64) and embeddings in units of the deviation (n, 4, 1024), both float32."""
        inputs = np.empty((len(rows), columns_of(SEGMENT), MEL_BANDS), np.float32)
        targets = np.empty((len(rows), SEGMENT, EMBEDDING_SIZE), np.float32)
        for i, (k, column, frame) in enumerate(rows.tolist()):
            inputs[i] = self.columns[k][column : column + inputs.shape[1]]
            targets[i] = self.embeddings[k][frame : frame + SEGMENT]
        return inputs, targets / self.deviation


def _loss(wanted: Any, given: Any, classes: Any, bias: Any) -> Any:
    """What is wrong with embeddings in units of the deviation, (n, 4, 1024), as one number.

    Squared error, one minus the cosine, and by how much the teacher's classes are told apart worse, in nats
    per frame (cross-entropy over its classes, less the teacher's own).
    """
    import tensorflow as tf

    squared = tf.reduce_mean(tf.square(wanted - given), axis=-1)
    norms = tf.norm(wanted, axis=-1) * tf.norm(given + 1e-9, axis=-1)
    cosine = tf.reduce_sum(wanted * given, axis=-1) / (norms + 1e-6)
    meant, said = (tf.matmul(x, classes) + bias for x in (wanted, given))
    sure = tf.sigmoid(meant)
    unlike = tf.nn.sigmoid_cross_entropy_with_logits(sure, said) - tf.nn.sigmoid_cross_entropy_with_logits(
        sure, meant
    )
    return tf.reduce_mean(squared + 1.0 - cosine + tf.reduce_sum(unlike, axis=-1))


def fit(
    frames: Frames,
    classes: TeacherClasses,
    *,
    epochs: int,
    seed: int,
    checkpoint: Path,
    progress: Progress | None = None,
) -> Any:
    """Train, or go on from the checkpoint.

    Args:
        classes: the teacher's last layer.
        epochs: rounds of 10 240 segments drawn at random; the rate falls along a cosine to zero.
        checkpoint: folder; holds the network after each finished epoch and may be deleted afterwards.

    Returns:
        The trained keras model of :func:`pipeline.training.student_network.network`.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    steps = SEGMENTS_PER_EPOCH // BATCH
    model = network()
    rate = keras.optimizers.schedules.CosineDecay(
        PEAK_RATE / 10, epochs * steps, warmup_target=PEAK_RATE, warmup_steps=steps
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=WEIGHT_DECAY, clipnorm=1.0)
    optimizer.build(model.trainable_variables)
    finished = tf.Variable(0, dtype=tf.int64)
    saved = tf.train.CheckpointManager(
        tf.train.Checkpoint(model=model, optimizer=optimizer, finished=finished), checkpoint, max_to_keep=1
    )
    saved.restore_or_initialize()
    weights = tf.constant(frames.deviation[:, None] * classes.weights)
    bias = tf.constant(classes.bias)

    @tf.function
    def learn(inputs: Any, targets: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = _loss(targets, model(inputs, training=True), weights, bias)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    for epoch in range(int(finished), epochs):
        rng = np.random.default_rng([seed, epoch])
        chosen = frames.index[rng.integers(0, len(frames.index), SEGMENTS_PER_EPOCH)]
        losses: list[float] = []
        for i in range(steps):
            inputs, targets = frames.batch(chosen[i * BATCH : (i + 1) * BATCH])
            losses.append(float(learn(tf.constant(inputs), tf.constant(targets))))
            if progress and i % 8 == 0:
                loss = np.mean(losses[-64:])
                progress(f"student, epoch {epoch + 1}, loss {loss:.3f}", epoch * steps + i, epochs * steps)
        finished.assign(epoch + 1)
        saved.save()
    return model


def train(
    data: Path,
    out: Path | None = None,
    *,
    settings: Settings | None = None,
    epochs: int = EPOCHS,
    passes: int = PASSES,
    seed: int = 0,
    cache_dir: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Teach the student everything in ``data`` and save it with its card.

    Args:
        data: folder with a manifest.csv, or with one folder per label; labels are not used.
        out: model folder; ``artifacts/student`` when None.
        epochs: rounds of 10 240 segments of four frames.
        passes: hearings of the data in the bank, shared with the detector.

    Returns:
        Figures: parameters, bytes, and agreement with the teacher on a clean pass.

    Raises:
        DataError, AudioError, EmbedderError, ArtifactError: as their messages say.
    """
    from pipeline.embedding.student import MODEL_FILE, StudentEmbedder
    from pipeline.embedding.yamnet import YamnetEmbedder
    from pipeline.training.held_out_students import embed_bank
    from pipeline.training.student_card import model_card

    settings = settings or get_settings()
    cache = cache_dir or default_cache()
    bank = Bank(read_manifest(data), cache_dir=cache, passes=passes, seed=seed)
    if not bank.is_built:
        bank.build(YamnetEmbedder(settings), progress)
    work = cache / "students" / f"all-{bank.folder.parent.name}-{epochs}-{seed}"
    classes = teacher_classes(bank, settings)
    heard = lessons(bank, settings, progress)
    taught = distil(heard, classes, epochs=epochs, seed=seed, work=work, progress=progress)
    student = StudentEmbedder(taught.data, settings.threads)
    given = np.asarray(embed_bank(bank, 0, student), np.float32)
    wanted = np.asarray(bank.open(0).embeddings, np.float32)
    counts = Counter(entry.source for entry in bank.entries)
    metrics = {
        "bytes": len(taught.data),
        "parameters": taught.parameters,
        "half_precision_cosine": taught.half_precision_cosine,
        "cosine": agreement(wanted, given),
        "frames": len(wanted),
    }
    options = {
        "clips": dict(sorted(counts.items())),
        "epochs": epochs,
        "frames_per_epoch": SEGMENTS_PER_EPOCH * SEGMENT,
        "passes": passes,
        "remix_passes": REMIX_PASSES,
        "seed": seed,
    }
    artifacts.save(
        out or settings.artifacts_dir / "student",
        files={MODEL_FILE: taught.data},
        kind="student",
        schema={"input": ["columns", MEL_BANDS], "output": EMBEDDING_SIZE, "sample_rate": 16_000},
        training=options,
        metrics=metrics,
        card=model_card(metrics, options),
    )
    shutil.rmtree(work)
    return metrics


def agreement(wanted: np.ndarray, given: np.ndarray) -> dict[str, float]:
    """Cosine between teacher's and student's embeddings, (n, 1024) each: mean and tenth percentile."""
    norms = np.linalg.norm(wanted, axis=1) * np.linalg.norm(given, axis=1)
    cosine = np.sum(wanted * given, axis=1)[norms > 0] / norms[norms > 0]
    return {"mean": float(cosine.mean()), "tenth_percentile": float(np.percentile(cosine, 10))}


@dataclass(frozen=True)
class Taught:
    """A student as ONNX bytes, its number of parameters, and what half precision of its weights changed: the
    least cosine between embeddings before and after, on sound it was taught with.
    """

    data: bytes
    parameters: int
    half_precision_cosine: float


def lessons(bank: Bank, settings: Settings, progress: Progress | None = None) -> list[Lesson]:
    """All hearings of a built bank, and its remixes; those that are missing are made first.

    Raises:
        EmbedderError: YAMNet cannot be loaded.
    """
    from pipeline.embedding.yamnet import YamnetEmbedder

    remixes = Remixes(bank, REMIX_PASSES)
    remixes.build(lambda: YamnetEmbedder(settings), progress)
    return [*bank, *remixes]


def distil(
    lessons: Iterable[Lesson],
    classes: TeacherClasses,
    *,
    epochs: int,
    seed: int,
    work: Path,
    banned: np.ndarray | None = None,
    progress: Progress | None = None,
) -> Taught:
    """Teach a student.

    Args:
        lessons: what it hears, and what the teacher makes of it.
        classes: what the teacher makes of an embedding.
        work: folder for checkpoints; an interrupted run goes on from there. To be removed once what is
            returned is safe.
        banned: (entries,) bool, clips that must teach nothing.
    """
    frames = Frames.gather(lessons, banned)
    model = fit(frames, classes, epochs=epochs, seed=seed, checkpoint=work, progress=progress)
    probe = frames.batch(frames.index[:: max(1, len(frames.index) // 64)][:64])[0]
    data, cosine = to_onnx(model, frames.deviation, probe, work / "export")
    return Taught(data, model.count_params(), cosine)

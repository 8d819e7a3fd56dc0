"""Distil the student: a small network taught to give YAMNet's embedding from log-mel patches.

The teacher's embedding is the target (knowledge distillation, Hinton et al. 2015, on features rather than
logits); its three crying-class scores are a second, weaker target that keeps what matters here. The network
is a MobileNet-style stack of depthwise-separable convolutions (Howard et al. 2017).
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import artifacts
from pipeline.embedding.base import EMBEDDING_SIZE
from pipeline.embedding.logmel import MEL_BANDS, PATCH_COLUMNS, PATCH_HOP_COLUMNS
from pipeline.errors import DataError
from pipeline.settings import Settings, get_settings
from pipeline.training.bank import Bank
from pipeline.training.cache import default_cache
from pipeline.training.data import read_manifest

# (channels, stride) of each depthwise-separable block after a stem of 24 at stride 2.
BLOCKS = ((48, 2), (64, 1), (64, 1), (128, 2), (128, 1), (128, 1), (256, 2), (256, 1), (256, 1))
EPOCHS = 16
PASSES = 4
PATCHES_PER_EPOCH = 20_480
BATCH = 128
PEAK_RATE = 3e-3

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Frames:
    """Training frames gathered from the bank.

    Attributes:
        columns: list of (columns, 64) float16 arrays, one per pass.
        embeddings: list of (frames, 1024) float16; scores: list of (frames, 3) float16.
        index: (n, 3) int64: pass, first column, frame row.
        deviation: (1024,) float32, the teacher's deviation per dimension, floored.
    """

    columns: list[np.ndarray]
    embeddings: list[np.ndarray]
    scores: list[np.ndarray]
    index: np.ndarray
    deviation: np.ndarray

    @classmethod
    def gather(cls, bank: Bank, banned: np.ndarray | None = None) -> Frames:
        """All frames of examples in which no banned clip had a part, as clip or mixed in.

        Args:
            banned: (entries,) bool; None bans nothing.

        Raises:
            DataError: nothing is left.
        """
        columns, embeddings, scores, rows = [], [], [], []
        for k, heard in enumerate(bank):
            columns.append(np.asarray(heard.columns))
            embeddings.append(np.asarray(heard.embeddings))
            scores.append(np.asarray(heard.scores))
            for example in heard.examples:
                parts = [example.entry] + ([example.partner] if example.partner >= 0 else [])
                if banned is not None and banned[parts].any():
                    continue
                frame = np.arange(example.frames)
                start = example.column_start + frame * PATCH_HOP_COLUMNS
                rows.append(np.stack([np.full_like(frame, k), start, example.start + frame], axis=1))
        if not rows:
            raise DataError("No training audio is left for the student once the banned clips are gone.")
        index = np.concatenate(rows)
        sample = np.concatenate([e[:: max(1, len(e) // 10_000)] for e in embeddings]).astype(np.float32)
        deviation = sample.std(axis=0)
        return cls(columns, embeddings, scores, index, np.maximum(deviation, 0.1 * deviation.max()))

    def batch(self, rows: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
        """Patches (n, 96, 64); targets: scaled embeddings (n, 1024) and scores (n, 3); all float32."""
        n = len(rows)
        inputs = np.empty((n, PATCH_COLUMNS, MEL_BANDS), np.float32)
        targets = np.empty((n, EMBEDDING_SIZE), np.float32)
        scores = np.empty((n, 3), np.float32)
        for k in np.unique(rows[:, 0]):
            here = rows[:, 0] == k
            start, frame = rows[here, 1], rows[here, 2]
            inputs[here] = self.columns[k][start[:, None] + np.arange(PATCH_COLUMNS)]
            targets[here] = self.embeddings[k][frame]
            scores[here] = self.scores[k][frame]
        return inputs, (targets / self.deviation, scores)


def network() -> Any:
    """The student with its training outputs: scaled embedding (n, 1024) and crying scores (n, 3)."""
    import keras
    from keras import layers

    def normalised(x: Any) -> Any:
        return layers.ReLU()(layers.BatchNormalization(momentum=0.97)(x))

    inputs = keras.Input((PATCH_COLUMNS, MEL_BANDS), name="patch")
    x = layers.Reshape((PATCH_COLUMNS, MEL_BANDS, 1))(inputs)
    x = layers.Rescaling(0.4, offset=1.2)(x)  # log-mel lies between -7 and 2 or so
    x = normalised(layers.Conv2D(24, 3, strides=2, padding="same", use_bias=False)(x))
    for channels, stride in BLOCKS:
        x = normalised(layers.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False)(x))
        x = normalised(layers.Conv2D(channels, 1, use_bias=False)(x))
    x = layers.GlobalAveragePooling2D()(x)
    embedding = layers.Dense(EMBEDDING_SIZE, activation="relu", name="embedding")(x)
    scores = layers.Dense(3, activation="sigmoid", name="scores")(embedding)
    return keras.Model(inputs, [embedding, scores])


def _embedding_loss(wanted: Any, given: Any) -> Any:
    """Squared error in units of the teacher's deviation, plus one minus the cosine."""
    from keras import ops

    squared = ops.mean(ops.square(wanted - given), axis=-1)
    norms = ops.norm(wanted, axis=-1) * ops.norm(given, axis=-1)
    return squared + 1.0 - ops.sum(wanted * given, axis=-1) / (norms + 1e-6)


def fit(frames: Frames, *, epochs: int, seed: int, checkpoint: Path, progress: Progress | None = None) -> Any:
    """Train, or go on from the checkpoint.

    Args:
        epochs: rounds of 20 480 patches drawn at random; the rate falls along a cosine to zero.
        checkpoint: folder; holds the network after each finished epoch and may be deleted afterwards.

    Returns:
        The trained keras model of :func:`network`.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    checkpoint.mkdir(parents=True, exist_ok=True)
    state, saved = checkpoint / "epoch.json", checkpoint / "network.keras"
    first = json.loads(state.read_text())["finished"] if state.is_file() and saved.is_file() else 0
    steps = PATCHES_PER_EPOCH // BATCH
    if first:
        model = keras.saving.load_model(saved, custom_objects={"_embedding_loss": _embedding_loss})
    else:
        model = network()
        rate = keras.optimizers.schedules.CosineDecay(
            PEAK_RATE / 10, epochs * steps, warmup_target=PEAK_RATE, warmup_steps=steps
        )
        model.compile(
            optimizer=keras.optimizers.AdamW(rate, weight_decay=1e-4, clipnorm=1.0),
            loss=[_embedding_loss, keras.losses.BinaryCrossentropy()],
            jit_compile=False,
        )
    for epoch in range(first, epochs):
        rng = np.random.default_rng([seed, epoch])
        chosen = frames.index[rng.integers(0, len(frames.index), PATCHES_PER_EPOCH)]
        losses = []
        for i in range(steps):
            inputs, targets = frames.batch(chosen[i * BATCH : (i + 1) * BATCH])
            losses.append(float(np.asarray(model.train_on_batch(inputs, list(targets)))[0]))
            if progress and i % 8 == 0:
                loss = np.mean(losses[-32:])
                progress(f"student, epoch {epoch + 1}, loss {loss:.3f}", epoch * steps + i, epochs * steps)
        unfinished = checkpoint / "unfinished.keras"
        model.save(unfinished)
        unfinished.replace(saved)
        state.write_text(json.dumps({"finished": epoch + 1, "loss": float(np.mean(losses))}))
    return model


def to_onnx(model: Any, deviation: np.ndarray, folder: Path) -> bytes:
    """The embedding branch as ONNX bytes: (n, 96, 64) float32 in, (n, 1024) float32 out in YAMNet's units.

    Raises:
        DataError: the exported network does not give what the original gives (1e-3 of the deviation).
    """
    import keras
    import onnxruntime
    from keras import layers

    scaled = model.get_layer("embedding").output
    scale = layers.Rescaling(deviation.reshape(1, -1).tolist(), name="units")
    plain = keras.Model(model.inputs, scale(scaled))
    probe = np.random.default_rng(0).uniform(-7, 2, (32, PATCH_COLUMNS, MEL_BANDS)).astype(np.float32)
    wanted = np.asarray(plain(probe))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "student.onnx"
    plain.export(path, format="onnx", verbose=False)
    data = path.read_bytes()
    shutil.rmtree(folder)
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    given = session.run(None, {session.get_inputs()[0].name: probe})[0]
    worst = float(np.max(np.abs(given - wanted) / deviation))
    if worst > 1e-3:
        raise DataError(f"The exported student differs from the trained one by {worst:.2g} deviations.")
    return data


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
        epochs: rounds of 20 480 patches.
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
    model = distil(bank, epochs=epochs, seed=seed, work=work, progress=progress)
    student = StudentEmbedder(model, settings.threads)
    given = np.asarray(embed_bank(bank, 0, student), np.float32)
    wanted = np.asarray(bank.open(0).embeddings, np.float32)
    counts = Counter(entry.source for entry in bank.entries)
    metrics = {
        "bytes": len(model),
        "cosine": agreement(wanted, given),
        "frames": len(wanted),
    }
    options = {"clips": dict(sorted(counts.items())), "epochs": epochs, "passes": passes, "seed": seed}
    artifacts.save(
        out or settings.artifacts_dir / "student",
        files={MODEL_FILE: model},
        kind="student",
        schema={"input": [PATCH_COLUMNS, MEL_BANDS], "output": EMBEDDING_SIZE, "sample_rate": 16_000},
        training=options,
        metrics=metrics,
        card=model_card(metrics, options),
    )
    return metrics


def agreement(wanted: np.ndarray, given: np.ndarray) -> dict[str, float]:
    """Cosine between teacher's and student's embeddings, (n, 1024) each: mean and tenth percentile."""
    norms = np.linalg.norm(wanted, axis=1) * np.linalg.norm(given, axis=1)
    cosine = np.sum(wanted * given, axis=1)[norms > 0] / norms[norms > 0]
    return {"mean": float(cosine.mean()), "tenth_percentile": float(np.percentile(cosine, 10))}


def distil(
    bank: Bank,
    *,
    epochs: int,
    seed: int,
    work: Path,
    banned: np.ndarray | None = None,
    progress: Progress | None = None,
) -> bytes:
    """Teach a student on a built bank and give it back as ONNX bytes.

    Args:
        work: folder for checkpoints; an interrupted run goes on from there, a finished one removes it.
        banned: (entries,) bool, clips that must teach nothing.
    """
    frames = Frames.gather(bank, banned)
    model = fit(frames, epochs=epochs, seed=seed, checkpoint=work, progress=progress)
    data = to_onnx(model, frames.deviation, work / "export")
    shutil.rmtree(work)
    return data

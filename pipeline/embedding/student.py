"""The bundled student: a small network of our own, taught to give YAMNet's embedding, run by ONNX Runtime."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from pipeline._threads import one_blas_thread
from pipeline.artifacts import open_artifact
from pipeline.embedding.base import (
    EMBEDDING_SIZE,
    FRAME_SAMPLES,
    HOP_SAMPLES,
    FloatArray,
    embed_in_blocks,
    frame_count,
)
from pipeline.embedding.logmel import PATCH_HOP_COLUMNS, columns_of, frames_of_log_mel
from pipeline.errors import ArtifactError
from pipeline.settings import Settings

MODEL_FILE = "student.onnx"
# Frames per run: bounds memory on long stretches; more are not faster.
BATCH = 32


class StudentEmbedder:
    """A depthwise-separable network distilled from YAMNet: same input and output, no TensorFlow."""

    name = "student"

    def __init__(self, model: bytes, threads: int, notice: str | None = None) -> None:
        """Open a network given as ONNX bytes; most callers want :meth:`bundled`.

        Args:
            model: content of the ONNX file.
            threads: stretches of sound that are heard at the same time, each by one thread.
            notice: why the student and not another embedder, for people.

        Raises:
            ArtifactError: not a network of this shape.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # The layers are too small to be shared out: threads take whole batches instead.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own exceptions share no narrower base class
            raise ArtifactError(
                f"{MODEL_FILE} is not a network ONNX Runtime can open ({type(error).__name__}). "
                "Train it again: python -m pipeline train student."
            ) from error
        width = session.get_outputs()[0].shape[-1]
        if width != EMBEDDING_SIZE:
            raise ArtifactError(
                f"{MODEL_FILE} gives {width} numbers per frame, not {EMBEDDING_SIZE}. "
                "Train it again: python -m pipeline train student."
            )
        self.notice = notice
        self._threads = threads
        self.checksum = hashlib.sha256(model).hexdigest()
        self._session = session
        self._input = session.get_inputs()[0].name

    @classmethod
    def bundled(cls, settings: Settings, notice: str | None = None) -> StudentEmbedder:
        """The student under ``artifacts/student``, its checksum verified.

        Raises:
            ArtifactError: the model is missing, altered or not a network of this shape.
        """
        artifact = open_artifact("student", settings=settings, kind="student")
        return cls(artifact.read_bytes(MODEL_FILE), settings.threads, notice)

    def embed(self, samples: FloatArray) -> FloatArray:
        """(n,) samples at 16 kHz to (frames, 1024) float32, one frame per 0.48 s."""
        frames = frame_count(len(samples))
        each = min(BATCH, -(-frames // self._threads))
        stretches = [
            samples[first * HOP_SAMPLES : (first + each - 1) * HOP_SAMPLES + FRAME_SAMPLES]
            for first in range(0, frames, each)
        ]
        with one_blas_thread():
            return np.concatenate(self._side_by_side(self._embed_alone, stretches))

    def embed_columns(self, columns: FloatArray) -> FloatArray:
        """Log-mel columns of k frames in a row, (48 (k + 1), 64) float32, to (k, 1024) float32."""
        return np.concatenate(self._side_by_side(self._run, _stretches(columns)))

    def embed_blocks(self, blocks: Iterable[FloatArray]) -> Iterator[FloatArray]:
        """Embed a stream; equal to ``embed`` of the whole.

        Long blocks are heard ahead, several at a time, while the next ones are decoded; the answer to a short
        one, as a live stream brings them, is given before another is asked for.
        """
        stretches = embed_in_blocks(blocks, lambda samples: samples)
        if self._threads == 1:
            with one_blas_thread():
                yield from map(self._embed_alone, stretches)
            return
        with one_blas_thread(), ThreadPoolExecutor(self._threads) as pool:
            waiting: deque[Future[FloatArray]] = deque()
            for stretch in stretches:
                is_long = frame_count(len(stretch)) >= BATCH
                while len(waiting) > (2 * self._threads if is_long else 0):
                    yield waiting.popleft().result()
                if is_long:
                    waiting.append(pool.submit(self._embed_alone, stretch))
                else:
                    yield self._embed_alone(stretch)
            while waiting:
                yield waiting.popleft().result()

    def _side_by_side(
        self, work: Callable[[FloatArray], FloatArray], parts: list[FloatArray]
    ) -> list[FloatArray]:
        """``work`` done on every part, by as many threads as were set."""
        if self._threads == 1 or len(parts) == 1:
            return [work(part) for part in parts]
        with ThreadPoolExecutor(self._threads) as pool:
            return list(pool.map(work, parts))

    def _embed_alone(self, samples: FloatArray) -> FloatArray:
        """``embed`` in the thread that calls it."""
        return np.concatenate([self._run(part) for part in _stretches(frames_of_log_mel(samples))])

    def _run(self, columns: FloatArray) -> FloatArray:
        """Some frames in a row through the network, which computes what they share once."""
        return self._session.run(None, {self._input: columns[None]})[0][0]


def _stretches(columns: FloatArray) -> list[FloatArray]:
    """Columns of many frames as those of at most :data:`BATCH` each, overlapping by a frame's half."""
    hops = len(columns) // PATCH_HOP_COLUMNS - 1
    return [
        columns[first * PATCH_HOP_COLUMNS :][: columns_of(min(BATCH, hops - first))]
        for first in range(0, hops, BATCH)
    ]

"""A network that hears log-mel columns, run by ONNX Runtime: what the student and YAMNet have in common."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from pipeline._threads import one_blas_thread
from pipeline.embedding.base import FRAME_SAMPLES, HOP_SAMPLES, FloatArray, embed_in_blocks, frame_count
from pipeline.embedding.logmel import PATCH_HOP_COLUMNS, columns_of, frames_of_log_mel

# Frames per run: bounds memory on long stretches; more are not faster.
BATCH = 32
# Frames whose log-mel is computed at once: bounds memory as well.
LONGEST = 4 * BATCH

Outputs = tuple[FloatArray, ...]


def open_session(model: bytes) -> Any:
    """An ONNX Runtime session on one thread of the processor; raises its own exceptions."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # The layers are too small to be shared out: threads take whole batches instead.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class ColumnsNetwork:
    """Hears sound with a network that takes log-mel columns (1, 48 (k + 1), 64) for k frames in a row.

    Its outputs are (1, k, …) float32; the first is the embedding, (1, k, 1024).
    """

    def __init__(self, session: Any, threads: int) -> None:
        """Hear with an open session.

        Args:
            threads: stretches of sound that are heard at the same time, each by one thread.
        """
        self._threads = threads
        self._session = session
        self._input = session.get_inputs()[0].name

    def embed(self, samples: FloatArray) -> FloatArray:
        """(n,) samples at 16 kHz to (frames, 1024) float32, one frame per 0.48 s."""
        return self._hear(samples)[0]

    def embed_columns(self, columns: FloatArray) -> FloatArray:
        """Log-mel columns of k frames in a row, (48 (k + 1), 64) float32, to (k, 1024) float32."""
        return _joined(self._side_by_side(self._run, _stretches(columns)))[0]

    def embed_blocks(self, blocks: Iterable[FloatArray]) -> Iterator[FloatArray]:
        """Embed a stream; equal to ``embed`` of the whole.

        Long blocks are heard ahead, several at a time, while the next ones are decoded; the answer to a short
        one, as a live stream brings them, is given before another is asked for.
        """
        stretches = embed_in_blocks(blocks, lambda samples: samples)
        if self._threads == 1:
            with one_blas_thread():
                for stretch in stretches:
                    yield self._hear_alone(stretch)[0]
            return
        with one_blas_thread(), ThreadPoolExecutor(self._threads) as pool:
            waiting: deque[Future[Outputs]] = deque()
            for stretch in stretches:
                is_long = frame_count(len(stretch)) >= BATCH
                while len(waiting) > (2 * self._threads if is_long else 0):
                    yield waiting.popleft().result()[0]
                if is_long:
                    waiting.append(pool.submit(self._hear_alone, stretch))
                else:
                    yield self._hear_alone(stretch)[0]
            while waiting:
                yield waiting.popleft().result()[0]

    def _hear(self, samples: FloatArray) -> Outputs:
        """All that the network says of (n,) samples, shared out among the threads."""
        frames = frame_count(len(samples))
        each = min(LONGEST, -(-frames // self._threads))
        stretches = [
            samples[first * HOP_SAMPLES : (first + each - 1) * HOP_SAMPLES + FRAME_SAMPLES]
            for first in range(0, frames, each)
        ]
        with one_blas_thread():
            return _joined(self._side_by_side(self._hear_alone, stretches))

    def _side_by_side(self, work: Callable[[FloatArray], Outputs], parts: list[FloatArray]) -> list[Outputs]:
        """``work`` done on every part, by as many threads as were set."""
        if self._threads == 1 or len(parts) == 1:
            return [work(part) for part in parts]
        with ThreadPoolExecutor(self._threads) as pool:
            return list(pool.map(work, parts))

    def _hear_alone(self, samples: FloatArray) -> Outputs:
        """``_hear`` in the thread that calls it."""
        return _joined([self._run(part) for part in _stretches(frames_of_log_mel(samples))])

    def _run(self, columns: FloatArray) -> Outputs:
        """Some frames in a row through the network."""
        return tuple(output[0] for output in self._session.run(None, {self._input: columns[None]}))


def _joined(parts: list[Outputs]) -> Outputs:
    if len(parts) == 1:
        return parts[0]
    return tuple(np.concatenate(each) for each in zip(*parts, strict=True))


def _stretches(columns: FloatArray) -> list[FloatArray]:
    """Columns of many frames as those of at most :data:`BATCH` each, overlapping by a frame's half."""
    hops = len(columns) // PATCH_HOP_COLUMNS - 1
    return [
        columns[first * PATCH_HOP_COLUMNS :][: columns_of(min(BATCH, hops - first))]
        for first in range(0, hops, BATCH)
    ]

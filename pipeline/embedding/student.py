"""The bundled student: a small network of our own, taught to give YAMNet's embedding, run by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from pipeline.artifacts import open_artifact
from pipeline.embedding.base import EMBEDDING_SIZE, FloatArray, embed_in_blocks
from pipeline.embedding.logmel import patches
from pipeline.errors import ArtifactError
from pipeline.settings import Settings

MODEL_FILE = "student.onnx"
# Patches per run: bounds memory on long stretches, and is large enough to keep the cores busy.
BATCH = 128


class StudentEmbedder:
    """A depthwise-separable network distilled from YAMNet: same input, same 1024-wide output, no TensorFlow."""

    name = "student"

    def __init__(self, settings: Settings, notice: str | None = None) -> None:
        """Open ``artifacts/student``.

        Raises:
            ArtifactError: the model file is missing, altered or not a network of this shape.
        """
        import onnxruntime

        self.notice = notice
        artifact = open_artifact("student", settings=settings, kind="student")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = settings.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            artifact.read_bytes(MODEL_FILE), options, providers=["CPUExecutionProvider"]
        )
        self._input = self._session.get_inputs()[0].name
        if self._session.get_outputs()[0].shape[-1] != EMBEDDING_SIZE:
            raise ArtifactError(
                f"{MODEL_FILE} gives {self._session.get_outputs()[0].shape[-1]} numbers per frame, not "
                f"{EMBEDDING_SIZE}. Train it again: python -m pipeline train student."
            )

    def embed(self, samples: FloatArray) -> FloatArray:
        """(n,) samples at 16 kHz to (frames, 1024) float32, one frame per 0.48 s."""
        return self.embed_patches(patches(samples))

    def embed_patches(self, inputs: FloatArray) -> FloatArray:
        """(frames, 96, 64) log-mel patches to (frames, 1024) float32."""
        parts = [
            self._session.run(None, {self._input: inputs[i : i + BATCH]})[0] for i in range(0, len(inputs), BATCH)
        ]
        return np.concatenate(parts)

    def embed_blocks(self, blocks: Iterable[FloatArray]) -> Iterator[FloatArray]:
        """Embed a stream; equal to ``embed`` of the whole."""
        return embed_in_blocks(blocks, self.embed)

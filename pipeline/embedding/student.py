"""The bundled student: a small network of our own, taught to give YAMNet's embedding, run by ONNX Runtime."""

from __future__ import annotations

import hashlib
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
    """A depthwise-separable network distilled from YAMNet: same input and output, no TensorFlow."""

    name = "student"

    def __init__(self, model: bytes, threads: int, notice: str | None = None) -> None:
        """Open a network given as ONNX bytes; most callers want :meth:`bundled`.

        Raises:
            ArtifactError: not a network of this shape.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Spinning threads take the cores from whoever else needs them between two runs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
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
        return self.embed_patches(patches(samples))

    def embed_patches(self, inputs: FloatArray) -> FloatArray:
        """(frames, 96, 64) log-mel patches to (frames, 1024) float32."""
        parts = [
            self._session.run(None, {self._input: inputs[i : i + BATCH]})[0]
            for i in range(0, len(inputs), BATCH)
        ]
        return np.concatenate(parts)

    def embed_blocks(self, blocks: Iterable[FloatArray]) -> Iterator[FloatArray]:
        """Embed a stream; equal to ``embed`` of the whole."""
        return embed_in_blocks(blocks, self.embed)

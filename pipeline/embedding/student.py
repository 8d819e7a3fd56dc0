"""The bundled student: a small network of our own, taught to give YAMNet's embedding, run by ONNX Runtime."""

from __future__ import annotations

import hashlib

from pipeline.artifacts import open_artifact
from pipeline.embedding.base import EMBEDDING_SIZE
from pipeline.embedding.network import ColumnsNetwork, open_session
from pipeline.errors import ArtifactError
from pipeline.settings import Settings

MODEL_FILE = "student.onnx"


class StudentEmbedder(ColumnsNetwork):
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
        try:
            session = open_session(model)
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
        super().__init__(session, threads)
        self.notice = notice
        self.checksum = hashlib.sha256(model).hexdigest()

    @classmethod
    def bundled(cls, settings: Settings, notice: str | None = None) -> StudentEmbedder:
        """The student under ``artifacts/student``, its checksum verified.

        Raises:
            ArtifactError: the model is missing, altered or not a network of this shape.
        """
        artifact = open_artifact("student", settings=settings, kind="student")
        return cls(artifact.read_bytes(MODEL_FILE), settings.threads, notice)

"""A trained network as ONNX: exported, compared with what it was exported from, and run."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ArtifactError, DataError

PARITY = 1e-3
"""Largest difference allowed between the logarithms of the scores of a network and of its export, in nats."""
_FLOOR = 1e-6  # scores below this are compared as this: single precision has no more to say about them
BATCH = 32


def to_onnx(network: Any, probes: Iterable[NDArray[np.float32]]) -> tuple[bytes, float]:
    """Export a network that ends in logits, with softmax behind it.

    Args:
        network: Keras model, (n, ...) float32 to (n, classes) logits.
        probes: batches of (k, ...) inputs, real ones, on which both are compared.

    Returns:
        ONNX bytes, (n, ...) float32 in and (n, classes) float32 scores out; the largest difference between
        log scores on the probes, in nats.

    Raises:
        DataError: the difference is above :data:`PARITY`.
    """
    import keras

    scores = keras.layers.Softmax(name="scores")(network.outputs[0])
    whole = keras.Model(network.inputs[0], scores)
    data, worst = b"", 0.0
    for probe in probes:
        wanted = np.asarray(whole(probe, training=False), np.float64)
        if not data:  # the exporter wants a network that was called before
            data = _exported(whole)
            session = Session(data, threads=1)
        given = session.run(probe)
        apart = np.abs(np.log(np.maximum(given, _FLOOR)) - np.log(np.maximum(wanted, _FLOOR)))
        worst = float(np.maximum(worst, apart.max()))  # what is no number stays so
    if not worst <= PARITY:
        raise DataError(
            f"The exported network does not give what the trained one gives: log scores differ by "
            f"{worst:.2g}, allowed are {PARITY:g}."
        )
    return data, worst


def _exported(network: Any) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        network.export(path, format="onnx", verbose=False)
        return path.read_bytes()


class Session:
    """An exported network, run by ONNX Runtime."""

    def __init__(self, data: bytes, threads: int) -> None:
        """Open a network.

        Raises:
            ArtifactError: not a network.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own exceptions share no narrower base class
            raise ArtifactError(
                f"The network cannot be opened by ONNX Runtime ({type(error).__name__}). Train it again."
            ) from error
        self._input = self._session.get_inputs()[0].name

    def run(self, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, ...) inputs to (n, classes) scores, each row summing to 1."""
        parts = [
            self._session.run(None, {self._input: np.asarray(inputs[i : i + BATCH], np.float32)})[0]
            for i in range(0, len(inputs), BATCH)
        ]
        scores = np.concatenate(parts).astype(np.float64)
        return np.asarray(scores / scores.sum(axis=1, keepdims=True))

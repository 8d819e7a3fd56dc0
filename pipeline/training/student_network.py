"""The student's network, and how it becomes the ONNX file that is shipped.

A MobileNet-style stack of depthwise-separable convolutions (Howard et al. 2017) without padding in time, so
that neighbouring frames share all that they have in common and none looks beyond its own 0.96 s.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.embedding.base import EMBEDDING_SIZE
from pipeline.embedding.logmel import MEL_BANDS
from pipeline.errors import DataError

# The stem looks at 5 columns by 4 bands, every 4 columns and 4 bands.
STEM = 48
# Of each depthwise-separable block after it: columns it looks at, stride, channels.
BLOCKS = (
    (3, 1, 64),
    (3, 1, 64),
    (3, 2, 128),
    (3, 1, 128),
    (3, 2, 256),
    (1, 1, 256),
    (1, 1, 256),
    (1, 1, 256),
)
# Positions along time that one hop of 0.48 s ends up as, and bands that are left by then.
POSITIONS, BANDS = 3, 4
HEAD = 512
# Smaller weights than this stay in single precision: they cost nothing.
_FEW = 1024


def network() -> Any:
    """Columns (n, 48 (k + 1), 64) to embeddings in units of the teacher's deviation (n, k, 1024), for any k.

    No layer pads in time, and the layers' reach ends with a frame's 96 columns: frame i is a matter of
    columns 48 i to 48 i + 96 alone.
    """
    import keras
    from keras import layers

    def normalised(x: Any) -> Any:
        return layers.BatchNormalization(momentum=0.97)(x)

    inputs = keras.Input((None, MEL_BANDS), name="columns")
    x = layers.Reshape((-1, MEL_BANDS, 1))(inputs)
    x = layers.ReLU()(normalised(layers.Conv2D(STEM, (5, 4), strides=4, use_bias=False)(x)))
    for looks_at, stride, channels in BLOCKS:
        before = x
        x = layers.ZeroPadding2D(((0, 0), (0, 1) if stride == 2 else (1, 1)))(x)
        x = layers.DepthwiseConv2D((looks_at, 3), strides=stride, use_bias=False)(x)
        x = layers.ReLU()(normalised(x))
        x = normalised(layers.Conv2D(channels, 1, use_bias=False)(x))
        if before.shape[1:] == x.shape[1:] and looks_at == 1:
            x = layers.Add()([before, x])
        x = layers.ReLU()(x)
    x = layers.AveragePooling2D((POSITIONS, BANDS))(x)
    x = layers.ReLU()(normalised(layers.Conv2D(HEAD, 1, use_bias=False)(x)))
    x = layers.Reshape((-1, HEAD))(x)
    embedding = layers.Dense(EMBEDDING_SIZE, activation="relu", name="embedding")(x)
    return keras.Model(inputs, embedding)


def to_onnx(model: Any, deviation: np.ndarray, probe: np.ndarray, folder: Path) -> tuple[bytes, float]:
    """The network as ONNX: (1, columns, 64) float32 in, (1, k, 1024) float32 out in YAMNet's units.

    Weights are kept in half precision and computed with in single.

    Args:
        probe: (n, columns, 64) sound to compare on.
        folder: for the way there; removed.

    Returns:
        The file, and the least cosine between embeddings in single and in half precision.

    Raises:
        DataError: the exported network does not give what the original gives (1e-3 of the deviation), or
            keras runs on something that cannot export it.
    """
    import keras
    from keras import layers

    if keras.backend.backend() != "tensorflow":
        raise DataError(
            "The network is taught and kept. Only TensorFlow can export it: run the same command again "
            "without KERAS_BACKEND."
        )
    units = layers.Rescaling(deviation.reshape(1, -1).tolist(), name="units")
    plain = keras.Model(model.inputs, units(model.output))
    wanted = np.asarray(plain(probe))
    folder.mkdir(parents=True, exist_ok=True)
    plain.export(folder / "student.onnx", format="onnx", verbose=False)
    data = (folder / "student.onnx").read_bytes()
    shutil.rmtree(folder)
    worst = float(np.max(np.abs(_run(data, probe) - wanted) / deviation))
    if worst > 1e-3:
        raise DataError(f"The exported student differs from the trained one by {worst:.2g} deviations.")
    half = in_half_precision(data)
    given = _run(half, probe)
    cosine = np.sum(given * wanted, axis=-1) / (
        np.linalg.norm(given, axis=-1) * np.linalg.norm(wanted, axis=-1) + 1e-12
    )
    return half, float(cosine.min())


def in_half_precision(data: bytes) -> bytes:
    """The same graph with its large weights as float16, widened again when it is loaded."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load_from_string(data)
    casts = []
    for weight in model.graph.initializer:
        if weight.data_type != TensorProto.FLOAT or np.prod(weight.dims) < _FEW:
            continue
        name = weight.name
        weight.CopyFrom(
            numpy_helper.from_array(numpy_helper.to_array(weight).astype(np.float16), f"{name}:half")
        )
        casts.append(helper.make_node("Cast", [f"{name}:half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def _run(data: bytes, inputs: np.ndarray) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: inputs})[0])

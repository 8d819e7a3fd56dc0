"""ResNet-18 in Keras layers, and how weights in torchvision's naming get into it.

He, Zhang, Ren and Sun 2016, "Deep residual learning for image recognition" (CVPR), table 1, the 18-layer
column: 11 689 512 parameters with its 1000 ImageNet classes. Layers carry torchvision's names
(``layer2.0.downsample.1``), so that a published state dict fits without a table of names.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import ArtifactError

WIDTHS = (64, 128, 256, 512)
BLOCKS_PER_STAGE = 2
FEATURES = WIDTHS[-1]
EPSILON = 1e-5
MOMENTUM = 0.9  # of the running mean; torch writes the same as 0.1
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
WEIGHT_SUFFIXES = (".npz", ".h5", ".hdf5", ".safetensors", ".onnx")


def trunk(inputs: Any) -> Any:
    """The network up to its pooled features: (n, height, width, 3) to (n, 512).

    Borders are padded in explicit layers, as at a stride of 2 "same" would pad unevenly and published weights
    would be applied half a pixel beside where they were learned.
    """
    from keras import layers

    x = layers.ZeroPadding2D(3, name="conv1.pad")(inputs)
    x = layers.Conv2D(WIDTHS[0], 7, strides=2, use_bias=False, name="conv1")(x)
    x = layers.ReLU(name="relu")(_normalise(x, "bn1"))
    # Zeros stand for minus infinity here: what is pooled is never below zero.
    x = layers.ZeroPadding2D(1, name="maxpool.pad")(x)
    x = layers.MaxPooling2D(3, strides=2, name="maxpool")(x)
    for stage, width in enumerate(WIDTHS, 1):
        for block in range(BLOCKS_PER_STAGE):
            stride = 2 if stage > 1 and block == 0 else 1
            x = _basic_block(x, width, stride, f"layer{stage}.{block}")
    return layers.GlobalAveragePooling2D(name="avgpool")(x)


def classifier(size: int = 224, classes: int = 1000) -> Any:
    """The published network: (n, size, size, 3) pictures to (n, classes) logits."""
    import keras
    from keras import layers

    inputs = keras.Input((size, size, 3), name="picture")
    return keras.Model(inputs, layers.Dense(classes, name="fc")(trunk(inputs)))


def _normalise(x: Any, name: str) -> Any:
    from keras import layers

    return layers.BatchNormalization(epsilon=EPSILON, momentum=MOMENTUM, name=name)(x)


def _convolve(x: Any, width: int, stride: int, name: str) -> Any:
    from keras import layers

    x = layers.ZeroPadding2D(1, name=f"{name}.pad")(x)
    # He initialisation, as the paper trains from random weights.
    return layers.Conv2D(width, 3, strides=stride, use_bias=False, kernel_initializer="he_normal", name=name)(
        x
    )


def _basic_block(x: Any, width: int, stride: int, name: str) -> Any:
    from keras import layers

    shortcut = x
    if stride != 1 or x.shape[-1] != width:
        shortcut = layers.Conv2D(width, 1, strides=stride, use_bias=False, name=f"{name}.downsample.0")(x)
        shortcut = _normalise(shortcut, f"{name}.downsample.1")
    x = layers.ReLU(name=f"{name}.relu1")(
        _normalise(_convolve(x, width, stride, f"{name}.conv1"), f"{name}.bn1")
    )
    x = _normalise(_convolve(x, width, 1, f"{name}.conv2"), f"{name}.bn2")
    return layers.ReLU(name=f"{name}.relu2")(layers.Add(name=f"{name}.add")([x, shortcut]))


def load_weights(model: Any, weights: Mapping[str, np.ndarray], origin: str) -> None:
    """Put a state dict in torchvision's naming into every named layer that the model has.

    Args:
        weights: "conv1.weight" (out, in, height, width), "bn1.weight", "bn1.bias", "bn1.running_mean",
            "bn1.running_var", ... ; what the model has no layer for (fc, counters) is not used.
        origin: where the weights come from, for messages.

    Raises:
        ArtifactError: an array is missing or has another shape.
    """
    for layer in model.layers:
        if not layer.weights:
            continue
        kind = type(layer).__name__
        if kind == "BatchNormalization":
            parts = [f"{layer.name}.{part}" for part in ("weight", "bias", "running_mean", "running_var")]
        elif kind in ("Conv2D", "Dense"):
            parts = [f"{layer.name}.weight"] + ([f"{layer.name}.bias"] if layer.use_bias else [])
        else:
            continue
        missing = [part for part in parts if part not in weights]
        if missing:
            raise ArtifactError(
                f"{origin}: {missing[0]!r} is missing. A ResNet-18 with torchvision's names is needed "
                "('conv1.weight', 'layer1.0.bn1.running_mean', ...)."
            )
        arrays = [np.asarray(weights[part], np.float32) for part in parts]
        order = {4: (2, 3, 1, 0), 2: (1, 0)}.get(arrays[0].ndim)
        arrays[0] = arrays[0].transpose(order) if order else arrays[0]
        for part, array, variable in zip(parts, arrays, layer.weights, strict=True):
            if array.shape != tuple(variable.shape):
                raise ArtifactError(
                    f"{origin}: {part!r} has the shape {array.shape}, not {tuple(variable.shape)}; "
                    "it is of another network than ResNet-18."
                )
        layer.set_weights(arrays)


def read_weights(path: Path) -> tuple[dict[str, np.ndarray], str]:
    """A state dict from a file, nothing unpickled: arrays by name, and the file's SHA-256.

    ``.npz`` and ``.h5`` (one array for each name), ``.safetensors`` (as timm publishes ResNet-18), or
    ``.onnx`` whose initialisers kept the names (exported without folding the normalisation).

    Raises:
        ArtifactError: no such file, another kind of file, or not readable as what it says it is.
    """
    path = Path(path).expanduser()
    if path.suffix.lower() not in WEIGHT_SUFFIXES:
        raise ArtifactError(
            f"{path}: weights are read from {', '.join(WEIGHT_SUFFIXES)}. A PyTorch file (.pth) can carry "
            "code and is not opened; save its state dict as .npz or .safetensors."
        )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path}: the weights cannot be read ({error.strerror or error}).") from error
    readers = {".npz": _read_npz, ".safetensors": _read_safetensors, ".onnx": _read_onnx}
    try:
        arrays = readers.get(path.suffix.lower(), _read_h5)(path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path}: it holds no weights that can be read ({error}).") from error
    return arrays, hashlib.sha256(data).hexdigest()


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    import zipfile

    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except zipfile.BadZipFile as error:
        raise ValueError(error) from error


def _read_h5(path: Path) -> dict[str, np.ndarray]:
    import h5py

    found: dict[str, np.ndarray] = {}

    def keep(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset):
            found[name.replace("/", ".")] = node[()]

    with h5py.File(path, "r") as file:
        file.visititems(keep)
    return found


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """The format is eight bytes of header length, a JSON header, and the arrays one behind another."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    kinds = {"F32": "<f4", "F64": "<f8", "F16": "<f2", "I64": "<i8"}
    found = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        low, high = entry["data_offsets"]
        array = np.frombuffer(data[start + low : start + high], kinds[entry["dtype"]])
        found[name] = array.reshape(entry["shape"])
    return found


def _read_onnx(path: Path) -> dict[str, np.ndarray]:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path)
    except DecodeError as error:
        raise ValueError(error) from error
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}

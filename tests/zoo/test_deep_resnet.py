"""ResNet-18: the paper's network, published weights in their places, frozen or trained through."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import ArtifactError, SettingsError
from pipeline.training.data import Clip, read_manifest
from pipeline.zoo import cryresnet, registry, resnet18
from pipeline.zoo.base import Example

CLASSES = ("discomfort", "hungry")
SIZE = 64


def shapes() -> dict[str, tuple[int, ...]]:
    """Every array of torchvision's ResNet-18 by name, written down from the paper."""
    found: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 3, 7, 7)}

    def norm(name: str, width: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            found[f"{name}.{part}"] = (width,)

    norm("bn1", 64)
    before = 64
    for stage, width in enumerate((64, 128, 256, 512), 1):
        for block in range(2):
            name = f"layer{stage}.{block}"
            found[f"{name}.conv1.weight"] = (width, before, 3, 3)
            found[f"{name}.conv2.weight"] = (width, width, 3, 3)
            norm(f"{name}.bn1", width)
            norm(f"{name}.bn2", width)
            if before != width:
                found[f"{name}.downsample.0.weight"] = (width, before, 1, 1)
                norm(f"{name}.downsample.1", width)
            before = width
    return found | {"fc.weight": (1000, 512), "fc.bias": (1000,)}


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    """Random weights of a published file's names and shapes, under which signals keep their size."""
    rng = np.random.default_rng(0)
    found = {}
    for name, shape in shapes().items():
        if name.endswith("running_var"):
            found[name] = rng.uniform(0.5, 1.5, shape)
        elif len(shape) == 1:
            found[name] = rng.normal(1.0 if name.endswith("weight") else 0.0, 0.1, shape)
        else:
            found[name] = rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
    return {name: array.astype(np.float32) for name, array in found.items()}


@pytest.fixture(scope="module")
def npz(weights: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "imagenet.npz"
    np.savez(path, **weights)  # type: ignore[arg-type]
    return path


def reference(weights: dict[str, np.ndarray]) -> Any:
    """The network drawn independently, channels first, as an ONNX graph over the very state dict."""
    import onnx
    from onnx import helper

    nodes: list[Any] = []

    def add(kind: str, inputs: list[str], **attributes: Any) -> str:
        out = f"t{len(nodes)}"
        nodes.append(helper.make_node(kind, inputs, [out], **attributes))
        return out

    def norm(x: str, name: str) -> str:
        parts = [f"{name}.{part}" for part in ("weight", "bias", "running_mean", "running_var")]
        return add("BatchNormalization", [x, *parts], epsilon=1e-5)

    def conv(x: str, name: str, size: int, stride: int) -> str:
        pad = size // 2
        return add(
            "Conv", [x, f"{name}.weight"], strides=[stride] * 2, pads=[pad] * 4, kernel_shape=[size] * 2
        )

    x = add("Relu", [norm(conv("x", "conv1", 7, 2), "bn1")])
    x = add("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    for stage in (1, 2, 3, 4):
        for block in (0, 1):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            y = add("Relu", [norm(conv(x, f"{name}.conv1", 3, stride), f"{name}.bn1")])
            y = norm(conv(y, f"{name}.conv2", 3, 1), f"{name}.bn2")
            if f"{name}.downsample.0.weight" in weights:
                x = norm(conv(x, f"{name}.downsample.0", 1, stride), f"{name}.downsample.1")
            x = add("Relu", [add("Add", [x, y])])
    x = add("Flatten", [add("GlobalAveragePool", [x])])
    out = add("Gemm", [x, "fc.weight", "fc.bias"], transB=1)
    graph = helper.make_graph(
        nodes,
        "resnet18",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info(out, onnx.TensorProto.FLOAT, ["n", 1000])],
        [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    return model


def test_it_is_the_papers_network(weights: dict[str, np.ndarray]) -> None:
    network = resnet18.classifier()
    trainable = sum(int(np.prod(variable.shape)) for variable in network.trainable_weights)
    assert trainable == 11_689_512
    assert network.count_params() == sum(array.size for array in weights.values())
    by_name = {layer.name: layer.output.shape[1:] for layer in network.layers}
    assert by_name["conv1"] == (112, 112, 64)
    assert by_name["maxpool"] == (56, 56, 64)
    assert by_name["layer4.1.relu2"] == (7, 7, 512)


def test_published_weights_give_the_published_networks_answers(weights: dict[str, np.ndarray]) -> None:
    import onnxruntime

    pictures = np.random.default_rng(1).normal(size=(3, SIZE, SIZE, 3)).astype(np.float32)
    session = onnxruntime.InferenceSession(
        reference(weights).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (wanted,) = session.run(None, {"x": pictures.transpose(0, 3, 1, 2)})
    network = resnet18.classifier(SIZE)
    assert np.abs(np.asarray(network(pictures)) - wanted).max() > 0.1
    resnet18.load_weights(network, weights, "test")
    given = np.asarray(network(pictures))
    np.testing.assert_allclose(given, wanted, atol=1e-4 * np.abs(wanted).max())


def _write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    np.savez(path, **arrays)  # type: ignore[arg-type]


def _write_h5(path: Path, arrays: dict[str, np.ndarray]) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array


def _write_safetensors(path: Path, arrays: dict[str, np.ndarray]) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    body = b""
    for name, array in arrays.items():
        header[name] = {
            "dtype": "F32",
            "shape": array.shape,
            "data_offsets": [len(body), len(body) + array.nbytes],
        }
        body += array.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)


def _write_onnx(path: Path, arrays: dict[str, np.ndarray]) -> None:
    path.write_bytes(reference(arrays).SerializeToString())


@pytest.mark.parametrize(
    ("suffix", "write"),
    [
        (".npz", _write_npz),
        (".h5", _write_h5),
        (".safetensors", _write_safetensors),
        (".onnx", _write_onnx),
    ],
)
def test_weights_are_read_from_files_that_cannot_carry_code(
    weights: dict[str, np.ndarray], tmp_path: Path, suffix: str, write: Callable[..., None]
) -> None:
    path = tmp_path / f"weights{suffix}"
    write(path, weights)
    found, checksum = resnet18.read_weights(path)
    assert len(checksum) == 64
    for name, array in weights.items():
        np.testing.assert_array_equal(found[name], array)
    path.write_bytes(b"not what its name says, but long enough to look at")
    with pytest.raises(ArtifactError, match="holds no weights"):
        resnet18.read_weights(path)


def test_weights_that_do_not_fit_are_refused(weights: dict[str, np.ndarray], tmp_path: Path) -> None:
    network = resnet18.classifier(SIZE)
    short = {name: array for name, array in weights.items() if name != "layer3.0.bn2.running_var"}
    with pytest.raises(ArtifactError, match=r"layer3\.0\.bn2\.running_var"):
        resnet18.load_weights(network, short, "file")
    with pytest.raises(ArtifactError, match="another network"):
        resnet18.load_weights(network, weights | {"conv1.weight": np.zeros((64, 3, 3, 3))}, "file")
    with pytest.raises(ArtifactError, match="can carry"):
        resnet18.read_weights(tmp_path / "resnet18.pth")
    with pytest.raises(ArtifactError, match="cannot be read"):
        resnet18.read_weights(tmp_path / "absent.npz")


@pytest.fixture(scope="module")
def clips(shared: Path) -> list[Clip]:
    """Five recordings of each class, each of another donor."""
    found: dict[str, dict[str, Clip]] = {name: {} for name in CLASSES}
    for clip in read_manifest(shared / "data"):
        if clip.source == "donateacry" and clip.label in found:
            found[clip.label].setdefault(clip.group, clip)
    return [clip for name in CLASSES for clip in list(found[name].values())[:5]]


def fitted(clips: list[Clip], work: Path, cache: Path, progress: Any = None, **options: Any) -> Any:
    model = registry.create("cryresnet", CLASSES, **options)
    y = np.array([CLASSES.index(clip.label) for clip in clips])
    groups = np.array([str(i) for i in range(len(clips))])
    examples = [Example(clip) for clip in clips]
    model.fit(examples, y, groups, seed=0, work=work, cache=cache, progress=progress)
    return model


def test_trained_through_a_grid_it_goes_on_where_it_stopped_and_says_so(
    clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(cryresnet.GRIDS, "coarse", {"rate": (1e-4, 1e-3), "width": (64,), "dropout": (0.0,)})
    options: dict[str, Any] = {"grid": "coarse", "epochs": 2}
    folders = (tmp_path / "work", tmp_path / "cache")

    teach, lessons = cryresnet.teach, []

    def stop_before_the_second(lesson: Any, *args: Any, **kwargs: Any) -> Any:
        lessons.append(lesson.name)
        if len(lessons) == 2:
            raise KeyboardInterrupt
        return teach(lesson, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(cryresnet, "teach", stop_before_the_second)
        with pytest.raises(KeyboardInterrupt):
            fitted(clips, *folders, **options)
    stages: list[str] = []
    model = fitted(clips, *folders, progress=lambda what, *_: stages.append(what), **options)
    assert any("setting 2" in stage for stage in stages)
    assert not any("setting 1" in stage for stage in stages), "the first setting was kept"
    assert [row["rate"] for row in model.facts["tried"]] == [1e-4, 1e-3]
    assert model.history[-1]["loss"] < model.history[0]["loss"]
    assert model.facts["onnx_difference_nats"] < 1e-3
    assert model.facts["onnx_compared_on"] == len(clips)
    assert model.facts["parameters"] > 11_000_000
    model.save(tmp_path / "model")
    assert "trained through" in (tmp_path / "model" / "MODEL_CARD.md").read_text()
    scores = model.scores([Example(clip) for clip in clips], cache=tmp_path / "cache")
    again = registry.load("cryresnet", tmp_path / "model")
    np.testing.assert_array_equal(
        again.scores([Example(clip) for clip in clips], cache=tmp_path / "cache"), scores
    )


def test_with_imagenet_weights_only_the_head_learns_and_a_grid_is_chosen_on_validation(
    clips: list[Clip], npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        cryresnet.GRIDS, "coarse", {"rate": (1e-4, 1e-2), "width": (64.0,), "dropout": (0.5,)}
    )
    seen: list[Any] = []
    joined = cryresnet._joined
    monkeypatch.setattr(cryresnet, "_joined", lambda trunk, head: seen.append(trunk) or joined(trunk, head))
    model = fitted(clips, tmp_path / "work", tmp_path / "cache", weights=npz, grid="coarse", epochs=3)
    (trunk,) = seen
    with np.load(npz) as weights:
        np.testing.assert_array_equal(
            trunk.get_layer("layer4.1.conv2").get_weights()[0].transpose(3, 2, 0, 1),
            weights["layer4.1.conv2.weight"],
        )
        np.testing.assert_array_equal(trunk.get_layer("bn1").get_weights()[2], weights["bn1.running_mean"])
    tried = model.facts["tried"]
    assert [row["rate"] for row in tried] == [1e-4, 1e-2]
    best = max(tried, key=lambda row: (row["val_macro_f1"], -row["val_loss"]))
    assert model.facts["setting"]["rate"] == best["rate"]
    model.save(tmp_path / "model")
    text = (tmp_path / "model" / "manifest.json").read_text() + (
        tmp_path / "model" / "MODEL_CARD.md"
    ).read_text()
    assert "frozen, weights of imagenet.npz (SHA-256" in text
    assert str(tmp_path) not in text
    assert str(npz.parent) not in text
    registry.load("cryresnet", tmp_path / "model")


def test_the_full_grid() -> None:
    settings = cryresnet.CryResNet(CLASSES, grid="full").settings()
    assert len(settings) == 3 * 4 * 3
    assert {"rate": 1e-4, "width": 64, "dropout": 0.0} in settings
    assert {"rate": 1e-2, "width": 512, "dropout": 0.8} in settings
    with pytest.raises(SettingsError, match="no grid"):
        cryresnet.CryResNet(CLASSES, grid="all")
    with pytest.raises(SettingsError, match="width"):
        cryresnet.CryResNet(CLASSES, width=32)
    with pytest.raises(SettingsError, match="epoch_rows"):
        cryresnet.CryResNet(CLASSES, epoch_rows=1)

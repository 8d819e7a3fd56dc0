"""Trained models as ONNX: the detector's head, the reasons ensemble, and any scikit-learn model of that kind.

What ONNX cannot say is left to whoever runs it, and named in the manifest that is written beside the files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.detection import FEATURES
from pipeline.errors import ArtifactError
from pipeline.reasons import log_scores

if TYPE_CHECKING:
    from pipeline.detection import DetectorHead
    from pipeline.reasons import ReasonModel

OPSET = 21
ML_OPSET = 3
# Squared distances below this count as it: a point met again weighs a million times one at distance 1.
_NEAREST = 1e-12


def head_to_onnx(head: DetectorHead) -> bytes:
    """The detector's head: ``embeddings`` (frames, 1024) float32 to calibrated ``scores`` (windows,) float32.

    There must be at least ``head.window`` frames (1.92 s of sound). What comes after single windows, evidence
    along longer sound and episodes, remembers what was heard and is not part of it.
    """
    from onnx import TensorProto, helper, numpy_helper

    window = int(head.window)
    nodes: list[Any] = []
    constants: list[Any] = []

    def constant(name: str, value: Any) -> str:
        constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    axis = constant("axis", np.array([0], np.int64))
    parts = []
    for i in range(window):
        start = constant(f"start_{i}", np.array([i], np.int64))
        last = i - window + 1
        end = constant(f"end_{i}", np.array([last if last else np.iinfo(np.int64).max], np.int64))
        parts.append(node("Slice", ["embeddings", start, end, axis], f"shifted_{i}"))
    count = constant("count", np.float32(window))
    mean = node("Div", [node("Sum", parts, "sum"), count], "mean")
    squares = []
    for i, part in enumerate(parts):
        apart = node("Sub", [part, mean], f"apart_{i}")
        squares.append(node("Mul", [apart, apart], f"square_{i}"))
    variance = node("Div", [node("Sum", squares, "square_sum"), count], "variance")
    features = node("Concat", [mean, node("Sqrt", [variance], "deviation")], "features", axis=1)
    bias = head.logits(np.zeros((1, FEATURES)))
    weights = head.logits(np.eye(FEATURES)) - bias  # the three linear steps as one
    wide = node("Cast", [features], "wide", to=TensorProto.DOUBLE)
    odds = node("MatMul", [wide, constant("weights", weights)], "odds")
    slope, offset = (float(value) for value in head.calibration)
    sloped = node("Mul", [odds, constant("slope", np.float64(slope))], "sloped")
    logits = node("Add", [sloped, constant("offset", np.float64(slope * bias[0] + offset))], "logits")
    scores = node("Sigmoid", [logits], "wide_scores")
    node("Cast", [scores], "scores", to=TensorProto.FLOAT)
    graph = helper.make_graph(
        nodes,
        "detector_head",
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["frames", 1024])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["windows"])],
        constants,
    )
    return finished(helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)]))


def estimator_to_onnx(estimator: Any, features: int) -> Any:
    """A fitted scikit-learn classifier: ``features`` (n, features) float32 to ``scores`` (n, classes).

    Nearest neighbours and boosted trees, alone or inside pipelines and votes, included.
    """
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    _register_converters()
    estimator = _convertible(estimator)
    model = convert_sklearn(
        estimator,
        initial_types=[("features", FloatTensorType([None, features]))],
        options={id(estimator): {"zipmap": False}},
        target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET},
    )
    _rename_output(model, model.graph.output[1].name, "scores")
    del model.graph.output[0]
    return model


def reasons_to_onnx(model: ReasonModel) -> bytes:
    """The reasons model: ``features`` (n, features) float32 to ``scores`` and calibrated ``probabilities``,
    (n, reasons) float32 each, in the order of ``model.classes``."""
    from onnx import TensorProto, helper, numpy_helper

    exported = estimator_to_onnx(model.estimator, int(model.estimator.n_features_in_))
    calibration = model.calibration
    graph = exported.graph

    def constant(name: str, value: Any) -> str:
        graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        graph.node.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    _rename_output(exported, "scores", "ensemble_votes")
    wide = node("Cast", ["ensemble_votes"], "wide_votes", to=TensorProto.DOUBLE)
    axis = constant("calibration_axis", np.array([1], np.int64))
    total = node("ReduceSum", [wide, axis], "total_votes", keepdims=1)
    shares = node("Div", [wide, total], "wide_scores")
    node("Cast", [shares], "scores", to=TensorProto.FLOAT)
    least = constant("least_score", np.exp(log_scores(np.zeros(()))))
    logs = node("Log", [node("Max", [shares, least], "kept_scores")], "log_scores")
    apart = node("Sub", [logs, constant("centre", np.array(calibration.centre))], "centred")
    sloped = node("Mul", [apart, constant("slope", np.float64(calibration.slope))], "sloped")
    logits = node("Add", [sloped, constant("offsets", np.array(calibration.offsets))], "calibrated")
    node("Cast", [node("Softmax", [logits], "chances", axis=1)], "probabilities", to=TensorProto.FLOAT)
    shape = ["n", len(model.classes)]
    del graph.output[:]
    graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("scores", "probabilities")
    )
    return finished(exported)


def run(model: bytes, inputs: Mapping[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """What an exported model gives, by ONNX Runtime on one thread.

    Raises:
        ArtifactError: not a model that it can run.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own exceptions share no narrower base class
        raise ArtifactError(f"The exported model cannot be opened ({type(error).__name__}).") from error
    return [np.asarray(output) for output in session.run(None, dict(inputs))]


def _convertible(estimator: Any) -> Any:
    """The same estimator without an option of votes that the converter refuses and scores do not need."""
    import copy

    from sklearn.ensemble import VotingClassifier
    from sklearn.pipeline import Pipeline

    if isinstance(estimator, Pipeline):
        steps = [*estimator.steps[:-1], (estimator.steps[-1][0], _convertible(estimator.steps[-1][1]))]
        return Pipeline(steps)
    if isinstance(estimator, VotingClassifier):
        estimator = copy.copy(estimator)
        estimator.flatten_transform = False
    return estimator


def _register_converters() -> None:
    """Teach the converter boosted trees, and to weigh neighbours as scikit-learn does."""
    from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost
    from skl2onnx import update_registered_converter
    from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes
    from sklearn.neighbors import KNeighborsClassifier
    from xgboost import XGBClassifier

    options = {"nocl": [True, False], "zipmap": [True, False, "columns"]}
    for kind, name, convert in (
        (XGBClassifier, "CryLensXGBClassifier", convert_xgboost),
        (KNeighborsClassifier, "CryLensKNeighborsClassifier", _convert_neighbours),
    ):
        update_registered_converter(
            kind, name, calculate_linear_classifier_output_shapes, convert, options=options, overwrite=True
        )


def _convert_neighbours(scope: Any, operator: Any, container: Any) -> None:
    """k nearest neighbours weighed by 1 / distance, in double precision.

    The library's own conversion divides by distances in single precision; where a recording is one that the
    model was fitted on, that distance is 0, and its votes come out up to 0.8 wrong.
    """
    from onnx import TensorProto

    model = operator.raw_operator
    if model.weights != "distance" or model.effective_metric_ != "euclidean":
        raise ArtifactError(f"Neighbours by {model.effective_metric_}, {model.weights} have no export.")
    points = np.asarray(model._fit_X, np.float64)
    votes = np.eye(len(model.classes_))[np.asarray(model._y)]

    def constant(name: str, value: NDArray[Any]) -> str:
        unique = scope.get_unique_variable_name(f"neighbours_{name}")
        kinds = {"f": TensorProto.DOUBLE, "i": TensorProto.INT64}
        array = np.asarray(value)
        container.add_initializer(unique, kinds[array.dtype.kind], array.shape, array.ravel())
        return str(unique)

    def node(kind: str, inputs: list[str], count: int = 1, **attributes: Any) -> list[str]:
        outputs = [scope.get_unique_variable_name(f"neighbours_{kind}") for _ in range(count)]
        name = scope.get_unique_operator_name(kind)
        container.add_node(kind, inputs, outputs, op_version=OPSET, name=name, **attributes)
        return outputs

    last = constant("last_axis", np.array([1]))
    [wide] = node("Cast", [operator.inputs[0].full_name], to=TensorProto.DOUBLE)
    [products] = node("MatMul", [wide, constant("points", points.T)])
    [twice] = node("Mul", [products, constant("minus_two", np.array(-2.0))])
    [own_squares] = node("Mul", [wide, wide])
    [own] = node("ReduceSum", [own_squares, last], keepdims=1)
    [with_own] = node("Add", [twice, own])
    [squared] = node("Add", [with_own, constant("squares", np.sum(points**2, axis=1)[None])])
    nearest, which = node(
        "TopK", [squared, constant("k", np.array([model.n_neighbors]))], 2, axis=1, largest=0, sorted=1
    )
    [kept] = node("Max", [nearest, constant("nearest", np.array(_NEAREST))])
    [distance] = node("Sqrt", [kept])
    [weight] = node("Reciprocal", [distance])
    [column] = node("Unsqueeze", [weight, constant("column", np.array([2]))])
    [ballots] = node("Gather", [constant("votes", votes), which], axis=0)
    [weighed] = node("Mul", [ballots, column])
    [counted] = node("ReduceSum", [weighed, last], keepdims=0)
    [total] = node("ReduceSum", [counted, last], keepdims=1)
    [shares] = node("Div", [counted, total])
    [best] = node("ArgMax", [shares], axis=1, keepdims=0)
    container.add_node(
        "Cast", [shares], [operator.outputs[1].full_name], op_version=OPSET, to=TensorProto.FLOAT,
        name=scope.get_unique_operator_name("Cast"),
    )  # fmt: skip
    classes = constant("classes", np.asarray(model.classes_, np.int64))
    container.add_node(
        "Gather", [classes, best], [operator.outputs[0].full_name], op_version=OPSET, axis=0,
        name=scope.get_unique_operator_name("Gather"),
    )  # fmt: skip


def _rename_output(model: Any, old: str, new: str) -> None:
    """Give a value of the graph another name, wherever it is made or used."""
    for node in model.graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                if name == old:
                    names[i] = new
    for output in model.graph.output:
        if output.name == old:
            output.name = new


def finished(model: Any) -> bytes:
    """Checked, with a version that every runtime of the last years reads."""
    import onnx

    model.ir_version = 10
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())

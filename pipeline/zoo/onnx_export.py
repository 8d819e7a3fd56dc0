"""A trained model of the zoo as ONNX: networks are kept as such already, classical ones are converted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.artifacts import open_artifact
from pipeline.errors import ArtifactError
from pipeline.training import onnx_export
from pipeline.training.onnx_models import VOTES_TOLERANCE, Export
from pipeline.zoo import registry
from pipeline.zoo.classical import Classical
from pipeline.zoo.deep_model import MODEL_FILE, DeepModel
from pipeline.zoo.deep_onnx import PARITY
from pipeline.zoo.mfccmel import Renumbered, Svm336
from pipeline.zoo.saving import KIND


def exported(folder: Path) -> Export:
    """The model that was saved to a folder.

    A network's file is the one that it has been run from since it was trained, when it was compared with the
    trained network on every input it was given; the difference then found is told again.

    Raises:
        ArtifactError: no such model, or one that is no network and has nothing to convert.
    """
    artifact = open_artifact(Path(folder), kind=KIND)
    name = str(artifact.manifest["schema"].get("model"))
    model = registry.load(name, folder)
    if isinstance(model, DeepModel):
        about = {
            "front_end": model.front_end.key,
            "classes": list(model.classes),
            "gives": "scores",
            "when_trained": {
                "inputs": model.facts.get("onnx_compared_on"),
                "worst_nats": model.facts.get("onnx_difference_nats"),
                "tolerance_nats": PARITY,
            },
        }
        return Export(name, artifact.read_bytes(MODEL_FILE), about)
    if isinstance(model, Classical):
        return _of_classical(name, model)
    raise ArtifactError(
        f"'{name}' has no export of its own: its parts are exported without --zoo, or it is a rule of a line "
        "or two. Networks, ensembles, xgb336 and svm336 have one."
    )


def _of_classical(name: str, model: Classical) -> Export:
    estimator = model._estimator
    classes = [model.classes[int(i)] for i in estimator.classes_]
    if isinstance(model, Svm336) and len(classes) == 2:
        raise ArtifactError(
            f"'{name}' of two classes ({', '.join(classes)}) has no faithful export: the converter (skl2onnx "
            "1.20) turns the decision of a calibrated support vector machine of two classes round. Of three "
            "or more it has one."
        )
    inner = estimator.estimator if isinstance(estimator, Renumbered) else estimator
    data = onnx_export.finished(onnx_export.estimator_to_onnx(inner, model.features))

    def compare(samples: NDArray[np.float32]) -> float:
        vector = np.ravel(model.front_end.compute(samples))[None, : model.features].astype(np.float32)
        [given] = onnx_export.run(data, {"features": vector})
        return float(np.abs(given - estimator.predict_proba(vector)).max())

    about = {"front_end": model.front_end.key, "features": model.features, "classes": classes}
    return Export(name, data, {**about, "gives": "scores"}, compare, VOTES_TOLERANCE)

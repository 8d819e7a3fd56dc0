"""CryLens's own reasons model (:mod:`pipeline.training.reason_recipe`), on 108 features and on 111."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import acoustics
from pipeline.training import reason_recipe
from pipeline.training.reason_features import ACOUSTIC_VERSION
from pipeline.zoo.classical import Classical
from pipeline.zoo.examples import FrontEnd

_ACOUSTIC = FrontEnd(
    "acoustic111",
    lambda samples: acoustics.extract(samples, "acoustic111"),
    kept_as=ACOUSTIC_VERSION,  # where the shipped model's training keeps the same values
)


class Ensemble108(Classical):
    """SMOTE, scaling, selection and a soft vote of four, on the ``acoustic108`` features."""

    name = "ensemble108"
    about = (
        "Our own reasons model before calibration: 108 acoustic features; SMOTE, standard scaling, feature "
        "selection by random forest, soft vote of random forest, calibrated SVM, k-nearest neighbours and "
        "XGBoost."
    )
    recipe = reason_recipe.RECIPE
    front_end = _ACOUSTIC
    features = 108

    def fitted(self, x: NDArray[np.float64], y: NDArray[np.int64], groups: NDArray[Any], seed: int) -> Any:
        """The shipped recipe, without the rows that SMOTE keeps."""
        from sklearn.pipeline import Pipeline

        del groups
        return Pipeline(reason_recipe.fit(x, y, seed).steps[1:])


class Ensemble111(Ensemble108):
    """The same on the ``acoustic111`` features."""

    name = "ensemble111"
    about = Ensemble108.about.replace("108", "111")
    features = 111


MODELS = {model.name: model for model in (Ensemble108, Ensemble111)}

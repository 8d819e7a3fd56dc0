"""Every named feature schema: what ``/preprocess`` can compute."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline import acoustics
from pipeline.service.problems import Problem

DEFAULT = "acoustic108"
NAMES: tuple[str, ...] = (*acoustics.SCHEMAS, "mfccmel336")


def describe(samples: NDArray[np.float32], schema: str) -> tuple[list[str], list[float]]:
    """Names and values of a schema's features.

    Args:
        samples: (n,) mono at 16 kHz.
        schema: one of :data:`NAMES`.

    Raises:
        AudioError: too short for the schema.
        Problem: no schema of that name (422).
    """
    if schema in acoustics.SCHEMAS:
        return list(acoustics.feature_names(schema)), acoustics.extract(samples, schema).tolist()
    if schema == "mfccmel336":
        from pipeline.zoo.mfccmel import FEATURE_NAMES, mfccmel336

        return list(FEATURE_NAMES), mfccmel336(samples).tolist()
    raise Problem(
        "features/unknown-schema", f"There is no feature schema of that name; known are {', '.join(NAMES)}."
    )

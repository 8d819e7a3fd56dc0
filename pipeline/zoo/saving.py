"""Model folders of the zoo: :mod:`pipeline.artifacts` with the model's name and classes checked on the way
back in."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import artifacts
from pipeline.errors import ArtifactError
from pipeline.zoo.base import Example, Model

KIND = "zoo"


def save(
    model: Model,
    folder: Path,
    *,
    files: Mapping[str, bytes],
    about: str,
    learned: Mapping[str, Any],
    schema: Mapping[str, Any] | None = None,
) -> None:
    """Write a fitted model's folder.

    Args:
        files: plain file name to content.
        about: what the model is, one Markdown paragraph for the card.
        learned: :func:`learned_from` of the fit.
        schema: JSON-able, what goes in beside the classes (features, rates).

    Raises:
        ArtifactError: the model is not fitted, or the folder cannot be written.
    """
    if not learned:
        raise ArtifactError(f"The model '{model.name}' has learned nothing yet; fit it before saving it.")
    artifacts.save(
        Path(folder),
        files=files,
        kind=KIND,
        schema={"model": model.name, "task": model.task, "classes": list(model.classes), **(schema or {})},
        training={"options": model.options, "recipe": model.recipe, **learned},
        metrics={"history": model.history},
        card=_card(model, about, learned),
    )


def open_model(folder: Path, name: str) -> artifacts.Artifact:
    """The folder of the named model, opened; its files are checked when they are read.

    Raises:
        ArtifactError: missing, malformed, or of another model.
    """
    found = artifacts.open_artifact(Path(folder), kind=KIND)
    its = found.manifest["schema"].get("model")
    if its != name:
        raise ArtifactError(f"The model at {folder} is '{its}'; '{name}' is needed here.")
    return found


def learned_from(
    examples: Sequence[Example], y: NDArray[np.int64], groups: NDArray[Any], classes: Sequence[str], seed: int
) -> dict[str, Any]:
    """What a model learned from, for its manifest and card; JSON-able."""
    counts = np.bincount(y, minlength=len(classes))
    sources = Counter((example.clip.source, example.clip.licence) for example in examples)
    return {
        "examples": len(examples),
        "recordings": len({example.clip.path for example in examples}),
        "groups": len(set(groups.tolist())),
        "examples_by_class": {name: int(n) for name, n in zip(classes, counts, strict=True)},
        "sources": [[source, licence, count] for (source, licence), count in sorted(sources.items())],
        "seed": seed,
    }


def joblib_bytes(estimator: Any) -> bytes:
    """An estimator as compressed joblib bytes."""
    import joblib

    buffer = io.BytesIO()
    joblib.dump(estimator, buffer, compress=("zlib", 9))
    return buffer.getvalue()


def _card(model: Model, about: str, learned: Mapping[str, Any]) -> str:
    rows = "\n".join(f"| {name} | {count} |" for name, count in learned["examples_by_class"].items())
    sources = "\n".join(
        f"- {source}: {licence} ({count} examples)" for source, licence, count in learned["sources"]
    )
    return f"""# {model.name}

{about}

One of the models that CryLens is compared with. How good it is, on babies it has not heard and as such
figures are usually published, is in `docs/benchmark.md`.

## Learned from

{learned["recordings"]} recordings ({learned["examples"]} examples with augmented copies), {learned["groups"]}
groups, seed {learned["seed"]}.

| class | examples |
|---|---|
{rows}

{sources}

Its scores are not calibrated. Nothing here is medical advice or a diagnosis.
"""

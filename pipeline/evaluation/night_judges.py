"""Who judges a night: models that heard nothing of the sources it is made of.

Our own detector comes held out (:mod:`pipeline.evaluation.held_out`), or as shipped when that is asked for,
which is fair on recordings that it was not trained on. Other models that learn are fitted on the other folds'
verified recordings, and kept; those that learn nothing judge every fold.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from pipeline.errors import DataError, SettingsError
from pipeline.evaluation.night_material import Material
from pipeline.settings import Settings
from pipeline.training.data import Clip
from pipeline.training.detector_recipe import UNSEEN_BACKGROUNDS
from pipeline.zoo.base import DetectionModel, Example

if TYPE_CHECKING:
    from pipeline.evaluation.held_out import HeldOut

Heads = Literal["held-out", "shipped"]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Judge:
    """A model and what names its weights."""

    model: DetectionModel
    key: str


@dataclass(frozen=True)
class Sources:
    """Where models learn from: the folder, its clips, and the fold of each (-1: none)."""

    data: Path
    clips: Sequence[Clip]
    fold_of: np.ndarray


def model_names() -> tuple[str, ...]:
    """Every model that can judge a night."""
    from pipeline.zoo import registry
    from pipeline.zoo.yamnet_class import MODELS

    return tuple(dict.fromkeys([*registry.names("detection"), *MODELS]))


def require_models(names: Sequence[str]) -> None:
    """Refuse names of models that there are not.

    Raises:
        SettingsError: names those there are.
    """
    for name in names:
        if name not in model_names():
            raise SettingsError(
                f"There is no model '{name}' for nights; there are: {', '.join(model_names())}."
            )


def judges_of(
    name: str,
    nights: Sequence[Material],
    sources: Sources,
    *,
    heads: Heads,
    settings: Settings,
    cache: Path,
    seed: int,
    progress: Progress | None,
) -> dict[int, Judge]:
    """For each fold of nights the judge of that name.

    Raises:
        SettingsError: no such model.
        DataError: the data cannot be learned from, or its folds are not those of the held-out detectors.
        EmbedderError, ArtifactError: a model cannot be had.
    """
    from pipeline.zoo import registry
    from pipeline.zoo.yamnet_class import MODELS

    require_models([name])
    folds = [m.fold for m in nights]
    if name in MODELS or name == "level":
        made = MODELS[name]() if name in MODELS else registry.create(name)
        model = cast("DetectionModel", made)
        return dict.fromkeys(folds, Judge(model, model.recipe))
    if name.startswith("crylens-"):
        return _ours(name, nights, sources, heads, settings, cache, seed, progress)
    return {fold: _fitted(name, fold, sources, cache, seed, progress) for fold in folds}


def _ours(
    name: str,
    nights: Sequence[Material],
    sources: Sources,
    heads: Heads,
    settings: Settings,
    cache: Path,
    seed: int,
    progress: Progress | None,
) -> dict[int, Judge]:
    from pipeline.zoo.crylens import MODELS

    cls = MODELS[name]
    if heads == "shipped":
        return dict.fromkeys([m.fold for m in nights], Judge(cls(), "shipped"))
    from pipeline.evaluation.held_out import held_out_detectors

    found: list[HeldOut] = held_out_detectors(
        sources.data, cls.embedding, settings=settings, seed=seed, cache=cache, progress=progress
    )
    by_fold = {held.fold: held for held in found}
    judges = {}
    for night in nights:
        held = by_fold.get(night.fold)
        if held is None or not set(night.sources) <= set(held.sources):
            raise DataError(
                f"Fold {night.fold} of the night ({', '.join(night.sources)}) is not that of the held-out "
                f"detector ({', '.join(sorted(held.sources)) if held else 'none'}), so it may have heard it."
            )
        head = hashlib.sha256(held.head.to_bytes()).hexdigest()[:16]
        judges[night.fold] = Judge(cls(head=held.head, embedder=held.embedder), head)
    return judges


def _fitted(
    name: str, fold: int, sources: Sources, cache: Path, seed: int, progress: Progress | None
) -> Judge:
    """A model of the zoo, taught on every other fold; kept under what decides its weights."""
    from pipeline.zoo import registry

    chosen = [
        clip
        for clip, its in zip(sources.clips, sources.fold_of, strict=True)
        if its not in (fold, -1) and clip.kind != "unverified" and clip.source != UNSEEN_BACKGROUNDS
    ]
    model = cast("DetectionModel", registry.create(name))
    names = sorted((c.path.name, c.kind, c.source, c.group) for c in chosen)
    what: list[Any] = [name, model.recipe, model.options, seed, names]
    key = hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]
    folder = cache / "night-models" / f"{name}-{key}"
    if not folder.is_dir():
        kinds = ("not_cry", "cry")
        model.fit(
            [Example(clip) for clip in chosen],
            np.array([kinds.index(clip.kind) for clip in chosen]),
            np.array([clip.group for clip in chosen]),
            seed=seed,
            work=folder.with_name(f"{folder.name}.work"),
            cache=cache,
            progress=progress,
        )
        model.save(folder)
    return Judge(cast("DetectionModel", registry.load(name, folder)), key)

"""Fit a model of the zoo: in a fold of a protocol, or on all there is, to keep."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from pipeline._cache import default_cache
from pipeline.errors import DataError
from pipeline.training.data import Clip, read_manifest
from pipeline.training.protocols import Fold, FoldScores, Protocol, out_of_fold
from pipeline.zoo import registry
from pipeline.zoo.base import DETECTION_CLASSES, Model, Progress
from pipeline.zoo.reason_clips import ReasonClips, of_clips, read

# Of these the versions decide a fit; whichever are installed.
_LIBRARIES = ("numpy", "scikit-learn", "imbalanced-learn", "xgboost", "xgboost-cpu", "keras", "librosa")


def fold_scores(
    data: ReasonClips,
    name: str,
    protocol: Protocol,
    *,
    options: Mapping[str, Any] | None = None,
    repeats: int = 3,
    folds: int = 5,
    seed: int = 0,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> FoldScores:
    """Score every row by the named model fitted without its fold
    (:func:`pipeline.training.protocols.out_of_fold`). Each fold's scores are kept, its history beside them.

    Args:
        options: of the model; part of the key under which scores are kept.

    Raises:
        SettingsError: no such model or option.
        DataError: data that cannot be split or learned from.
    """
    place = cache or default_cache()
    labels = np.repeat(data.encoded, data.copies)
    made = registry.create(name, data.classes, **(options or {}))

    def fit_score(fold: Fold) -> np.ndarray:
        model = registry.create(name, data.classes, **(options or {}))
        with _work_folder(fold.place) as work:
            model.fit(
                data.examples(fold.train),
                labels[fold.train],
                fold.units.astype(str),
                seed=fold.seed,
                work=work,
                cache=place,
                progress=progress,
            )
        if fold.place is not None and model.history:
            _history_of(fold.place).parent.mkdir(parents=True, exist_ok=True)
            _history_of(fold.place).write_text(json.dumps(model.history), encoding="utf-8")
        return model.scores(data.examples(fold.test), cache=place)

    return out_of_fold(
        data,
        protocol,
        fit_score,
        key=f"zoo {_key(made)} {data.fingerprint()}",
        repeats=repeats,
        folds=folds,
        seed=seed,
        cache_dir=place,
        progress=progress,
    )


def history_of(scores: FoldScores) -> list[dict[str, Any]]:
    """What happened in the first fold's fit (training curves); empty when nothing did."""
    if scores.first is None or not _history_of(scores.first).is_file():
        return []
    return list(json.loads(_history_of(scores.first).read_text("utf-8")))


def train(
    name: str,
    data: Path,
    out: Path,
    *,
    classes: Sequence[str] | None = None,
    unverified_tags: bool = False,
    per_class: int | None = None,
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Model:
    """Fit a model on every recording and save it; an interrupted fit goes on where it stopped.

    Args:
        name: of the model.
        data: a data folder (with a manifest, or one folder per class; ``cry`` and ``not_cry`` for detection).
        out: model folder to write; an older model there is replaced.
        classes, unverified_tags, per_class: see :func:`pipeline.training.reason_set.choose_clips`; for
            detection only ``per_class`` means anything.
        options: of the model.

    Returns:
        The fitted model.

    Raises:
        SettingsError: no such model or option.
        DataError: too little to learn from.
        AudioError: a recording cannot be read.
        ArtifactError: ``out`` cannot be written.
    """
    place = cache or default_cache()
    if registry.task_of(name) == "detection":
        clips = detection_clips(data, per_class=per_class)
        known: tuple[str, ...] = DETECTION_CLASSES
        chosen = of_clips(clips, data, augmented=False)
    else:
        chosen = read(data, classes=classes, unverified_tags=unverified_tags, per_class=per_class)
        known = chosen.classes
    number = {label: i for i, label in enumerate(known)}
    model = registry.create(name, known, **(options or {}))
    key = hashlib.sha256(f"{_key(model)} {chosen.fingerprint()} {seed}".encode()).hexdigest()
    with _work_folder(place / "zoo" / key) as work:
        model.fit(
            chosen.examples(),
            np.asarray([number[label] for label in np.repeat(chosen.labels, chosen.copies)]),
            np.repeat(chosen.groups, chosen.copies),
            seed=seed,
            work=work,
            cache=place,
            progress=progress,
        )
    model.save(Path(out))
    return model


def detection_clips(root: Path, *, per_class: int | None = None) -> list[Clip]:
    """Clips labelled ``cry`` or ``not_cry``: by kind, or for unverified uploads by ear, where somebody has
    listened (``checked_uploads.csv``).

    Raises:
        DataError: no cries, or nothing else.
    """
    from pipeline.training.checked import checked_uploads

    checked = checked_uploads()
    taken: Counter[str] = Counter()
    clips = []
    for clip in read_manifest(root):
        kind = checked.get(clip.path.name, "") if clip.kind == "unverified" else clip.kind
        if kind in DETECTION_CLASSES and (per_class is None or taken[kind] < per_class):
            taken[kind] += 1
            clips.append(replace(clip, kind=kind, label=kind))
    if len(taken) < 2:
        raise DataError(
            f"Detection needs cries and other sounds; {root} holds {taken['cry']} and {taken['not_cry']}. "
            "Put recordings into cry/ and not_cry/, or add a manifest.csv with a kind column."
        )
    return clips


def _key(model: Model) -> str:
    """All that decides a fit but the data and the seed."""
    versions = []
    for library in _LIBRARIES:
        try:
            versions.append(f"{library} {metadata.version(library)}")
        except metadata.PackageNotFoundError:
            continue
    return f"{model.name} {model.recipe} {json.dumps(model.options, sort_keys=True)} {' '.join(versions)}"


def _history_of(place: Path) -> Path:
    return place.with_suffix(".history.json")


@contextmanager
def _work_folder(place: Path | None) -> Iterator[Path]:
    """A folder for checkpoints: beside what will be kept, so that an interrupted fit finds them again, and
    gone once the fit is done; a passing one when nothing is kept."""
    if place is None:
        with tempfile.TemporaryDirectory() as passing:
            yield Path(passing)
        return
    work = place.with_suffix(".work")
    work.mkdir(parents=True, exist_ok=True)
    yield work
    shutil.rmtree(work, ignore_errors=True)

"""Detection models of the zoo on sources they never heard: clean, changed and mixed sound, clip by clip.

Sources are left out in the folds our own detector is judged by (``detector_recipe.folds``), and the test
conditions are the ones its banks hold, heard as sound: "clean" is every verified recording, "changed" the
bank's first changed pass (codecs, band limits, rooms, levels, other sounds mixed in), then over unseen
backgrounds and over white noise at 0, 5 and 10 dB, and with bands swapped. A clip's score is the best window
of the model's timeline. A fold's model learned from nothing of its sources, nor from the test backgrounds.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from pipeline._cache import default_cache
from pipeline.errors import SettingsError
from pipeline.evaluation.curves import detection_curves
from pipeline.evaluation.intervals import bootstrap_by_group
from pipeline.evaluation.metrics import detection_figures, folds_with_both
from pipeline.evaluation.played_bank import Played, PlayedBank, PlayedMixedBank
from pipeline.training import checked
from pipeline.training import detector_recipe as recipe
from pipeline.training.bank import Entry, entries_of
from pipeline.training.data import Clip, read_manifest
from pipeline.training.reason_features import write_array
from pipeline.zoo import registry
from pipeline.zoo.base import DETECTION_CLASSES, DetectionModel, Example, Progress

FIGURES = ("auc", "ap", "recall_at_0.01", "recall_at_0.001")
AT_THRESHOLD = ("recall_at_threshold", "false_positives_at_threshold")


@dataclass(frozen=True, eq=False)
class LeftOut:
    """A model that heard nothing of some sources.

    Attributes:
        fold: as in :func:`pipeline.training.detector_recipe.folds`.
        sources: the sources of that fold, as the manifest names them.
        model: fitted on all other verified recordings.
    """

    fold: int
    sources: tuple[str, ...]
    model: DetectionModel


@dataclass(frozen=True, eq=False)
class SuiteScores:
    """Clip scores of one suite, each from a model that never heard the clip's sources.

    Attributes:
        is_cry: (n,) truth; scores: (n,) in [0, 1]; fold, source, group: (n,) of each clip.
    """

    is_cry: NDArray[np.bool_]
    scores: NDArray[np.float64]
    fold: NDArray[np.int64]
    source: NDArray[np.str_]
    group: NDArray[np.str_]


def verified(clips: Sequence[Clip]) -> list[Entry]:
    """The bank's entries of some clips, with the kinds and groups that were found to be theirs."""
    return checked.verified(entries_of(clips))


def left_out_models(
    name: str,
    clips: Sequence[Clip],
    *,
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> list[LeftOut]:
    """One model of the zoo for each fold of sources; what was trained is kept and read from there afterwards.

    Raises:
        SettingsError: no such model or option, or not a detection model.
        DataError: too few sources or groups for folds, or too little to learn from.
        AudioError: a recording cannot be read.
    """
    if registry.task_of(name) != "detection":
        raise SettingsError(
            f"'{name}' tells reasons apart; models that hear whether there is a cry are "
            f"{', '.join(registry.names('detection'))}."
        )
    cache = cache or default_cache()
    entries = verified(clips)
    fold_of = recipe.folds(entries)
    unseen = recipe.unseen(entries)
    known = np.array([e.path is not None and e.kind in DETECTION_CLASSES for e in entries], dtype=bool)
    found = []
    for fold in range(int(fold_of.max()) + 1):
        teaches = np.flatnonzero(known & ~unseen & (fold_of != fold))
        model = _fitted(name, clips, entries, teaches, dict(options or {}), seed, cache, progress)
        sources = sorted({e.source for e, f in zip(entries, fold_of, strict=True) if f == fold})
        found.append(LeftOut(fold, tuple(sources), model))
    return found


def _fitted(
    name: str,
    clips: Sequence[Clip],
    entries: Sequence[Entry],
    teaches: NDArray[np.int64],
    options: dict[str, Any],
    seed: int,
    cache: Path,
    progress: Progress | None,
) -> DetectionModel:
    """A model taught by some entries, which are clips of the same number; kept when it learned anything."""
    model = cast(DetectionModel, registry.create(name, DETECTION_CLASSES, **options))
    taught = [[Path(str(e.path)).name, e.kind, e.source, e.group] for e in (entries[i] for i in teaches)]
    versions = [f"{package} {metadata.version(package)}" for package in ("keras", "numpy")]
    parts = [name, model.recipe, model.options, seed, versions, taught]
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
    folder = cache / "zoo-detection" / f"{name}-{key}"
    if (folder / "manifest.json").is_file():
        return cast(DetectionModel, registry.load(name, folder))
    y = np.array([int(entries[i].kind == "cry") for i in teaches], np.int64)
    groups = np.array([entries[i].group for i in teaches], str)
    examples = [Example(clips[i]) for i in teaches]
    work = folder.with_suffix(".work")
    model.fit(examples, y, groups, seed=seed, work=work, cache=cache, progress=progress)
    if model.history:
        model.save(folder)
    shutil.rmtree(work, ignore_errors=True)
    return model


def suite_scores(
    models: Sequence[LeftOut],
    clips: Sequence[Clip],
    *,
    seed: int = 0,
    keep: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, SuiteScores]:
    """Scores of every suite, each clip judged by its fold's model.

    Args:
        keep: folder where finished suites are kept, so that an interrupted run goes on.

    Raises:
        AudioError: a recording cannot be read.
    """
    entries = verified(clips)
    fold_of = recipe.folds(entries)
    judged = np.array([e.kind in DETECTION_CLASSES for e in entries], dtype=bool) & (fold_of >= 0)
    nowhere = Path("unused")  # these banks only plan and play; nothing is built
    plain = PlayedBank(clips, cache_dir=nowhere, passes=2, seed=seed)
    suites: list[tuple[str, Played, int]] = [("clean", plain, 0), ("changed", plain, 1)]
    if recipe.unseen(entries).any():
        mixed = PlayedMixedBank(clips, cache_dir=nowhere, backgrounds=recipe.UNSEEN_BACKGROUNDS, seed=seed)
        suites += [(mixed.suite(k), mixed, k) for k in range(len(mixed.CONDITIONS))]
    found = {}
    for number, (suite, bank, k) in enumerate(suites):
        place = keep / f"{number} {suite}.npy".replace(" ", "-") if keep is not None else None
        if place is not None and place.is_file():
            rows = np.load(place)
        else:
            rows = _play_and_score(models, bank, k, judged, fold_of, suite, progress)
            if place is not None:
                write_array(place, rows)
        heard = [entries[int(i)] for i in rows[:, 0]]
        found[suite] = SuiteScores(
            np.array([e.kind == "cry" for e in heard], dtype=bool),
            rows[:, 1],
            fold_of[rows[:, 0].astype(np.int64)],
            np.array([recipe.origin(e.source) for e in heard], dtype=str),
            np.array([e.group for e in heard], dtype=str),
        )
    return found


def _play_and_score(
    models: Sequence[LeftOut],
    bank: Played,
    k: int,
    judged: NDArray[np.bool_],
    fold_of: NDArray[np.int64],
    suite: str,
    progress: Progress | None,
) -> NDArray[np.float64]:
    """(n, 2): entry and score of what is heard, in the bank's order."""
    of_fold = {m.fold: m.model for m in models}
    rows = []
    for done, (i, samples) in enumerate(bank.play(k, judged), 1):
        rows.append((float(i), float(of_fold[int(fold_of[i])].timeline(samples).scores.max())))
        if progress and done % 20 == 0:
            progress(f"suite '{suite}'", done, int(judged.sum()))
    return np.array(rows, np.float64).reshape(-1, 2)


def figures(scores: SuiteScores, threshold: float | None, *, draws: int, seed: int) -> dict[str, Any]:
    """Means over folds with 95 % intervals over groups drawn together, and each fold by itself.

    A fold with cries alone, or with none, has no such figures and is left out of the means.

    Args:
        threshold: the model's own; None leaves out what it does.

    Raises:
        DataError: no fold holds both.
    """
    held = folds_with_both(scores.fold, scores.is_cry)

    def of_rows(rows: NDArray[np.int64]) -> dict[str, float]:
        truth, values = scores.is_cry[rows], scores.scores[rows]
        found = detection_figures(truth, values)
        if threshold is not None and truth.any() and not truth.all():
            fired = values >= threshold
            found |= dict(
                zip(AT_THRESHOLD, (float(fired[truth].mean()), float(fired[~truth].mean())), strict=True)
            )
        elif threshold is not None:
            found |= dict.fromkeys(AT_THRESHOLD, float("nan"))
        return found

    def statistic(rows: NDArray[np.int64]) -> dict[str, float]:
        each = [of_rows(rows[scores.fold[rows] == fold]) for fold in held]
        return {name: float(np.mean([row[name] for row in each])) for name in each[0]}

    intervals = bootstrap_by_group(scores.group, statistic, draws=draws, seed=seed)
    by_fold = []
    for fold in held:
        rows = np.flatnonzero(scores.fold == fold)
        by_fold.append(
            {
                "fold": int(fold),
                "sources": sorted(set(scores.source[rows].tolist())),
                "clips": len(rows),
                "cries": int(scores.is_cry[rows].sum()),
                **of_rows(rows),
            }
        )
    return {
        "clips": len(scores.scores),
        "cries": int(scores.is_cry.sum()),
        "ours": {name: interval.to_dict() for name, interval in intervals.items()},
        "by_fold": by_fold,
    }


def evaluate_model(
    name: str,
    data: Path,
    *,
    options: Mapping[str, Any] | None = None,
    draws: int = 500,
    seed: int = 0,
    cache: Path | None = None,
    out: Path | None = None,
    command: str = "",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Evaluate a detection model of the zoo with sources left out.

    Args:
        name: of the model.
        data: a data folder with cries and other sounds.
        options: of the model.
        draws: bootstrap draws for the intervals.
        cache: where front ends, fold models and scores are kept; ``~/.cache/crylens`` when None. Resumable.
        out: JSON file to write the report to.
        command: what makes the same report again, written into it.

    Returns:
        JSON-able report: ``kind``, ``model``, ``command``, ``data``, ``options``, ``suites`` (by name:
        ``clips``, ``cries``, ``ours``: the model's figures with intervals, ``by_fold``), ``mixed_average``
        where there are mixed suites, ``curves`` (by suite, :func:`pipeline.evaluation.curves`), and for
        models that learn ``folds`` (facts of each fit) and ``training_curves`` (of the first).

    Raises:
        SettingsError: no such model or option, or a model for another task.
        DataError: data that cannot be split or learned from.
        AudioError: a recording cannot be read.
    """
    cache = cache or default_cache()
    clips = read_manifest(data)
    models = left_out_models(name, clips, options=options, seed=seed, cache=cache, progress=progress)
    keep = cache / "zoo-detection" / f"scores-{_scores_key(models, clips, seed)}"
    scores = suite_scores(models, clips, seed=seed, keep=keep, progress=progress)
    threshold = getattr(models[0].model, "threshold", None)
    suites = {suite: figures(s, threshold, draws=draws, seed=seed) for suite, s in scores.items()}
    entries = verified(clips)
    report: dict[str, Any] = {
        "kind": "detection",
        "model": name,
        "command": command,
        "data": {
            "clips": dict(sorted(Counter(f"{e.source}: {e.kind}" for e in entries if e.path).items())),
            "folds": [list(m.sources) for m in models],
        },
        "options": {"model": models[0].model.options, "draws": draws, "seed": seed, "threshold": threshold},
        "suites": suites,
    }
    mixed = [suite for suite in suites if "dB" in suite]
    if mixed:
        values = {f: [suites[s]["ours"][f]["value"] for s in mixed] for f in suites[mixed[0]]["ours"]}
        report["mixed_average"] = {"ours": {figure: float(np.mean(v)) for figure, v in values.items()}}
    report["curves"] = {s: detection_curves(v.is_cry, v.fold, {"ours": v.scores}) for s, v in scores.items()}
    if models[0].model.history:
        report["folds"] = [dict(getattr(m.model, "facts", {})) for m in models]
        report["training_curves"] = models[0].model.history
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return report


def result_file(name: str) -> Path:
    """Where a model's result is kept by default: ``benchmarks/results/detection-<model>.json``."""
    return Path("benchmarks/results") / f"detection-{name}.json"


def _scores_key(models: Sequence[LeftOut], clips: Sequence[Clip], seed: int) -> str:
    """What decides the scores: the networks themselves where there are any, the clips, the seed."""
    digest = hashlib.sha256()
    for left_out in models:
        model = left_out.model
        onnx = getattr(model, "onnx", None)
        digest.update(onnx() if onnx is not None else b"")
        digest.update(json.dumps([model.name, model.recipe, model.options, list(left_out.sources)]).encode())
    names = [[c.path.name, c.kind, c.source, c.group] for c in clips]
    digest.update(json.dumps([seed, names]).encode())
    return digest.hexdigest()[:16]


def to_markdown(report: Mapping[str, Any]) -> str:
    """The report as a Markdown table, one row a suite."""
    lines = [
        "| suite | clips (cries) | AUC | AP | recall at 1 % | recall at 0.1 % | recall / false positives at "
        f"threshold {report['options']['threshold']} |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, suite in report["suites"].items():
        cells = [_cell(suite["ours"][figure]) for figure in FIGURES]
        fired = [suite["ours"].get(figure) for figure in AT_THRESHOLD]
        own = " / ".join(f"{100 * f['value']:.1f} %" for f in fired if f) or "–"
        lines.append(f"| {name} | {suite['clips']} ({suite['cries']}) | {' | '.join(cells)} | {own} |")
    if "mixed_average" in report:
        cells = [f"{report['mixed_average']['ours'][figure]:.3f}" for figure in FIGURES]
        lines.append(f"| mean of the mixed suites | | {' | '.join(cells)} | |")
    folds = "; ".join(", ".join(sources) for sources in report["data"]["folds"])
    lines += ["", f"Means over folds of sources left out ({folds}), 95 % intervals by group."]
    for fold, facts in enumerate(report.get("folds", ())):
        test = facts.get("test")
        if test:
            lines.append(
                f"Fold {fold}: AUC {test.get('auc', float('nan')):.3f} on the in-domain test, "
                f"{test['clips']} clips of the sources it learned from."
            )
    return "\n".join(lines) + "\n"


def _cell(interval: Mapping[str, float]) -> str:
    return f"{interval['value']:.3f} [{interval['low']:.3f}, {interval['high']:.3f}]"

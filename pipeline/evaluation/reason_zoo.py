"""Any model of the zoo that tells reasons apart, under the same protocols and figures as our own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import SettingsError
from pipeline.evaluation.reasons import report_on, require_protocols, write_json
from pipeline.training.protocols import FoldScores, Protocol
from pipeline.training.reason_features import Progress
from pipeline.zoo import registry
from pipeline.zoo.reason_clips import ReasonClips, read
from pipeline.zoo.training import fold_scores, history_of

RESULTS = Path("benchmarks/results")


def evaluate_model(
    name: str,
    data: Path | ReasonClips,
    *,
    protocols: Sequence[Protocol] = ("donor",),
    classes: Sequence[str] | None = None,
    unverified_tags: bool = False,
    per_class: int | None = None,
    options: Mapping[str, Any] | None = None,
    repeats: int = 3,
    folds: int = 5,
    draws: int = 1000,
    seed: int = 0,
    cache: Path | None = None,
    out: Path | None = None,
    command: str = "",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Evaluate a model of the zoo on reasons.

    Args:
        name: of the model.
        data: a data folder, or data already read.
        protocols: ``row``, ``clip`` and/or ``donor``.
        classes, unverified_tags, per_class: see :func:`pipeline.training.reason_set.choose_clips`; ignored
            for data already read.
        options: of the model.
        repeats, folds, draws, seed: as for :func:`pipeline.evaluation.reasons.evaluate`.
        cache: where features and fold scores are kept; ``~/.cache/crylens`` when None. Resumable.
        out: JSON file to write the report to.
        command: what makes the same report again, written into it.

    Returns:
        JSON-able report: ``kind``, ``model``, ``command``, ``classes``, ``data``, ``options``, ``floors``,
        ``protocols`` (by name, each with ``curves`` when the model has any) and, when ``donor`` is among
        them, ``calibration``.

    Raises:
        SettingsError: no such model, one for another task, or no such option or protocol.
        DataError: data that cannot be split or learned from.
    """
    require_protocols(protocols)
    if registry.task_of(name) != "reasons":
        raise SettingsError(
            f"'{name}' hears whether there is a cry, not why; models of reasons are "
            f"{', '.join(registry.names('reasons'))}."
        )
    if not isinstance(data, ReasonClips):
        data = read(data, classes=classes, unverified_tags=unverified_tags, per_class=per_class)
    read_data, curves = data, {}

    def scored(protocol: Protocol, times: int) -> FoldScores:
        scores = fold_scores(
            read_data,
            name,
            protocol,
            options=options,
            repeats=times,
            folds=folds,
            seed=seed,
            cache=cache,
            progress=progress,
        )
        curves[protocol] = history_of(scores)
        return scores

    report = report_on(
        data, scored, protocols=protocols, repeats=repeats, folds=folds, draws=draws, seed=seed
    )
    for protocol, curve in curves.items():
        if curve:
            report["protocols"][protocol]["curves"] = curve
    report["options"]["unverified_tags"] = unverified_tags
    report["options"]["model"] = registry.create(name, data.classes, **(options or {})).options
    report = {
        "kind": "reasons",
        "model": name,
        "command": command,
        "classes": list(data.classes),
        **report,
    }
    if out is not None:
        write_json(report, out)
    return report


def result_file(name: str, *, variant: str = "") -> Path:
    """Where a model's result is kept by default: ``benchmarks/results/reasons-<model>[-<variant>].json``."""
    return RESULTS / f"reasons-{name}{f'-{variant}' if variant else ''}.json"

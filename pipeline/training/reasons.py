"""Train the reasons model: evaluate the recipe, calibrate on donors kept apart, fit on everything, write it down."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import acoustics, artifacts
from pipeline.evaluation.reasons import evaluate, to_markdown
from pipeline.reasons import CALIBRATION_FILE, KIND, MODEL_FILE, Calibration, trust_statement
from pipeline.training.reason_calibration import fit_calibration
from pipeline.training.reason_features import AUGMENTED, Progress, ReasonData, default_cache, load_data
from pipeline.training.reason_recipe import fit, out_of_fold


def train(
    data: Path | ReasonData,
    out: Path,
    *,
    schema: str = "acoustic108",
    repeats: int = 3,
    folds: int = 5,
    draws: int = 1000,
    coverage: float = 0.9,
    seed: int = 0,
    per_class: int | None = None,
    cache_dir: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train on every recording with a reason and save the model folder, with its card, to ``out``.

    Both protocols are evaluated on the way, because calibration and the statement a parent reads come from the
    scores on donors kept apart. The same data, options and library versions give the same model.

    Args:
        data: a data folder (with a manifest, or one folder per reason), or data already read.
        out: model folder to write; an older model there is replaced.
        schema: feature schema, ``acoustic108`` or ``acoustic111``; ignored for data already read.
        repeats, folds, draws, seed, per_class, cache_dir, progress: as for ``evaluate``.
        coverage: what the prediction sets are made for, in (0, 1).

    Returns:
        The evaluation report, as :func:`pipeline.evaluation.reasons.evaluate` gives it.

    Raises:
        DataError: too few reasons, recordings or donors.
        AudioError: a recording cannot be read.
        ArtifactError: ``out`` cannot be written.
    """
    cache = cache_dir or default_cache()
    if not isinstance(data, ReasonData):
        data = load_data(data, schema=schema, per_class=per_class, cache_dir=cache, progress=progress)
    report = evaluate(
        data, repeats=repeats, folds=folds, draws=draws, seed=seed, cache_dir=cache, progress=progress
    )
    apart = out_of_fold(data, "donor", repeats=repeats, folds=folds, seed=seed, cache_dir=cache)
    calibration = fit_calibration(apart.scores, data.encoded, data.groups, coverage=coverage, seed=seed)
    if progress:
        progress("final fit", 0, 1)
    estimator = fit_final(data, seed)
    if progress:
        progress("final fit", 1, 1)
    figures = _figures(report)
    artifacts.save(
        Path(out),
        files={
            MODEL_FILE: _pickled(estimator),
            CALIBRATION_FILE: _calibration_json(calibration, report["floors"]["base_rate"], figures),
        },
        kind=KIND,
        schema={
            "name": data.schema,
            "features": list(acoustics.feature_names(data.schema)),
            "classes": list(data.classes),
            "sample_rate": acoustics.SAMPLE_RATE,
        },
        training={**report["data"], **report["options"], "coverage": coverage, "augmentation": list(AUGMENTED)},
        metrics={key: report[key] for key in ("floors", "protocols", "calibration")},
        card=model_card(report, calibration, figures),
    )
    return report


def fit_final(data: ReasonData, seed: int = 0) -> Any:
    """Fit the recipe on all recordings and copies; what is needed to score, without the rows SMOTE kept.

    Returns:
        A scikit-learn pipeline of scaler, selection and vote; ``classes_`` are indices into ``data.classes``.
    """
    from sklearn.pipeline import Pipeline

    x, y, _ = data.rows(np.arange(len(data)), augmented=True)
    return Pipeline(fit(x, y, seed).steps[1:])


def _pickled(estimator: Any) -> bytes:
    """The estimator as compressed joblib bytes."""
    import joblib

    buffer = io.BytesIO()
    joblib.dump(estimator, buffer, compress=("zlib", 9))
    return buffer.getvalue()


def _calibration_json(calibration: Calibration, base_rate: Mapping[str, float], figures: Mapping[str, Any]) -> bytes:
    """Everything beside the estimator that an answer is made of."""
    content = {"calibration": asdict(calibration), "base_rate": dict(base_rate), "figures": dict(figures)}
    return (json.dumps(content, indent=2, allow_nan=False) + "\n").encode()


def _figures(report: Mapping[str, Any]) -> dict[str, Any]:
    """The measured figures that the statement for parents is made of."""
    donor = report["protocols"]["donor"]["figures"]
    floor = report["floors"]
    return {
        "clips": report["data"]["clips"],
        "donors": report["data"]["donors"],
        "majority": floor["majority"],
        "majority_share": floor["accuracy"],
        "accuracy": donor["accuracy"]["value"],
        "balanced_accuracy": donor["balanced_accuracy"]["value"],
        "chance": 1 / len(report["data"]["reasons"]),
        "lift": report["calibration"]["lift"],
    }


def model_card(report: Mapping[str, Any], calibration: Calibration, figures: Mapping[str, Any]) -> str:
    """The model card, Markdown, from measured figures only."""
    return "\n".join(
        [
            "# Reasons: what a cry's sound says about its cause",
            "",
            f"> {trust_statement(figures)}",
            "",
            _card_intro(report),
            "## Both protocols, side by side",
            "",
            to_markdown(report),
            "The first column is how such figures are usually published: copies of one recording, and recordings "
            "of one baby, sit on both sides of the split, so it measures memory. The second is what a family whose "
            "baby the model never heard can expect.",
            "",
            "## Calibrated chances and prediction sets",
            "",
            _card_calibration(report["calibration"], calibration),
            _card_data(report),
            _CARD_END,
        ]
    )


def _card_intro(report: Mapping[str, Any]) -> str:
    """What the model is and how to make it again."""
    schema, options = report["options"]["schema"], report["options"]
    return f"""Input: a few seconds of sound, mono at 16 kHz, as {len(acoustics.feature_names(schema))} named features
(`{schema}`). Output: ensemble scores, calibrated chances, base rate and prediction set for
{", ".join(report["data"]["reasons"])}.

Recipe, fitted whole in every fold: SMOTE, standard scaling, feature selection by random forest, soft vote of
random forest, calibrated SVM, k-nearest neighbours and XGBoost. Training folds are augmented (pitch two semitones
up and down, stretch 0.9 and 1.1); under `donor`, test folds hold recordings as they are.

```
python -m pipeline train reasons --data ../shared/data        # this folder, seed {options["seed"]}
python -m pipeline evaluate reasons --data ../shared/data --protocol donor
python -m pipeline evaluate reasons --data ../shared/data --protocol row
```
"""


def _card_calibration(measured: Mapping[str, Any], calibration: Calibration) -> str:
    """What calibration and sets are worth on donors they were not fitted on."""

    def cell(name: str) -> str:
        interval = measured[name]
        return f"{interval['value']:.3f} [{interval['low']:.3f}, {interval['high']:.3f}]"

    heeded = (
        "the sound is not heeded at all: every answer is the base rate"
        if calibration.slope == 0
        else f"log scores are heeded at {calibration.slope:.3f} of their size"
    )
    verdict = "better than the base rate" if measured["lift"] else "no better than the base rate, as far as can be told"
    return f"""Softmax of offset + slope × centred log score, fitted on out-of-fold scores of recordings as they are, donors
kept apart, pulled towards the base rate with a strength chosen by held-out log loss; here {heeded}.
Base rate and chances count recordings, not babies. Measured on donors that neither the models nor the calibration
were fitted on (the calibration's own folds; models that scored its training donors had heard the others):

| | value, 95 % interval by donor |
|---|---|
| log loss of calibrated chances, nats | {cell("log_loss")} |
| log loss of the base rate, nats | {cell("log_loss_base_rate")} |
| gain | {cell("gain")} ({verdict}) |
| prediction set: recordings whose true reason it held (wanted: {measured["coverage_wanted"]:.0%}) | \
{cell("coverage_by_recording")} |
| the same, every donor weighing the same | {cell("coverage_by_donor")} |
| mean size of the set | {cell("set_size")} |
"""


def _card_data(report: Mapping[str, Any]) -> str:
    """Table of the training data, with sources and licences."""
    data = report["data"]
    rows = "\n".join(f"| {name} | {row['clips']} | {row['donors']} |" for name, row in data["reasons"].items())
    sources = "\n".join(f"- {source}: {licence}" for source, licence in data["sources"])
    return f"""## Data

{data["clips"]} recordings from {data["donors"]} donors. The reason is what the person who recorded it believed.

| reason | recordings | donors |
|---|---|---|
{rows}

Sources and licences of the audio (none of which is in this folder):

{sources}
"""


_CARD_END = """## Limits

- A reason is a parent's guess at the time; nobody knows the true one.
- Most donors gave one or two recordings by phone, many within a minute, so a donor stands for a baby, a room and a
  microphone at once.
- The model answers for any sound, cry or not. Ask it only about a cry, and read its answer beside the base rate.
- Nothing here is medical advice or a diagnosis. A cry that worries you is a reason to see to the baby, whatever a
  program says.
"""

"""Answers put together from the halves of an analysis: what each endpoint's JSON says. Plain Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

NOT_SURE = "not sure"


@dataclass(frozen=True)
class Hearing:
    """The first half of an analysis.

    Attributes:
        record: ``Analysis.to_dict()`` without reasons.
        windows: (centre in seconds, score) of each window.
        described: ``schema`` and ``features`` of the stretch that reasons are judged by; None when not asked
            for.
        reason_names: every reason the model knows, in its order.
    """

    record: dict[str, Any]
    windows: list[tuple[float, float]]
    described: dict[str, Any] | None
    reason_names: list[str]


def analysis(hearing: Hearing, reasons: dict[str, Any] | None, *, windows: bool = False) -> dict[str, Any]:
    """``Analysis.to_dict()``, what the command line prints, and each window's score when asked for."""
    record = {**hearing.record, "reasons": reasons}
    if windows:
        record["windows"] = [{"time_s": round(t, 3), "score": score} for t, score in hearing.windows]
    return record


def prediction(reasons: dict[str, Any], top_k: int) -> dict[str, Any]:
    """Label, number of the class and the likeliest reasons, then all that is known.

    Args:
        reasons: ``ReasonResult.to_dict()``.
        top_k: how many of the likeliest to list.
    """
    return {**_verdict(reasons, top_k), **{k: v for k, v in reasons.items() if k != "label"}}


def classification(
    hearing: Hearing, reasons: dict[str, Any] | None, *, top_k: int, names: Sequence[str] | None
) -> dict[str, Any]:
    """Both stages in one flat answer.

    Args:
        names: of the features, to list them; None leaves them out.
    """
    record = hearing.record
    kept = ("path", "duration_s")
    detection = {key: record[key] for key in ("is_cry", "cry_probability", "threshold", "embedder")}
    found: dict[str, Any] = {key: record[key] for key in kept} | {"detection": detection}
    found |= {"episodes": record["episodes"]}
    found |= _verdict(reasons, top_k) if reasons else _NO_VERDICT
    found |= {"statement": reasons["statement"] if reasons else None}
    found |= {"warnings": record["warnings"], "notices": record["notices"]}
    if names is not None and hearing.described is not None:
        found["features"] = {**hearing.described, "names": list(names)}
    return found


_NO_VERDICT: dict[str, Any] = {"label": None, "class_id": None, "probability": None, "top_k": []}


def _verdict(reasons: dict[str, Any], top_k: int) -> dict[str, Any]:
    """The label is "not sure", without a class or probability, where the model does not commit itself."""
    probabilities: dict[str, float] = reasons["probabilities"]
    numbers = {name: number for number, name in enumerate(probabilities)}
    likeliest = sorted(probabilities, key=lambda name: -probabilities[name])[:top_k]
    label = reasons["label"]
    return {
        "label": label or NOT_SURE,
        "class_id": numbers[label] if label else None,
        "probability": probabilities[label] if label else None,
        "top_k": [
            {"label": name, "class_id": numbers[name], "probability": probabilities[name]}
            for name in likeliest
        ],
    }


def reasons_of(prediction: dict[str, Any]) -> dict[str, Any]:
    """``ReasonResult.to_dict()`` back from :func:`prediction`."""
    left_out = ("class_id", "probability", "top_k")
    reasons = {key: value for key, value in prediction.items() if key not in left_out}
    return {**reasons, "label": prediction["label"] if prediction["class_id"] is not None else None}

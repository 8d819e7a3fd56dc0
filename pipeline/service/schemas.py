"""What goes over the wire, for validation and OpenAPI."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from pipeline.service.features import DEFAULT

# Beyond what any sound gives, and within what single-precision trees and machines can scale.
_LARGEST_FEATURE = 1e9
Feature = Annotated[float, Field(ge=-_LARGEST_FEATURE, le=_LARGEST_FEATURE, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]


class FeaturesIn(BaseModel):
    """Features to judge. The answer of ``/preprocess`` can be sent as it is."""

    model_config = ConfigDict(populate_by_name=True)

    features: list[Feature] = Field(min_length=1, max_length=1024, description="In the schema's order.")
    schema_name: str = Field(DEFAULT, alias="schema", max_length=64, description="Which features they are.")
    reason_threshold: Share | None = Field(
        None, description="Below this best score the label is 'not sure'; 0.6 if not given."
    )


class Ranked(BaseModel):
    """A reason with its calibrated chance."""

    label: str
    class_id: int
    probability: Share


class Prediction(BaseModel):
    """How far the sound says why."""

    label: str = Field(description="The reason, or 'not sure'.")
    class_id: int | None = Field(description="Number of the reason; null when not sure.")
    probability: float | None = Field(description="Calibrated chance of the label; null when not sure.")
    top_k: list[Ranked] = Field(description="The likeliest reasons.")
    threshold: float = Field(description="What the label was decided with, on scores.")
    scores: dict[str, float] = Field(description="The model's raw votes; not calibrated.")
    probabilities: dict[str, float] = Field(description="Calibrated chance of each reason.")
    base_rate: dict[str, float] = Field(description="How common each reason is, whatever the sound.")
    prediction_set: list[str] = Field(description="Reasons that together hold the true one, likeliest first.")
    coverage: float = Field(description="How often that set holds it.")
    statement: str = Field(description="How far this can be trusted, in a sentence.")


class EpisodeOut(BaseModel):
    """A stretch of crying; times in seconds from the start of the recording."""

    start_s: float
    end_s: float
    peak: Share
    mean: Share


class Detection(BaseModel):
    """Whether a baby cries."""

    is_cry: bool
    cry_probability: Share
    threshold: Share
    embedder: str


class FeaturesOut(BaseModel):
    """Features with their names."""

    schema_name: str = Field(alias="schema")
    features: list[float]
    names: list[str]


class Preprocessed(FeaturesOut):
    """Features of a recording."""

    sample_rate: int = Field(description="Hz, of the sound they were computed from.")
    duration_s: float
    warnings: list[str]


class Classified(BaseModel):
    """Both stages in one flat answer."""

    path: str = Field(description="Name of the upload.")
    duration_s: float
    detection: Detection
    episodes: list[EpisodeOut]
    label: str | None = Field(description="The reason, 'not sure', or null when there is no cry.")
    class_id: int | None
    probability: float | None
    top_k: list[Ranked]
    statement: str | None
    warnings: list[str]
    notices: list[str]
    features: FeaturesOut | None = Field(None, description="Present when asked for.")


class Reasons(BaseModel):
    """As in ``Prediction``; the label is null when not sure."""

    label: str | None
    threshold: float
    scores: dict[str, float]
    probabilities: dict[str, float]
    base_rate: dict[str, float]
    prediction_set: list[str]
    coverage: float
    statement: str


class WindowOut(BaseModel):
    """Score of one window, at its centre."""

    time_s: float
    score: Share


class AnalysisOut(BaseModel):
    """What ``python -m pipeline analyze --format json`` says of the same recording."""

    path: str
    duration_s: float
    is_cry: bool
    cry_probability: Share
    threshold: Share
    embedder: str
    episodes: list[EpisodeOut]
    reasons: Reasons | None
    warnings: list[str]
    notices: list[str]
    error: None = None
    windows: list[WindowOut] | None = Field(None, description="Present when asked for.")


class Health(BaseModel):
    """The process answers."""

    status: str
    version: str


class Ready(BaseModel):
    """Models are loaded; which ones depends on the role."""

    model_config = ConfigDict(extra="allow")

    status: str
    role: str
    version: str


class ProblemOut(BaseModel):
    """A problem document (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    code: str = Field(description="Stable, for programs: family/cause.")
    request_id: str | None = None


class HearingOut(BaseModel):
    """Between roles: the first half of an analysis."""

    record: dict[str, Any]
    windows: list[tuple[float, float]]
    described: dict[str, Any] | None
    reason_names: list[str]

"""The endpoints. Thin: what they say is made in ``answers.py``, by what ``engine.py`` finds out."""

from __future__ import annotations

import asyncio
import shutil
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, File, Query, Request, UploadFile
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from pipeline import __version__, acoustics, formats
from pipeline._inputs import printable
from pipeline.service import answers, features, schemas
from pipeline.service.answers import Hearing
from pipeline.service.decoding import Upload
from pipeline.service.examples import CLASSIFIED, PREDICT, PREDICTED, PREPROCESSED, curl
from pipeline.service.kinds import MEDIA_TYPE
from pipeline.service.problems import Problem
from pipeline.service.state import State

Recording = Annotated[
    UploadFile, File(description="A recording: WAV, FLAC, OGG, MP3, M4A/AAC, WebM/Opus, 3GP or CAF.")
]
Threshold = Annotated[float | None, Query(ge=0, le=1, allow_inf_nan=False)]
TopK = Annotated[int, Query(ge=1, le=100, description="How many of the likeliest reasons to list.")]
Schema = Annotated[
    str, Query(alias="schema", max_length=64, description=f"One of {', '.join(features.NAMES)}.")
]

_ABOUT = {
    400: "It cannot be read",
    401: "A token is needed, and the right one",
    408: "It came too slowly",
    413: "It is too large, or too long",
    415: "It is not what is accepted here",
    422: "A parameter, the features or the sound cannot be used",
    429: "Too many requests from this client",
    503: "Busy, starting, or another role cannot be reached; Retry-After says when to ask again",
}


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemOut"}}}
    return {status: {"description": _ABOUT[status], "content": content} for status in statuses}


_UPLOAD_PROBLEMS = _problems(400, 401, 408, 413, 415, 422, 429, 503)


def _state(request: Request) -> State:
    state: State = request.app.state.service
    return state


public = APIRouter()


@public.get("/health", response_model=schemas.Health, summary="The process answers", tags=["service"])
async def health() -> dict[str, Any]:
    """Liveness: true as long as the process can answer at all."""
    return {"status": "ok", "version": __version__}


@public.get(
    "/ready",
    response_model=schemas.Ready,
    responses=_problems(503),
    summary="Models are loaded",
    tags=["service"],
)
async def ready(request: Request) -> dict[str, Any]:
    """Readiness: which embedder listens, the detection threshold, reasons, versions."""
    state = _state(request)
    state.require_ready()
    return {"status": "ready", "role": state.role, **await state.engine.about()}


@public.get("/metrics", summary="Figures for Prometheus", tags=["service"], response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """Requests, latencies, seconds of sound, the queue, errors by kind."""
    from pipeline.service.metrics import CONTENT_TYPE

    return Response(_state(request).metrics.text(), media_type=CONTENT_TYPE)


preprocessing = APIRouter()


@preprocessing.post(
    "/preprocess",
    response_model=schemas.Preprocessed,
    responses={200: {"content": {"application/json": {"example": PREPROCESSED}}}, **_UPLOAD_PROBLEMS},
    summary="Sound to features",
    description="Named acoustic features of all of a recording of at most a minute. The answer can be sent "
    "to `/predict` as it is." + curl("/preprocess", "-F file=@cry.wav"),
    tags=["reasons"],
)
async def preprocess(request: Request, file: Recording, schema: Schema = features.DEFAULT) -> JSONResponse:
    """Features of a recording."""
    if schema not in features.NAMES:
        raise Problem("features/unknown-schema", f"Known are {', '.join(features.NAMES)}.")
    async with _received(request, file) as (state, upload):
        found = await state.engine.describe(upload, schema)
    state.metrics.audio_seconds.labels("/preprocess").inc(found["duration_s"])
    return JSONResponse(found)


predicting = APIRouter()


@predicting.post(
    "/predict",
    response_model=schemas.Prediction,
    responses={200: {"content": {"application/json": {"example": PREDICTED}}}, **_UPLOAD_PROBLEMS},
    summary="Features to reasons",
    description="How far the sound says why: calibrated chances beside how common each reason is. The label "
    "is `not sure`, and `class_id` null, when no reason's score reaches the threshold."
    + curl("/predict", "-H 'Content-Type: application/json' -d @features.json"),
    tags=["reasons"],
    openapi_extra={"requestBody": {"content": {"application/json": {"example": PREDICT}}}},
)
async def predict(request: Request, body: schemas.FeaturesIn, top_k: TopK = 3) -> JSONResponse:
    """Reasons from features."""
    state = _state(request)
    state.require_ready()
    async with state.admission.slot():
        reasons = await state.engine.judge(body.features, body.schema_name, body.reason_threshold)
    return JSONResponse(answers.prediction(reasons, top_k))


analysing = APIRouter()


@analysing.post(
    "/classify",
    response_model=schemas.Classified,
    response_model_exclude_unset=True,
    responses={200: {"content": {"application/json": {"example": CLASSIFIED}}}, **_UPLOAD_PROBLEMS},
    summary="Is a baby crying, when, and why",
    description="Both stages in one flat answer. `label` is null when no cry was found."
    + curl("/classify", "-F file=@cry.wav"),
    tags=["analysis"],
)
async def classify(
    request: Request,
    file: Recording,
    top_k: TopK = 3,
    features: Annotated[bool, Query(description="List the features that reasons were judged by.")] = False,
    detection_threshold: Threshold = None,
    reason_threshold: Threshold = None,
) -> JSONResponse:
    """Detection, episodes, and the likeliest reasons."""
    async with _received(request, file) as (state, upload):
        hearing, reasons = await _analysed(
            state, upload, detection_threshold, reason_threshold, describe_always=features
        )
    state.metrics.audio_seconds.labels("/classify").inc(hearing.record["duration_s"])
    names = acoustics.feature_names(hearing.described["schema"]) if features and hearing.described else None
    return JSONResponse(answers.classification(hearing, reasons, top_k=top_k, names=names))


@analysing.post(
    "/v1/analyze",
    response_model=schemas.AnalysisOut,
    response_model_exclude_unset=True,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}, **_UPLOAD_PROBLEMS},
    summary="Everything known of a recording",
    description="The same as `python -m pipeline analyze --format json`, or `csv` with `Accept: text/csv`."
    + curl("/v1/analyze?detection_threshold=0.4", "-F file=@cry.wav"),
    tags=["analysis"],
)
async def analyze(
    request: Request,
    file: Recording,
    detection_threshold: Threshold = None,
    reason_threshold: Threshold = None,
    windows: Annotated[bool, Query(description="List the score of each window too (JSON only).")] = False,
) -> Response:
    """The full analysis."""
    async with _received(request, file) as (state, upload):
        hearing, reasons = await _analysed(state, upload, detection_threshold, reason_threshold)
    state.metrics.audio_seconds.labels("/v1/analyze").inc(hearing.record["duration_s"])
    if not wants_csv(request.headers.get("accept", "")):
        return JSONResponse(answers.analysis(hearing, reasons, windows=windows))
    rows = formats.csv_rows([answers.analysis(hearing, reasons)], reason_names=hearing.reason_names)
    return Response("".join(rows), media_type="text/csv")


hearing_only = APIRouter()


@hearing_only.post(
    "/v1/hear",
    response_model=schemas.HearingOut,
    responses=_UPLOAD_PROBLEMS,
    summary="Between roles: all but the reasons",
    tags=["between roles"],
)
async def hear(
    request: Request,
    file: Recording,
    detection_threshold: Threshold = None,
    describe_always: bool = False,
) -> JSONResponse:
    """What the orchestrator asks the preprocessor."""
    async with _received(request, file) as (state, upload):
        found = await state.engine.hear(upload, detection_threshold, describe_always=describe_always)
    state.metrics.audio_seconds.labels("/v1/hear").inc(found.record["duration_s"])
    return JSONResponse(asdict(found))


async def _analysed(
    state: State,
    upload: Upload,
    detection_threshold: float | None,
    reason_threshold: float | None,
    *,
    describe_always: bool = False,
) -> tuple[Hearing, dict[str, Any] | None]:
    hearing = await state.engine.hear(upload, detection_threshold, describe_always=describe_always)
    if not hearing.record["is_cry"] or hearing.described is None:
        return hearing, None
    given = hearing.described
    return hearing, await state.engine.judge(given["features"], given["schema"], reason_threshold)


@asynccontextmanager
async def _received(request: Request, file: UploadFile) -> AsyncIterator[tuple[State, Upload]]:
    """The upload on disk, and a turn to work on it."""
    state = _state(request)
    state.require_ready()
    path = state.spool / f"{uuid.uuid4().hex}.upload"
    try:
        await asyncio.to_thread(_spool, file, path)
        await file.close()  # so that it lies on the disk once, not twice, while it waits for its turn
        async with state.admission.slot():
            yield state, Upload(path, _name_of(file), file.size or 0)
    finally:
        path.unlink(missing_ok=True)


def _name_of(file: UploadFile) -> str:
    """What the client calls it, in characters that reach another role as they are."""
    name = (file.filename or "").replace("\\", "/").rpartition("/")[2]
    return printable(name).replace('"', "'") or "recording"


def _spool(file: UploadFile, path: Any) -> None:
    with path.open("wb") as spooled:
        shutil.copyfileobj(file.file, spooled)


def wants_csv(accept: str) -> bool:
    """Whether an Accept header prefers ``text/csv`` to JSON."""
    weights: dict[str, float] = {}
    for part in accept.lower().split(","):
        kind, _, parameters = part.partition(";")
        given = parameters.strip().removeprefix("q=")
        weights[kind.strip()] = float(given) if given.replace(".", "", 1).isdecimal() else 1.0
    return weights.get("text/csv", 0.0) > weights.get("application/json", 0.0)


OF_ROLE = {
    "all": (public, preprocessing, predicting, analysing),
    "orchestrator": (public, preprocessing, predicting, analysing),
    "preprocessor": (public, preprocessing, hearing_only),
    "predictor": (public, predicting),
}

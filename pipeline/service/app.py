"""The application: routes of a role behind the gate, problems for whatever goes wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import (
    RequestValidationError,
    ValidationException,
    WebSocketRequestValidationError,
)
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection
from starlette.responses import Response

from pipeline import __version__
from pipeline.errors import CryError
from pipeline.service import live, routes
from pipeline.service.gate import DOCS_FILES, Gate, origins_of
from pipeline.service.problems import Problem, of_error, of_validation
from pipeline.service.schemas import ProblemOut
from pipeline.service.state import Role, State
from pipeline.settings import Settings

_ABOUT = """\
Is a baby crying in this recording, when, and how far can the sound say why?

Errors are problem documents (RFC 9457, `application/problem+json`) with a stable `code`.
`WS /v1/stream` hears live sound: PCM or Opus frames in, scores and episodes out (docs/service.md).
Nothing that is sent is kept. Nothing here is medical advice.
"""


def create_app(role: Role, settings: Settings, failed: Callable[[CryError], None] | None = None) -> FastAPI:
    """The application of a role.

    Args:
        role: which endpoints there are, and whether models are here or asked for.
        settings: everything a user may set.
        failed: called when the models cannot be had.
    """
    state = State(role, settings, failed)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        state.begin()
        yield
        await state.end()

    app = FastAPIOffline(
        title="CryLens",
        version=__version__,
        description=_ABOUT,
        lifespan=lifespan,
        docs_url="/docs",
        redoc_url=None,
        static_url=DOCS_FILES,
        swagger_ui_parameters={"validatorUrl": None},  # else it sends the document to somebody to check it
        redirect_slashes=False,
        form_limits={"max_files": 1, "max_fields": 8, "max_part_size": 4096},
    )
    app.state.service = state
    for router in routes.OF_ROLE[role]:
        app.include_router(router)
    if role != "predictor":
        app.include_router(live.router)
    _tell_problems(app)
    app.add_middleware(
        Gate,
        settings=settings,
        metrics=state.metrics,
        admission=state.admission,
        paths={str(getattr(route, "path", "")) for router in routes.OF_ROLE[role] for route in router.routes},
        limits_rate=role in ("all", "orchestrator"),
    )
    if origins := origins_of(settings):
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-Request-ID"],
            expose_headers=["X-Request-ID", "Retry-After"],
        )
    _document(app)
    return app


def _tell_problems(app: FastAPI) -> None:
    async def told(asked: HTTPConnection, problem: Problem) -> Response:
        asked.state.problem = problem.code
        return problem.response(asked.state.request_id)

    @app.exception_handler(HTTPException)
    async def of_http(request: HTTPConnection, error: HTTPException) -> Response:
        return await told(request, error if isinstance(error, Problem) else _of_http(error))

    @app.exception_handler(RequestValidationError)
    @app.exception_handler(WebSocketRequestValidationError)
    async def of_form(request: HTTPConnection, error: ValidationException) -> Response:
        return await told(request, of_validation(error.errors()))

    @app.exception_handler(CryError)
    async def of_ours(request: HTTPConnection, error: CryError) -> Response:
        problem = of_error(error)
        if problem.status_code == 500:
            raise error  # the gate logs it
        return await told(request, problem)


def _of_http(error: HTTPException) -> Problem:
    """The framework's own refusals."""
    if error.status_code == 404:
        return Problem("request/not-found", "The endpoints are listed at /docs.")
    if error.status_code == 405:
        return Problem("request/method-not-allowed", "See /docs.", headers=error.headers)
    return Problem("request/malformed", f"{error.detail}.")


def _document(app: FastAPI) -> None:
    """Problems instead of FastAPI's own validation errors, in the OpenAPI document too."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            found = made()
            schemas = found["components"]["schemas"]
            schemas.pop("HTTPValidationError", None)
            schemas.pop("ValidationError", None)
            schemas["ProblemOut"] = ProblemOut.model_json_schema()
            if app.state.service.settings.serve_token:
                found["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
                found["security"] = [{"token": []}]
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]

"""``serve``: the service; the work is in ``service``."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated, Literal

import typer

from pipeline.cli_console import say
from pipeline.errors import CryError

_NEEDED = ("fastapi", "uvicorn", "python_multipart", "websockets", "httpx", "prometheus_client")
_INSTALL = "make setup-serve (or pip install -r requirements-serve.txt)"


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for every one.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for a free one.")] = 8000,
    role: Annotated[
        Literal["all", "orchestrator", "preprocessor", "predictor"],
        typer.Option(help="What this process does; an orchestrator asks the two others."),
    ] = "all",
    embedder: Annotated[
        Literal["auto", "yamnet", "student"] | None,
        typer.Option(help="What listens. [default: auto, or CRY_EMBEDDER]"),
    ] = None,
) -> None:
    """Answer over HTTP: /classify, /v1/analyze, live streams and more; /docs lists them."""
    missing = [name.replace("_", "-") for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise CryError(
            f"The service needs {', '.join(missing)}, which is not installed. Run: {_INSTALL}",
            code="not-installed",
        )
    from pipeline.service.server import serve as run
    from pipeline.settings import get_settings

    settings = get_settings(embedder=embedder)
    if host not in ("127.0.0.1", "localhost", "::1") and settings.serve_token is None:
        say("Anyone who can reach this address may use the service: set CRY_SERVE_TOKEN to ask for a token.")
    run(role, settings, host, port)

"""What goes wrong, as problem documents (RFC 9457) with a stable code each.

A code is ``family/cause``. Families: ``audio`` (the sound), ``features`` (numbers given instead of sound),
``request`` (its form), ``access`` (who asks, how often), ``service`` (ours). For the sound the causes are
those of :class:`pipeline.errors.AudioError`. Details of anything else stay in the log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from pipeline.errors import ArtifactError, AudioError, CryError, SettingsError

MEDIA_TYPE = "application/problem+json"

# code: (status, title)
KINDS: dict[str, tuple[int, str]] = {
    "audio/empty": (400, "There is no sound in the upload"),
    "audio/unreadable": (400, "The upload cannot be read"),
    "audio/too-large": (413, "The upload is too large"),
    "audio/too-long": (413, "The recording is too long"),
    "audio/not-audio": (415, "The upload is not a sound file that can be read"),
    "audio/no-audio-track": (415, "The upload has no sound track"),
    "audio/too-short": (422, "The recording is too short"),
    "audio/non-finite": (422, "The recording holds samples that are no numbers"),
    "audio/decoding-stopped": (422, "The recording needs more memory or time to decode than is allowed"),
    "features/invalid": (422, "The features cannot be used"),
    "features/unknown-schema": (422, "There is no feature schema of that name"),
    "features/schema-mismatch": (422, "The model takes other features"),
    "request/malformed": (400, "The request cannot be read"),
    "request/invalid": (422, "A parameter cannot be used"),
    "request/too-large": (413, "The request is too large"),
    "request/unsupported-media-type": (415, "The request has another content type than is accepted"),
    "request/too-slow": (408, "The request came too slowly"),
    "request/not-found": (404, "There is nothing here"),
    "request/method-not-allowed": (405, "The method is not supported here"),
    "access/token-missing": (401, "A bearer token is needed"),
    "access/token-wrong": (401, "The bearer token is not the right one"),
    "access/origin-refused": (403, "Pages of this origin may not call"),
    "access/too-many-requests": (429, "Too many requests"),
    "service/busy": (503, "Too many requests wait already"),
    "service/starting": (503, "The models are being loaded"),
    "service/preprocessor-unavailable": (503, "The preprocessor cannot be reached"),
    "service/predictor-unavailable": (503, "The predictor cannot be reached"),
    "service/internal": (500, "Something went wrong on our side"),
}


class Problem(HTTPException):
    """A refusal that a client can act on; becomes a problem document.

    Args:
        code: a key of :data:`KINDS`.
        detail: a sentence or two for a person.
        headers: further response headers.
        more: further members of the document.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        status, self.title = KINDS[code]
        super().__init__(status, detail, dict(headers) if headers else None)
        self.code = code
        self.more = dict(more or {})

    def document(self, request_id: str | None = None) -> dict[str, Any]:
        """The problem document; ``request_id`` finds the request in the log."""
        found = {
            "type": f"urn:crylens:problem:{self.code.replace('/', ':')}",
            "title": self.title,
            "status": self.status_code,
            "detail": self.detail,
            "code": self.code,
            **self.more,
        }
        return found | ({"request_id": request_id} if request_id else {})

    def response(self, request_id: str | None = None) -> JSONResponse:
        """The answer to send."""
        return JSONResponse(
            self.document(request_id), self.status_code, headers=self.headers, media_type=MEDIA_TYPE
        )


def busy(retry_after_s: int, detail: str = "Ask again a little later.") -> Problem:
    """503 with Retry-After."""
    return Problem("service/busy", detail, headers={"Retry-After": str(retry_after_s)})


def internal() -> Problem:
    """500 that says nothing of what is inside."""
    return Problem("service/internal", "It was noted; the request identifier helps to find out more.")


def of_error(error: CryError) -> Problem:
    """The problem that one of the library's errors is to a client."""
    if isinstance(error, AudioError):
        code = f"audio/{error.code}"
        return Problem(code if code in KINDS else "audio/not-audio", str(error))
    if isinstance(error, SettingsError):
        return Problem("request/invalid", str(error))
    if isinstance(error, ArtifactError) and f"features/{error.code}" in KINDS:
        return Problem(f"features/{error.code}", str(error))
    return internal()


def of_document(document: Mapping[str, Any], retry_after: str | None) -> Problem | None:
    """The problem that another role of this service sent; None if it is not one."""
    code = document.get("code")
    if not isinstance(code, str) or code not in KINDS:
        return None
    known = {"type", "title", "status", "detail", "code", "request_id"}
    more = {key: value for key, value in document.items() if key not in known}
    headers = {"Retry-After": retry_after} if retry_after else None
    return Problem(code, str(document.get("detail", "")), headers=headers, more=more)


def of_validation(errors: Sequence[Mapping[str, Any]]) -> Problem:
    """What pydantic found wrong, without the values that were sent."""
    if any(error["type"] == "json_invalid" for error in errors):
        return Problem("request/malformed", "The body is not JSON.")
    found = [{"where": ".".join(str(p) for p in error["loc"]), "message": error["msg"]} for error in errors]
    first = found[0]
    rest = f" ({len(found) - 1} more in 'errors')" if len(found) > 1 else ""
    in_features = first["where"].startswith("body.features")
    return Problem(
        "features/invalid" if in_features else "request/invalid",
        f"{first['where']}: {first['message']}{rest}.",
        more={"errors": found[:20]},
    )

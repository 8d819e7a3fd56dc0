"""What goes wrong, as problem documents (RFC 9457): raised anywhere, answered by the application."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from pipeline.errors import CryError
from pipeline.service import kinds
from pipeline.service.kinds import KINDS, MEDIA_TYPE


class Problem(HTTPException):
    """A refusal that a client can act on; becomes a problem document.

    Args:
        code: a key of :data:`pipeline.service.kinds.KINDS`.
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
        status, _title = KINDS[code]
        super().__init__(status, detail, dict(headers) if headers else None)
        self.code = code
        self.more = dict(more or {})

    def document(self, request_id: str | None = None) -> dict[str, Any]:
        """The problem document; ``request_id`` finds the request in the log."""
        return kinds.document(self.code, self.detail, **self.more, request_id=request_id)

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
    return Problem(kinds.INTERNAL, kinds.NOT_OURS_TO_TELL)


def of_error(error: CryError) -> Problem:
    """The problem that one of the library's errors is to a client."""
    return Problem(*kinds.told(error))


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

"""What can go wrong, by stable code; and what one of the library's errors is to a client.

A code is ``family/cause``. Families: ``audio`` (the sound), ``features`` (numbers given instead of sound),
``request`` (its form), ``access`` (who asks, how often), ``service`` (ours). For the sound the causes are
those of :class:`pipeline.errors.AudioError`. Needs no web framework.
"""

from __future__ import annotations

from typing import Any

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


INTERNAL = "service/internal"
NOT_OURS_TO_TELL = "It was noted; the request identifier helps to find out more."


def told(error: CryError) -> tuple[str, str]:
    """Code and detail of an error for a client; what is inside stays inside."""
    if isinstance(error, AudioError):
        code = f"audio/{error.code}"
        return (code if code in KINDS else "audio/not-audio"), str(error)
    if isinstance(error, SettingsError):
        return "request/invalid", str(error)
    if isinstance(error, ArtifactError) and f"features/{error.code}" in KINDS:
        return f"features/{error.code}", str(error)
    return INTERNAL, NOT_OURS_TO_TELL


def document(code: str, detail: str, **more: Any) -> dict[str, Any]:
    """A problem document (RFC 9457); members that are None are left out."""
    status, title = KINDS[code]
    found = {
        "type": f"urn:crylens:problem:{code.replace('/', ':')}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        **more,
    }
    return {key: value for key, value in found.items() if value is not None}

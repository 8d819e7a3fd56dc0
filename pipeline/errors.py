"""The one exception family: each subclass is a cause that a person can act on.

Messages say what was wrong, with the value found, and what to do about it. ``code`` is a short stable
word for programs (REST problem codes, JSON output), never shown alone to people.
"""

from __future__ import annotations


class CryError(Exception):
    """Base of every error this project raises on purpose.

    Args:
        message: one or two sentences for a person: what was found, what is accepted, what to do.
        code: stable machine-readable cause, lower-case words joined by hyphens.
    """

    default_code = "error"

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code or self.default_code


class AudioError(CryError):
    """The sound could not be used: missing, empty, too long, not audio and so on."""

    default_code = "not-audio"


class EmbedderError(CryError):
    """The chosen embedder cannot be had (no YAMNet, no network, wrong name)."""

    default_code = "embedder-unavailable"


class ArtifactError(CryError):
    """A trained model is missing, altered, or was written by versions that cannot be trusted."""

    default_code = "artifact-invalid"


class DataError(CryError):
    """Training or evaluation data is missing, mislabelled or cannot be fetched."""

    default_code = "data-invalid"


class SettingsError(CryError):
    """A setting, option or argument has a value that cannot be used."""

    default_code = "setting-invalid"

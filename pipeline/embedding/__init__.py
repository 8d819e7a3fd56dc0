"""Embedders: sound in, one 1024-wide embedding per 0.48 s out. YAMNet, or the bundled student."""

from __future__ import annotations

from importlib.util import find_spec

from pipeline.embedding.base import EMBEDDING_SIZE, FRAME_HOP_S, FRAME_WINDOW_S, Embedder
from pipeline.errors import EmbedderError, SettingsError
from pipeline.settings import YAMNET_HUB_HANDLE, Settings, get_settings

__all__ = ["EMBEDDING_SIZE", "FRAME_HOP_S", "FRAME_WINDOW_S", "Embedder", "first_wait", "load_embedder"]

CHOICES = ("auto", "yamnet", "student")


def load_embedder(name: str | None = None, settings: Settings | None = None) -> Embedder:
    """Load an embedder by name.

    Args:
        name: "yamnet", "student", or "auto": YAMNet when it is configured, cached or answers within
            ``settings.yamnet_timeout_s``; else the student, with a notice that says so. None: the setting.

    Raises:
        SettingsError: an unknown name.
        EmbedderError: YAMNet was asked for by name and cannot be had.
        ArtifactError: the bundled student is missing or altered.
    """
    settings = settings or get_settings()
    name = name or settings.embedder
    if name == "yamnet":
        from pipeline.embedding.yamnet import YamnetEmbedder

        return YamnetEmbedder(settings)
    if name == "student":
        return _student(settings, None)
    if name == "auto":
        return _auto(settings)
    raise SettingsError(f"Embedder cannot be '{name}'. Choose one of: {', '.join(CHOICES)}.")


def first_wait(name: str | None = None, settings: Settings | None = None) -> str | None:
    """What to tell people before :func:`load_embedder` when that may take longer than seconds, else None.

    Args:
        name: as of :func:`load_embedder`.
    """
    from pipeline.embedding import yamnet

    settings = settings or get_settings()
    handle = settings.yamnet_handle
    if (name or settings.embedder) == "student" or not _has_tensorflow() or yamnet.is_converted(handle):
        return None
    if yamnet.is_cached(handle):
        return "Getting YAMNet ready for its first use: ten seconds or more, only this once…"
    if yamnet.is_local(handle):
        return None
    return "Looking for YAMNet: the first time, fetching it and getting it ready can take some minutes…"


def _has_tensorflow() -> bool:
    return find_spec("tensorflow") is not None and find_spec("tensorflow_hub") is not None


def _student(settings: Settings, notice: str | None) -> Embedder:
    from pipeline.embedding.student import StudentEmbedder

    return StudentEmbedder.bundled(settings, notice)


def _auto(settings: Settings) -> Embedder:
    from pipeline.embedding import yamnet

    handle = settings.yamnet_handle
    if not _has_tensorflow() and not yamnet.is_converted(handle):
        return _student(
            settings, "Using the bundled embedder: TensorFlow, which YAMNet needs, is not installed."
        )
    configured = handle != YAMNET_HUB_HANDLE and yamnet.is_local(handle)
    if not (configured or yamnet.is_cached(handle) or yamnet.is_reachable(handle, settings.yamnet_timeout_s)):
        return _student(
            settings,
            f"Using the bundled embedder: YAMNet is not on this machine and {handle} did not answer "
            f"within {settings.yamnet_timeout_s:g} s.",
        )
    try:
        return yamnet.YamnetEmbedder(settings)
    except EmbedderError as error:
        return _student(settings, f"Using the bundled embedder. {error}")

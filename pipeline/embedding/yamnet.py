"""YAMNet through TensorFlow Hub or from a local SavedModel. TensorFlow is imported on first use only."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.embedding.base import FloatArray, embed_in_blocks, frame_count
from pipeline.errors import EmbedderError
from pipeline.settings import Settings

# YAMNet's class map: "Crying, sobbing", "Baby cry, infant cry", "Whimper".
CRYING_CLASSES = slice(19, 22)
BABY_CRY_CLASS = 20


def is_local(handle: str) -> bool:
    """Whether the handle names a folder rather than an address."""
    return "://" not in handle


def cache_folder() -> Path:
    """Where TensorFlow Hub keeps downloads: ``TFHUB_CACHE_DIR``, else a folder that outlives a reboot."""
    configured = os.environ.get("TFHUB_CACHE_DIR")
    return Path(configured) if configured else Path.home() / ".cache" / "crylens" / "tfhub"


def is_cached(handle: str) -> bool:
    """Whether ``hub.load`` would find the handle without a network (``<cache>/<sha1 of the handle>``)."""
    folder = cache_folder() / hashlib.sha1(handle.encode(), usedforsecurity=False).hexdigest()
    return (folder / "saved_model.pb").is_file()


def is_reachable(handle: str, timeout_s: float) -> bool:
    """Whether the address answers within ``timeout_s``, name resolution included."""
    if not handle.startswith(("https://", "http://")):
        return False
    answered = threading.Event()

    def ask() -> None:
        request = urllib.request.Request(f"{handle}?tf-hub-format=compressed", method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as response:
                if response.status < 400:
                    answered.set()
        except (OSError, ValueError):
            return

    # A thread, because the resolver has no time-out of its own.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout_s)
    return answered.is_set()


class YamnetEmbedder:
    """YAMNet's 1024-wide embedding (Google, AudioSet; Apache 2.0), 0.96 s window, 0.48 s hop."""

    name = "yamnet"

    def __init__(self, settings: Settings, notice: str | None = None) -> None:
        """Load the model named by ``settings.yamnet_handle``.

        Raises:
            EmbedderError: TensorFlow is not installed, or the handle cannot be loaded.
        """
        self.notice = notice
        self._model = _load(settings)

    def embed(self, samples: FloatArray) -> FloatArray:
        """(n,) samples at 16 kHz to (frames, 1024) float32."""
        return self.embed_and_score(samples)[0]

    def embed_and_score(self, samples: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Embeddings (frames, 1024) and YAMNet's own class scores (frames, 521), both float32."""
        scores, embeddings, _ = self._model(np.ascontiguousarray(samples, dtype=np.float32))
        # For some lengths that need no padding YAMNet's own rounding adds a frame of padding alone.
        frames = frame_count(len(samples))
        return embeddings.numpy()[:frames], scores.numpy()[:frames]

    def embed_blocks(self, blocks: Iterable[FloatArray]) -> Iterator[FloatArray]:
        """Embed a stream; equal to ``embed`` of the whole."""
        return embed_in_blocks(blocks, self.embed)


def _load(settings: Settings) -> Any:
    handle = settings.yamnet_handle
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TFHUB_CACHE_DIR", str(cache_folder()))
    if is_local(handle) and not (Path(handle) / "saved_model.pb").is_file():
        raise EmbedderError(
            f"CRY_YAMNET_HANDLE is '{handle}', but there is no SavedModel (saved_model.pb) in that folder. "
            "Name a folder that holds one, or a TensorFlow Hub address."
        )
    try:
        import tensorflow as tf
        import tensorflow_hub as hub
    except ImportError as error:
        raise EmbedderError(
            "YAMNet needs TensorFlow, which is not installed. Install requirements.txt, "
            "or use the bundled embedder: --embedder student."
        ) from error
    try:
        tf.config.threading.set_intra_op_parallelism_threads(settings.threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        pass  # TensorFlow is already running in this process; its threads were set then.
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(settings.yamnet_timeout_s)  # the hub's downloader sets none itself
    try:
        return hub.load(handle)
    except (OSError, ValueError, RuntimeError, tf.errors.OpError) as error:
        raise EmbedderError(
            f"YAMNet could not be loaded from '{handle}' ({type(error).__name__}). "
            "Check the network or CRY_YAMNET_HANDLE, or use --embedder student."
        ) from error
    finally:
        socket.setdefaulttimeout(before)

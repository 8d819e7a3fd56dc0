"""YAMNet from TensorFlow Hub or from a local SavedModel, run by ONNX Runtime."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from pipeline._cache import default_cache
from pipeline.embedding.base import FloatArray
from pipeline.embedding.network import ColumnsNetwork, open_session
from pipeline.embedding.yamnet_onnx import VERSION, scores_of
from pipeline.errors import EmbedderError
from pipeline.settings import PROJECT_ROOT, Settings

logger = logging.getLogger(__name__)

# YAMNet's class map: "Crying, sobbing", "Baby cry, infant cry", "Whimper".
CRYING_CLASSES = slice(19, 22)
BABY_CRY_CLASS = 20


def is_local(handle: str) -> bool:
    """Whether the handle names a folder rather than an address."""
    return "://" not in handle


def cache_folder() -> Path:
    """Where TensorFlow Hub keeps downloads: ``TFHUB_CACHE_DIR``, else a folder that outlives a reboot."""
    configured = os.environ.get("TFHUB_CACHE_DIR")
    return Path(configured) if configured else default_cache() / "tfhub"


def is_cached(handle: str) -> bool:
    """Whether ``hub.load`` would find the handle without a network."""
    return (saved_model_folder(handle) / "saved_model.pb").is_file()


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


def saved_model_folder(handle: str) -> Path:
    """Where the SavedModel lies, or will lie once it was fetched (``<cache>/<sha1 of the handle>``)."""
    if is_local(handle):
        return Path(handle)
    return cache_folder() / hashlib.sha1(handle.encode(), usedforsecurity=False).hexdigest()


def is_converted(handle: str) -> bool:
    """Whether the network is kept in a form that needs no TensorFlow any more."""
    key = _key(saved_model_folder(handle))
    return key is not None and _kept(key) is not None


class YamnetEmbedder(ColumnsNetwork):
    """YAMNet's 1024-wide embedding (Google, AudioSet; Apache 2.0), 0.96 s window, 0.48 s hop.

    ONNX Runtime runs it. The first use of a SavedModel converts it in another process, which needs TensorFlow
    (:mod:`pipeline.embedding.yamnet_onnx`); what comes of it is kept.
    """

    name = "yamnet"

    def __init__(self, settings: Settings, notice: str | None = None) -> None:
        """Load the model named by ``settings.yamnet_handle``.

        Raises:
            EmbedderError: TensorFlow is needed and not installed, or the handle cannot be loaded.
        """
        self.notice = notice
        super().__init__(open_session(_network(settings)), settings.threads)

    def embed_and_score(self, samples: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Embeddings (frames, 1024) and YAMNet's own class scores (frames, 521), both float32."""
        embeddings, log_odds = self._hear(samples)
        return embeddings, scores_of(log_odds)


def _network(settings: Settings) -> bytes:
    """The network as ONNX: the one that is kept, else made and kept."""
    handle = settings.yamnet_handle
    folder = saved_model_folder(handle)
    if is_local(handle) and not (folder / "saved_model.pb").is_file():
        raise EmbedderError(
            f"CRY_YAMNET_HANDLE is '{handle}', but there is no SavedModel (saved_model.pb) in that folder. "
            "Name a folder that holds one, or a TensorFlow Hub address."
        )
    key = _key(folder)
    if key is None:  # still to be fetched
        made = _converted(settings)
        key = _key(folder)
        if key is not None:
            _keep(key, made)
        return made
    kept = _kept(key)
    if kept is not None:
        return kept
    with _one_at_a_time(key):
        kept = _kept(key)
        if kept is None:
            kept = _converted(settings)
            _keep(key, kept)
        return kept


def _key(folder: Path) -> str | None:
    """Names what a SavedModel is converted to: by all its files, and by how we convert."""
    if not (folder / "saved_model.pb").is_file():
        return None
    key = hashlib.sha256(f"{VERSION}".encode())
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name, content = path.relative_to(folder).as_posix(), hashlib.sha256(path.read_bytes())
        key.update(f"\n{name} {content.hexdigest()}".encode())
    return key.hexdigest()[:32]


def _folder() -> Path:
    return default_cache() / "yamnet"


def _kept(key: str) -> bytes | None:
    """What was kept, when it is what was kept: its name ends in its SHA-256."""
    for path in sorted(_folder().glob(f"{key}-*.onnx")):
        try:
            content = path.read_bytes()
        except OSError:
            continue
        if path.stem == f"{key}-{hashlib.sha256(content).hexdigest()}":
            return content
    return None


def _keep(key: str, network: bytes) -> None:
    """Keep it for other processes and other days; where nothing may be written, each makes its own."""
    path = _folder() / f"{key}-{hashlib.sha256(network).hexdigest()}.onnx"
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(network)
        part.replace(path)
    except OSError as error:
        logger.info("YAMNet's converted network could not be kept as %s (%s).", path, error)
        with suppress(OSError):
            part.unlink()


@contextmanager
def _one_at_a_time(key: str) -> Iterator[None]:
    """Lets processes that start together wait for the first one's conversion."""
    from filelock import FileLock

    with ExitStack() as held:
        try:
            _folder().mkdir(parents=True, exist_ok=True)
            held.enter_context(FileLock(_folder() / f"{key}.lock"))
        except OSError:
            pass  # nothing can be kept there either, so there is nothing to wait for
        yield


def _converted(settings: Settings) -> bytes:
    """The network as another process makes it, so that TensorFlow's memory and notes stay out of this one."""
    handle = settings.yamnet_handle
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(PROJECT_ROOT), os.environ.get("PYTHONPATH")])),
        "TFHUB_CACHE_DIR": str(cache_folder()),
        "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3"),
        "CUDA_VISIBLE_DEVICES": "",
    }
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.embedding.yamnet_onnx", handle, str(settings.yamnet_timeout_s)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=environment,
        check=False,
    )
    head, _, network = done.stdout.partition(b"\n")
    if done.returncode or not head:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise EmbedderError(
            f"YAMNet could not be converted from '{handle}': the process that does it ended with status "
            f"{done.returncode} ({said[-1]}). Use --embedder student meanwhile."
        )
    error = json.loads(head).get("error")
    if error:
        raise EmbedderError(error)
    return network

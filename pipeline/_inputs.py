"""What people hand in, made safe to decode: paths, bytes, file objects and arrays behind ``audio.py``.

Sizes are checked before anything is decoded, pipes and devices are refused without waiting on them, and a
path that looks like an address is a path: nothing here goes to a network.
"""

from __future__ import annotations

import io
import os
import stat
import tempfile
from typing import Any, BinaryIO, cast

import numpy as np

from pipeline._decode import ACCEPTED, MAX_CHANNELS, ArrayDecoder, check_shape
from pipeline.errors import AudioError, SettingsError
from pipeline.settings import Settings

_SPOOL_IN_MEMORY = 16 * 2**20
_CHUNK = 1 << 20


def array_decoder(values: np.ndarray, sample_rate: int | None, name: str) -> ArrayDecoder:
    if sample_rate is None or isinstance(sample_rate, bool) or int(sample_rate) != sample_rate:
        raise SettingsError(f"{name}: an array needs its sample_rate in whole Hz (got {sample_rate!r}).")
    if values.dtype.str[1:] not in ("i2", "i4", "u1") and values.dtype.kind != "f":
        raise AudioError(
            f"{name}: an array of {values.dtype} was found; float, int16, int32 or uint8 are accepted.",
            "not-audio",
        )
    if values.ndim not in (1, 2):
        raise AudioError(
            f"{name}: an array of shape {values.shape} was found; one or two axes are accepted.",
            "not-audio",
        )
    if not values.size:
        raise AudioError(f"{name}: no sound is in it (an array of shape {values.shape}).", "empty")
    if values.ndim == 1:
        values = values[:, None]
    elif values.shape[0] < values.shape[1]:
        values = values.T
    if values.shape[1] > MAX_CHANNELS:
        raise AudioError(
            f"{name}: an array of shape {values.shape} was found; 1 to {MAX_CHANNELS} channels are accepted.",
            "not-audio",
        )
    check_shape(int(sample_rate), values.shape[1], name)
    return ArrayDecoder(values, int(sample_rate))


def name_of(source: Any) -> str:
    if isinstance(source, str | os.PathLike):
        return os.fspath(source) or "(no name)"
    given = getattr(source, "name", None)
    return given if isinstance(given, str) and given else "recording"


def printable(name: str) -> str:
    """Names come with uploads: keep control characters and endless ones out of terminals and logs."""
    clean = "".join(char if char.isprintable() else "?" for char in name)
    return clean if len(clean) <= 300 else clean[:297] + "..."


def open_file(source: Any, name: str, settings: Settings) -> tuple[BinaryIO, BinaryIO | None]:
    """A seekable binary file of accepted size, and the same again when it is ours to close."""
    if isinstance(source, str | os.PathLike):
        file = _open_path(os.fspath(source), name)
        size = os.fstat(file.fileno()).st_size
        owned: BinaryIO | None = file
    elif isinstance(source, bytes | bytearray | memoryview):
        size = memoryview(source).nbytes
        _check_size(size, name, settings)
        file = owned = io.BytesIO(source)
    elif hasattr(source, "read"):
        file, owned, size = _from_file_object(source, name, settings)
    else:
        raise AudioError(
            f"{name}: a {type(source).__name__} was given; a path, bytes, a binary file object or "
            "a numpy array are accepted.",
            "not-audio",
        )
    try:
        _check_size(size, name, settings)
    except AudioError:
        if owned is not None:
            owned.close()
        raise
    return file, owned


def _check_size(size: int, name: str, settings: Settings) -> None:
    if not size:
        raise AudioError(f"{name}: the file is empty (0 bytes). Accepted: {ACCEPTED}.", "empty")
    if size > settings.max_bytes:
        raise AudioError(
            f"{name}: {size:,} bytes found; at most {settings.max_bytes:,} are accepted (CRY_MAX_BYTES).",
            "too-large",
        )


def _open_path(path: str | bytes, name: str) -> BinaryIO:
    """Open a regular file; never waits on a pipe or reads a device, and fetches no address."""
    # Not blocking, so that opening a pipe returns and can be refused below.
    flags = (
        os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    )
    try:
        if os.path.isdir(path):
            raise AudioError(
                f"{name}: this is a directory; a sound file is needed ({ACCEPTED}).", "directory"
            )
        descriptor = os.open(path, flags)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        hint = " Addresses on the network are not fetched; download it first." if "://" in name else ""
        raise AudioError(f"{name}: there is no such file.{hint}", "missing") from error
    except OSError as error:
        raise AudioError(f"{name}: it cannot be opened ({error.strerror}).", "unreadable") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise AudioError(f"{name}: this is a pipe or device; an ordinary sound file is needed.", "unreadable")
    return os.fdopen(descriptor, "rb")


def _from_file_object(source: Any, name: str, settings: Settings) -> tuple[BinaryIO, BinaryIO | None, int]:
    try:
        if source.seekable():
            size = source.seek(0, os.SEEK_END)
            source.seek(0)
            if not isinstance(source.read(0), bytes):
                raise AudioError(f"{name}: opened as text; open it in binary mode ('rb').", "unreadable")
            return source, None, size
        return _spool(source, name, settings)
    except (OSError, ValueError, AttributeError) as error:  # closed, detached, no real file
        raise AudioError(f"{name}: it cannot be read ({error}).", "unreadable") from error


def _spool(source: Any, name: str, settings: Settings) -> tuple[BinaryIO, BinaryIO, int]:
    """Keep a stream that cannot be rewound, on disk beyond 16 MB, up to the size limit."""
    spool = cast(BinaryIO, tempfile.SpooledTemporaryFile(max_size=_SPOOL_IN_MEMORY))  # noqa: SIM115 - the stream's to close
    size = 0
    try:
        while chunk := source.read(_CHUNK):
            if not isinstance(chunk, bytes):
                raise AudioError(f"{name}: opened as text; open it in binary mode ('rb').", "unreadable")
            size += len(chunk)
            _check_size(size, name, settings)
            spool.write(chunk)
    except BaseException:
        spool.close()
        raise
    return spool, spool, size

"""A FLAC file that is there as a whole or not at all, and what can be saved of one that was being written."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

PARTIAL = ".part"
_MOST_CHANNELS = 8
_SAVED_BLOCK_S = 10.0


class FlacFile:
    """Sound on its way into a file; until it is closed, the file has another, hidden name.

    Attributes:
        path: where it will be.
        frames: written so far.
    """

    def __init__(self, path: Path, rate: int, channels: int, words: dict[str, Any]) -> None:
        """Begin, with its folder.

        Args:
            rate: Hz.
            channels: of the sound; more than eight are mixed to one.
            words: kept in the file's comment, as JSON.

        Raises:
            OSError: it cannot be written.
        """
        import soundfile

        self.path, self.frames = path, 0
        self._mixed = channels > _MOST_CHANNELS
        path.parent.mkdir(parents=True, exist_ok=True)
        self._partial = path.with_name(f".{path.name}{PARTIAL}")
        self._sink = _Sink(self._partial.open("w+b", buffering=0))
        try:
            self._file = soundfile.SoundFile(
                self._sink, "w", rate, 1 if self._mixed else channels, format="FLAC", subtype="PCM_16"
            )
        except soundfile.SoundFileError as error:
            self._sink.file.close()
            self._partial.unlink(missing_ok=True)
            raise OSError(f"no FLAC of {channels} channels at {rate} Hz: {error}") from error
        self._file.comment = json.dumps(words)
        self._check()

    def write(self, samples: NDArray[np.float32]) -> None:
        """Add (n,) or (n, channels) float32 samples, full scale 1.0.

        Raises:
            OSError: they cannot be written; the file is gone then.
        """
        if self._mixed:
            samples = samples.mean(axis=1)
        # The inverse of how 16 bit become floats, so that 16 bit sound is kept bit for bit.
        whole = np.clip(np.rint(samples * np.float32(32768)), -32768, 32767).astype(np.int16)
        try:
            self._file.write(whole)
        except (RuntimeError, AssertionError) as error:  # soundfile's own words for a short write
            self._sink.error = self._sink.error or OSError(str(error) or "a short write")
        self.frames += len(samples)
        self._check()

    def close(self) -> int:
        """Finish it and move it into place, on the disk when this returns; its size in bytes.

        Raises:
            OSError: it cannot be written; the file is gone then.
        """
        self._finish()
        self._check()
        try:
            with self._partial.open("rb") as file:
                os.fsync(file.fileno())
                size = os.fstat(file.fileno()).st_size
            os.replace(self._partial, self.path)
            _sync(self.path.parent)
        except OSError:
            self._partial.unlink(missing_ok=True)
            raise
        return size

    def discard(self) -> None:
        """Let go of it without keeping anything."""
        self._finish()
        self._partial.unlink(missing_ok=True)

    def _finish(self) -> None:
        try:
            self._file.close()
        except RuntimeError as error:
            self._sink.error = self._sink.error or OSError(str(error))
        try:
            self._sink.file.close()
        except OSError as error:
            self._sink.error = self._sink.error or error

    def _check(self) -> None:
        if self._sink.error is not None:
            error = self._sink.error
            self.discard()
            raise error


class _Sink:
    """A file whose errors are kept: libsndfile calls back through C, where nothing can be raised."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        if self.error is not None:
            return 0
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self.file.write(rest) :]
        except OSError as error:
            self.error = error
            return 0
        return len(data)

    def read(self, size: int) -> bytes:
        return self.file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()

    def flush(self) -> None:
        self.file.flush()


def words_of(path: Path) -> dict[str, Any] | None:
    """What was put into a file's comment; None where it is none of ours or cannot be read."""
    import av

    try:
        with av.open(str(path), metadata_errors="replace") as container:
            words = json.loads(container.metadata.get("comment", ""))
    except (av.error.FFmpegError, OSError, ValueError):
        return None
    return words if isinstance(words, dict) else None


def save_partial(path: Path) -> tuple[Path, int, float] | None:
    """Make a whole file of one that was being written when the power went, as far as it came.

    Returns:
        The file, its size in bytes, and its length in seconds; None where nothing of it can be heard, and
        then it is gone.

    Raises:
        OSError: it cannot be written anew.
    """
    whole = path.with_name(path.name.removeprefix(".").removesuffix(PARTIAL))
    words, file, rate = words_of(path), None, 0
    for samples, rate in _heard(path) if words is not None else ():
        if file is None:
            # Under another name than the one that it is read from.
            file = FlacFile(whole.with_name(f"saved-{whole.name}"), rate, samples.shape[1], words or {})
        file.write(samples)
    if file is None:
        path.unlink(missing_ok=True)
        return None
    size = file.close()
    os.replace(file.path, whole)
    _sync(whole.parent)
    path.unlink(missing_ok=True)
    return whole, size, file.frames / rate


def _heard(path: Path) -> Iterator[tuple[NDArray[np.float32], int]]:
    """Sound of a file up to where it breaks off, (n, channels), with its rate."""
    import av

    held: list[NDArray[np.float32]] = []
    rate = 0
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            for frame in container.decode(audio=0):
                rate, channels = frame.sample_rate, frame.layout.nb_channels
                held.append((frame.to_ndarray().reshape(-1, channels) / np.float32(32768)).astype(np.float32))
                if sum(map(len, held)) >= _SAVED_BLOCK_S * rate:
                    yield np.concatenate(held), rate
                    held = []
    except (av.error.FFmpegError, ValueError):
        pass  # it breaks off here: what came before is what can be saved
    if held:
        yield np.concatenate(held), rate


def _sync(folder: Path) -> None:
    """Have a new name in a folder outlast a power cut, where the system can."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows opens no folders
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)

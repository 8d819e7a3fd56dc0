"""What there is to do: recordings under folders, globs and addresses, and the key of each one's result.

A result is good for as long as nothing that it follows from has changed: the file (path, size, time of last
change) and what listens (:func:`fingerprint`). The four make its key.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from pipeline.errors import AudioError, CryError, SettingsError

if TYPE_CHECKING:
    from pipeline.settings import Settings

    FindRecordings = Callable[[Iterable[Path]], Iterable[tuple[Path, str]]]

# What of the settings a worker has to know; the rest (tokens among it) is none of its business. Where models
# are is told only when it was set: another machine may have them elsewhere.
_HEARING = {
    *("embedder", "yamnet_timeout_s", "detection_threshold", "reason_threshold"),
    *("min_duration_s", "max_duration_s", "max_bytes"),
}
_PLACES = {"yamnet_handle", "artifacts_dir"}
_MODIFIED = ("mtime", "LastModified", "last_modified", "modified", "created")


@dataclass(frozen=True, slots=True)
class Job:
    """A recording to analyse.

    Attributes:
        path: absolute path, or address (``s3://…``).
        name: below the folder it was found in, for people.
        size: bytes; 0 when unknown.
        mtime_ns: time of last change, nanoseconds since 1970 (UTC); 0 when unknown.
    """

    path: str
    name: str
    size: int
    mtime_ns: int

    def key(self, fingerprint: str) -> str:
        """24 hexadecimal digits that change when the file, or what listens to it, does."""
        return _digest([self.path, self.size, self.mtime_ns, fingerprint])[:24]


def gather(inputs: Iterable[str], find_recordings: FindRecordings) -> list[Job]:
    """Recordings of folders, files, globs and addresses, each once, in the order they were named.

    Args:
        inputs: local paths; globs (``nights/*/*.wav``, ``**`` for any depth); fsspec addresses of files,
            folders or globs (``s3://bucket/rooms``).
        find_recordings: how local files and folders are walked: paths to (path, name below its folder).

    Raises:
        CryError: nothing was found, or an address cannot be listed.
    """
    jobs: dict[str, Job] = {}
    for text in inputs:
        found = _at_address(text) if is_address(text) else _local(text, find_recordings)
        for job in found:
            jobs.setdefault(job.path, job)
    if not jobs:
        raise CryError("There is nothing to analyse.", code="nothing-found")
    return list(jobs.values())


def is_address(path: str) -> bool:
    """Whether this names something that fsspec reads, not a local path."""
    return "://" in path


@contextmanager
def opened(path: str) -> Iterator[str | BinaryIO]:
    """What ``CryPipeline.analyze`` takes for a job's path: the path itself, or the open file at an address.

    Raises:
        AudioError: the address cannot be opened (code ``unreadable``).
    """
    if not is_address(path):
        yield path
        return
    try:
        system, inside = _file_system(path)
        file = system.open(inside, "rb")
    except (OSError, ValueError) as error:
        raise AudioError(f"{path}: it cannot be opened ({error}).", "unreadable") from error
    with file:
        yield file


def fingerprint(identity: Mapping[str, Any]) -> str:
    """12 hexadecimal digits that change with anything in what ``pipeline.archive.ears.identify`` gives."""
    return _digest(identity)[:12]


def hearing_settings(settings: Settings) -> dict[str, Any]:
    """What a worker is told of the settings, as plain values."""
    places = settings.model_dump(mode="json", include=_PLACES, exclude_defaults=True)
    return {**settings.model_dump(mode="json", include=_HEARING), **places}


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()


def _local(text: str, find_recordings: FindRecordings) -> Iterator[Job]:
    paths = [Path(text)]
    if not os.path.exists(text) and any(sign in text for sign in "*?["):
        paths = [Path(match) for match in sorted(glob(text, recursive=True))]
        if not paths:
            raise CryError(f"Nothing is called {text}.", code="nothing-found")
    for path, name in find_recordings(paths):
        absolute = os.path.abspath(path)
        try:
            status = os.stat(absolute)
        except OSError:  # analysing it says what is wrong with it
            yield Job(absolute, name, 0, 0)
        else:
            yield Job(absolute, name, status.st_size, status.st_mtime_ns)


def _at_address(url: str) -> Iterator[Job]:
    from pipeline.audio import SUPPORTED_SUFFIXES

    scheme = url.partition("://")[0]
    try:
        system, inside = _file_system(url)
        if any(sign in inside for sign in "*?["):
            base, found = inside.split("*")[0].rpartition("/")[0], system.glob(inside, detail=True)
        elif system.isdir(inside):
            base, found = inside.rstrip("/"), system.find(inside, detail=True)
        else:
            base, found = inside.rpartition("/")[0], {inside: system.info(inside)}
    except (OSError, ValueError) as error:
        raise CryError(f"{url} cannot be listed: {error}", code="unreadable") from error
    for path in sorted(found):
        about, file = found[path], path.rpartition("/")[2]
        if about.get("type", "file") != "file" or file.startswith("."):
            continue
        if not file.lower().endswith(SUPPORTED_SUFFIXES):
            continue
        address = path if is_address(path) else f"{scheme}://{path}"
        name = path.removeprefix(base).lstrip("/")
        yield Job(address, name, int(about.get("size") or 0), _modified_ns(about))


def _file_system(url: str) -> tuple[Any, str]:
    """The fsspec file system of an address, and the path inside it.

    Raises:
        SettingsError: fsspec, or what it needs for this kind of address, is not installed.
    """
    scheme, _, inside = url.partition("://")
    try:
        import fsspec

        if scheme != "s3":
            system, inside = fsspec.core.url_to_fs(url)
            return system, inside
        # pyarrow speaks S3 by itself; s3fs would bring botocore and twenty packages more.
        from fsspec.implementations.arrow import ArrowFSWrapper
        from pyarrow.fs import S3FileSystem
    except ImportError as error:
        raise SettingsError(
            f"{url} cannot be read: {error.name or error} is not installed. Run: pip install 'crylens[ray]', "
            "or install what fsspec asks for."
        ) from error
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return ArrowFSWrapper(S3FileSystem(endpoint_override=endpoint)), inside


def _modified_ns(about: Mapping[str, Any]) -> int:
    for name in _MODIFIED:
        value = about.get(name)
        if isinstance(value, datetime):
            return round(value.timestamp() * 1e6) * 1000
        if isinstance(value, int | float) and not isinstance(value, bool):
            return round(value * 1e6) * 1000
    return 0

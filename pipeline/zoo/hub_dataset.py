"""Data sets of cries from the Hugging Face Hub, as a data folder that ``train NAME --data`` takes.

``mahmudulhasan01/baby_crying_sound`` is the one people use for nine classes. Any data set in the shapes that
:mod:`pipeline.zoo.hub_formats` reads will do, from the Hub or from a folder on disk.

Whom a recording comes from is mostly not said: its group is the donor where the file name is one of
Donate-a-Cry, else the recording alone (files of the very same bytes share one). So with such data the
``donor`` protocol may still have a baby on both sides, and its figures are then too good.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline._cache import default_cache
from pipeline.audio import SUPPORTED_SUFFIXES
from pipeline.errors import DataError
from pipeline.training.data import NOT_STATED, Clip, donor_of, read_manifest, write_manifest
from pipeline.zoo import hub_formats
from pipeline.zoo.base import Progress

NINE_CLASSES = "mahmudulhasan01/baby_crying_sound"
INSTALL = "pip install 'crylens[hub]' (or: pip install huggingface-hub==2.4.0 pyarrow==26.0.1)"
# Labels of such sets that are no cry: they take part in training on reasons only where they are asked for.
NO_CRY = frozenset({"silence", "noise", "laugh", "laughing", "laughter", "not_cry", "no_cry", "background"})
_MARK = "hub.json"  # says what a folder was made from
_RECIPE = "1"  # raise when the same data set gives another folder
_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def fetch(
    data_set: str,
    out: Path | None = None,
    *,
    revision: str | None = None,
    endpoint: str | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """Fetch a data set (or take one from disk) and write it as a data folder with a manifest.

    What the Hub gives is kept in the cache by commit; a folder that was made from the same data set before is
    left as it is. Without a network the last one fetched is used.

    Args:
        data_set: "owner/name" on the Hub, or an existing folder in the same format.
        out: data folder to write; ``hub/<owner>--<name>`` below the cache when None.
        revision: branch, tag or commit; the main branch when None.
        endpoint: another address of the Hub, a mirror for example.
        cache: where downloads are kept; ``~/.cache/crylens`` when None.
        progress: called with (what, done, total).

    Returns:
        ``out``.

    Raises:
        DataError: no such data set, no network and nothing kept, files in another shape, or ``out`` holds
            something else; code "extra-missing" when the extra ``hub`` is not installed.
    """
    place = (cache or default_cache()) / "hub"
    local = Path(data_set).expanduser()
    with _told_what_to_install():
        if local.is_dir():
            source, state, found = local.resolve().name, _state_of(local), local
        else:
            found = _download(data_set, revision, endpoint, place / "downloads")
            source, state = data_set, found.name
        target = (out or place / source.replace("/", "--")).absolute()
        mark = {"data_set": source, "state": state, "recipe": _RECIPE}
        if not _is_from(target, mark):
            _write(found, target, source, mark, progress)
        return target


def load(data_set: str, **options: Any) -> list[Clip]:
    """The clips of a data set; see :func:`fetch` for arguments and errors."""
    return read_manifest(fetch(data_set, **options))


@contextmanager
def _told_what_to_install() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        if missing not in ("huggingface_hub", "pyarrow"):
            raise
        raise DataError(
            f"Data sets of the Hugging Face Hub need {missing}, which is not installed. Run: {INSTALL}",
            "extra-missing",
        ) from error


def _download(data_set: str, revision: str | None, endpoint: str | None, folder: Path) -> Path:
    """The snapshot's folder, named by commit; from the cache where it is there or nothing else can be had."""
    if not _NAME.fullmatch(data_set):
        raise DataError(
            f"{data_set!r} is neither a folder nor a data set's name on the Hub, such as {NINE_CLASSES}.",
            "data-missing",
        )
    from huggingface_hub import errors, snapshot_download

    wanted = [f"*{suffix}" for suffix in SUPPORTED_SUFFIXES]
    wanted += [pattern.upper() for pattern in wanted]
    try:
        return Path(
            snapshot_download(
                data_set,
                repo_type="dataset",
                revision=revision,
                endpoint=endpoint,
                cache_dir=folder,
                allow_patterns=[*wanted, "*.parquet", "README.md", "*metadata.csv", "*metadata.jsonl"],
            )
        )
    except errors.GatedRepoError as error:
        raise DataError(
            f"The data set {data_set} is given only to people who asked its owner: ask on its page on the "
            "Hub, then log in (hf auth login)."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise DataError(
            f"There is no data set {data_set} on the Hub, or it is private (hf auth login).", "data-missing"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise DataError(f"The data set {data_set} has no revision {revision!r}.", "data-missing") from error
    except errors.LocalEntryNotFoundError as error:
        raise DataError(
            f"The data set {data_set} cannot be fetched and is not whole in {folder}: is there a network? "
            f"({_first_line(error)})",
            "data-missing",
        ) from error
    except (errors.HfHubHTTPError, errors.XetDownloadError, OSError) as error:
        raise DataError(f"The data set {data_set} could not be fetched: {_first_line(error)}.") from error


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0]


def _state_of(folder: Path) -> str:
    """A digest of a local folder's file names, sizes and times."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            state = path.stat()
            digest.update(f"{path.relative_to(folder)} {state.st_size} {state.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _is_from(target: Path, mark: dict[str, str]) -> bool:
    """Whether the folder was made from the same data set in the same state.

    Raises:
        DataError: it holds something that was not made here.
    """
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return False
    try:
        return bool(json.loads((target / _MARK).read_text("utf-8")) == mark)
    except (OSError, ValueError):
        raise DataError(
            f"{target} holds something else (no {_MARK}), so nothing is written there; name a new folder."
        ) from None


def _write(found: Path, target: Path, source: str, mark: dict[str, str], progress: Progress | None) -> None:
    """The data folder, whole or not at all."""
    licence = hub_formats.licence_of(found) or NOT_STATED
    total = hub_formats.count(found)
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        rows: dict[str, Clip] = {}
        for number, recording in enumerate(hub_formats.recordings(found), 1):
            path, clip = _clip_of(recording, number, source, licence, rows)
            (staging / path).parent.mkdir(parents=True, exist_ok=True)
            (staging / path).write_bytes(recording.content)
            rows[path] = clip
            if progress:
                progress(source, number, total)
        if not rows:
            raise DataError(f"{found}: the data set holds no recording.", "data-missing")
        write_manifest(staging, rows)
        (staging / _MARK).write_text(json.dumps(mark, indent=2) + "\n", encoding="utf-8")
        if target.exists():
            shutil.rmtree(target)  # an earlier state of the same, see _is_from
        os.replace(staging, target)
    except OSError as error:
        raise DataError(f"{target} cannot be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _clip_of(
    recording: hub_formats.Recording, number: int, source: str, licence: str, taken: dict[str, Clip]
) -> tuple[str, Clip]:
    """Relative path and manifest row of one recording."""
    label = re.sub(r"[^\w]+", "_", recording.label.strip().lower()).strip("_")
    if not label:
        raise DataError(f"The label {recording.label!r} cannot name a folder.")
    digest = hashlib.sha256(recording.content).hexdigest()
    given = Path(recording.name)
    stem = re.sub(r"[^\w.-]+", "_", given.stem).strip("._") or f"{number:05d}"
    suffix = (
        given.suffix.lower() if given.suffix.lower() in SUPPORTED_SUFFIXES else _suffix(recording.content)
    )
    path = f"{label}/{stem}{suffix}"
    if path in taken:
        path = f"{label}/{stem}-{number:05d}{suffix}"
    kind = "not_cry" if label in NO_CRY else "cry"
    group = donor_of(recording.name) or f"clip-{digest[:16]}"
    return path, Clip(Path(path), kind, label, source, group, licence)


def _suffix(content: bytes) -> str:
    """The suffix of sound that came without a file name; WAV, the Hub's own, where it is nothing we know."""
    for start, suffix in ((b"fLaC", ".flac"), (b"OggS", ".ogg"), (b"ID3", ".mp3"), (b"\xff\xfb", ".mp3")):
        if content.startswith(start):
            return suffix
    return ".wav"

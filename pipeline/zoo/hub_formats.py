"""Audio data sets in the two shapes that the Hugging Face Hub keeps them in, read one recording at a time.

``parquet``: files with a column ``audio`` (a struct of ``bytes`` and ``path``) and a column ``label`` (text,
or numbers whose names are in the file's own description, as the ``datasets`` library writes it).
``audiofolder``: sound files in a folder for each label, or beside a ``metadata.csv`` or ``metadata.jsonl``
with ``file_name`` and ``label``. Train, validation and test parts are one: this project makes its own splits,
by group.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.audio import SUPPORTED_SUFFIXES
from pipeline.errors import DataError

_BATCH = 64  # rows in memory at once
_SPLITS = frozenset({"train", "training", "validation", "valid", "val", "dev", "test", "testing", "data"})


@dataclass(frozen=True)
class Recording:
    """One recording as the data set holds it: its label, the name of its file ("" when it has none), its
    bytes."""

    label: str
    name: str
    content: bytes


def recordings(folder: Path) -> Iterator[Recording]:
    """Every recording of a data set's folder, parquet files where there are any, sorted by path.

    Raises:
        DataError: nothing in either shape, or a file or row that cannot be used (named).
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not _hidden(path, folder))
    tables = [path for path in files if path.suffix == ".parquet"]
    if tables:
        for table in tables:
            yield from _rows(table, folder)
        return
    sounds = [path for path in files if path.suffix.lower() in SUPPORTED_SUFFIXES]
    if not sounds:
        kinds = ", ".join(sorted({path.suffix or path.name for path in files})) or "nothing"
        raise DataError(
            f"{folder}: no audio data set in a shape that can be read. Expected .parquet files with the "
            f"columns 'audio' and 'label', or sound files in a folder for each label; found {kinds}."
        )
    labels = _labels_beside(files)
    for sound in sounds:
        label = labels.get(sound) or _label_of_folder(sound, folder)
        yield Recording(label, sound.name, _content(sound))


def count(folder: Path) -> int:
    """How many recordings :func:`recordings` will give, without reading them.

    Raises:
        DataError: a parquet file cannot be read.
    """
    files = [path for path in folder.rglob("*") if path.is_file() and not _hidden(path, folder)]
    tables = [path for path in files if path.suffix == ".parquet"]
    if tables:
        return sum(_open(table).metadata.num_rows for table in tables)
    return sum(path.suffix.lower() in SUPPORTED_SUFFIXES for path in files)


def licence_of(folder: Path) -> str | None:
    """The licence that the data set's card states, or None."""
    import yaml

    card = folder / "README.md"
    if not card.is_file():
        return None
    parts = card.read_text("utf-8", errors="replace").split("---\n", 2)
    if len(parts) < 3 or parts[0].strip():
        return None
    try:
        head = yaml.safe_load(parts[1])
    except yaml.YAMLError:
        return None
    stated = head.get("license") if isinstance(head, dict) else None
    return ", ".join(stated) if isinstance(stated, list) else stated and str(stated)


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: it cannot be read ({error.strerror or error}).") from error


def _open(table: Path) -> Any:
    """A parquet file.

    Raises:
        DataError: it is none.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        return parquet.ParquetFile(table)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(
            f"{table}: it is not a parquet file that can be read ({error}). Fetch it again."
        ) from error


def _rows(table: Path, folder: Path) -> Iterator[Recording]:
    """Recordings of one parquet file."""
    import pyarrow

    file = _open(table)
    names = _class_names(file.schema_arrow, table)
    number = 0
    try:
        for batch in file.iter_batches(batch_size=_BATCH, columns=["audio", "label"]):
            for row in batch.to_pylist():
                number += 1
                yield _recording(row, names, f"{table.name}, row {number}", folder)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{table}: it breaks off after row {number} ({error}). Fetch it again.") from error


def _class_names(schema: Any, table: Path) -> list[str] | None:
    """Names of numbered labels; None for labels that are text.

    Raises:
        DataError: a column is missing or of another type, or the numbers have no names.
    """
    import pyarrow

    columns = dict(zip(schema.names, schema.types, strict=True))
    audio, label = columns.get("audio"), columns.get("label")
    if audio is None or label is None:
        raise DataError(
            f"{table}: the columns 'audio' and 'label' are needed; found {', '.join(columns) or 'none'}."
        )
    fields = (
        {audio.field(i).name for i in range(audio.num_fields)} if pyarrow.types.is_struct(audio) else set()
    )
    if not fields >= {"bytes", "path"}:
        raise DataError(f"{table}: 'audio' is to be a struct of bytes and path, not {audio}.")
    if pyarrow.types.is_string(label) or pyarrow.types.is_large_string(label):
        return None
    described = (schema.metadata or {}).get(b"huggingface")
    try:
        names = json.loads(described or b"{}")["info"]["features"]["label"]["names"]
    except (ValueError, KeyError, TypeError):
        names = None
    if not isinstance(names, list) or not pyarrow.types.is_integer(label):
        raise DataError(f"{table}: 'label' is of type {label} and the file does not name its classes.")
    return [str(name) for name in names]


def _recording(row: Mapping[str, Any], names: list[str] | None, where: str, folder: Path) -> Recording:
    """One row, checked."""
    audio, label = row["audio"] or {}, row["label"]
    if names is not None:
        if label is None or not 0 <= label < len(names):
            raise DataError(f"{where}: the label {label} is none of 0 … {len(names) - 1}.")
        label = names[label]
    if not label:
        raise DataError(f"{where}: it has no label.")
    path, content = audio.get("path") or "", audio.get("bytes")
    if content is None:
        inside = PurePosixPath(path)
        if not path or inside.is_absolute() or ".." in inside.parts or not (folder / inside).is_file():
            raise DataError(f"{where}: it holds no sound, and names no file of the data set ({path!r}).")
        content = _content(folder / inside)
    return Recording(label, PurePosixPath(path.replace("\\", "/")).name, content)


def _labels_beside(files: list[Path]) -> dict[Path, str]:
    """Labels that metadata files give to sound files."""
    labels = {}
    for file in files:
        if file.name not in ("metadata.csv", "metadata.jsonl"):
            continue
        try:
            text = file.read_text("utf-8-sig")
            rows = (
                list(csv.DictReader(text.splitlines()))
                if file.suffix == ".csv"
                else [json.loads(line) for line in text.splitlines() if line.strip()]
            )
            labels.update(
                {file.parent / row["file_name"]: str(row["label"]) for row in rows if row.get("label")}
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
            raise DataError(f"{file}: it is not a table of file_name and label ({error!r}).") from error
    return labels


def _label_of_folder(sound: Path, folder: Path) -> str:
    """The nearest folder's name.

    Raises:
        DataError: the file is in no folder of a label.
    """
    parts = sound.relative_to(folder).parts[:-1]
    if not parts or (len(parts) == 1 and parts[0].lower() in _SPLITS):
        raise DataError(f"{sound}: it is in no folder that names its label, and no metadata file does.")
    return parts[-1]

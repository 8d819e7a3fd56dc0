"""All results of a run as files for other programs, written recording by recording: memory stays flat.

Two tables, ``files`` and ``episodes``, as Parquet and CSV, with the same columns; label tracks for Audacity,
a selection table for Raven, RTTM and JSON lines. Times of day are those of the place of recording
(``pipeline/archive/started.py``), without a time zone.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args
from uuid import uuid4

from pipeline import formats
from pipeline.archive.plan import Job
from pipeline.archive.started import started
from pipeline.archive.store import Store
from pipeline.errors import SettingsError

if TYPE_CHECKING:
    import pyarrow as pa

Format: TypeAlias = Literal["parquet", "csv", "jsonl", "audacity", "raven", "rttm"]
FORMATS: tuple[Format, ...] = get_args(Format)

Result: TypeAlias = tuple[Job, dict[str, Any]]
Row: TypeAlias = dict[str, Any]
# Gives all results, in the order the recordings were named, as often as it is called.
Results: TypeAlias = Callable[[], Iterator[Result]]

_ROWS_AT_ONCE = 20_000
_FILES = {
    "path": "text",
    "name": "text",
    "bytes": "whole",
    "modified_at": "utc",
    "started_at": "wall",
    "started_from": "text",
    "duration_s": "number",
    "is_cry": "flag",
    "cry_probability": "number",
    "threshold": "number",
    "embedder": "text",
    "episodes": "whole",
    "crying_s": "number",
    "reason": "text",
    "reason_threshold": "number",
}
_FILES_LAST = {
    "warnings": "text",
    "error": "text",
    "error_code": "text",
    "took_s": "number",
    "result": "text",
}
_EPISODES = {
    "path": "text",
    "name": "text",
    "episode": "whole",
    "start_s": "number",
    "end_s": "number",
    "length_s": "number",
    "peak": "number",
    "mean": "number",
    "started_at": "wall",
    "ended_at": "wall",
}


def results_of(jobs: Sequence[Job], store: Store) -> Results:
    """The results of these recordings, read as they are needed; those not done yet are left out."""

    def read() -> Iterator[Result]:
        for job in jobs:
            found = store.read(job)
            if found is not None:
                yield job, found

    return read


def write(
    results: Results, store: Store, wanted: Iterable[Format], *, reason_names: Sequence[str]
) -> list[Path]:
    """Write the files that are wanted into the results folder, each replaced as a whole.

    Args:
        reason_names: reasons that get a ``probability_<reason>`` column.

    Returns:
        What was written.

    Raises:
        SettingsError: a file cannot be written.
    """
    files = {**_FILES, **{f"probability_{name}": "number" for name in reason_names}, **_FILES_LAST}
    tables = {
        "files": (files, lambda: (_file_row(job, found, store) for job, found in results())),
        "episodes": (
            _EPISODES,
            lambda: (row for job, found in results() for row in episode_rows(job, found)),
        ),
    }
    texts = {
        "jsonl": ("files.jsonl", formats.json_lines),
        "raven": ("episodes.raven.txt", formats.raven_table),
        "rttm": ("episodes.rttm", formats.rttm_lines),
    }
    written: list[Path] = []
    try:
        for one in wanted:
            if one == "audacity":
                written.append(_write_labels(results, store))
            elif one in texts:
                name, writer = texts[one]
                written.append(
                    _write_text(writer(found for _, found in results()), store.folder / name, store)
                )
            for name, (columns, rows) in tables.items() if one in ("parquet", "csv") else ():
                target = store.folder / f"{name}.{one}"
                if one == "csv":
                    _write_text(formats.csv_table(list(columns), rows()), target, store)
                else:
                    _write_parquet(columns, rows(), target, store)
                written.append(target)
    except OSError as error:
        raise SettingsError(f"{store.folder} cannot be written: {error.strerror or error}.") from error
    return written


def episode_rows(job: Job, found: Mapping[str, Any]) -> Iterator[Row]:
    """One row per episode of a result."""
    begun = started(job, found["duration_s"])
    for number, episode in enumerate(found["episodes"], 1):
        start_s, end_s = episode["start_s"], episode["end_s"]
        yield {
            "path": found["path"],
            "name": job.name,
            "episode": number,
            "start_s": start_s,
            "end_s": end_s,
            "length_s": round(end_s - start_s, 3),
            "peak": episode["peak"],
            "mean": episode["mean"],
            "started_at": begun.at + timedelta(seconds=start_s) if begun else None,
            "ended_at": begun.at + timedelta(seconds=end_s) if begun else None,
        }


def _file_row(job: Job, found: Mapping[str, Any], store: Store) -> Row:
    begun, reasons, bad = (
        started(job, found["duration_s"]),
        found["reasons"] or {},
        found["error"] is not None,
    )
    modified = datetime.fromtimestamp(job.mtime_ns / 1e9, UTC) if job.mtime_ns else None
    probabilities = {f"probability_{name}": value for name, value in reasons.get("probabilities", {}).items()}
    same = ("path", "duration_s", "is_cry", "cry_probability", "threshold", "embedder", "error")
    return {
        **{name: found[name] for name in same},
        "name": job.name,
        "bytes": job.size,
        "modified_at": modified,
        "started_at": begun.at if begun else None,
        "started_from": begun.source if begun else None,
        "episodes": None if bad else len(found["episodes"]),
        "crying_s": None if bad else round(formats.crying_s(found), 3),
        "reason": (reasons["label"] or "not sure") if reasons else None,
        "reason_threshold": reasons.get("threshold"),
        **probabilities,
        "warnings": " ".join(found["warnings"]) or None,
        "error_code": found["archive"]["code"],
        "took_s": found["archive"]["took_s"],
        "result": store.path(job).relative_to(store.folder).as_posix(),
    }


def _write_text(chunks: Iterable[str], target: Path, store: Store) -> Path:
    with store.writing(target) as file:
        for chunk in chunks:
            file.write(chunk)
    return target


def _write_parquet(columns: Mapping[str, str], rows: Iterator[Row], target: Path, store: Store) -> None:
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    schema = pa.schema([(name, _arrow_type(kind)) for name, kind in columns.items()])
    with (
        store.writing(target, binary=True) as file,
        ParquetWriter(file, schema, compression="zstd") as writer,
    ):
        while some := [_as_text(row) for row in islice(rows, _ROWS_AT_ONCE)]:
            writer.write_table(pa.Table.from_pylist(some, schema))


def _as_text(row: Row) -> Row:
    """File names need not be valid text; what is not is shown escaped, as in the other formats."""
    return {
        name: value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
        for name, value in row.items()
    }


def _arrow_type(kind: str) -> pa.DataType:
    import pyarrow as pa

    types = {
        "text": pa.string(),
        "number": pa.float64(),
        "whole": pa.int64(),
        "flag": pa.bool_(),
        "wall": pa.timestamp("us"),
        "utc": pa.timestamp("us", "UTC"),
    }
    return types[kind]


def _write_labels(results: Results, store: Store) -> Path:
    """``labels/<name of the recording>.txt`` for each with crying in it; replaces the folder as a whole."""
    folder = store.folder / "labels"
    fresh, old = store.partial / uuid4().hex, store.partial / uuid4().hex
    fresh.mkdir()
    for job, found in results():
        if not found["episodes"]:
            continue
        target = _free(fresh.joinpath(*_inside(job.name)))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("".join(formats.audacity_labels([found])), "utf-8")
    if folder.exists():
        os.replace(folder, old)
    os.replace(fresh, folder)
    shutil.rmtree(old, ignore_errors=True)
    return folder


def _inside(name: str) -> list[str]:
    """The parts of a recording's name as a path that stays inside a folder, whatever was named."""
    return [part for part in PurePosixPath(name).parts if part not in ("..", "/")]


def _free(path: Path) -> Path:
    """``<path>.txt``, or with a number where that is taken: two folders may hold recordings of one name."""
    target, number = Path(f"{path}.txt"), 1
    while target.exists():
        number += 1
        target = Path(f"{path}.{number}.txt")
    return target

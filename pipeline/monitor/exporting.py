"""The history as files for other programs, and back."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args
from uuid import uuid4

from pipeline import formats
from pipeline.errors import SettingsError
from pipeline.monitor.models import HISTORY, Base, UtcDateTime
from pipeline.monitor.store import Row, Store, StoreError

Format: TypeAlias = Literal["jsonl", "csv", "parquet"]
FORMATS: tuple[Format, ...] = get_args(Format)
_ORDER = {
    "coverage": "started_at",
    "episodes": "started_at",
    "health": "at",
    "alerts": "at",
    "deliveries": "at",
    "minutes": "started_at",
    "kept_sounds": "started_at",
    "marks": "at",
}
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def text_of(rows: Iterable[Row], table: type[Base], format: Literal["jsonl", "csv"]) -> Iterator[str]:
    """Rows as text, a line at a time; times as ISO 8601 in UTC, reasons as JSON."""
    plain = (_plain(row) for row in rows)
    if format == "jsonl":
        return formats.json_lines(plain)
    columns = [column.name for column in table.__table__.columns]
    return formats.csv_table(columns, ({**row, **_as_json(row)} for row in plain), exact=True)


def export(store: Store, folder: Path, format: Format) -> dict[Path, int]:
    """Write each table of the history as a file in ``folder``, each replaced as a whole.

    Returns:
        The files, with the rows in each.

    Raises:
        StoreError: the history cannot be read.
        SettingsError: the folder cannot be written.
    """
    written: dict[Path, int] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for table in HISTORY:
            name = table.__tablename__
            rows = store.rows(table, order_by=_ORDER[name])
            target = folder / f"{name}.{format}"
            partial = folder / f".{name}.{uuid4().hex}"
            try:
                if format == "parquet":
                    _write_parquet(rows, table, partial)
                else:
                    with partial.open("w", encoding="utf-8", newline="") as file:
                        file.writelines(text_of(rows, table, format))
                os.replace(partial, target)
            finally:
                partial.unlink(missing_ok=True)
            written[target] = len(rows)
    except OSError as error:
        raise SettingsError(f"{folder} cannot be written: {error.strerror or error}.") from error
    return written


def load(store: Store, folder: Path) -> dict[str, int]:
    """Put what :func:`export` wrote into a history; rows that are there already are replaced.

    Returns:
        Rows read, by table.

    Raises:
        SettingsError: no such files, or something in them is no row of a history; nothing is taken in then.
        StoreError: the history cannot be written.
    """
    found: list[tuple[type[Base], list[Row]]] = []
    for table in HISTORY:
        name = table.__tablename__
        files = [folder / f"{name}.{format}" for format in FORMATS if (folder / f"{name}.{format}").is_file()]
        if len(files) > 1:
            raise SettingsError(f"{folder} holds {name} twice ({files[0].name}, {files[1].name}): keep one.")
        if files:
            found.append((table, [_row(table, row, files[0]) for row in _read(files[0])]))
    if not found:
        raise SettingsError(f"{folder} holds no history: files called {', '.join(_ORDER)} are read.")
    try:
        store.write((table, row) for table, rows in found for row in rows)
    except StoreError as error:
        if "foreign key" in str(error).lower():
            raise SettingsError(
                f"{folder} holds rows without those that they belong to (episodes without their coverage, "
                "deliveries without their alert, sound without its episode): import the files together."
            ) from error
        raise
    return {table.__tablename__: len(rows) for table, rows in found}


def _plain(row: Row) -> dict[str, Any]:
    return {
        name: value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value
        for name, value in row.items()
    }


def _as_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """Cells of a flat table for what is nested."""
    nested = {name: value for name, value in row.items() if isinstance(value, dict)}
    return {name: json.dumps(value, ensure_ascii=False) for name, value in nested.items()}


def _write_parquet(rows: list[Row], table: type[Base], target: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    kinds = {"String": pa.string(), "Double": pa.float64(), "Float": pa.float64(), "JSON": pa.string()}
    kinds |= {"Integer": pa.int64(), "UtcDateTime": pa.timestamp("us", "UTC")}
    schema = pa.schema([(c.name, kinds[type(c.type).__name__]) for c in table.__table__.columns])
    flat = pa.Table.from_pylist([row | _as_json(row) for row in rows], schema)
    parquet.write_table(flat, target, compression="zstd")


def _read(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        if path.suffix == ".parquet":
            from pyarrow import ArrowInvalid, parquet

            try:
                yield from parquet.read_table(path).to_pylist()
            except ArrowInvalid as error:
                raise SettingsError(f"{path} cannot be read: {error}.") from error
            return
        with path.open(encoding="utf-8", newline="") as file:
            if path.suffix == ".csv":
                yield from csv.DictReader(file)
            else:
                yield from (json.loads(line) for line in file if line.strip())
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} cannot be read: {error}.") from error


def _row(table: type[Base], given: Mapping[str, Any], path: Path) -> Row:
    """A row with the columns of its table and their types."""
    row: Row = {}
    for column in table.__table__.columns:
        value = given.get(column.name)
        try:
            row[column.name] = None if value in (None, "") else _value(column.type, value)
        except (TypeError, ValueError) as error:
            raise SettingsError(f"{path}: {column.name} cannot be {value!r} ({error}).") from error
        if row[column.name] is None and not column.nullable:
            if type(column.type).__name__ != "String" or value is None:
                raise SettingsError(f"{path}: a row has no {column.name}; {sorted(given)} were found.")
            row[column.name] = ""
    return row


def _value(kind: Any, value: Any) -> Any:
    if isinstance(kind, UtcDateTime):
        time = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        if time.tzinfo is None:
            raise ValueError("it has no time zone")
        return time
    name = type(kind).__name__
    if name == "JSON":
        return json.loads(value) if isinstance(value, str) else value
    if name in ("Double", "Float"):
        return float(value)
    if name == "Integer":
        return int(value)
    text = str(value)
    # Written with an apostrophe in front, so that no spreadsheet runs it.
    return text[1:] if text[:1] == "'" and text[1:2] in _FORMULA_STARTS else text

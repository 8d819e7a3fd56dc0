"""A history in a file: SQLite in WAL, one writer by a lock file, and as many readers as there are."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from pipeline.monitor.store import READING, StoreError

_HINTS = {
    "full": "Make room on that disk.",
    "not a database": "Name another file.",
    "readonly": "Its file or folder may not be written by this user.",
    "malformed": "Restore it from a copy.",
    "locked": "Another program holds it.",
}


class SqliteDatabase:
    """A file; see :class:`pipeline.monitor.store.Database`."""

    def __init__(self, path: Path, *, reading: bool) -> None:
        self.name = str(path)
        self.engine = _engine(path, reading=reading)
        self._path = path
        self._lock: FileLock | None = None

    def exists(self) -> bool:
        return self._path.is_file()

    def take(self) -> None:
        if not self._path.parent.is_dir():
            raise StoreError(
                f"The history {self.name} cannot be made: there is no folder {self._path.parent}."
            )
        self._lock = FileLock(f"{self.name}.lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise StoreError(
                f"The history {self.name} is being written by another monitor. Name several rooms to one "
                "monitor, or give this one its own --store.",
                "store-in-use",
            ) from None
        except OSError as error:
            raise StoreError(
                f"The history {self.name} cannot be written: {error.strerror or error}."
            ) from error

    def writing(self) -> AbstractContextManager[Connection]:
        return self.engine.begin()

    def close(self) -> None:
        self.engine.dispose()
        if self._lock is not None:
            self._lock.release()

    def told(self, error: DBAPIError) -> str:
        said = str(error.orig)
        hint = next((hint for word, hint in _HINTS.items() if word in said), "Is its disk full or gone?")
        return f"The history {self.name} cannot be used: {said}. {hint}"


def _engine(path: Path, *, reading: bool) -> Engine:
    engine = create_engine(URL.create("sqlite", database=str(path)), connect_args={"timeout": 10})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, record: object) -> None:
        del record
        # Python would begin transactions late and leave changes of the layout out of them; see begin below.
        connection.isolation_level = None
        cursor = connection.cursor()
        if reading:
            cursor.execute("PRAGMA query_only = ON")
        else:
            cursor.execute("PRAGMA journal_mode = WAL")
            # What was committed outlasts a power cut too; at one commit a second it costs little.
            cursor.execute("PRAGMA synchronous = FULL")
            cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        only_reads = reading or READING in connection.get_execution_options()
        connection.exec_driver_sql("BEGIN" if only_reads else "BEGIN IMMEDIATE")

    return engine

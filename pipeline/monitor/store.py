"""The history on disk: SQLite in WAL, one writer, and as many readers as there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from filelock import FileLock, Timeout
from sqlalchemy import ColumnElement, Connection, Engine, create_engine, event, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError

from pipeline.errors import CryError
from pipeline.monitor.models import Base, Coverage, EpisodeRow

Row = dict[str, Any]


class StoreError(CryError):
    """The history cannot be opened, read or written."""

    default_code = "store-unusable"


class Store:
    """A history that is open. Use it as a context manager, or close it."""

    def __init__(self, engine: Engine, path: Path, lock: FileLock | None) -> None:
        """Most callers want :func:`open_store` or :func:`read_store`."""
        self.engine = engine
        self.path = path
        self._lock = lock

    def write(self, rows: Iterable[tuple[type[Base], Mapping[str, Any]]]) -> None:
        """Put rows in, or over those with their key, all or none of them; on the disk when this returns.

        Raises:
            StoreError: they could not be written (disk full, no permission); nothing of them is.
        """
        try:
            with self.engine.begin() as connection:
                for table, row in rows:
                    keys = [column.name for column in table.__table__.primary_key]
                    rest = {name: value for name, value in row.items() if name not in keys}
                    put = insert(table).values(**row).on_conflict_do_update(index_elements=keys, set_=rest)
                    connection.execute(put)
        except DatabaseError as error:
            raise StoreError(_told(self.path, error)) from error

    def rows(
        self, table: type[Base], *, order_by: str | None = None, where: ColumnElement[bool] | None = None
    ) -> list[Row]:
        """Rows of a table as plain values: all, or those that fulfil a condition.

        Raises:
            StoreError: it cannot be read.
        """
        columns = table.__table__.columns
        query = select(table.__table__)
        if where is not None:
            query = query.where(where)
        if order_by:
            query = query.order_by(columns[order_by], *table.__table__.primary_key)
        try:
            with self.engine.connect() as connection:
                return [dict(row) for row in connection.execute(query).mappings()]
        except DatabaseError as error:
            raise StoreError(_told(self.path, error)) from error

    def close(self) -> None:
        """Let go of it; another process may write then."""
        self.engine.dispose()
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_store(url: str) -> Store:
    """Open a history to write: made where there is none, brought to the newest layout, and mended.

    What a monitor that was killed left open is closed, as "interrupted", where it was last written.

    Args:
        url: ``sqlite:///path`` or a path.

    Raises:
        StoreError: another monitor writes there, it is no history, or it cannot be written.
    """
    path = _path(url)
    if not path.parent.is_dir():
        raise StoreError(f"The history {path} cannot be made: there is no folder {path.parent}.")
    lock = FileLock(f"{path}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise StoreError(
            f"The history {path} is being written by another monitor. Name several rooms to one monitor, or "
            "give this one its own --store.",
            "store-in-use",
        ) from None
    except OSError as error:
        raise StoreError(f"The history {path} cannot be written: {error.strerror or error}.") from error
    store = Store(_engine(path), path, lock)
    try:
        with store.engine.begin() as connection:
            config = _alembic()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            for table in (Coverage, EpisodeRow):
                connection.execute(update(table).where(table.state == "open").values(state="interrupted"))
    except DatabaseError as error:
        store.close()
        raise StoreError(_told(path, error)) from error
    return store


def read_store(url: str) -> Store:
    """Open a history that is there to read; a monitor may go on writing it.

    Raises:
        StoreError: there is none, it is none, or it has another layout than this version knows.
    """
    return _open_existing(url, reading=True)


def mark_store(url: str) -> Store:
    """Open a history that is there to put marks into it, and nothing else, while a monitor goes on writing.

    Raises:
        StoreError: as of :func:`read_store`.
    """
    return _open_existing(url, reading=False)


def _open_existing(url: str, *, reading: bool) -> Store:
    path = _path(url)
    if not path.is_file():
        raise StoreError(f"There is no history at {path}. A monitor makes it: crylens monitor --store {url}")
    store = Store(_engine(path, reading=reading), path, None)
    try:
        with store.engine.connect() as connection:
            found = MigrationContext.configure(connection).get_current_revision()
    except DatabaseError as error:
        store.close()
        raise StoreError(_told(path, error)) from error
    newest = ScriptDirectory.from_config(_alembic()).get_current_head()
    if found != newest:
        store.close()
        raise StoreError(
            f"The history {path} has layout {found or 'none'}; this version reads {newest}. Start a "
            "monitor of this version on it once: older layouts are brought up to date."
        )
    return store


def _path(url: str) -> Path:
    if "://" not in url and not url.startswith("sqlite:"):
        return Path(url)
    try:
        parsed = make_url(url)
    except ArgumentError:
        parsed = URL.create("unknown")
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        raise StoreError(f"'{url}' is no place for a history: write sqlite:///PATH, or a path.")
    return Path(parsed.database)


def _engine(path: Path, *, reading: bool = False) -> Engine:
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
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def _alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", "pipeline.monitor:migrations")
    return config


def _told(path: Path, error: DatabaseError) -> str:
    said = str(error.orig)
    hints = {
        "full": "Make room on that disk.",
        "not a database": "Name another file.",
        "readonly": "Its file or folder may not be written by this user.",
        "malformed": "Restore it from a copy.",
        "locked": "Another program holds it.",
    }
    hint = next((hint for word, hint in hints.items() if word in said), "Is its disk full or gone?")
    return f"The history {path} cannot be used: {said}. {hint}"

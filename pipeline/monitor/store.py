"""The history: one writer, and as many readers as there are, in SQLite or PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import ColumnElement, Connection, Engine, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from pipeline.errors import CryError
from pipeline.monitor.models import Base, Coverage, EpisodeRow
from pipeline.monitor.sources import printable_address

READING = "reading"
"""Option of a connection that writes nothing: it waits for no writer."""
Row = dict[str, Any]


class StoreError(CryError):
    """The history cannot be opened, read or written."""

    default_code = "store-unusable"


class Database(Protocol):
    """What differs from one kind of database to the other.

    Attributes:
        name: for people; never holds a password.
        engine: for reading.
    """

    name: str
    engine: Engine

    def exists(self) -> bool:
        """Whether something is there."""
        ...

    def take(self) -> None:
        """Become its one writer; until :meth:`close`, or until this process ends.

        Raises:
            StoreError: another one is, or it cannot be reached.
        """
        ...

    def writing(self) -> AbstractContextManager[Connection]:
        """A transaction that writes; raises StoreError where this is no longer the writer."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...

    def told(self, error: DBAPIError) -> str:
        """An error in words."""
        ...


class Store:
    """A history that is open. Use it as a context manager, or close it.

    Attributes:
        name: where it is, for people; never holds a password.
    """

    def __init__(self, database: Database) -> None:
        """Most callers want :func:`open_store` or :func:`read_store`."""
        self.name, self.engine = database.name, database.engine
        self._database = database

    def write(self, rows: Iterable[tuple[type[Base], Mapping[str, Any]]]) -> None:
        """Put rows in, or over those with their key, all or none of them; on the disk when this returns.

        Raises:
            StoreError: they could not be written (disk full, no permission); nothing of them is.
        """
        insert = postgresql.insert if self.engine.dialect.name == "postgresql" else sqlite.insert
        try:
            with self._database.writing() as connection:
                for table, row in rows:
                    row = {name: _without_nul(value) for name, value in row.items()}
                    keys = [column.name for column in table.__table__.primary_key]
                    rest = {name: value for name, value in row.items() if name not in keys}
                    put = insert(table).values(**row).on_conflict_do_update(index_elements=keys, set_=rest)
                    connection.execute(put)
        except DBAPIError as error:
            raise StoreError(self._database.told(error)) from error

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
            with self.engine.connect().execution_options(**{READING: True}) as connection:
                return [dict(row) for row in connection.execute(query).mappings()]
        except DBAPIError as error:
            raise StoreError(self._database.told(error)) from error

    def close(self) -> None:
        """Let go of it; another process may write then."""
        self._database.close()

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
        url: a path, ``sqlite:///path`` or ``postgresql://user@host/database``.

    Raises:
        StoreError: another monitor writes there, it is no history, or it cannot be written.
    """
    database = _database(url)
    try:
        database.take()
        with database.writing() as connection:
            config = _alembic()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            for table in (Coverage, EpisodeRow):
                connection.execute(update(table).where(table.state == "open").values(state="interrupted"))
    except DBAPIError as error:
        database.close()
        raise StoreError(database.told(error)) from error
    except StoreError:
        database.close()
        raise
    return Store(database)


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
    database = _database(url, reading=reading)
    found = None
    if database.exists():
        try:
            with database.engine.connect().execution_options(**{READING: True}) as connection:
                found = MigrationContext.configure(connection).get_current_revision()
        except DBAPIError as error:
            database.close()
            raise StoreError(database.told(error)) from error
    newest = ScriptDirectory.from_config(_alembic()).get_current_head()
    if found == newest:
        return Store(database)
    database.close()
    if found is None:
        raise StoreError(
            f"There is no history at {database.name}. A monitor makes it: crylens monitor --store …"
        )
    raise StoreError(
        f"The history {database.name} has layout {found}; this version reads {newest}. Start a monitor of "
        "this version on it once: older layouts are brought up to date."
    )


def _database(url: str, *, reading: bool = False) -> Database:
    """The database that an address means.

    Raises:
        StoreError: none can be meant by it.
    """
    from pipeline.monitor.sqlite import SqliteDatabase

    if "://" not in url and not url.startswith("sqlite:"):
        return SqliteDatabase(Path(url), reading=reading)
    try:
        parsed = make_url(url.replace("postgres://", "postgresql://", 1))
    except (ArgumentError, ValueError):  # its words would hold the password
        parsed = URL.create("unknown")
    kind = parsed.drivername.partition("+")[0]
    if kind == "postgresql" and parsed.database:
        from pipeline.monitor.postgres import PostgresDatabase

        return PostgresDatabase(parsed, reading=reading)
    if kind == "sqlite" and parsed.database and parsed.database != ":memory:":
        return SqliteDatabase(Path(parsed.database), reading=reading)
    raise StoreError(
        f"'{printable_address(url)}' is no place for a history: write a path, sqlite:///PATH or "
        "postgresql://USER@HOST/DATABASE."
    )


def _without_nul(value: Any) -> Any:
    """PostgreSQL keeps no such character in a text; nobody misses it."""
    return value.replace("\0", "") if isinstance(value, str) else value


def _alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", "pipeline.monitor:migrations")
    return config

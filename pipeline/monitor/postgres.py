"""A history on a PostgreSQL server: one writer by an advisory lock, and as many readers as there are."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from pipeline.monitor.store import StoreError

# Ours among all advisory locks of a database; with it, the schema that the tables are in.
_LOCK = 0x0C41_1E45
_CONNECT_S = 10
# A server or a network that is gone is noticed within a minute, from either side: a writer without power no
# longer holds the lock, and no write waits for ever.
_CLIENT = {
    "connect_timeout": _CONNECT_S,
    "keepalives_idle": 20,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
    "application_name": "crylens",
}
_SERVER = {
    "TimeZone": "UTC",
    "statement_timeout": "30s",
    "lock_timeout": "10s",
    "tcp_keepalives_idle": "20",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}
_HINTS = {
    "authentication failed": "Check its user and password.",
    "no password supplied": "Give it in the address, or in ~/.pgpass.",
    "does not exist": "Make it first (createdb), or name another.",
    "permission denied": "Its user may not do that: grant it.",
    "refused": "Does the server run there?",
    "resolve": "Is that its name?",
    "read-only": "Name the server that takes writes.",
    "No space left": "Make room on the server's disk.",
    "could not extend": "Make room on the server's disk.",
}


class PostgresDatabase:
    """A database on a server; see :class:`pipeline.monitor.store.Database`."""

    def __init__(self, url: URL, *, reading: bool) -> None:
        # Neither user, nor password, nor options (which may hold one) are ever shown.
        shown = URL.create("postgresql", host=url.host, port=url.port, database=url.database)
        self.name = shown.render_as_string()
        server = _SERVER | ({"default_transaction_read_only": "on"} if reading else {})
        own, *_ = [*_texts(url, "options"), ""]
        self.engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            poolclass=NullPool,  # a connection that was made before the server restarted is of no use
            connect_args={
                **_CLIENT,
                "options": " ".join([*(f"-c {name}={value}" for name, value in server.items()), own]),
            },
        )
        self._taken = False
        self._writer: Connection | None = None
        self._one = threading.Lock()

    def exists(self) -> bool:
        return True  # what it holds is seen on the way

    def take(self) -> None:
        with self._one:
            self._taken = True
            try:
                self._connected()
            except DBAPIError as error:
                raise StoreError(self.told(error)) from error

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        if not self._taken:  # a mark
            with self.engine.begin() as connection:
                yield connection
            return
        # Written on the connection that holds the lock: where one is lost, so is the other, and nothing is
        # written beside another monitor.
        with self._one:
            connection = self._connected()
            try:
                with connection.begin():
                    yield connection
            except DBAPIError:
                if connection.invalidated:
                    self._let_go()
                raise

    def close(self) -> None:
        with self._one:
            self._let_go()
        self.engine.dispose()

    def told(self, error: DBAPIError) -> str:
        said = " ".join(str(error.orig).split())
        hint = next((hint for word, hint in _HINTS.items() if word in said), "Is the server well?")
        return f"The history {self.name} cannot be used: {said}. {hint}"

    def _connected(self) -> Connection:
        """The connection that holds the lock, made anew where it was lost.

        Raises:
            DBAPIError: the server cannot be reached.
            StoreError: another monitor has taken the lock.
        """
        if self._writer is not None:
            return self._writer
        connection = self.engine.connect()
        taken = connection.scalar(
            text("SELECT pg_try_advisory_lock(:lock, hashtext(current_schema()))"), {"lock": _LOCK}
        )
        connection.commit()
        if not taken:
            connection.close()
            raise StoreError(
                f"The history {self.name} is being written by another monitor. Name several rooms to one "
                "monitor, or give this one its own --store.",
                "store-in-use",
            )
        self._writer = connection
        return connection

    def _let_go(self) -> None:
        connection, self._writer = self._writer, None
        if connection is not None:
            with suppress(DBAPIError):  # it was lost already
                connection.close()


def _texts(url: URL, name: str) -> list[str]:
    value = url.query.get(name, ())
    return [value] if isinstance(value, str) else list(value)

"""A history on a real PostgreSQL server is as one in a file."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from histories import everything, rows
from listening import Monitor, crylens
from postgres_server import PASSWORD, PostgresServer, programs

from pipeline.monitor.clock import SystemClock
from pipeline.monitor.exporting import FORMATS, export, load
from pipeline.monitor.journal import Journal
from pipeline.monitor.marks import put_mark, starred
from pipeline.monitor.models import Base, Coverage, EpisodeRow, Health, Mark, Minute
from pipeline.monitor.store import StoreError, open_store, read_store

Start = Callable[..., Monitor]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    where = programs()
    if where is None:
        pytest.skip("PostgreSQL is not installed")
    with PostgresServer(where) as server:
        yield server


@pytest.fixture
def url(server: PostgresServer, request: pytest.FixtureRequest) -> str:
    """Of a database that is empty."""
    name = f"h{abs(hash(request.node.name))}"
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')  # type: ignore[arg-type]
    return server.url(name)


def test_it_holds_what_a_file_holds(url: str, tmp_path: Path) -> None:
    with open_store(url) as served, open_store(str(tmp_path / "h.db")) as file:
        for store in (served, file):
            store.write(rows())
            store.write(rows())  # in place of those with their key
        assert everything(served) == everything(file)
        with served.engine.connect() as connection:
            assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
        with psycopg.connect(url) as connection:
            (kind,) = connection.execute("SELECT pg_typeof(started_at)::text FROM minutes").fetchone() or (
                "",
            )
        assert kind == "timestamp with time zone"


@pytest.mark.parametrize("format", FORMATS)
def test_a_history_moves_from_a_file_to_a_server_and_back(url: str, tmp_path: Path, format: str) -> None:
    with open_store(url) as served, open_store(str(tmp_path / "a.db")) as one:
        one.write(rows())
        export(one, tmp_path / "out", format)  # type: ignore[arg-type]
        load(served, tmp_path / "out")
        assert everything(served) == everything(one)
        export(served, tmp_path / "back", format)  # type: ignore[arg-type]
        for path in (tmp_path / "out").iterdir():
            if format != "parquet":
                assert (tmp_path / "back" / path.name).read_text() == path.read_text()
        with open_store(str(tmp_path / "b.db")) as two:
            load(two, tmp_path / "back")
            assert everything(two) == everything(one)


def test_an_older_layout_is_brought_up_to_date(url: str) -> None:
    with open_store(url) as store:
        store.write(rows()[:4])
        before = everything(store)
        with store.engine.begin() as connection:
            config = Config()
            config.set_main_option("script_location", "pipeline.monitor:migrations")
            config.attributes["connection"] = connection
            command.downgrade(config, "0001")
    with pytest.raises(StoreError, match="has layout 0001"):
        read_store(url)
    with open_store(url) as store:
        assert everything(store) == before


def hold(url: str, ready: object) -> None:
    """Write, until killed."""
    with open_store(url) as store:
        store.write(rows())
        ready.set()  # type: ignore[attr-defined]
        time.sleep(600)


def test_one_writes_others_read_and_mark_and_a_kill_lets_go(url: str) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    writer = context.Process(target=hold, args=(url, ready))
    writer.start()
    try:
        assert ready.wait(60)
        with pytest.raises(StoreError, match="being written by another monitor"):
            open_store(url)
        with read_store(url) as reader:
            assert len(reader.rows(EpisodeRow)) == 2
            with pytest.raises(StoreError, match="read-only"):
                reader.write(rows())
        put_mark(url, "e1", "star", at=SystemClock().now())
    finally:
        writer.kill()
        writer.join()
    deadline = time.monotonic() + 20
    while True:
        try:
            with open_store(url) as store:
                assert starred(store) == {"e1"}
                assert len(store.rows(Mark)) == 3
                return
        except StoreError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_a_server_that_is_away_for_a_while_loses_nothing(server: PostgresServer, url: str) -> None:
    said: list[str] = []
    with open_store(url) as store:
        journal = Journal(store, SystemClock(), run="r", tell=said.append, flush_every_s=0.05)
        journal.start()
        (_, stretch), *_ = rows()
        journal.put(Coverage, "c", stretch)
        server.stop()
        for number in range(20):
            journal.put(EpisodeRow, f"e{number}", {**rows()[1][1], "id": f"e{number}"})
            time.sleep(0.02)
        assert not journal.flush()
        with pytest.raises(StoreError):
            store.rows(EpisodeRow)
        server.start()
        assert journal.close()
        assert journal.flush()
        assert len(store.rows(EpisodeRow)) == 20
        assert [row["state"] for row in store.rows(Health)] == ["restored"]
        # The lock is held again too, and if another one takes it meanwhile, nothing is written beside it.
        with pytest.raises(StoreError, match="another monitor"):
            open_store(url)
        server.stop()
        server.start()
        assert not journal_writes(store, stretch)
        with open_store(url), pytest.raises(StoreError, match="another monitor"):
            store.write([(Coverage, stretch)])
        store.write([(Coverage, stretch)])
    assert "Listening goes on" in said[0]
    assert "can be written again" in said[-1]
    assert PASSWORD not in "".join(said)


def journal_writes(store: object, row: dict[str, object]) -> bool:
    """A write on the connection that was lost."""
    try:
        store.write([(Coverage, row)])  # type: ignore[attr-defined]
    except StoreError:
        return False
    return True


def test_a_monitor_and_the_commands_work_on_it_and_never_show_the_password(
    night: Path, tmp_path: Path, url: str
) -> None:
    replay = ("monitor", "--source", night, "--speed", "max", "--no-reasons", "--store")
    done = crylens(*replay, url)
    crylens(*replay, tmp_path / "h.db")
    with read_store(url) as served, read_store(str(tmp_path / "h.db")) as file:
        times = [[(r["start_s"], r["end_s"], r["peak"]) for r in s.rows(EpisodeRow, order_by="start_s")]
                 for s in (served, file)]  # fmt: skip
        assert times[0] == times[1] != []
        key = served.rows(EpisodeRow)[0]["id"]
        assert sum(row["heard_s"] for row in served.rows(Minute)) == pytest.approx(
            sum(row["heard_s"] for row in file.rows(Minute))
        )
    marked = crylens("history", "mark", key[:12], "right", "--store", url)
    exported = crylens("history", "export", "--format", "csv", "--store", url)
    assert exported.stdout.count("\n") == len(times[0]) + 1
    told = "".join(one.stdout + one.stderr for one in (done, marked, exported))
    assert f"127.0.0.1:{url.rpartition(':')[2]}" in told
    assert PASSWORD not in told
    assert PASSWORD.replace("&", "%26") not in told


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("s3cr", "wrong"), "password authentication failed.*Check its user and password"),
        (("/h", "/none"), "does not exist.*Make it first"),
        (("127.0.0.1", "127.0.0.2"), "refused.*Does the server run there"),
        (("postgresql", "mysql"), "is no place for a history"),
        (("127.0.0.1:", "127.0.0.1:x"), "is no place for a history"),
    ],
)
def test_what_is_wrong_is_said_without_the_password(url: str, change: tuple[str, str], said: str) -> None:
    with pytest.raises(StoreError, match=said) as caught:
        open_store(url.replace(*change))
    shown = f"{caught.value} {caught.value.__cause__!r}"
    assert "t-word" not in shown


def test_an_empty_database_holds_no_history(url: str) -> None:
    with pytest.raises(StoreError, match=r"There is no history at postgresql://127\.0\.0\.1"):
        read_store(url)

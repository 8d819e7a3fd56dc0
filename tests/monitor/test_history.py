"""What is in the history comes out and back in as it was, and other files are refused."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from histories import AT, everything, rows

from pipeline.errors import CryError
from pipeline.monitor.exporting import FORMATS, Format, export, load
from pipeline.monitor.models import HISTORY, Base
from pipeline.monitor.store import StoreError, open_store, read_store


@pytest.mark.parametrize("format", FORMATS)
def test_a_history_comes_back_as_it_was(tmp_path: Path, format: Format) -> None:
    with open_store(str(tmp_path / "one.db")) as one, open_store(str(tmp_path / "two.db")) as two:
        one.write(rows())
        assert sum(export(one, tmp_path / "out", format).values()) == 12
        for _ in range(2):  # twice is as once
            assert load(two, tmp_path / "out") == {
                "coverage": 1, "episodes": 2, "health": 1, "alerts": 1, "deliveries": 1, "minutes": 2,
                "kept_sounds": 2, "marks": 2,
            }  # fmt: skip
        assert everything(two) == everything(one)
        ((stretch,), *_) = everything(two)
        assert stretch["started_at"] == AT
        assert stretch["started_at"].tzinfo is UTC


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("episodes.jsonl", "{", "cannot be read"),
        ("episodes.jsonl", '{"id": "e"}', "a row has no coverage_id"),
        (
            "health.csv",
            "id,run,at,room,source,state,words\r\n1,r,yesterday,a,b,c,d\r\n",
            "at cannot be 'yesterday'",
        ),
        ("health.csv", "id,run,at,room,source,state,words\r\n1,r,2026-01-01,a,b,c,d\r\n", "no time zone"),
        ("episodes.parquet", "PAR1", "cannot be read"),
        ("notes.txt", "", "holds no history"),
    ],
)
def test_files_that_are_no_history_change_nothing(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_text(text, newline="")
    with open_store(str(tmp_path / "h.db")) as store:
        with pytest.raises(CryError, match=said):
            load(store, tmp_path / "in")
        assert everything(store) == [[]] * len(HISTORY)


def test_episodes_without_their_coverage_are_refused(tmp_path: Path) -> None:
    with open_store(str(tmp_path / "one.db")) as one, open_store(str(tmp_path / "two.db")) as two:
        one.write(rows())
        export(one, tmp_path / "out", "jsonl")
        (tmp_path / "out" / "coverage.jsonl").unlink()
        with pytest.raises(CryError, match="import the files together"):
            load(two, tmp_path / "out")
        assert everything(two) == [[]] * len(HISTORY)


def test_the_migrations_make_the_tables_that_the_program_uses(tmp_path: Path) -> None:
    with open_store(str(tmp_path / "h.db")) as store, store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2


def test_an_older_history_is_brought_up_to_date_with_all_that_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "h.db"
    with open_store(str(path)) as store:
        store.write(rows()[:4])
        before = everything(store)
        with store.engine.begin() as connection:  # as a version before alerts left it
            config = Config()
            config.set_main_option("script_location", "pipeline.monitor:migrations")
            config.attributes["connection"] = connection
            command.downgrade(config, "0001")
    with pytest.raises(StoreError, match="has layout 0001; this version reads 0003"):
        read_store(str(path))
    with open_store(str(path)) as store:
        assert everything(store) == before


def test_a_reader_sees_what_the_writer_stored_while_it_goes_on(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'h.db'}"
    with open_store(url) as writer, read_store(url) as reader:
        writer.write(rows())
        assert everything(reader) == everything(writer)
        with pytest.raises(StoreError, match="cannot be used"):
            reader.write(rows())


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite:///{}/none.db", "There is no history at"),
        ("{}/text.db", "not a database"),
        ("{}/empty.db", "There is no history at"),
        ("mysql://x/y", "is no place for a history"),
        ("sqlite://", "is no place for a history"),
    ],
)
def test_what_is_no_history_is_said(tmp_path: Path, url: str, said: str) -> None:
    (tmp_path / "text.db").write_text("not one at all, but long enough to look at" * 20)
    (tmp_path / "empty.db").touch()
    with pytest.raises(StoreError, match=said):
        read_store(url.format(tmp_path))


def test_a_time_without_a_zone_is_refused(tmp_path: Path) -> None:
    (table, row), *_ = rows()
    with open_store(str(tmp_path / "h.db")) as store, pytest.raises(Exception, match="no time zone"):
        store.write([(table, {**row, "started_at": AT.replace(tzinfo=None)})])

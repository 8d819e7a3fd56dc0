"""Results on disk: there as a whole or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.archive.plan import Job
from pipeline.archive.store import Store
from pipeline.errors import SettingsError
from pipeline.formats import error_record

JOB = Job("/rooms/4/a cry.wav", "4/a cry.wav", 1000, 5)
GOOD = {**error_record(JOB.path, ""), "error": None, "duration_s": 7.0}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results", "abc")


def test_what_was_put_is_done_until_the_file_or_what_listens_changes(store: Store) -> None:
    assert not store.is_done(JOB)
    store.put(JOB, GOOD, code=None, took_s=1.5)
    found = store.read(JOB)
    assert found is not None
    assert {name: found[name] for name in GOOD} == GOOD
    assert store.is_done(JOB)
    assert not store.is_done(replace(JOB, mtime_ns=6))
    assert not store.is_done(replace(JOB, size=1001))
    assert not Store(store.folder, "abd").is_done(JOB)


@pytest.mark.parametrize(
    ("code", "done", "on_demand"),
    [("not-audio", True, False), ("unreadable", False, False), (None, True, True)],
)
def test_errors_of_the_file_are_kept_those_of_the_file_system_are_tried_again(
    store: Store, code: str | None, done: bool, on_demand: bool
) -> None:
    store.put(JOB, error_record(JOB.path, "bad") if code else GOOD, code=code, took_s=0.0)
    assert store.is_done(JOB) is done
    assert store.is_done(JOB, retry_errors=True) is on_demand


@pytest.mark.parametrize("left", ["", "{", '{"path": "x"}', "\x00\x00"])
def test_a_result_that_a_crash_of_the_machine_left_unreadable_is_not_done(store: Store, left: str) -> None:
    store.put(JOB, GOOD, code=None, took_s=0.0)
    store.path(JOB).write_text(left)
    assert not store.is_done(JOB)


def test_what_is_interrupted_while_written_leaves_the_old_and_no_rubbish(store: Store) -> None:
    target = store.folder / "files.csv"
    target.write_text("old")
    writing = store.writing(target)
    writing.__enter__().write("half of the n")
    assert writing.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None) is not True
    assert target.read_text() == "old"
    assert [path for path in store.partial.iterdir() if path.is_file()] == []
    with store.writing(target) as file:
        file.write("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"


def test_parts_are_kept_until_the_whole_is_there(store: Store) -> None:
    parts = [{"first": first, "count": 1250, "scores": [0.5]} for first in (1250, 0)]
    for part in parts:
        store.put_part(JOB, part)
    assert store.parts(JOB) == parts[::-1]
    assert store.parts(replace(JOB, size=1)) == []
    store.put(JOB, GOOD, code=None, took_s=0.0)
    assert store.parts(JOB) == []


def test_names_of_any_kind_can_be_stored(store: Store) -> None:
    for name in ("ä/" + "x" * 300 + ".wav", "../../up.wav", "new\nline.wav", "not\udcfftext.wav"):
        job = replace(JOB, path=f"/r/{name}", name=name)
        store.put(job, {**GOOD, "path": job.path}, code=None, took_s=0.0)
        found = store.read(job)
        assert found is not None
        assert found["path"] == job.path
        assert store.path(job).is_relative_to(store.folder / "recordings")


def test_a_folder_that_cannot_be_written_is_an_error_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SettingsError, match="cannot be written"):
        Store(tmp_path / "file", "abc")

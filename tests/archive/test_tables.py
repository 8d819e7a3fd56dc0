"""Tables and the summary of made-up results, read back by other programs' rules."""

from __future__ import annotations

import csv
import json
import re
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from pipeline.archive import summary, tables
from pipeline.archive.plan import Job
from pipeline.archive.store import Store
from pipeline.formats import error_record

REASONS = ("hungry", "tired")


def episode(start_s: float, end_s: float) -> dict[str, float]:
    return {"start_s": start_s, "end_s": end_s, "peak": 0.987654321, "mean": 0.5}


def result(job: Job, duration_s: float, *episodes: dict[str, float]) -> dict[str, Any]:
    heard = {"label": None, "threshold": 0.6, "probabilities": {"hungry": 0.84, "tired": 0.16}}
    return {
        "path": job.path,
        "duration_s": duration_s,
        "is_cry": bool(episodes),
        "cry_probability": 0.987654321,
        "threshold": 0.925,
        "embedder": "student",
        "episodes": list(episodes),
        "reasons": heard if episodes else None,
        "warnings": ["Cut short."],
        "notices": [],
        "error": None,
    }


# Ends after midnight; crying over the full hour and over midnight; milliseconds late in a long recording.
NIGHT = Job("/r/1/2026-03-01_22-30-00.wav", "1/2026-03-01_22-30-00.wav", 1000, 0)
DAY = Job(
    "/r/2/=2026-03-02 12-00-00 \udcff.wav", "2/=2026-03-02 12-00-00 \udcff.wav", 2000, 1_772_000_000 * 10**9
)
BAD = Job("/r/2/bad <b>.wav", "2/bad <b>.wav", 3, 0)
RESULTS = {
    NIGHT: result(
        NIGHT, 36_000.0, episode(1740.0, 1860.5), episode(5340.0, 5460.0), episode(35_999.123, 36_000.0)
    ),
    DAY: result(DAY, 3600.0),
    BAD: error_record(BAD.path, "bad <b>.wav is no sound.", embedder="student"),
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "results", "abc")
    for job, record in RESULTS.items():
        store.put(job, record, code="not-audio" if record["error"] else None, took_s=1.25)
    return store


@pytest.fixture
def written(store: Store) -> Path:
    tables.write(tables.results_of(list(RESULTS), store), store, tables.FORMATS, reason_names=REASONS)
    return store.folder


def test_parquet_and_csv_hold_the_same_two_tables(written: Path) -> None:
    for name, rows in (("files", 3), ("episodes", 3)):
        parquet = pyarrow.parquet.read_table(written / f"{name}.parquet")
        same = pyarrow.csv.ConvertOptions(column_types=parquet.schema, strings_can_be_null=True)
        text = pyarrow.csv.read_csv(written / f"{name}.csv", convert_options=same)
        assert parquet.num_rows == rows
        for column, ours, theirs in zip(parquet.column_names, parquet.columns, text.columns, strict=True):
            if column in ("path", "name"):  # a spreadsheet must not run what begins with "="
                assert [value.lstrip("'") for value in theirs.to_pylist()] == ours.to_pylist()
            elif pa.types.is_floating(ours.type):
                assert str(theirs.to_pylist()) == str([v and float(f"{v:.9g}") for v in ours.to_pylist()])
            else:
                assert theirs.to_pylist() == ours.to_pylist(), column


def test_files_tell_what_was_heard_and_when(written: Path) -> None:
    night, day, bad = pyarrow.parquet.read_table(written / "files.parquet").to_pylist()
    assert (night["started_at"], night["started_from"]) == (datetime(2026, 3, 1, 22, 30), "name")
    assert (night["episodes"], night["crying_s"]) == (3, pytest.approx(241.377))
    assert (night["reason"], night["probability_hungry"], night["reason_threshold"]) == (
        "not sure",
        0.84,
        0.6,
    )
    assert (day["is_cry"], day["episodes"], day["reason"], day["bytes"]) == (False, 0, None, 2000)
    assert day["path"] == "/r/2/=2026-03-02 12-00-00 \\udcff.wav"
    assert (bad["error"], bad["error_code"], bad["is_cry"]) == ("bad <b>.wav is no sound.", "not-audio", None)
    assert (bad["started_at"], bad["episodes"], night["warnings"]) == (None, None, "Cut short.")
    for row in (night, day, bad):
        assert json.loads((written / row["result"]).read_text("utf-8"))["error"] == row["error"]


def test_episodes_have_their_time_on_the_clock(written: Path) -> None:
    first, _, last = pyarrow.parquet.read_table(written / "episodes.parquet").to_pylist()
    assert (first["episode"], first["start_s"], first["length_s"]) == (1, 1740.0, 120.5)
    assert first["started_at"] == datetime(2026, 3, 1, 22, 59)
    assert last["started_at"] == datetime(2026, 3, 2, 8, 29, 59, 123_000)
    with (written / "episodes.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[2]["start_s"]) == 35_999.123, "milliseconds are kept, however late"


def test_the_other_formats(written: Path) -> None:
    lines = (written / "episodes.rttm").read_text().splitlines()
    fields = [line.split(" ") for line in lines]
    assert [len(one) for one in fields] == [10] * 3
    assert (fields[0][0], unquote(fields[0][1])) == ("SPEAKER", NIGHT.path)
    assert [float(value) for value in fields[2][3:5]] == [35_999.123, 0.877]
    records = [json.loads(line) for line in (written / "files.jsonl").read_text("utf-8").splitlines()]
    assert [record["path"] for record in records] == [job.path for job in RESULTS]
    labels = (written / "labels" / f"{NIGHT.name}.txt").read_text().splitlines()
    assert labels[0] == "1740.000000\t1860.500000\tcry 0.99"
    assert [path.name for path in (written / "labels").rglob("*.txt")] == ["2026-03-01_22-30-00.wav.txt"]
    raven = (written / "episodes.raven.txt").read_text().splitlines()
    assert len(raven) == 4


def test_tables_are_replaced_as_a_whole_and_only_those_that_are_wanted(store: Store, written: Path) -> None:
    (written / "labels" / "old.txt").write_text("from another run")
    before = (written / "files.csv").read_bytes()
    tables.write(tables.results_of([DAY], store), store, ["audacity", "parquet"], reason_names=REASONS)
    assert list((written / "labels").rglob("*.txt")) == []
    assert (written / "files.csv").read_bytes() == before
    assert pyarrow.parquet.read_table(written / "files.parquet").num_rows == 1
    assert [path for path in store.partial.iterdir() if path.name != "parts"] == []


def test_two_recordings_of_one_name_have_two_label_tracks(store: Store) -> None:
    jobs = [Job(f"/{room}/a.wav", "../a.wav", 1, 1) for room in "xy"]
    for job in jobs:
        store.put(job, result(job, 10.0, episode(1, 2)), code=None, took_s=0.0)
    tables.write(tables.results_of(jobs, store), store, ["audacity"], reason_names=())
    found = sorted(path.relative_to(store.folder).as_posix() for path in store.folder.rglob("*.txt"))
    assert found == ["labels/a.wav.2.txt", "labels/a.wav.txt"]


class Reader(HTMLParser):
    """Tooltips and table cells of a page, and whatever it would fetch or run."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []
        self.fetched: list[str] = []
        self._in = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in = tag
        self.fetched += [tag] if tag in ("script", "link", "img", "iframe") else []
        self.fetched += [
            str(value) for name, value in attrs if name in ("src", "href") or name.startswith("on")
        ]

    def handle_data(self, data: str) -> None:
        if self._in in ("title", "td", "dd"):
            self.told.append(data)


def test_the_summary_counts_by_day_and_hour_and_fetches_nothing(store: Store) -> None:
    sums = summary.summarise(tables.results_of(list(RESULTS), store))
    day, next_day = datetime(2026, 3, 1).date(), datetime(2026, 3, 2).date()
    assert sums.crying[day, 22] == pytest.approx(60)
    assert sums.crying[day, 23] == pytest.approx(60.5 + 60)
    assert sums.crying[next_day, 0] == pytest.approx(60)
    assert sum(sums.crying.values()) == pytest.approx(sums.crying_s)
    assert sum(sums.heard.values()) == pytest.approx(sums.heard_s) == pytest.approx(39_600)
    assert sums.heard[day, 22] == pytest.approx(1800)
    assert (sums.recordings, sums.with_crying, sums.failed, sums.episodes) == (3, 1, 1, 3)
    assert {name: values[0] for name, values in sums.folders.items()} == {"/r/1": 1, "/r/2": 1}
    page = summary.to_html(sums, about={"embedder": "student"})
    reader = Reader()
    reader.feed(page)
    assert reader.fetched == []
    assert not re.search(r"https?://", page)
    assert "2026-03-01 23:00: 2.0 min of crying, 1 episodes begun, 60 min heard" in reader.told
    assert "2 from the names of files" in reader.told
    assert "/r/2/bad <b>.wav" in reader.told


def test_a_summary_of_nothing_but_errors(store: Store) -> None:
    page = summary.to_html(summary.summarise(tables.results_of([BAD], store)), about={})
    assert "is no sound" in page

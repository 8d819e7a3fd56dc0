"""Formats: every one reads back by its own rules."""

from __future__ import annotations

import csv
import io
import json
from typing import Any
from urllib.parse import unquote

import pytest

from pipeline import formats

CRY: dict[str, Any] = {
    "path": "night/one, two.wav",
    "duration_s": 3725.9,
    "is_cry": True,
    "cry_probability": 0.9734,
    "threshold": 0.4,
    "embedder": "student",
    "episodes": [
        {"start_s": 0.48, "end_s": 3.84, "peak": 0.9734, "mean": 0.8},
        {"start_s": 6.72, "end_s": 9.6, "peak": 0.7, "mean": 0.5},
    ],
    "reasons": {
        "label": None,
        "threshold": 0.6,
        "scores": {"hungry": 0.55, "tired": 0.45},
        "probabilities": {"hungry": 0.84, "tired": 0.16},
        "base_rate": {"hungry": 0.836, "tired": 0.164},
        "prediction_set": ["hungry"],
        "coverage": 0.9,
        "statement": "This sound says little about why.",
    },
    "warnings": ["It was cut short.", "One channel was silent."],
    "notices": [],
    "error": None,
}
QUIET = {**CRY, "path": "b.ogg", "is_cry": False, "cry_probability": 0.01, "episodes": [], "reasons": None}
BAD = formats.error_record("c.wav", "c.wav is empty.", embedder="student")
RECORDS = [CRY, QUIET, BAD]


class Result:
    """Anything that gives its record, as an Analysis does."""

    def to_dict(self) -> dict[str, Any]:
        return CRY


def test_json_lines_are_the_records_one_a_line_as_they_come() -> None:
    lines = formats.json_lines(iter(RECORDS))
    assert json.loads(next(lines)) == CRY, "the first is there before the others are asked for"
    assert [json.loads(line) for line in lines] == [QUIET, BAD]


def test_json_is_one_array_or_for_one_result_one_object() -> None:
    assert json.loads(formats.to_json(RECORDS)) == RECORDS
    assert json.loads(formats.to_json([])) == []
    assert json.loads(formats.to_json(Result())) == CRY
    assert json.loads(formats.to_json(CRY)) == CRY


def test_an_error_record_has_every_key_of_a_good_one() -> None:
    assert set(BAD) == set(CRY)
    assert (BAD["error"], BAD["episodes"], BAD["reasons"]) == ("c.wav is empty.", [], None)


def test_csv_has_a_row_per_recording() -> None:
    cry, quiet, bad = csv.DictReader(io.StringIO(formats.to_csv([Result(), QUIET, BAD]), newline=""))
    assert cry["path"] == "night/one, two.wav"
    assert (cry["is_cry"], quiet["is_cry"], bad["is_cry"]) == ("true", "false", "")
    assert float(cry["cry_probability"]) == pytest.approx(0.9734)
    assert (cry["episodes"], cry["crying_s"]) == ("2", "6.24")
    assert cry["episode_times_s"] == "0.48-3.84; 6.72-9.60"
    assert (quiet["episodes"], bad["episodes"]) == ("0", "")
    assert (cry["reason"], quiet["reason"]) == ("not sure", "")
    assert (float(cry["probability_hungry"]), quiet["probability_hungry"]) == (0.84, "")
    assert cry["warnings"] == "It was cut short. One channel was silent."
    assert (cry["error"], bad["error"]) == ("", "c.wav is empty.")


def test_csv_of_a_reason_only_result_leaves_the_rest_empty() -> None:
    (row,) = csv.DictReader(io.StringIO(formats.to_csv([{"path": "a.wav", "reasons": CRY["reasons"]}])))
    assert (row["probability_tired"], row["episodes"], row["is_cry"]) == ("0.16", "", "")


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0.wav", "+1.wav", "-1.wav", "@sum.wav", "\tx.wav"])
def test_csv_gives_spreadsheets_nothing_to_run(name: str) -> None:
    (row,) = csv.DictReader(io.StringIO(formats.to_csv([{**QUIET, "path": name}]), newline=""))
    assert row["path"] == f"'{name}"


def test_audacity_labels_have_start_end_and_text() -> None:
    rows = [line.split("\t") for line in formats.to_audacity(CRY).splitlines()]
    assert [(float(start), float(end)) for start, end, _ in rows] == [(0.48, 3.84), (6.72, 9.6)]
    assert rows[0][2] == "cry 0.97"
    assert formats.to_audacity(BAD) == ""


def test_raven_tables_number_the_episodes_of_all_recordings() -> None:
    rows = list(csv.DictReader(io.StringIO(formats.to_raven([CRY, BAD, QUIET, CRY])), delimiter="\t"))
    assert [row["Selection"] for row in rows] == ["1", "2", "3", "4"]
    assert {row["Begin Path"] for row in rows} == {CRY["path"]}
    assert [float(row["End Time (s)"]) for row in rows] == [3.84, 9.6, 3.84, 9.6]
    assert all(float(row["Low Freq (Hz)"]) < float(row["High Freq (Hz)"]) for row in rows)


def test_the_table_has_a_line_per_recording() -> None:
    _, cry, quiet, bad = "".join(formats.table(RECORDS)).splitlines()
    assert cry.split() == ["cry", "0.97", "1:02:06", "0:06", "not", "sure", "night/one,", "two.wav"]
    assert quiet.split() == ["no", "cry", "0.01", "1:02:06", "-", "-", "b.ogg"]
    assert bad.split(maxsplit=1) == ["error", "c.wav is empty."]


def test_the_table_of_one_recording_tells_it_in_full() -> None:
    text = "".join(formats.table([CRY]))
    assert "Crying from 0:00 to 0:04 (highest score 0.97)." in text
    assert "84%     84%" in text, "the chance of a reason stands beside how usual it is"
    assert "This sound says little about why." in text
    assert "It was cut short." in text


def test_colours_only_where_they_are_wanted() -> None:
    assert "\x1b[" in "".join(formats.table(RECORDS, color=True))
    assert "\x1b[" not in "".join(formats.table(RECORDS))


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (6.4, "0:06"), (59.99, "1:00"), (60, "1:00"), (3725, "1:02:05")]
)
def test_clock(seconds: float, text: str) -> None:
    assert formats.clock(seconds) == text


def test_rttm_has_a_line_of_ten_fields_per_episode() -> None:
    rows = [line.split(" ") for line in formats.to_rttm([CRY, QUIET, BAD]).splitlines()]
    assert [len(row) for row in rows] == [10, 10]
    assert [(row[0], row[7]) for row in rows] == [("SPEAKER", "cry")] * 2
    assert [(float(row[3]), float(row[4])) for row in rows] == [(0.48, 3.36), (6.72, 2.88)]
    assert unquote(rows[0][1]) == CRY["path"]

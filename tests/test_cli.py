"""The command line as people run it: in its own process, on real recordings, with each embedder."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOWHERE = "http://127.0.0.1:9/yamnet"  # nothing listens there: refused at once, with or without a network
EMBEDDERS = ["student", "yamnet"]


@dataclass
class Ran:
    """What a command left behind."""

    status: int
    out: str
    err: str

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "pipeline", *map(str, arguments)]


def surroundings(settings: dict[str, str]) -> dict[str, str]:
    """The environment of the tests, our package found from anywhere, and these settings."""
    quiet = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    return {**quiet, "PYTHONPATH": str(ROOT), **settings}


def crylens(*arguments: str | Path, cwd: Path = ROOT, **settings: str) -> Ran:
    done = subprocess.run(
        command(*arguments),
        cwd=cwd,
        env=surroundings(settings),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, a_cry: Path, a_non_cry: Path) -> Path:
    """A cry, a file that is no sound, a sound that is no cry in a sub-folder, and files to be passed over."""
    root = tmp_path_factory.mktemp("recordings")
    (root / "sub").mkdir()
    shutil.copy(a_cry, root / "a cry.flac")
    (root / "broken.wav").write_text("this is no sound")
    shutil.copy(a_non_cry, root / "sub" / "vacuum.OGG")
    (root / "notes.txt").write_text("not a recording")
    (root / ".hidden.wav").write_text("not looked at")
    return root


@pytest.fixture(scope="module", params=EMBEDDERS)
def listened(request: pytest.FixtureRequest, folder: Path, yamnet_dir: Path) -> tuple[str, Ran]:
    """JSON lines of the folder and of a path that is not there, with each embedder."""
    name = request.param
    arguments = ("analyze", folder, folder / "gone.wav", "--format", "jsonl", "--embedder", name)
    return name, crylens(*arguments, CRY_YAMNET_HANDLE=str(yamnet_dir))


@pytest.fixture(scope="module")
def student_records(folder: Path) -> list[dict[str, Any]]:
    return crylens("analyze", folder, "-f", "jsonl", "--embedder", "student").records


def test_json_lines_come_in_input_order_and_a_bad_file_stops_no_other(
    listened: tuple[str, Ran], folder: Path
) -> None:
    _, ran = listened
    names = ["a cry.flac", "broken.wav", "sub/vacuum.OGG", "gone.wav"]
    assert [record["path"] for record in ran.records] == [str(folder / name) for name in names]
    assert [record["error"] is None for record in ran.records] == [True, False, True, False]
    assert ran.status == 1
    assert "broken.wav" in ran.records[1]["error"]
    assert "2 of 4 recordings could not be used" in ran.err


def test_the_cry_is_heard_and_the_other_sound_is_not_taken_for_one(listened: tuple[str, Ran]) -> None:
    _, ran = listened
    cry, _, quiet, _ = ran.records
    assert (cry["is_cry"], quiet["is_cry"]) == (True, False)
    assert cry["cry_probability"] >= cry["threshold"] > quiet["cry_probability"]
    assert cry["episodes"]
    assert quiet["episodes"] == []
    assert quiet["reasons"] is None


def test_json_lines_keep_their_contract(listened: tuple[str, Ran]) -> None:
    name, ran = listened
    cry = ran.records[0]
    for record in ran.records:
        assert set(record) >= {
            *("path", "duration_s", "is_cry", "cry_probability", "threshold", "embedder"),
            *("episodes", "reasons", "error"),
        }
        assert record["embedder"] == name
    assert cry["duration_s"] == pytest.approx(6.96, abs=0.05)
    for episode in cry["episodes"]:
        assert set(episode) >= {"start_s", "end_s", "peak", "mean"}
        assert 0 <= episode["start_s"] < episode["end_s"] <= cry["duration_s"] + 1e-6
        assert 0 <= episode["mean"] <= episode["peak"] <= 1
    reasons = cry["reasons"]
    assert set(reasons) >= {"label", "probabilities", "base_rate", "prediction_set"}
    assert sum(reasons["probabilities"].values()) == pytest.approx(1, abs=1e-6)
    assert set(reasons["base_rate"]) == set(reasons["probabilities"]) >= set(reasons["prediction_set"])


FIRST_USE = "Getting YAMNet ready for its first use: ten seconds or more, only this once…"


def test_which_embedder_listens_is_said_and_nothing_else(listened: tuple[str, Ran]) -> None:
    name, ran = listened
    *before, listening, unusable = ran.err.splitlines()
    assert listening == f"Listening with the {name} embedder."
    assert unusable == "2 of 4 recordings could not be used."
    # The session's first test that hears with YAMNet waits until it is converted, and is told so.
    assert before == [] or (name == "yamnet" and before == [FIRST_USE])


def test_auto_falls_back_to_the_student_and_says_so(a_cry: Path) -> None:
    ran = crylens("analyze", a_cry, "-f", "jsonl", CRY_YAMNET_HANDLE=NOWHERE)
    (record,) = ran.records
    assert (ran.status, record["embedder"]) == (0, "student")
    assert record["notices"]
    assert record["notices"][0] in ran.err


def test_json_and_csv_read_back(folder: Path, tmp_path: Path, student_records: list[dict[str, Any]]) -> None:
    as_json = crylens("analyze", folder, "--format", "json", "--embedder", "student")
    assert json.loads(as_json.out) == student_records
    table = tmp_path / "out.csv"
    ran = crylens("analyze", folder, "--format", "csv", "--output", table, "--embedder", "student")
    assert (ran.status, ran.out) == (1, "")
    rows = list(csv.DictReader(io.StringIO(table.read_text("utf-8"), newline="")))
    assert [row["path"] for row in rows] == [record["path"] for record in student_records]
    assert [row["is_cry"] for row in rows] == ["true", "", "false"]
    assert int(rows[0]["episodes"]) == len(student_records[0]["episodes"])
    for name, chance in student_records[0]["reasons"]["probabilities"].items():
        assert float(rows[0][f"probability_{name}"]) == pytest.approx(chance, abs=1e-5)


def test_labels_for_audacity_and_raven_hold_the_episodes(
    folder: Path, tmp_path: Path, student_records: list[dict[str, Any]]
) -> None:
    edges = [edge for e in student_records[0]["episodes"] for edge in (e["start_s"], e["end_s"])]
    ran = crylens("analyze", folder, "-f", "audacity", "-o", tmp_path / "labels", "--embedder", "student")
    assert ran.status == 1
    assert "broken.wav" in ran.err
    labels = (tmp_path / "labels" / "a cry.flac.txt").read_text().splitlines()
    assert [float(edge) for line in labels for edge in line.split("\t")[:2]] == pytest.approx(edges)
    assert (tmp_path / "labels" / "sub" / "vacuum.OGG.txt").read_text() == ""
    raven = crylens("analyze", folder, "-f", "raven", "--embedder", "student")
    rows = list(csv.DictReader(io.StringIO(raven.out), delimiter="\t"))
    found = [float(row[name]) for row in rows for name in ("Begin Time (s)", "End Time (s)")]
    assert found == pytest.approx(edges, abs=1e-3)


def test_the_table_and_the_thresholds(a_cry: Path, student_records: list[dict[str, Any]]) -> None:
    heard = student_records[0]
    limits = ("--detection-threshold", "0.9999999", "--reason-threshold", "1")
    ran = crylens("analyze", a_cry, "--embedder", "student", *limits)
    assert ran.status == 0
    line = ran.out.splitlines()[1]
    assert str(a_cry) in line
    assert line.startswith("cry" if heard["cry_probability"] >= 0.9999999 else "perhaps"), (
        "a plain cry, below this line"
    )
    low = crylens("analyze", a_cry, "--embedder", "student", "--detection-threshold", "0", *limits[2:])
    assert low.out.splitlines()[1].startswith("cry")
    assert "not sure" in low.out
    assert heard["reasons"]["statement"] in low.out


@pytest.mark.parametrize(
    ("arguments", "settings", "told"),
    [
        (("{empty}",), {}, "nothing to analyse"),
        (("{cry}", "--embedder", "nope"), {}, "'nope' is not one of"),
        (("{cry}", "--detection-threshold", "2"), {}, "less than or equal to 1"),
        (("{cry}",), {"CRY_THREADS": "none"}, "CRY_THREADS"),
        (("{cry}",), {"CRY_EMBEDDER": "nope"}, "'nope'"),
        (("{cry}", "--embedder", "yamnet"), {"CRY_YAMNET_HANDLE": "{empty}"}, "CRY_YAMNET_HANDLE"),
        (("{cry}", "{cry}", "-f", "audacity"), {}, "--output FOLDER"),
        (("{cry}", "-o", "{empty}/gone/x.json"), {}, "there is no folder"),
        (("{cry}", "--embedder", "student"), {"CRY_ARTIFACTS_DIR": "{empty}"}, "There is no model"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    tmp_path: Path, a_cry: Path, arguments: tuple[str, ...], settings: dict[str, str], told: str
) -> None:
    places = {"empty": str(tmp_path), "cry": str(a_cry)}
    filled = [text.format(**places) for text in arguments]
    ran = crylens("analyze", *filled, **{name: value.format(**places) for name, value in settings.items()})
    assert (ran.status, ran.out) == (2, "")
    assert told in " ".join(ran.err.replace("│", " ").split())


def test_an_altered_model_is_refused(tmp_path: Path, a_cry: Path) -> None:
    shutil.copytree(ROOT / "artifacts", tmp_path / "artifacts")
    (model,) = (tmp_path / "artifacts" / "student").glob("*.onnx")
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(data)
    ran = crylens("analyze", a_cry, "--embedder", "student", CRY_ARTIFACTS_DIR=str(tmp_path / "artifacts"))
    assert (ran.status, ran.out) == (2, "")
    assert "not the one its manifest names" in ran.err


def started(*arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*arguments),
        # A job in a script's background is started deaf to Ctrl-C, and so would be whatever it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        cwd=ROOT,
        env=surroundings({}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
def test_ctrl_c_stops_at_once_and_cleanly(shared: Path) -> None:
    with started("analyze", shared / "data" / "esc50", "-f", "jsonl", "--embedder", "student") as running:
        assert running.stdout is not None
        json.loads(running.stdout.readline())
        running.send_signal(signal.SIGINT)
        rest, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert len(rest.splitlines()) < 500, "it did not run on to the end"
    assert err.splitlines() == ["Listening with the student embedder."]


def test_a_reader_that_goes_away_is_no_error_worth_a_traceback(shared: Path) -> None:
    with started("analyze", shared / "data" / "esc50", "-f", "jsonl", "--embedder", "student") as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        running.stdout.close()
        err = running.stderr.read()
        running.wait(timeout=60)
    assert err.splitlines() == ["Listening with the student embedder."]


def test_data_prepare_sorts_a_persons_own_folders(tmp_path: Path, a_cry: Path, another_cry: Path) -> None:
    mine = tmp_path / "mine"
    for label, source in (("hungry", a_cry), ("tired", another_cry)):
        (mine / label).mkdir(parents=True)
        shutil.copy(source, mine / label)
    first = crylens("data", "prepare", "--from", mine, cwd=tmp_path)
    assert first.status == 0
    assert "hungry 1, tired 1" in first.out
    assert sorted(p.name for p in (tmp_path / "dataset").iterdir()) == ["hungry", "manifest.csv", "tired"]
    again = crylens("data", "prepare", "--from", mine, cwd=tmp_path)
    assert "0 files added" in again.out


@pytest.mark.parametrize("model", ["detector", "reasons", "student"])
def test_training_on_nothing_is_a_clear_error(tmp_path: Path, model: str) -> None:
    ran = crylens("train", model, "--data", tmp_path / "none", "--out", tmp_path / "out", cwd=tmp_path)
    assert (ran.status, ran.out) == (2, "")
    assert "none" in ran.err
    assert not (tmp_path / "out").exists()


def test_data_fetch_without_a_network_is_a_clear_error(tmp_path: Path) -> None:
    ran = crylens("data", "fetch", "esc50", "--to", tmp_path, "--url", "esc50=http://127.0.0.1:9/x.zip")
    assert ran.status == 2
    assert ran.err.startswith("crylens: esc50: http://127.0.0.1:9/x.zip could not be fetched")


def test_crylens_is_the_same_program() -> None:
    script = Path(sys.executable).with_name("crylens")
    done = subprocess.run([script, "version"], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == crylens("version").out
    assert done.stdout.startswith("CryLens ")

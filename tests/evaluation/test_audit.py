"""The audit as people run it: exit status, four forms of the report, hostile names, input that is wrong."""

from __future__ import annotations

import csv
import html.parser
import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import planted
import pytest
import soundfile

from pipeline import cli

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = ("path", "label", "group", "split")
HOSTILE = "<img src=x onerror=alert(1)>"


@dataclass
class Ran:
    """What a command left behind."""

    status: int
    out: str
    err: str


Command = Callable[..., Ran]


@pytest.fixture
def crylens(
    audit_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """The command line within this process, so that an error which is none of ours fails the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(audit_cache))
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    monkeypatch.setattr(sys, "warnoptions", ["default"])

    def run(*arguments: str | Path) -> Ran:
        monkeypatch.setattr(sys, "argv", ["crylens", "audit", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped, warnings.catch_warnings():
            cli.main()
        told = capsys.readouterr()
        return Ran(int(stopped.value.code or 0), told.out, told.err)

    return run


@pytest.fixture(scope="module")
def leaky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few takes, one of them in both parts, under names that a page must not take at their word."""
    takes = planted.takes(donors=8)
    takes = [replace(take, name=take.name.replace("d01_a", "d01_<b>|a")) for take in takes]
    takes = [replace(take, label=HOSTILE if take.label == "rising" else "=1+1") for take in takes]
    takes.append(planted.copied(takes[2], "train", "d01", "=copy.wav", takes[2].samples))
    return planted.write(tmp_path_factory.mktemp("leaky"), takes, COLUMNS)


def test_a_clean_set_passes(crylens: Command, clean: Path) -> None:
    ran = crylens(clean)
    assert ran.status == 0
    assert ran.out.rstrip().endswith("None of these checks found a leak or a shortcut.")
    assert "recordings: 32" in ran.out
    assert ran.err == ""


def test_a_leak_fails_unless_told_otherwise(crylens: Command, leaky: Path) -> None:
    ran = crylens(leaky)
    assert ran.status == 1
    assert "LEAK" in ran.out
    assert "2 leaks found" in ran.out
    assert crylens(leaky, "--fail-on", "never").status == 0


def test_a_shortcut_fails_when_asked_to(crylens: Command, tmp_path: Path) -> None:
    takes = planted.changed(planted.takes(), "rising", lambda take: replace(take, samples=take.samples / 5))
    table = planted.write(tmp_path, takes, COLUMNS)
    ran = crylens(table)
    assert ran.status == 0
    assert "No leak found, but" in ran.out
    assert crylens(table, "--fail-on", "shortcut").status == 1


def test_json_is_the_same_twice_and_can_be_shown_again(crylens: Command, leaky: Path, tmp_path: Path) -> None:
    first, second = (crylens(leaky, "--format", "json") for _ in range(2))
    assert first.out == second.out
    report = json.loads(first.out)
    assert report["kind"] == "audit"
    assert report["command"] == "python -m pipeline audit manifest.csv"
    assert str(leaky.parent) not in first.out, "a report travels; where it was made does not"
    kept = tmp_path / "kept.json"
    kept.write_text(first.out)
    again = crylens(kept, "--format", "json")
    assert (again.status, again.out) == (1, first.out)
    assert crylens(kept).out == crylens(leaky).out


class Page(html.parser.HTMLParser):
    """Tags, attributes and text of a page; whether every tag that was opened is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_has_plots_runs_nothing_and_escapes_names(crylens: Command, leaky: Path) -> None:
    page = Page(crylens(leaky, "--format", "html").out)
    assert not page.open
    assert not {"script", "img", "iframe", "link"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on") or name in ("src", "href")]
    assert HOSTILE in page.text, "told as text"
    assert "d01_<b>|a.wav [test]" in page.text
    assert page.tags.count("figure") >= 5
    assert "Label from traits of the recording" in page.text


def test_markdown_keeps_names_in_their_cells(crylens: Command, leaky: Path) -> None:
    lines = crylens(leaky, "--format", "markdown").out.splitlines()
    table = lines[lines.index("|---|---|---|") + 1 :]
    rows = table[: table.index("")]
    assert len(rows) >= 10
    assert all(row.replace("\\|", "").count("|") == 4 for row in rows)
    assert not any("<img" in line or "<b>" in line for line in lines)


def test_the_folder_holds_page_json_and_tables(crylens: Command, leaky: Path, tmp_path: Path) -> None:
    ran = crylens(leaky, "--out", tmp_path / "new" / "folder")
    assert "audit.html" in ran.err
    folder = tmp_path / "new" / "folder"
    assert {path.name for path in folder.iterdir()} == {
        "audit.html",
        "audit.json",
        "pairs.csv",
        "groups.csv",
        "files.csv",
    }
    with (folder / "files.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 17
    assert {row["rate"] for row in rows} == {"16000"}
    assert not [cell for row in rows for cell in row.values() if cell.startswith("=")], "a formula"


def test_folders_by_split_and_class_are_read_as_such(crylens: Command, tmp_path: Path) -> None:
    for take in planted.takes(donors=8):
        place = tmp_path / take.split / take.label
        place.mkdir(parents=True, exist_ok=True)
        soundfile.write(place / Path(take.name).name, take.samples, planted.RATE)
    report = json.loads(crylens(tmp_path, "--format", "json").out)
    assert report["data"]["splits"] == {"train": 12, "test": 4}
    assert report["data"]["labels"] == {"falling": 8, "rising": 8}


def test_what_cannot_be_read_is_told_and_does_not_stop_the_rest(crylens: Command, tmp_path: Path) -> None:
    takes = planted.takes(donors=8)
    table = planted.write(tmp_path, takes, COLUMNS)
    (tmp_path / "broken.wav").write_text("no sound at all")
    (tmp_path / "empty.wav").write_bytes(b"")
    odd = [
        "../../../etc/passwd",
        "/etc/hostname",
        "gone.wav",
        "broken.wav",
        "empty.wav",
        "a\tb.wav",
        "x" * 300,
    ]
    with table.open("a", newline="") as file:
        csv.writer(file).writerows(
            [[name, "rising", "d99", "test"] for name in odd] + [["", "rising", "", ""]]
        )
    ran = crylens(table, "--format", "json")
    assert ran.status == 0
    report = json.loads(ran.out)
    assert report["data"]["recordings"] == len(takes)
    assert report["data"]["skipped"] == len(odd) + 1
    found = planted.check(report, "skipped-files")
    assert found["severity"] == "note"
    told = dict(found["examples"])
    assert "leads out of the folder" in told["passwd"]
    assert "leads out of the folder" in told["hostname"]
    assert told["gone.wav"] == "there is no such file"
    assert told["broken.wav"]
    assert told["empty.wav"]


def test_one_class_gives_the_copies_and_says_what_it_cannot(crylens: Command, tmp_path: Path) -> None:
    takes = [take for take in planted.takes() if take.label == "rising"]
    report = json.loads(crylens(planted.write(tmp_path, takes, COLUMNS), "--format", "json").out)
    assert planted.check(report, "exact-copies")["severity"] == "clear"
    assert "one class only (rising)" in planted.check(report, "shortcuts")["finding"]
    assert report["verdict"]["leak"] == 0


def no_columns(root: Path) -> Path:
    (root / "m.csv").write_text("one,two\n1,2\n")
    return root / "m.csv"


def no_label(root: Path) -> Path:
    (root / "m.csv").write_text("path,two\n1,2\n")
    return root / "m.csv"


def no_rows(root: Path) -> Path:
    (root / "m.csv").write_text("path,label\n")
    return root / "m.csv"


def not_text(root: Path) -> Path:
    (root / "m.csv").write_bytes(b"path,label\n\xff\xfe\x00,x\n")
    return root / "m.csv"


def empty_file(root: Path) -> Path:
    (root / "m.csv").write_text("")
    return root / "m.csv"


def all_broken(root: Path) -> Path:
    (root / "a").mkdir()
    (root / "a" / "x.wav").write_text("no sound")
    return root


def no_audit(root: Path) -> Path:
    (root / "other.json").write_text('{"kind": "reasons"}')
    return root / "other.json"


def half_an_audit(root: Path) -> Path:
    parts = ("command", "verdict", "data", "options", "checks", "plots")
    (root / "half.json").write_text(json.dumps({"kind": "audit", **{key: {} for key in parts}}))
    return root / "half.json"


def no_json(root: Path) -> Path:
    (root / "other.json").write_text("{")
    return root / "other.json"


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda root: root / "gone.csv", "there is no such folder or table"),
        (lambda root: root, "there is no labelled recording to audit"),
        (no_columns, "no column of paths was found among one, two"),
        (no_label, "--label COLUMN"),
        (no_rows, "there is no labelled recording"),
        (not_text, "cannot be read as a table"),
        (empty_file, "no column of paths was found"),
        (all_broken, "none of 1 recordings can be used. The first: a/x.wav:"),
        (no_audit, "is no audit"),
        (half_an_audit, "parts of this audit are missing or altered"),
        (no_json, "cannot be read as a kept audit"),
    ],
)
def test_input_that_is_wrong_gets_one_line_that_says_so(
    make: Callable[[Path], Path], told: str, crylens: Command, tmp_path: Path
) -> None:
    ran = crylens(make(tmp_path))
    assert ran.status == 2
    assert ran.out == ""
    assert ran.err.startswith("crylens: ")
    assert told in ran.err
    assert len(ran.err.splitlines()) == 1


def test_a_column_that_is_not_there_is_named_with_those_that_are(crylens: Command, clean: Path) -> None:
    ran = crylens(clean, "--group", "baby")
    assert ran.status == 2
    assert "there is no column 'baby'; it has path, label, group, split" in ran.err
    assert crylens(clean.parent / "rising", "--label", "x").status == 2


def test_a_label_can_be_left_out(crylens: Command, clean: Path) -> None:
    report = json.loads(crylens(clean, "--exclude", "falling", "--format", "json").out)
    assert report["data"]["labels"] == {"rising": 16}
    assert report["data"]["excluded"] == ["falling"]
    assert report["command"].endswith("--exclude falling")


def test_a_report_that_cannot_be_written_says_so(crylens: Command, clean: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = crylens(clean, "--out", tmp_path / "file")
    assert ran.status == 2
    assert "cannot be written" in ran.err


def test_it_runs_as_a_process_of_its_own(clean: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "audit", str(tmp_path / "gone")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "there is no such folder or table" in done.stderr

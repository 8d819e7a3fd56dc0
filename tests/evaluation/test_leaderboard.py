"""The benchmark card: what the result files say, and nothing else."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.errors import DataError
from pipeline.evaluation import detection
from pipeline.evaluation.class_figures import FIGURES
from pipeline.evaluation.curves import detection_curves, reliability
from pipeline.evaluation.detection import Scores
from pipeline.evaluation.leaderboard import card, document
from pipeline.evaluation.leaderboard.again import measure_again
from pipeline.evaluation.leaderboard.results import read


def interval(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.03, "high": value + 0.04, "level": 0.95}


def protocol(value: float) -> dict[str, Any]:
    return {
        "rows": 20,
        "repeats": 1,
        "figures": {name: interval(value) for name in FIGURES},
        "permutation": {"macro_f1": {"value": value, "chance_mean": 0.19, "chance_95": 0.2, "p": 0.4}},
        "per_class": {"hungry": {"rows": 20.0, "recall": value, "precision": None, "f1": value, "auc": 0.5}},
        "confusion": [[9, 1], [8, 2]],
        "reliability": [{"score": 0.9, "share": value, "count": 20}],
        "prediction_sets": {"coverage": {"value": 0.91}, "size": {"value": 1.7}},
    }


def reasons(model: str, row: float, donor: float) -> dict[str, Any]:
    return {
        "kind": "reasons",
        "model": model,
        "command": f"python -m pipeline evaluate reasons --model {model} --data ../shared/data",
        "classes": ["hungry", "tired"],
        "floors": {"majority": "hungry", "accuracy": 0.836, "macro_f1": 0.182},
        "protocols": {"row": protocol(row), "donor": protocol(donor)},
    }


def night(model: str, recall: float, alerts: float) -> dict[str, Any]:
    found = {"value": alerts, "low": 0.0, "high": alerts + 3, "hours": 9.0}
    return {
        "kind": "night",
        "model": model,
        "command": "python -m pipeline evaluate night --data ../shared/data",
        "figures": {
            "episode_recall": interval(recall),
            "missed_episodes": 3,
            "false_alerts_per_24h": found,
            "onset_latency_s": {"median": 1.2, "p95": 4.4},
            "crying_minutes_error": {"per_5min": 0.1, "per_hour": 0.3, "per_day": 4.0},
            "event_f1_onset": 0.61,
            "event_f1_intersection": 0.7,
        },
        "by_suite": {"speech": {"hours": 1.0, "false_alerts_per_24h": found}},
        "by_snr": {"0": {"episode_recall": interval(recall)}},
        "by_background": {},
        "curve": [
            {"threshold": t, "episode_recall": 1 - t, "false_alerts_per_24h": 50 * (1 - t)}
            for t in np.linspace(0, 1, 5)
        ],
    }


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Result files of two models of reasons, a night and a detector."""
    folder = tmp_path / "results"
    folder.mkdir()
    rng = np.random.default_rng(0)
    is_cry = np.arange(200) % 2 == 0
    scores = rng.normal(2.0 * is_cry)
    names = np.array([f"g{i}" for i in range(200)])
    suite = Scores("clean", is_cry, scores, rng.normal(1.0 * is_cry), np.arange(200) // 2 % 2, names, names)
    reports = {
        "reasons-ensemble108": reasons("ensemble108", 0.777, 0.175),
        "reasons-prior": reasons("prior", 0.182, 0.182),
        "night-level": night("level", 0.5, 12.0),
        "detection-melcnn4s": {"kind": "detection", "model": "melcnn4s", "command": "python -m pipeline x"}
        | detection.report_on([suite], draws=20),
    }
    for name, report in reports.items():
        (folder / f"{name}.json").write_text(json.dumps(report))
    return folder


def test_the_card_shows_what_was_measured_and_its_commands(results: Path, tmp_path: Path) -> None:
    written = card.write(results, tmp_path / "no-models", tmp_path / "docs")
    text = (tmp_path / "docs" / "benchmark.md").read_text()
    assert "| `ensemble108` | 0.777 <sub>0.747–0.817</sub> | – | 0.175 <sub>0.145–0.215</sub> |" in text
    assert "12.0 <sub>0.0–15.0</sub>" in text
    assert "python -m pipeline evaluate reasons --model ensemble108 --data ../shared/data" in text
    assert "nan" not in text.lower().replace("nanny", "")
    pictures = set(re.findall(r"\((benchmark/[\w.-]+\.svg)\)", text))
    assert pictures == {f"benchmark/{p.name}" for p in written if p.suffix == ".svg"}
    assert all((tmp_path / "docs" / p).stat().st_size > 1000 for p in pictures)
    page = (tmp_path / "docs" / "benchmark.html").read_text()
    assert page.count("<svg") == len(pictures)
    assert "0.747–0.817" in page


def test_writing_again_changes_not_one_byte_and_drops_old_pictures(results: Path, tmp_path: Path) -> None:
    first = {p: p.read_bytes() for p in card.write(results, tmp_path, tmp_path / "docs")}
    (results / "reasons-prior.json").unlink()
    (results / "reasons-ensemble108.json").unlink()
    fewer = card.write(results, tmp_path, tmp_path / "docs")
    assert not (tmp_path / "docs" / "benchmark" / "reasons.svg").exists()
    assert all(p.read_bytes() == first[p] for p in fewer if p.suffix == ".svg")


def test_other_class_sets_stand_apart(results: Path, tmp_path: Path) -> None:
    (results / "reasons-prior-8-classes.json").write_text(json.dumps(reasons("prior", 0.3, 0.2)))
    found = read(results, tmp_path)
    assert set(found.reasons) == {"ensemble108", "prior"}
    assert set(found.other_reasons) == {"reasons-prior-8-classes"}


def test_what_is_no_result_is_said(results: Path, tmp_path: Path) -> None:
    (results / "bad.json").write_text('{"kind": "poem"}')
    with pytest.raises(DataError, match="poem"):
        card.write(results, tmp_path, tmp_path / "docs")
    (results / "bad.json").write_text("{")
    with pytest.raises(DataError, match="JSON"):
        card.write(results, tmp_path, tmp_path / "docs")
    assert not (tmp_path / "docs").exists()
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no result in"):
        read(tmp_path / "empty", tmp_path)


def test_the_command_names_what_it_wrote(results: Path, tmp_path: Path) -> None:
    options = ["--results", str(results), "--out", str(tmp_path / "docs")]
    done = CliRunner().invoke(app, ["evaluate", "leaderboard", *options])
    assert done.exit_code == 0, done.output
    assert {str(tmp_path / "docs" / n) for n in ("benchmark.md", "benchmark.html")} <= set(
        done.output.split()
    )


def test_html_keeps_hostile_names_as_words() -> None:
    page = document.to_html(
        [document.Heading("A <b>", 1), document.Table(("x",), (("<script>alert(1)</script>",),))]
    )
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_curves_of_a_perfect_and_of_a_useless_score() -> None:
    is_cry = np.arange(400) % 4 == 0
    useless = np.random.default_rng(0).normal(size=400)
    curves = detection_curves(
        is_cry, np.arange(400) // 4 % 2, {"ours": is_cry * 1.0 + useless * 1e-3, "plain": useless}
    )
    assert curves["ours_recall"] == [1.0] * len(curves["false_positive_rate"])
    assert curves["ours_precision"] == [1.0] * len(curves["recall"])
    gap = np.abs(np.array(curves["plain_recall"]) - curves["false_positive_rate"])
    assert gap.max() < 0.15, "a useless score finds as many cries as other sounds"
    assert curves["plain_precision"][-1] == pytest.approx(1 / 4, abs=0.02)


def test_reliability_of_honest_and_of_boastful_scores() -> None:
    rng = np.random.default_rng(0)
    said = rng.uniform(size=20_000)
    truth = rng.uniform(size=20_000) < said
    assert reliability(truth, said)["error"] < 0.02
    assert reliability(truth, np.clip(said + 0.3, 0, 1))["error"] > 0.2


def test_figures_are_measured_again_by_their_own_command(tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    kept = reasons("xgb336", 0.9, 0.2)
    (results / "reasons-xgb336.json").write_text(json.dumps(kept))
    asked: list[list[str]] = []

    def run(arguments: Sequence[str]) -> None:
        asked.append(list(arguments))
        new = json.loads(json.dumps(kept)) | {"command": "typed otherwise"}
        new["protocols"]["donor"]["figures"]["macro_f1"]["value"] = 0.21
        Path(arguments[-1]).write_text(json.dumps(new))

    found = measure_again(results / "reasons-xgb336.json", tmp_path / "new", run=run)
    target = tmp_path / "new" / "reasons-xgb336.json"
    assert list(map(shlex.join, asked)) == [
        f"evaluate reasons --model xgb336 --data ../shared/data --out {target}"
    ]
    assert [(d.where, d.kept, d.found) for d in found] == [
        ("protocols.donor.figures.macro_f1.value", 0.2, 0.21)
    ]
    assert measure_again(results / "reasons-xgb336.json", tmp_path / "new", run=run) == found
    assert len(asked) == 1, "what an interrupted round had measured is not measured anew"


@pytest.mark.parametrize(
    "command",
    [
        "rm -rf /",
        "python -m pipeline train prior",
        "python -m pipeline evaluate reasons --out=/x",
        "python 'x",
    ],
)
def test_only_our_own_evaluations_are_run_again(tmp_path: Path, command: str) -> None:
    path = tmp_path / "reasons-x.json"
    path.write_text(json.dumps(reasons("x", 0.9, 0.2) | {"command": command}))
    with pytest.raises(DataError, match=r"reasons-x\.json"):
        measure_again(path, tmp_path / "new", run=lambda arguments: pytest.fail(f"{arguments} was run"))


def test_again_measures_a_floor_for_real_and_finds_it_the_same(
    tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind, clips in {"hungry": 8, "tired": 6}.items():
        for i in range(clips):
            place = tmp_path / "few" / kind / str(i)
            place.mkdir(parents=True)
            sound = sorted((shared / "data" / "donateacry" / kind).iterdir())[i]
            (place / sound.name).symlink_to(sound)
    results, new = tmp_path / "results", tmp_path / "new"
    target = results / "reasons-prior.json"
    run = CliRunner().invoke
    first = run(
        app,
        ["evaluate", "reasons", "--model", "prior", "--data", str(tmp_path / "few"), "--out", str(target)],
    )
    assert first.exit_code == 0, first.output
    second = run(app, ["evaluate", "again", "--results", str(results), "--out", str(new)])
    assert (second.exit_code, "reasons-prior: the same" in second.output) == (0, True), second.output
    report = json.loads(target.read_text())
    report["floors"]["accuracy"] = 0.99
    target.write_text(json.dumps(report))
    third = run(app, ["evaluate", "again", "prior", "--results", str(results), "--out", str(new)])
    assert third.exit_code != 0
    third = run(app, ["evaluate", "again", "--results", str(results), "--out", str(new)])
    assert third.exit_code == 1
    assert "floors.accuracy: 0.99 then" in third.output

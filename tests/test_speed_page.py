"""docs/speed.md and the README say what the benchmarks measured."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_its_tables_are_those_of_the_results() -> None:
    page = runpy.run_path(str(ROOT / "benchmarks" / "page.py"))
    for path in page["PAGES"]:
        text = path.read_text("utf-8")
        assert page["filled"](text) == text, "run: python benchmarks/page.py"
    text = "".join(path.read_text("utf-8") for path in page["PAGES"])
    for name in page["TABLES"]:
        assert f"<!-- table {name} -->" in text
    assert "<!-- table clip -->" in (ROOT / "README.md").read_text("utf-8")


def test_the_promises_hold_in_what_was_measured() -> None:
    import json

    def found(name: str) -> dict:
        return json.loads((ROOT / "benchmarks" / "results" / f"speed-{name}.json").read_text("utf-8"))

    features = found("features")
    assert features["corpus"]["recordings"] == 457
    assert features["corpus"]["largest_difference_over_spread"] <= 1e-4
    assert features["one_clip"]["ours_108"]["times_as_fast"] >= 10
    assert found("long")["day"]["student"]["peak_mb"] < 600
    assert found("memory")["import_pipeline_ms"] < 500

"""What an audit found, in the card of a model: only of the data it was trained on, and always the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import planted
import pytest

from pipeline.artifacts import open_artifact, save
from pipeline.errors import ArtifactError, DataError
from pipeline.evaluation.audit import card
from pipeline.evaluation.audit.output import to_json

Audit = Callable[..., dict[str, Any]]
SHIPPED = Path(__file__).resolve().parents[2] / "artifacts"
TRAINED = {"studio: falling": 8, "studio: rising": 8, "street: dogs": 4}
CARD = "# A model\n\nIt hears.\n\n## Data\n\nTakes.\n\n## Limits\n\n- Many.\n"


@pytest.fixture(scope="module")
def report(audited: Audit, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A set with one copy in it, of two collections."""
    takes = planted.takes(donors=8)
    takes[3] = planted.copied(takes[0], takes[3].split, "d01", takes[3].name, takes[0].samples)
    takes[-1] = planted.copied(takes[-1], "test", "d07", takes[-1].name, takes[-1].samples)
    root = tmp_path_factory.mktemp("for-a-card")
    found = audited(
        planted.write(root, takes, ("path", "label", "group")), command="python -m pipeline audit x"
    )
    found["plots"]["sources"] = {"classes": ["falling", "rising"], "sources": ["studio"], "table": [[8], [8]]}
    return found


@pytest.fixture
def results(report: dict[str, Any], tmp_path: Path) -> Path:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "audit-takes.json").write_text(to_json(report))
    return tmp_path / "results"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    save(
        tmp_path / "model",
        files={"weights.bin": b"123"},
        kind="detector",
        schema={},
        training={"clips": TRAINED},
        metrics={},
        card=CARD,
        commit="c",
    )
    return tmp_path / "model"


def test_the_section_stands_before_the_limits(results: Path) -> None:
    text = card.with_findings(CARD, TRAINED, results)
    assert text.index("## Data") < text.index(card.TITLE) < text.index("## Limits")
    assert text.endswith("## Limits\n\n- Many.\n")
    assert "**leak** | Exact copies" in text
    assert "python -m pipeline audit x" in text
    assert "Looked for and not found: " in text
    assert text == card.with_findings(CARD, TRAINED, results), "the same twice"
    assert card.with_findings(text, TRAINED, results) == text, "an older section is replaced"


def test_a_card_of_other_data_says_nothing_of_it(results: Path) -> None:
    assert card.with_findings(CARD, {**TRAINED, "studio: rising": 9}, results) == CARD
    assert card.with_findings(CARD, {"hungry": 3}, results) == CARD
    assert card.with_findings(CARD, TRAINED, results / "none") == CARD


def test_a_section_is_taken_out_again(results: Path) -> None:
    text = card.with_findings(CARD, TRAINED, results)
    assert card.inserted(text, "") == CARD
    alone = "# A model\n\nIt hears.\n"
    at_the_end = card.with_findings(alone, TRAINED, results)
    assert at_the_end.startswith(alone)
    assert card.inserted(at_the_end, "") == alone


def test_a_trained_model_gets_its_section_without_training(model: Path, report: dict[str, Any]) -> None:
    before = json.loads((model / "manifest.json").read_text())
    assert card.rewrite(model, report) == model / "MODEL_CARD.md"
    artifact = open_artifact(model, kind="detector")
    assert card.TITLE in artifact.read_bytes("MODEL_CARD.md").decode(), "and the checksum is the new one"
    assert artifact.read_bytes("weights.bin") == b"123"
    after = json.loads((model / "manifest.json").read_text())
    del before["files"]["MODEL_CARD.md"], after["files"]["MODEL_CARD.md"]
    assert after == before
    assert {path.name for path in model.iterdir()} == {"MODEL_CARD.md", "manifest.json", "weights.bin"}


def test_a_model_of_other_data_or_with_an_altered_card_is_left_alone(
    model: Path, report: dict[str, Any]
) -> None:
    other = {**report, "data": {**report["data"], "labels": {"x": 1}}, "plots": {"sources": None}}
    with pytest.raises(DataError, match="was not trained on what this audit is about"):
        card.rewrite(model, other)
    (model / "MODEL_CARD.md").write_text("somebody wrote this")
    with pytest.raises(ArtifactError, match="not the one its manifest names"):
        card.rewrite(model, report)
    assert (model / "MODEL_CARD.md").read_text() == "somebody wrote this"


@pytest.mark.parametrize(
    ("name", "part"),
    [("reasons", "hungry"), ("detector-student", "esc50: cry"), ("detector-yamnet", "esc50: cry")],
)
def test_what_the_shipped_models_were_trained_on_is_known(name: str, part: str) -> None:
    assert card.trained_on(open_artifact(SHIPPED / name).manifest)[part] > 0


@pytest.mark.parametrize("name", ["reasons", "detector-student", "detector-yamnet"])
def test_the_shipped_cards_hold_what_the_kept_audits_found(name: str) -> None:
    artifact = open_artifact(SHIPPED / name)
    text = artifact.read_bytes("MODEL_CARD.md").decode()
    found = card.findings(card.trained_on(artifact.manifest))
    assert found, f"no kept audit is about the data of {name}"
    assert card.inserted(text, found) == text

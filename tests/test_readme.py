"""The README holds what it promises: figures from the models, commands, links and settings that exist."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import typer.main

from pipeline import artifacts
from pipeline.cli import app
from pipeline.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
PAGES = [README, ROOT / "artifacts" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MODELS = ("student", "detector-student", "detector-yamnet", "reasons")
FROM_RESULTS = ("night-figures", "zoo-figures", "detection-figures", "threshold-figures", "reason-figures")


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    """``tools/readme_figures.py``, which is no package."""
    spec = importlib.util.spec_from_file_location("readme_figures", ROOT / "tools" / "readme_figures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", FROM_RESULTS)
def test_figures_are_those_of_the_models(tool: ModuleType, name: str) -> None:
    found = tool.block_of(README.read_text("utf-8"), name)[0]
    assert found.rstrip("\n") == tool.BLOCKS[name](tool.ARTIFACTS), "run: python tools/readme_figures.py"


@pytest.mark.parametrize("name", ["evidence", "cry_free_hours"])
def test_a_table_on_nights_is_that_of_its_measurement(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """``benchmarks/NAME.py`` writes both."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    script = importlib.import_module(name)
    table = script.table(json.loads(script.OUT.read_text("utf-8")))
    assert table in (ROOT / "docs" / "nights.md").read_text("utf-8")


def test_sample_output_has_the_keys_of_a_result(tool: ModuleType) -> None:
    """Keys, not numbers: another processor may round a score otherwise."""
    from pipeline.formats import error_record

    found = json.loads(tool.block_of(README.read_text("utf-8"), "sample-output")[0].strip().strip("`json\n"))
    assert list(found) == list(error_record("cry.wav", "none"))
    assert set(found["episodes"][0]) == {"start_s", "end_s", "peak", "mean"}
    manifest = artifacts.open_artifact(ROOT / "artifacts" / "reasons").manifest
    assert list(found["reasons"]["probabilities"]) == manifest["schema"]["classes"]
    detector = artifacts.open_artifact(ROOT / "artifacts" / f"detector-{found['embedder']}").manifest
    assert found["threshold"] == pytest.approx(detector["metrics"]["threshold"]["value"], abs=5e-4)


def test_commands_in_the_pages_exist() -> None:
    """Every ``crylens …`` and ``python -m pipeline …``: its sub-commands, and each option written with it."""
    root = typer.main.get_command(app)
    seen = 0
    for page in PAGES:
        for words in commands_in(page.read_text("utf-8")):
            seen += 1
            command = root
            while words and words[0] in getattr(command, "commands", {}):
                command = command.commands[words.pop(0)]
            group = getattr(command, "commands", None)
            alone = (
                getattr(command, "invoke_without_command", False) and words[:1] and words[0].startswith("-")
            )
            assert alone or not (group and words), f"{page.name}: no such command: {' '.join(words)}"
            options = {option for parameter in command.params for option in parameter.opts}
            assert {word for word in words if word.startswith("-")} <= options, f"{page.name}: {words}"
    assert seen > 10


def commands_in(text: str) -> Iterator[list[str]]:
    """Words behind the program's name, in fenced code and code spans; comments and redirections dropped."""
    fenced = re.findall(r"^```(?:sh)?\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))
    for line in [*"\n".join(fenced).splitlines(), *spans]:
        found = re.match(r"(?:\w+=\S+ )*(?:crylens|python -m pipeline) +([^#>|]+)", line.strip())
        if found:
            yield found[1].split()


def test_make_targets_in_the_pages_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"\bmake ([a-z]+(?:-[a-z]+)?)\b", code_of(page))}
    assert {"run", "test"} <= named
    assert named <= targets


def code_of(page: Path) -> str:
    """Fenced code and code spans of a page."""
    return "\n".join(re.findall(r"```.*?```|`[^`\n]+`", page.read_text("utf-8"), re.DOTALL))


def test_relative_links_resolve() -> None:
    for page in PAGES:
        text = page.read_text("utf-8")
        links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'<img src="([^"]+)"', text)
        for link in links:
            if not re.match(r"[a-z]+:|#", link):
                assert (page.parent / link.split("#")[0]).exists(), f"{page.relative_to(ROOT)}: {link}"


def test_every_setting_is_in_the_table() -> None:
    """The README's, or that of the page of the part that has them to itself."""
    pages = [README, ROOT / "docs" / "service.md", ROOT / "docs" / "monitor.md"]
    texts = [page.read_text("utf-8") for page in pages if page.is_file()]
    named = set(re.findall(r"^\| `CRY_([A-Z_]+)` \|", "\n".join(texts), re.MULTILINE))
    assert named == {name.upper() for name in Settings.model_fields}


@pytest.mark.parametrize("name", MODELS)
def test_every_model_has_a_card_that_says_something(name: str) -> None:
    artifact = artifacts.open_artifact(ROOT / "artifacts" / name)
    card = artifact.read_bytes("MODEL_CARD.md").decode()
    assert card.startswith("# ")
    for part in ("python -m pipeline train", "## Limits", "licence"):
        assert part in card.replace("Licence", "licence"), f"{name}: its card lacks {part!r}"
    assert f"{name}/" in (ROOT / "artifacts" / "README.md").read_text("utf-8")


# --- the tool itself, on models made for the purpose ---


def a_report(seed: int) -> dict:
    """A real report on made-up scores."""
    from pipeline.evaluation.detection import Scores, report_on
    from pipeline.training.detector import at_threshold, settle

    rng = np.random.default_rng(seed)
    n = 240
    is_cry = np.arange(n) % 3 == 0
    suites = [
        Scores(
            name,
            is_cry,
            rng.normal(3.0 * is_cry, 1.0),
            np.random.default_rng(99).normal(1.0 * is_cry, 1.0),  # the same for both detectors
            np.arange(n) % 2,
            np.where(np.arange(n) % 2, "one", "two"),
            np.array([f"g{i // 4}" for i in range(n)]),
        )
        for name in ("clean", "changed", "background, 0 dB", "white noise, 5 dB")
    ]
    threshold = at_threshold(suites[:2], suites, *settle(suites[:2]))
    return report_on(suites, draws=20) | {"threshold": threshold}


def save_model(folder: Path, kind: str, metrics: dict) -> None:
    artifacts.save(
        folder, files={"x": b"x"}, kind=kind, schema={}, training={}, metrics=metrics, card="# x", commit="x"
    )


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for seed, name in enumerate(("yamnet", "student")):
        save_model(folder / f"detector-{name}", "detector", a_report(seed))
    shutil.copytree(ROOT / "artifacts" / "reasons", folder / "reasons")
    return folder


def test_tool_writes_the_manifests_numbers(tool: ModuleType, models: Path, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(
        "".join(f"before\n<!-- {n} -->\nstale words\n<!-- /{n} -->\nafter\n" for n in FROM_RESULTS)
    )
    arguments = [*FROM_RESULTS, "--artifacts", str(models), "--readme", str(readme)]
    assert tool.main([*arguments, "--check"]) == 1
    assert tool.main(arguments) == 0
    assert tool.main([*arguments, "--check"]) == 0
    text = readme.read_text()
    assert text.count("before\n") == text.count("\nafter\n") == len(FROM_RESULTS)
    assert "stale words" not in text
    for name in ("yamnet", "student"):
        metrics = artifacts.open_artifact(models / f"detector-{name}").manifest["metrics"]
        row = next(line for line in text.splitlines() if tool.DETECTORS[name] in line)
        assert f"| {metrics['suites']['clean']['ours']['auc']['value']:.3f} <sub>" in row
        assert f"| {metrics['threshold']['value']:.3f} |" in text
    assert text.count("plain YAMNet class |") == 3  # told once for both, in each of three suites


def test_tool_says_where_a_detector_is_behind(tool: ModuleType) -> None:
    report = a_report(0)
    report["suites"]["clean"]["ahead"]["ap"] = {"value": -0.02, "low": -0.05, "high": 0.01}
    told = tool._score_card("yamnet", report)
    assert "on 11 of these 12" in told
    assert "behind on AP (as recorded) by 0.020" in told


def test_tool_refuses_models_without_figures(
    tool: ModuleType, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    provisional = tmp_path / "models"
    shutil.copytree(models, provisional)
    save_model(provisional / "detector-student", "detector", {})
    readme = tmp_path / "README.md"
    shutil.copy(README, readme)
    assert tool.main(["--artifacts", str(provisional), "--readme", str(readme)]) == 2
    told = capsys.readouterr().err
    assert "detector-student holds no figures" in told
    assert "python -m pipeline train detector --embedder student" in told
    assert readme.read_bytes() == README.read_bytes()

"""Write the README's figures from the trained models, so that no number in it is typed by hand.

    python tools/readme_figures.py                       # every block
    python tools/readme_figures.py reason-figures        # one of them
    python tools/readme_figures.py --check               # change nothing; exit 1 when out of date

A block is what stands between ``<!-- name -->`` and ``<!-- /name -->``. A model without figures is refused,
and the README then stays as it is.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.artifacts import open_artifact
from pipeline.errors import ArtifactError, CryError
from pipeline.evaluation.leaderboard import card, texts
from pipeline.evaluation.leaderboard.document import Text, to_markdown
from pipeline.evaluation.leaderboard.results import read

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
ARTIFACTS = ROOT / "artifacts"
RESULTS = ROOT / "benchmarks" / "results"

FIGURES = {
    "auc": "AUC",
    "ap": "AP",
    "recall_at_0.01": "recall at 1 % false positives",
    "recall_at_0.001": "recall at 0.1 %",
}
DETECTORS = {"yamnet": "CryLens on YAMNet", "student": "CryLens on its bundled embedder"}
MIXED = "over household sound or white noise, mean of 0, 5, 10 dB"
SUITES = {"clean": "as recorded", "changed": "changed: mixed, noisy, reverberant, coded, quiet"}
SAMPLE_SEEDS = 20
REASON_FIGURES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "auc": "AUC, one against the rest",
}


def metrics_of(folder: Path, kind: str, needed: Sequence[str], command: str) -> Mapping[str, Any]:
    """A model's figures.

    Raises:
        ArtifactError: there is no such model, or it carries no figures (a provisional one).
    """
    metrics: Mapping[str, Any] = open_artifact(folder, kind=kind).manifest["metrics"]
    missing = [name for name in needed if name not in metrics]
    if missing:
        raise ArtifactError(
            f"{folder.name} holds no figures ({', '.join(missing)} missing in the metrics of its manifest). "
            f"Train it: {command}",
            code="no-figures",
        )
    return metrics


def detection_metrics(artifacts: Path) -> dict[str, Mapping[str, Any]]:
    """Figures of both detectors by embedder."""
    return {
        name: metrics_of(
            artifacts / f"detector-{name}",
            "detector",
            ("suites", "mixed_average", "threshold"),
            f"python -m pipeline train detector --embedder {name} --data ../shared/data",
        )
        for name in DETECTORS
    }


def detection_block(artifacts: Path) -> str:
    """Both detectors beside the plain YAMNet class, on sources left out of training."""
    found = detection_metrics(artifacts)
    lines = [f"| clips from sources left out | | {' | '.join(FIGURES.values())} |", "|---|---" * 3 + "|"]
    for suite in (*SUITES, MIXED):
        lines += _suite_rows(suite, found)
    lines += ["", *(_score_card(name, metrics) for name, metrics in found.items()), ""]
    lines += _commands(
        f"python -m pipeline evaluate detection --embedder {e} --data ../shared/data" for e in found
    )
    return "\n".join(lines)


def _figures(metrics: Mapping[str, Any], suite: str) -> Mapping[str, Any]:
    return metrics["mixed_average"] if suite == MIXED else metrics["suites"][suite]


def _suite_rows(suite: str, found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The plain class (twice when the detectors were judged on different clips), then each detector."""
    per_detector = {name: _figures(metrics, suite) for name, metrics in found.items()}
    rows: dict[str, str] = {}  # cells -> who
    for name, figures in per_detector.items():
        cells = " | ".join(_cell(figures["plain"][f]) for f in FIGURES)
        rows.setdefault(cells, "plain YAMNet class" + (f", clips of detector-{name}" if rows else ""))
    table = [(who, cells) for cells, who in rows.items()]
    table += [
        (f"**{DETECTORS[name]}**", " | ".join(_cell(figures["ours"][f]) for f in FIGURES))
        for name, figures in per_detector.items()
    ]
    first = next(iter(per_detector.values()))
    count = f", {first['clips']} clips, {first['cries']} cries" if "clips" in first else ""
    title = SUITES.get(suite, suite) + count
    return [f"| {title if i == 0 else ''} | {who} | {cells} |" for i, (who, cells) in enumerate(table)]


def _cell(figure: float | Mapping[str, float]) -> str:
    """Three digits, with the interval in small where there is one."""
    if not isinstance(figure, Mapping):
        return f"{figure:.3f}"
    return f"{figure['value']:.3f} <sub>{figure['low']:.3f}–{figure['high']:.3f}</sub>"


def _score_card(name: str, metrics: Mapping[str, Any]) -> str:
    """On how many of the averages above a detector is ahead, and where it is not."""
    behind, sure = [], 0
    for suite in (*SUITES, MIXED):
        for figure, title in FIGURES.items():
            ahead = _figures(metrics, suite)["ahead"][figure]
            value = ahead["value"] if isinstance(ahead, Mapping) else ahead
            sure += isinstance(ahead, Mapping) and ahead["low"] > 0
            if value <= 0:
                behind.append((float(value), f"{title} ({SUITES.get(suite, suite)}) by {-value:.3f}"))
    count = (len(SUITES) + 1) * len(FIGURES)
    worst = " and ".join(words for _, words in sorted(behind)[:2])
    how_many = f"{len(behind)}, most on " if len(behind) > 2 else ""
    told = f"; it is behind on {how_many}{worst}" if behind else ""
    return (
        f"- {DETECTORS[name]} is ahead of the plain class on {count - len(behind)} of these {count} "
        f"averages{told}. The 95 % interval of the difference lies above zero for {sure} of the "
        f"{len(SUITES) * len(FIGURES)} that have one."
    )


def threshold_block(artifacts: Path) -> str:
    """The shipped thresholds and what they do, where they were chosen and where they were not."""
    lines = [
        "| detector | threshold | judged on | as recorded: cries found, false positives | changed "
        "| over other sound |",
        "|---|---|---|---|---|---|",
    ]
    for name, metrics in detection_metrics(artifacts).items():
        threshold = metrics["threshold"]
        who = f"{DETECTORS[name]} | {threshold['value']:.3f}"
        for title, part in (
            ("donors left out (chosen here)", "validation"),
            ("**sources left out**", "suites"),
        ):
            lines.append(f"| {who} | {title} | {_rates(threshold[part])} |")
            who = " | "
    lines.append("")
    lines += _commands(
        f"python -m pipeline train detector --embedder {e} --data ../shared/data" for e in DETECTORS
    )
    return "\n".join(lines)


def _rates(suites: Mapping[str, Mapping[str, float]]) -> str:
    """Cells of one row: clean, changed, and the mean of the mixed suites where there are any."""
    mixed = [row for suite, row in suites.items() if suite not in SUITES]
    mean = {
        key: sum(row[key] for row in mixed) / len(mixed) for key in ("recall", "false_positives") if mixed
    }
    cells = [
        f"{row['recall']:.1%}, {row['false_positives']:.2%}" if row else "–"
        for row in (*(suites[name] for name in SUITES), mean)
    ]
    return " | ".join(cells).replace("%", " %")


def reason_block(artifacts: Path) -> str:
    """Reasons under both protocols beside always giving the commonest answer."""
    metrics = metrics_of(
        artifacts / "reasons",
        "reasons",
        ("floors", "protocols"),
        "python -m pipeline train reasons --data ../shared/data",
    )
    floors, row, donor = metrics["floors"], *(metrics["protocols"][p]["figures"] for p in ("row", "donor"))
    lines = [
        "| | rows split at random (as usually published) | **babies not heard before** | "
        f"always “{floors['majority']}” |",
        "|---|---|---|---|",
    ]
    for name, title in REASON_FIGURES.items():
        lines.append(f"| {title} | {_cell(row[name])} | **{_cell(donor[name])}** | {floors[name]:.3f} |")
    lines.append("")
    lines += _commands(
        f"python -m pipeline evaluate reasons --protocol {p} --data ../shared/data" for p in ("row", "donor")
    )
    return "\n".join(lines)


def night_block(artifacts: Path) -> str:
    """Every model over hours of made-up night."""
    from pipeline.evaluation.leaderboard.tables import night_budgets, nights

    reports = card.ordered(read(RESULTS, artifacts).night)
    # The same nights for all of them: one command, unless a model was measured otherwise.
    commands = {str(r["command"]).replace(f"--model {name}", "--model MODELS") for name, r in reports.items()}
    joined = {"all": {"command": min(commands).replace("MODELS", ",".join(reports))}}
    last = card.commands(joined if len(commands) == 1 else reports)
    tables = [nights(reports), Text(texts.BUDGETS), night_budgets(reports)]
    return to_markdown([*tables, *last], "docs").rstrip("\n")


def zoo_block(artifacts: Path) -> str:
    """Every model of reasons under every protocol."""
    from pipeline.evaluation.leaderboard.tables import reasons_by_protocol

    reports = read(RESULTS, artifacts).reasons
    blocks = [
        reasons_by_protocol(reports, "accuracy"),
        Text("Macro-F1, to which rare reasons count as much:"),
    ]
    return to_markdown([*blocks, reasons_by_protocol(reports, "macro_f1")], "docs").rstrip("\n")


def sample_block(artifacts: Path) -> str:
    """One line of JSON lines, broken into a line per key: the first synthesised cry that is heard."""
    from pipeline import CryPipeline
    from pipeline.settings import get_settings
    from pipeline.synthesis import DEMOS

    pipe = CryPipeline.load("student", get_settings(artifacts_dir=artifacts))
    heard = (pipe.analyze(DEMOS["cry"].make(seed), name="cry.wav") for seed in range(SAMPLE_SEEDS))
    record = next((analysis.to_dict() for analysis in heard if analysis.is_cry), None)
    if record is None:
        raise CryError(f"None of {SAMPLE_SEEDS} synthesised cries is heard as one at the shipped threshold.")
    return _lines_of(record)


def curl_block(artifacts: Path) -> str:
    """What the service's /classify says of the demo cry (deploy/clients/demo_cry.py), a line per key."""
    from pipeline import CryPipeline
    from pipeline.service.answers import Hearing, classification
    from pipeline.settings import get_settings
    from pipeline.synthesis import DEMOS

    pipe = CryPipeline.load("student", get_settings(artifacts_dir=artifacts))
    found = pipe.analyze(DEMOS["cry"].make(), name="cry.wav")
    reasons = found.reasons.to_dict() if found.reasons else None
    return _lines_of(classification(Hearing(found.to_dict(), [], None, []), reasons, top_k=3, names=None))


def _lines_of(record: Mapping[str, Any]) -> str:
    keys = ",\n ".join(f'"{key}": {json.dumps(_rounded(value))}' for key, value in record.items())
    return f"```json\n{{{keys}}}\n```"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value


def _commands(commands: Any) -> list[str]:
    return ["```sh", *commands, "```"]


# The samples need the models to run; the other blocks are read from manifests.
BLOCKS: dict[str, Callable[[Path], str]] = {
    "night-figures": night_block,
    "zoo-figures": zoo_block,
    "detection-figures": detection_block,
    "threshold-figures": threshold_block,
    "reason-figures": reason_block,
    "sample-output": sample_block,
    "curl-output": curl_block,
}


def block_of(text: str, name: str) -> re.Match[str]:
    """The block in a README.

    Raises:
        CryError: its marks are not there exactly once.
    """
    found = list(re.finditer(rf"(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)", text, re.DOTALL))
    if len(found) != 1:
        raise CryError(
            f"README.md must hold <!-- {name} --> … <!-- /{name} --> once, not {len(found)} times."
        )
    return found[0]


def filled(text: str, names: Sequence[str], artifacts: Path) -> str:
    """The README's text with the named blocks made anew."""
    for name in names:
        place = block_of(text, name)
        text = f"{text[: place.start()]}{BLOCKS[name](artifacts)}\n{text[place.end() :]}"
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 done or up to date, 1 out of date (--check), 2 refused."""
    parser = argparse.ArgumentParser(description="Write the README's figures from the trained models.")
    parser.add_argument("blocks", nargs="*", metavar="BLOCK", help=f"of {', '.join(BLOCKS)}; all by default")
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when out of date")
    parser.add_argument("--artifacts", type=Path, default=ARTIFACTS, help="folder of trained models")
    parser.add_argument("--readme", type=Path, default=README)
    given = parser.parse_args(arguments)
    unknown = sorted(set(given.blocks) - set(BLOCKS))
    if unknown:
        parser.error(f"no block is called {unknown[0]}; there are {', '.join(BLOCKS)}")
    before = given.readme.read_text("utf-8")
    try:
        after = filled(before, given.blocks or list(BLOCKS), given.artifacts)
    except CryError as error:
        sys.stderr.write(f"{error}\n{given.readme.name} was left as it is.\n")
        return 2
    if given.check:
        return int(after != before)
    given.readme.write_text(after, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

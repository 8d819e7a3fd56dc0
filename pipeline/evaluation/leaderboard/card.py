"""Writes the benchmark card: ``docs/benchmark.md``, ``docs/benchmark.html`` and the pictures beside them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipeline.evaluation.leaderboard import plots, tables, texts
from pipeline.evaluation.leaderboard.document import (
    Block,
    Commands,
    Figure,
    Heading,
    Text,
    to_html,
    to_markdown,
)
from pipeline.evaluation.leaderboard.results import Report, Results, read

FOLDER = "benchmark"
SUITES = {
    "clean": "As recorded",
    "changed": "Changed: mixed with other sound, noisy, reverberant, coded, quiet",
    "mixed_average": "Over unseen household sound and over white noise, mean of 0, 5 and 10 dB",
    "bands swapped": "Wide-band cries among telephone-band others",
}
# Best known first; whatever else has results follows by name.
ORDER = (
    "crylens-yamnet", "crylens-student", "crylens-yamnet-single", "crylens-student-single",
    "yamnet-class", "yamnet-class-20s", "yamnet-crying-max", "melcnn4s", "level",
)  # fmt: skip


def write(results: Path, artifacts: Path, out: Path) -> list[Path]:
    """Read all results and write the card.

    Args:
        results: folder of result files; artifacts: the shipped models; out: folder of documents.

    Returns:
        The files written, pictures included.

    Raises:
        DataError: no results, or a file that is none.
    """
    blocks = compose(read(results, artifacts))
    pictures = out / FOLDER
    pictures.mkdir(parents=True, exist_ok=True)
    wanted = {block.file: block.svg for block in blocks if isinstance(block, Figure)}
    for old in set(pictures.glob("*.svg")) - {pictures / name for name in wanted}:
        old.unlink()
    written = [pictures / name for name in wanted]
    for name, svg in wanted.items():
        (pictures / name).write_text(svg, encoding="utf-8")
    for name, text in (
        ("benchmark.md", to_markdown(blocks, FOLDER)),
        ("benchmark.html", to_html(blocks)),
    ):
        (out / name).write_text(text, encoding="utf-8")
        written.append(out / name)
    return written


def compose(results: Results) -> list[Block]:
    """The card's blocks, parts without results left out."""
    blocks: list[Block] = [
        Heading("Benchmark", 1),
        Text(texts.INTRODUCTION),
    ]
    detection = ordered(results.detection)
    if results.night:
        blocks += _night_part(ordered(results.night))
    if detection:
        blocks += _detection_part(detection)
    if results.reasons:
        blocks += _reasons_part(results.reasons)
    blocks += _other_classes(results.other_reasons)
    return blocks


def ordered(reports: Mapping[str, Report]) -> dict[str, Report]:
    """The best known models first."""
    return {
        name: reports[name]
        for name in sorted(reports, key=lambda n: (ORDER.index(n) if n in ORDER else 99, n))
    }


def commands(reports: Mapping[str, Report]) -> list[Block]:
    """The commands that give the reports."""
    lines = dict.fromkeys(str(r["command"]) for r in reports.values() if r.get("command"))
    return [Commands(tuple(lines))] if lines else []


def _night_part(reports: dict[str, Report]) -> list[Block]:
    suites = list(dict.fromkeys(name for r in reports.values() for name in r.get("by_suite") or {}))
    snrs = list(dict.fromkeys(name for r in reports.values() for name in r.get("by_snr") or {}))
    backgrounds = list(dict.fromkeys(name for r in reports.values() for name in r.get("by_background") or {}))
    blocks: list[Block] = [
        Heading("Hours: is a baby crying, and when?"),
        Text(texts.NIGHTS),
        tables.nights(reports),
        Figure("night.svg", plots.night_trade_off(reports), "Missed episodes against false alerts per 24 h"),
    ]
    if any(r.get("threshold_for_budget") for r in reports.values()):
        blocks += [Text(texts.BUDGETS), tables.night_budgets(reports)]
    if snrs:
        blocks += [
            Text("Episodes found, by SNR:"),
            tables.night_parts(reports, "by_snr", snrs, "episode_recall"),
        ]
    if backgrounds:
        blocks += [
            Text("Episodes found, by background:"),
            tables.night_parts(reports, "by_background", backgrounds, "episode_recall"),
        ]
    if suites:
        blocks += [
            Text("False alerts per 24 h of nothing but this sound:"),
            tables.night_parts(reports, "by_suite", suites, "false_alerts_per_24h"),
        ]
    return blocks + commands(reports)


def _detection_part(reports: dict[str, Report]) -> list[Block]:
    blocks: list[Block] = [
        Heading("Clips: is a baby crying?"),
        Text(texts.CLIPS),
    ]
    for suite, title in SUITES.items():
        table = tables.detection(reports, suite)
        if table.rows:
            blocks += [Heading(title, 3), table]
        if any(suite in (r.get("curves") or {}) for r in reports.values()):
            svg = plots.detection_curves(reports, suite)
            file = f"detection-{suite.replace(' ', '-')}.svg"
            blocks.append(Figure(file, svg, f"ROC and precision-recall: {title.lower()}"))
    if any("dB" in suite for r in reports.values() for suite in r["suites"]):
        svg = plots.recall_by_snr(reports)
        blocks.append(Figure("recall-by-snr.svg", svg, "Recall at 1 % false positives by SNR"))
    bins = {
        name: r["threshold"]["reliability"]["clean"]["bins"]
        for name, r in reports.items()
        if "reliability" in (r.get("threshold") or {})
    }
    if bins:
        svg = plots.reliability(bins, "calibrated cry score, sources left out")
        blocks.append(Figure("detection-reliability.svg", svg, "Calibrated score against share of cries"))
    embedders = [name.removeprefix("crylens-") for name in reports if name.startswith("crylens-")]
    ours = [f"python -m pipeline evaluate detection --embedder {e} --data ../shared/data" for e in embedders]
    return blocks + ([Commands(tuple(ours))] if ours else []) + commands(reports)


def _reasons_part(reports: dict[str, Report]) -> list[Block]:
    floor = next(iter(reports.values()))["floors"]
    blocks: list[Block] = [
        Heading("Why is it crying?"),
        Text(
            f"{texts.REASONS} Always answering “{floor['majority']}” has an accuracy of "
            f"{floor['accuracy']:.3f} and a macro-F1 of {floor['macro_f1']:.3f}."
        ),
        Figure(
            "reasons.svg",
            plots.reasons(reports, "macro_f1", "macro-F1"),
            "Macro-F1 of each model by protocol",
        ),
        Heading("Macro-F1", 3),
        tables.reasons_by_protocol(reports, "macro_f1"),
        Heading("Accuracy", 3),
        tables.reasons_by_protocol(reports, "accuracy"),
        Heading("AUC, one against the rest", 3),
        tables.reasons_by_protocol(reports, "auc"),
        Heading("More with donors apart", 3),
        tables.reasons_apart(reports),
    ]
    for name, report in reports.items():
        if {"row", "donor"} <= set(report["protocols"]) and name not in ("majority", "prior"):
            alt = f"Confusion matrices of {name}, rows at random and donors apart"
            blocks.append(Figure(f"confusion-{name}.svg", plots.confusions(report), alt))
    bins = {
        name: report["protocols"]["donor"]["reliability"]
        for name, report in reports.items()
        if report["protocols"].get("donor", {}).get("reliability") and name not in ("majority", "prior")
    }
    if bins:
        svg = plots.reliability(bins, "score of the answer given, donors apart")
        blocks.append(
            Figure("reasons-reliability.svg", svg, "Score of the answer against how often it was right")
        )
    curves = {
        name: curve
        for name, report in reports.items()
        for protocol in report["protocols"].values()
        if (curve := protocol.get("curves"))
    }
    if curves:
        alt = "Loss and macro-F1 by epoch, first fold"
        blocks.append(Figure("training-curves.svg", plots.training_curves(curves), alt))
    if "ensemble108" in reports and "donor" in reports["ensemble108"]["protocols"]:
        blocks += [
            Heading("Per reason, ensemble108, donors apart", 3),
            tables.per_class(reports["ensemble108"], "donor"),
        ]
    return blocks + commands(reports)


def _other_classes(reports: Mapping[str, Report]) -> list[Block]:
    """Sets of classes other than the five, each with the models that were measured on it."""
    by_classes: dict[tuple[str, ...], dict[str, Report]] = {}
    for report in reports.values():
        by_classes.setdefault(tuple(report["classes"]), {})[report["model"]] = report
    blocks: list[Block] = []
    for classes, models in by_classes.items():
        best = next((r for r in models.values() if r["model"] not in ("majority", "prior")), None)
        blocks += [
            Heading(f"{len(classes)} classes"),
            Text(", ".join(classes).replace("_", " ") + "."),
            *(part for f in ("accuracy", "macro_f1") for part in _figure_of(models, f)),
        ]
        if best and "donor" in best["protocols"]:
            blocks += [Text(f"Per class, `{best['model']}`, donors apart:"), tables.per_class(best, "donor")]
        blocks += commands(models)
    return blocks


def _figure_of(models: Mapping[str, Report], figure: str) -> list[Block]:
    title = {"accuracy": "Accuracy:", "macro_f1": "Macro-F1:"}[figure]
    return [Text(title), tables.reasons_by_protocol(models, figure)]

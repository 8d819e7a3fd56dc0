"""What judging the last 20 s together does to nights, and how its gain was settled.

    python benchmarks/evidence.py

Detectors that heard nothing of a night's sources listen to the nights of two seeds (and the suites of the
first), with single windows only and with several gains (pipeline.detection.Evidence). Then the gain is chosen
once more for every fold, on the nights of the other folds at the second seed, and judged at the first. Needs
../shared/data and YAMNet; what was heard is kept in the cache.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from _nights import SEEDS, judged_nights, write_table

from pipeline.evaluation import night_figures as figure
from pipeline.evaluation.night_figures import Heard
from pipeline.zoo.crylens import CrylensYamnet
from pipeline.zoo.listening import rules_of

OUT = Path(__file__).parent / "results" / "evidence-yamnet.json"
GAINS = (None, 4.5, 5.0, 5.5, 6.0)  # None: single windows alone
BUDGET_PER_24H = 1.0


def listen(seed: int) -> dict[float | None, list[Heard]]:
    """The nights and suites of a seed as they are heard with each gain."""
    heard: dict[float | None, list[Heard]] = {gain: [] for gain in GAINS}
    for judge, hearing in judged_nights("crylens-yamnet", seed):
        for gain in GAINS:
            head = replace(
                judge.model.head,
                sustained_windows=judge.model.head.sustained_windows * (gain is not None),
                sustained_gain=np.array(gain or 0.0),
            )
            model = CrylensYamnet(head=head)
            timeline = hearing.timeline(model, judge.key)
            heard[gain].append(Heard(hearing.night.truth, timeline, rules_of(model, timeline)))
    return heard


def row(heard: list[Heard]) -> dict[str, Any]:
    """Recall and false alerts on the nights, and false alerts in each suite."""
    nights = [h for h in heard if h.is_night]
    suites = [h for h in heard if not h.is_night]
    figures = figure.figures(nights, [n.predicted() for n in nights], draws=200, seed=0)
    by_suite = figure.by_suite(suites, [s.predicted() for s in suites])
    return {
        "episode_recall": figures["episode_recall"],
        "false_alerts_per_24h": figures["false_alerts_per_24h"],
        "onset_latency_s": figures["onset_latency_s"],
        "suites": {name: s["false_alerts_per_24h"]["count"] for name, s in by_suite.items()},
    }


def chosen_elsewhere(judged: dict[float | None, list[Heard]], other: dict[float | None, list[Heard]]) -> Any:
    """Each fold with the highest gain that keeps within the budget on the other folds' nights."""
    folds = sorted({h.truth.fold for h in judged[None]})
    gains: dict[int, float | None] = {}
    for fold in folds:
        gains[fold] = None
        for gain in GAINS[1:]:
            nights = [h for h in other[gain] if h.is_night and h.truth.fold != fold]
            if figure.alerts(nights, [n.predicted() for n in nights])["value"] <= BUDGET_PER_24H:
                gains[fold] = gain
    together = [h for fold in folds for h in judged[gains[fold]] if h.truth.fold == fold]
    return {"gains": {str(fold): gain for fold, gain in gains.items()}, **row(together)}


def main() -> None:
    """Measure, save, and write the table into docs/nights.md."""
    heard = {seed: listen(seed) for seed in SEEDS}
    report: dict[str, Any] = {"command": "python benchmarks/evidence.py", "seeds": {}}
    for seed, by_gain in heard.items():
        report["seeds"][str(seed)] = {str(gain or "single"): row(nights) for gain, nights in by_gain.items()}
    report["chosen_elsewhere"] = chosen_elsewhere(heard[SEEDS[0]], heard[SEEDS[1]])
    OUT.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    write_table("evidence-figures", table(report))


def table(report: dict[str, Any]) -> str:
    """Markdown: a row for each gain, and one for what is chosen elsewhere."""
    lines = [
        "| gain | found, false alerts per 24 h | on other nights | false alerts in 4 h of suites |",
        "|---|---:|---:|---:|",
    ]
    first, second = (report["seeds"][str(seed)] for seed in SEEDS)
    for gain, r in first.items():
        name = "single windows alone" if gain == "single" else gain
        lines.append(f"| {name} | {_cell(r)} | {_cell(second[gain])} | {sum(r['suites'].values())} |")
    last = report["chosen_elsewhere"]
    gains = sorted({"none" if g is None else f"{g:g}" for g in last["gains"].values()})
    name = f"chosen on other folds ({', '.join(gains)})"
    lines += [f"| {name} | {_cell(last)} | | {sum(last['suites'].values())} |", "", "```sh"]
    return "\n".join([*lines, report["command"], "```"])


def _cell(r: dict[str, Any]) -> str:
    return f"{r['episode_recall']['value']:.0%}, {r['false_alerts_per_24h']['value']:.1f}"


if __name__ == "__main__":
    main()

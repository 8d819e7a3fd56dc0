"""What hours without crying, heard in the same home, do for a threshold.

    python benchmarks/cry_free_hours.py

A detector that learned nothing of a home's sources first hears a night there and is told when nobody cried.
The threshold goes down to ``margin`` log-odds above the best score of that time (pipeline.monitor.fitting),
never up. Then it is judged on another night of the same home: other crying, other sounds in another order, of
the same collection. Done for two nights, each once the first. Needs ../shared/data and YAMNet; what was heard
is kept in the cache.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from _nights import SEEDS, judged_nights, write_table

from pipeline.evaluation import night_figures as figure
from pipeline.evaluation.night_figures import Heard
from pipeline.monitor.fitting import MARGIN, above
from pipeline.zoo.listening import rules_of

OUT = Path(__file__).parent / "results" / "evidence-cry-free-hours.json"
MODELS = ("crylens-yamnet", "crylens-student")
MARGINS = (None, 0.0, 1.0, MARGIN, 3.0)  # None: the threshold as it comes
# Windows nearer to crying than this do not count as free of it, seconds.
AWAY_S = 12.0


def listen(model: str, seed: int) -> list[Heard]:
    """The nights of a seed, and the suites of the first, at the thresholds as they come."""
    heard = []
    for judge, hearing in judged_nights(model, seed):
        timeline = hearing.timeline(judge.model, judge.key)
        heard.append(Heard(hearing.night.truth, timeline, rules_of(judge.model, timeline)))
    return heard


def nearest(nights: list[Heard]) -> float:
    """The best score far from all crying."""
    best = 0.0
    for heard in nights:
        timeline = heard.timeline
        centres = np.arange(len(timeline.scores)) * timeline.hop_s + timeline.window_s / 2
        free = np.ones(len(centres), bool)
        for start, end in heard.truth.crying:
            free &= (centres < start - AWAY_S) | (centres >= end + AWAY_S)
        best = max(best, float(timeline.scores[free].max()))
    return best


def row(first: list[Heard], second: list[Heard], suites: list[Heard], margin: float | None) -> dict[str, Any]:
    """Figures on the second nights, each home's threshold from its first."""
    lines = {}
    for fold in sorted({h.truth.fold for h in first}):
        its = [h for h in first if h.is_night and h.truth.fold == fold]
        own = its[0].rules.onset
        lines[fold] = own if margin is None else min(own, above(nearest(its), margin))
    nights = [h for h in second if h.is_night]
    found = figure.figures(nights, [h.predicted(lines[h.truth.fold]) for h in nights], draws=200, seed=0)
    by_suite = figure.by_suite(suites, [h.predicted(lines[h.truth.fold]) for h in suites])
    return {
        "thresholds": {str(fold): line for fold, line in lines.items()},
        "episode_recall": found["episode_recall"],
        "false_alerts_per_24h": found["false_alerts_per_24h"],
        "suites": {name: s["false_alerts_per_24h"]["count"] for name, s in by_suite.items()},
    }


def main() -> None:
    """Measure, save, and write the table into docs/nights.md."""
    report: dict[str, Any] = {"command": "python benchmarks/cry_free_hours.py", "models": {}}
    for model in MODELS:
        heard = [listen(model, seed) for seed in SEEDS]
        suites = [h for h in heard[0] if not h.is_night]
        report["models"][model] = {
            str(margin): [row(heard[1], heard[0], suites, margin), row(heard[0], heard[1], suites, margin)]
            for margin in MARGINS
        }
    OUT.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    write_table("cry-free-figures", table(report))


def table(report: dict[str, Any]) -> str:
    """Markdown: a row for each detector and margin, a column for each night that was judged."""
    lines = [
        "| detector | threshold | found, false alerts per 24 h | the other way round "
        "| false alerts in 4 h of suites |",
        "|---|---|---:|---:|---:|",
    ]
    for model, by_margin in report["models"].items():
        for margin, (one, other) in by_margin.items():
            name = "as it comes" if margin == "None" else f"{float(margin):g} above, or as it comes"
            alerts = " and ".join(str(sum(r["suites"].values())) for r in (one, other))
            lines.append(f"| `{model}` | {name} | {_cell(one)} | {_cell(other)} | {alerts} |")
    return "\n".join([*lines, "", "```sh", report["command"], "```"])


def _cell(r: dict[str, Any]) -> str:
    return f"{r['episode_recall']['value']:.0%}, {r['false_alerts_per_24h']['value']:.1f}"


if __name__ == "__main__":
    main()

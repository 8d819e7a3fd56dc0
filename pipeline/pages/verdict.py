"""The verdict in words that a tired parent reads in a second. Pure functions of an ``Analysis``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipeline.formats import PERHAPS, clock
from pipeline.pages.words import in_hundred, label_words, length, one_of, span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.analysis import Analysis
    from pipeline.episodes import Episode
    from pipeline.reasons import ReasonResult

Kind = Literal["cry", "near-cry", "near-none", "none", "silent"]

NEAR_LOGITS = 0.5
"""Scores this near the threshold, in log-odds, are called close: 0.38 to 0.62 about a line at 0.5, 0.85 to
0.94 about one at 0.9. Log-odds, because near 0 and 1 the same distance means much more."""

ICONS: dict[Kind, str] = {
    "cry": ":material/notifications_active:",
    "near-cry": ":material/help:",
    "near-none": ":material/help:",
    "none": ":material/check:",
    "silent": ":material/volume_off:",
}


@dataclass(frozen=True)
class Verdict:
    """What to say: a headline for the first second, a sentence for the next ten."""

    kind: Kind
    headline: str
    detail: str

    @property
    def short(self) -> str:
        """For a list of several sounds: the headline without its stop."""
        return self.headline.rstrip(".")


SILENT = Verdict(
    "silent",
    "The recording is silent",
    "There is no sound in it, so no cry either. Was the microphone covered or switched off?",
)


def cry_verdict(analysis: Analysis, *, silent: bool = False) -> Verdict:
    """The answer at the threshold in use.

    Args:
        analysis: a finished analysis, at any threshold.
        silent: the recording holds no sound at all; an answer of its own, because "no cry" would
            hide that the microphone may have been off.
    """
    if silent:
        return SILENT
    near = _is_near(analysis.cry_probability, analysis.threshold)
    figures = (
        f"The cry score reaches {analysis.cry_probability:.2f}; the line is at {analysis.threshold:.2f}."
    )
    if analysis.is_cry:
        when = _when(analysis.episodes)
        if near:
            return Verdict(
                "near-cry",
                f"Probably a baby crying, {when}",
                f"Close to the line: listen yourself. {figures}",
            )
        return Verdict("cry", f"Yes, a baby is crying, {when}", _crying_detail(analysis))
    if analysis.cry_probability >= PERHAPS:
        return Verdict(
            "near-none", "Perhaps a baby crying", f"Too unsure to call it a cry: listen yourself. {figures}"
        )
    if near:
        return Verdict("near-none", "Close to the line: probably no baby cry", f"Listen yourself. {figures}")
    return Verdict("none", "No baby cry heard", figures)


def _is_near(score: float, threshold: float) -> bool:
    def log_odds(value: float) -> float:
        bounded = min(max(value, 1e-3), 1 - 1e-3)
        return math.log(bounded / (1 - bounded))

    return abs(log_odds(score) - log_odds(threshold)) < NEAR_LOGITS


def _when(episodes: Sequence[Episode]) -> str:
    if not episodes:
        return "at some point"
    if len(episodes) == 1:
        return f"from {span(episodes[0].start, episodes[0].end)}"
    return f"{len(episodes)} times, first at {clock(episodes[0].start)}"


def _crying_detail(analysis: Analysis) -> str:
    total = sum(episode.end - episode.start for episode in analysis.episodes)
    shown = [span(episode.start, episode.end) for episode in analysis.episodes[:4]]
    more = len(analysis.episodes) - len(shown)
    most = total >= 0.9 * analysis.duration_s
    heard = (
        f"Nearly all of the {length(analysis.duration_s)}"
        if most
        else (f"{length(total)} of crying in {length(analysis.duration_s)} of sound")
    )
    parts = [f"{heard}."]
    if len(analysis.episodes) > 1:
        parts.append("Heard from " + "; ".join(shown) + (f"; and {more} more." if more else "."))
    return " ".join(parts)


def reason_verdict(reasons: ReasonResult) -> Verdict:
    """What the sound says about why, without claiming more than it can."""
    usual = reasons.base_rate
    possible = [label_words(label) for label in reasons.prediction_set]
    could_be = f"It could be {one_of(possible)}." if possible else ""
    if reasons.label is None:
        best = reasons.best
        why = (
            f"The best guess, {label_words(best)}, scores {reasons.scores[best]:.2f}, "
            f"under the line at {reasons.threshold:.2f}."
        )
        return Verdict("near-none", "Why? Not sure", f"{why} {could_be}".strip())
    chance, common = reasons.probabilities[reasons.label], usual[reasons.label]
    tells = chance > common + 0.005
    beside, perhaps = ("against", "Perhaps") if tells else ("no more than", "Hard to tell, perhaps")
    detail = f"A chance of {in_hundred(chance)}, {beside} the {in_hundred(common)} of any cry. {could_be}"
    return Verdict("near-cry", f"Why? {perhaps} {label_words(reasons.label)}", detail.strip())


def score_description(analysis: Analysis) -> str:
    """The score chart in words, for people who cannot see it."""
    if analysis.episodes:
        marked = "; ".join(span(e.start, e.end) for e in analysis.episodes[:10])
        found = f"Cry marked from {marked}."
    else:
        found = "No stretch is marked as a cry."
    return (
        f"Line chart of the cry score, from 0 to 1, over {length(analysis.duration_s)}. "
        f"Highest score {analysis.cry_probability:.2f}, threshold {analysis.threshold:.2f}. {found}"
    )


def reason_description(reasons: ReasonResult) -> str:
    """The reason chart in words: every chance beside its base rate."""
    rows = (
        f"{label_words(name)}: {in_hundred(chance)}, usually {in_hundred(reasons.base_rate[name])}"
        for name, chance in sorted(reasons.probabilities.items(), key=lambda pair: -pair[1])
    )
    return "Bar chart of the chance of each reason beside how common it is. " + "; ".join(rows) + "."

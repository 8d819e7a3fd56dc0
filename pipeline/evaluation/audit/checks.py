"""What was found, in words that claim no more than was measured.

Severities: ``leak`` (the same audio or donor where it must not be), ``shortcut`` (the label can be told from
something that is no sound of the thing), ``note`` (worth knowing), ``clear`` (looked for, not found) and
``skipped`` (could not be looked for, and why).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline._inputs import printable
from pipeline.evaluation.audit.dataset import Item
from pipeline.evaluation.audit.shortcuts import MEANING, TOGETHER

Severity = Literal["leak", "shortcut", "note", "clear", "skipped"]
SEVERITIES: tuple[Severity, ...] = ("leak", "shortcut", "note", "clear", "skipped")
EXAMPLES = 10
Apart = Callable[[int, int], bool]


@dataclass(frozen=True)
class Check:
    """One question the audit asked.

    Attributes:
        id: stable word; title: what was looked for.
        severity: see the module's description.
        finding: what was found, in a sentence with numbers.
        meaning: why it matters, and what to do; "" where nothing was found.
        numbers: JSON-able figures.
        columns, examples: a small table of examples, cells are text.
    """

    id: str
    title: str
    severity: Severity
    finding: str
    meaning: str = ""
    numbers: Mapping[str, Any] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    examples: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Scene:
    """What the wording of several checks depends on."""

    items: tuple[Item, ...]
    has_split: bool
    has_groups: bool
    apart: Apart


def count(number: int, what: str, many: str | None = None) -> str:
    """A number with its noun.

    >>> count(1, "pair"), count(1234, "recording"), count(2, "class", "classes")
    ('1 pair', '1,234 recordings', '2 classes')
    """
    return f"{number:,} {what if number == 1 else many or what + 's'}"


def are(number: int) -> str:
    """is or are."""
    return "is" if number == 1 else "are"


def groups_on_both_sides(
    scene: Scene, on_sides: Mapping[str, list[int]], basis: str, id_: str = "groups", what: str = "group"
) -> Check:
    """Groups (or donors by name) with recordings on two sides of the split."""
    title = f"A {what} (donor, original recording, session) on two sides of the split"
    if not on_sides:
        return Check(id_, title, "clear", f"Every {what} ({basis}) lies on one side of the split.")
    items = scene.items
    rows = []
    for name, members in list(on_sides.items())[:EXAMPLES]:
        where = Counter(items[i].split or "" for i in members)
        told = ", ".join(f"{printable(side)}: {number}" for side, number in sorted(where.items()))
        rows.append((printable(name), told))
    files = sum(len(members) for members in on_sides.values())
    return Check(
        id_,
        title,
        "leak",
        f"{count(len(on_sides), what)} ({basis}) {are(len(on_sides))} on two sides of the split, with "
        f"{count(files, 'recording')}.",
        "A model can recognise the donor, the room or the recorder and need not hear what the label is "
        "about. Split by whole groups (StratifiedGroupKFold, GroupShuffleSplit).",
        {"groups": len(on_sides), "recordings": files, "basis": basis},
        (what, "recordings"),
        tuple(rows),
    )


def groups_without_split(share: float | None, basis: str, groups: int, recordings: int) -> Check:
    """No split is given: what a split at random would do to the groups."""
    id_, title = "groups", "Groups (donors, original recordings, sessions), if the set were split at random"
    if share is None:
        return Check(id_, title, "skipped", "There are too few recordings to split.")
    if share == 0:
        return Check(id_, title, "clear", f"No group ({basis}) has two recordings: any split keeps it whole.")
    return Check(
        id_,
        title,
        "note",
        f"There is no split column. In five folds drawn at random, {share:.0%} of the recordings would be "
        f"tested with another of their group in training ({basis}: {count(groups, 'group')}, "
        f"{count(recordings, 'recording')}).",
        "Split by whole groups. How much a random split would flatter is measured below.",
        {"share": share, "groups": groups, "recordings": recordings, "basis": basis},
    )


def divided_donors(found: Mapping[str, list[int]], items: Sequence[Item]) -> Check:
    """The group column parts donors whom the file names tell."""
    rows = tuple(
        (printable(name), ", ".join(sorted({printable(items[i].group or "") for i in members})[:4]))
        for name, members in list(found.items())[:EXAMPLES]
    )
    return Check(
        "divided-donors",
        "Donors by file name (Donate-a-Cry) against the group column",
        "note",
        f"{count(len(found), 'donor')} by file name {are(len(found))} in more than one group of the group "
        "column.",
        "A split by that column can put such a donor on both sides. Use the donor as the group.",
        {"donors": len(found)},
        ("donor", "groups"),
        rows,
    )


def shortcut(name: str, found: Mapping[str, Any], line: float) -> Check:
    """One trait."""
    id_ = "shortcut-" + name.replace(" ", "-")
    title = f"Label from {name}" + ("" if name == TOGETHER else " alone")
    by_class = found["by_class"]
    best = max(found["over"] or by_class, key=lambda k: by_class[k]["auc"], default=None)
    told = f"mean AUC {found['auc']:.2f} [{found['low']:.2f}, {found['high']:.2f}]"
    if best is not None and len(by_class) > 2:
        row = by_class[best]
        told += f"; best {printable(best)} {row['auc']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
    if not found["over"]:
        return Check(id_, title, "clear", f"{told}: below the line.", numbers=found)
    if len(by_class) > 2:
        classes = ", ".join(printable(name) for name in found["over"][:6])
        classes += f" and {len(found['over']) - 6} more" if len(found["over"]) > 6 else ""
        told += f". Over the line of {line:g}: {classes}"
    else:
        told += f", over the line of {line:g}"
    rows = tuple(
        (printable(k), f"{by_class[k]['auc']:.2f}", f"{by_class[k]['low']:.2f} to {by_class[k]['high']:.2f}")
        for k in sorted(found["over"], key=lambda k: -by_class[k]["auc"])[:EXAMPLES]
        if len(by_class) > 2  # of two classes, what tells one tells the other
    )
    remedy = _REMEDY.get(name, "Record the classes alike, or vary this in training for all of them.")
    return Check(
        id_,
        title,
        "shortcut",
        f"{told}.",
        f"The label can be told from {MEANING[name]}, on groups not seen before. {remedy}",
        found,
        ("class", "AUC", "95 % interval"),
        rows,
    )


_REMEDY = {
    "sample rate": "Resample everything to one rate, then look at the bandwidth, which stays.",
    "bandwidth": "Low-pass all classes alike (at random limits in training); test with the limits exchanged.",
    "format": "Decode everything through one chain; vary codecs in training for all classes.",
    "length": "Cut or pad all classes alike, and do not give the model the length.",
    "loudness": (
        "Level may belong to the thing (a whisper is quiet) or to the recording; vary the gain in training, "
        "and test at equal level."
    ),
    "digital silence": "Trim or fill digital silence alike for all classes.",
    "source": "Test on whole sources left out; add sources that hold several classes.",
}


def sources(found: Mapping[str, Any] | None) -> Check:
    """Class by source."""
    id_, title = "source-confounding", "Class by source (collection)"
    if found is None:
        return Check(id_, title, "skipped", "There is no source column, or only one source.")
    value, p = found["cramers_v"], found["p"]
    only = found["one_source_only"]
    told = f"Cramér's V {value:.2f} (p = {p:.3f})" if value is not None else "Cramér's V is not defined"
    alone = f"; in one source only: {', '.join(printable(k) for k in list(only)[:6])}" if only else ""
    alone += f" and {len(only) - 6} more" if len(only) > 6 else ""
    meaning = (
        "Class and collection go together: whatever marks the collection (recorder, room, codec, band limit) "
        "marks the class. Test on whole sources left out."
    )
    if found["alarm"]:
        return Check(id_, title, "shortcut", f"{told}{alone}.", meaning, found)
    if only and len(found["sources"]) > 1:
        return Check(id_, title, "note", f"{told}{alone}.", meaning, found)
    return Check(id_, title, "clear", f"{told}; every class occurs in more than one source.", "", found)


def gap(found: Mapping[str, Any] | None, why: str = "") -> Check:
    """Random against grouped folds."""
    id_, title = "gap", "What a random split would promise beyond a split by group"
    if found is None:
        return Check(id_, title, "skipped", why)
    figure = {name: _bracketed(found[name]) for name in ("random", "grouped", "gap")}
    told = (
        f"A quick model on the student's embedding: mean AUC {figure['random']} with recordings split at "
        f"random, {figure['grouped']} with groups kept whole; difference {figure['gap']}."
    )
    if found["gap"]["low"] <= 0:
        return Check(id_, title, "clear", f"{told} The interval of the difference includes none.", "", found)
    return Check(
        id_,
        title,
        "note",
        told,
        "That difference is recognition of donors, rooms or originals; it is lost on the next one. Report "
        "the grouped figure.",
        found,
    )


def null(found: Mapping[str, Any] | None) -> Check:
    """The grouped score against labels dealt anew."""
    id_, title = "chance", "Grouped score against chance (labels dealt anew to groups, model refitted)"
    if found is None:
        return Check(id_, title, "skipped", "There is no grouped score to test.")
    one = found["null"]
    told = (
        f"Grouped AUC {one['value']:.2f} (first split); by chance {one['mean']:.2f}, "
        f"95th percentile {one['high_95']:.2f}; p = {one['p']:.3f} ({one['deals']} deals)."
    )
    if one["p"] <= 0.05:
        return Check(
            id_, title, "clear", told + " The sound (or a shortcut in it) does tell the label.", "", one
        )
    return Check(
        id_,
        title,
        "note",
        told,
        "On groups not heard before the quick model does no better than labels dealt at random. A high score "
        "on this set needs an explanation; this model's failure does not prove that there is nothing to "
        "hear.",
        one,
    )


def _bracketed(figure: Mapping[str, float]) -> str:
    return f"{figure['value']:.2f} [{figure['low']:.2f}, {figure['high']:.2f}]"

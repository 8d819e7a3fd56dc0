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
from pipeline.evaluation.audit.leaks import NamedCopies, Pair, contradictions, sides, touched
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


def copies(scene: Scene, pairs: Sequence[Pair], exact: bool) -> Check:
    """Exact copies, or near ones (other gain, codec, rate, trimming, pitch, tempo)."""
    found = [pair for pair in pairs if (pair.kind == "exact") == exact]
    id_ = "exact-copies" if exact else "near-copies"
    title = (
        "Exact copies: the same samples, in whatever file format"
        if exact
        else "Near copies: the same audio at another gain, codec, rate, length, pitch or tempo"
    )
    what = "the same samples" if exact else "the same audio, altered"
    if not found:
        return Check(id_, title, "clear", f"No two recordings hold {what}.")
    bad = [pair for pair in found if scene.apart(pair.first, pair.second)]
    by_sides = sides(scene.items, found)
    numbers = {
        "pairs": len(found),
        "recordings": len(touched(found)),
        "pairs_apart": len(bad),
        "recordings_apart": len(touched(bad)),
        "by_sides": by_sides,
        "by_change": dict(Counter(pair.change or "as it is" for pair in found).most_common()),
    }
    total = f"{count(len(found), 'pair')} of recordings ({len(touched(found)):,} files) hold {what}"
    examples = _pair_examples(scene, bad or found)
    if not bad:
        where = "on one side of the split" if scene.has_split else "held together by its group"
        return Check(
            id_,
            title,
            "note",
            f"{total}; each pair lies {where}.",
            "Copies weigh double in every count and average. Keep one of each, or keep their groups whole.",
            numbers,
            *examples,
        )
    if scene.has_split:
        joined = ", ".join(f"{names}: {number}" for names, number in by_sides.items())
        finding = f"{total}; {count(len(bad), 'pair')} of them on two sides of the split ({joined})."
        meaning = "A model is tested on audio it was trained on. Remove the copies from one side."
    else:
        unheld = "lie in different groups" if scene.has_groups else "are held together by no group"
        finding = f"{total}; {count(len(bad), 'pair')} of them {unheld}."
        meaning = (
            "There is no split column, but whichever way this set is split, nothing keeps these copies on "
            "one side. Remove them, or give copies a common group (groups.csv holds a proposal)."
        )
    return Check(id_, title, "leak", finding, meaning, numbers, *examples)


def _pair_examples(
    scene: Scene, pairs: Sequence[Pair]
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Columns and rows: the clearest pairs first."""
    rows = []
    for pair in sorted(pairs, key=lambda p: (p.error, p.first, p.second))[:EXAMPLES]:
        one, other = scene.items[pair.first], scene.items[pair.second]
        alike = "same samples" if pair.kind == "exact" else f"{1 - pair.error:.0%} of bits"
        rows.append((_placed(one), _placed(other), alike, pair.change or "–"))
    return ("recording", "holds the same audio as", "alike", "the latter is changed by"), tuple(rows)


def _placed(item: Item) -> str:
    return printable(item.name) + (f" [{printable(item.split)}]" if item.split else "")


def labels_of_copies(scene: Scene, pairs: Sequence[Pair]) -> Check:
    """The same audio under two labels."""
    id_, title = "contradictions", "The same audio under two labels"
    found = contradictions(scene.items, pairs)
    if not found:
        return Check(id_, title, "clear", "No audio occurs under two labels.")
    rows = tuple(
        (printable(a.name), printable(a.label), printable(b.name), printable(b.label))
        for a, b in ((scene.items[p.first], scene.items[p.second]) for p in found[:EXAMPLES])
    )
    return Check(
        id_,
        title,
        "note",
        f"{count(len(found), 'pair')} of recordings with the same audio bear different labels.",
        "At least one of the two labels is wrong (or both are true, and the task is not what the labels "
        "say). No model can be right on both; listen and decide.",
        {"pairs": len(found), "recordings": len(touched(found))},
        ("recording", "label", "same audio", "label there"),
        rows,
    )


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


def augmented_names(scene: Scene, found: Sequence[NamedCopies]) -> Check:
    """Augmented copies by file name."""
    id_, title = "augmented-names", "Augmented copies by file name (name_aug1, pitch+2_name, name (2))"
    # By name alone "room_noise_1" and "room_noise_2" look like copies of "room": such families need the
    # sound.
    families = [one for one in found if one.certain]
    if not families:
        return Check(id_, title, "clear", "No file names that differ by augmentation affixes only.")
    bad = [one for one in families if one.apart]
    heard = sum(one.heard for one in bad or families)
    rows = tuple(
        (
            printable(one.family.base),
            ", ".join(_placed(scene.items[i]) for i in one.family.members[:4]),
            "yes" if one.heard else "by name only",
        )
        for one in (bad or families)[:EXAMPLES]
    )
    numbers = {"families": len(families), "apart": len(bad), "heard": heard}
    columns = ("name", "files", "heard")
    files = sum(len(one.family.members) for one in families)
    total = (
        f"{count(files, 'file')} of {count(len(families), 'name')} look like augmented copies of each other"
    )
    if not bad:
        return Check(
            id_,
            title,
            "note",
            f"{total}; each name stays together.",
            "Copies are no new recordings: count originals, and augment after splitting.",
            numbers,
            columns,
            rows,
        )
    where = "on two sides of the split" if scene.has_split else "in no common group"
    return Check(
        id_,
        title,
        "leak",
        f"{total}; {count(len(bad), 'name')} {are(len(bad))} {where} (the fingerprint agrees for {heard}).",
        "Copies of one recording on both sides test memory. Split first, then augment the training side "
        "only.",
        numbers,
        columns,
        rows,
    )


def shortcut(name: str, found: Mapping[str, Any], line: float) -> Check:
    """One trait."""
    id_ = "shortcut-" + name.replace(" ", "-")
    title = f"Label from {name}" + ("" if name == TOGETHER else " alone")
    by_class = found["by_class"]
    best = max(by_class, key=lambda k: by_class[k]["auc"], default=None)
    told = f"mean AUC {found['auc']:.2f} [{found['low']:.2f}, {found['high']:.2f}]"
    if best is not None and len(by_class) > 2:
        row = by_class[best]
        told += f"; best {printable(best)} {row['auc']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
    if not found["over"]:
        return Check(id_, title, "clear", f"{told}: below the line.", numbers=found)
    classes = ", ".join(printable(name) for name in found["over"][:6])
    classes += f" and {len(found['over']) - 6} more" if len(found["over"]) > 6 else ""
    rows = tuple(
        (printable(k), f"{by_class[k]['auc']:.2f}", f"{by_class[k]['low']:.2f} to {by_class[k]['high']:.2f}")
        for k in sorted(found["over"], key=lambda k: -by_class[k]["auc"])[:EXAMPLES]
    )
    remedy = _REMEDY.get(name, "Record the classes alike, or vary this in training for all of them.")
    return Check(
        id_,
        title,
        "shortcut",
        f"{told}. Over the line of {line:g}: {classes}.",
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

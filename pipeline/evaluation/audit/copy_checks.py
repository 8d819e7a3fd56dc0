"""What was found about copies, in words: exact ones, near ones, two labels for one audio, copies by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pipeline._inputs import printable
from pipeline.evaluation.audit.checks import EXAMPLES, Check, Scene, are, count
from pipeline.evaluation.audit.dataset import Item
from pipeline.evaluation.audit.folds import joined
from pipeline.evaluation.audit.leaks import NamedCopies, Pair, contradictions, sides, touched


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
    numbers = {
        "pairs": len(found),
        "recordings": len(touched(found)),
        "pairs_apart": len(bad),
        "recordings_apart": len(touched(bad)),
        "by_sides": sides(scene.items, found),
        "by_sources": _by_sources(scene, bad or found),
        "by_change": dict(Counter(pair.change or "as it is" for pair in found).most_common()),
    }
    total = f"{count(len(found), 'pair')} of recordings ({len(touched(found)):,} files) with {what}"
    examples = _pair_examples(scene, bad or found)
    if not bad:
        where = "on one side of the split" if scene.has_split else "held together by its group"
        meaning = "Copies weigh double in every count and average. Keep one of each, or keep groups whole."
        return Check(id_, title, "note", f"{total}; each pair {where}.", meaning, numbers, *examples)
    if scene.has_split:
        where, told = "on two sides of the split", sides(scene.items, found)
        meaning = "A model is tested on audio it was trained on. Remove the copies from one side."
    else:
        where = "in different groups" if scene.has_groups else "held together by no group"
        told = _by_sources(scene, bad)
        meaning = (
            "There is no split column, but whichever way this set is split, nothing keeps these copies on "
            "one side. Remove them, or give copies a common group (groups.csv holds a proposal)."
        )
    details = ", ".join(f"{names}: {number:,}" for names, number in list(told.items())[:6])
    finding = f"{total}; {len(bad):,} of them {where}" + (f" ({details})." if details else ".")
    return Check(id_, title, "leak", finding, meaning, numbers, *examples)


def _by_sources(scene: Scene, pairs: Sequence[Pair]) -> dict[str, int]:
    """Pairs by the collections they join, commonest first; empty where there is one or none."""
    if len({item.source for item in scene.items}) < 2:
        return {}
    found = Counter(
        " / ".join(sorted({printable(scene.items[i].source or "?") for i in (pair.first, pair.second)}))
        for pair in pairs
    )
    return dict(found.most_common())


def _pair_examples(
    scene: Scene, pairs: Sequence[Pair]
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Columns and rows: the clearest pair of each family of copies, then others."""
    family = joined([None] * len(scene.items), [(pair.first, pair.second) for pair in pairs])
    seen: set[int] = set()
    leading: list[Pair] = []
    others: list[Pair] = []
    for pair in sorted(pairs, key=lambda p: (p.error, p.first, p.second)):
        (others if family[pair.first] in seen else leading).append(pair)
        seen.add(int(family[pair.first]))
    shown = [*leading, *others][:EXAMPLES]
    changed = any(pair.change for pair in shown)
    rows = []
    for pair in shown:
        one, other = scene.items[pair.first], scene.items[pair.second]
        alike = "same samples" if pair.kind == "exact" else f"{1 - pair.error:.0%} of bits"
        rows.append((_placed(one), _placed(other), alike, *([pair.change or "–"] if changed else [])))
    columns = ("recording", "holds the same audio as", "alike", "the latter is changed by")
    return columns[: 3 + changed], tuple(rows)


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

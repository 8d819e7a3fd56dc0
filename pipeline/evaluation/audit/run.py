"""The audit from beginning to end."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline._cache import default_cache
from pipeline._inputs import printable
from pipeline.evaluation.audit import checks, copy_checks, leaks
from pipeline.evaluation.audit.checks import SEVERITIES, Check, Scene
from pipeline.evaluation.audit.confirm import confirmed
from pipeline.evaluation.audit.confounding import confounding
from pipeline.evaluation.audit.dataset import AudioSet, counts, read_set
from pipeline.evaluation.audit.folds import joined
from pipeline.evaluation.audit.gap import random_versus_grouped
from pipeline.evaluation.audit.gather import Progress, Sounds, gather
from pipeline.evaluation.audit.names import families
from pipeline.evaluation.audit.neighbours import same_audio
from pipeline.evaluation.audit.shortcuts import LINE, shortcuts, traits_of
from pipeline.settings import Settings, get_settings

DRAWS, DEALS = 400, 200
SHOWN = 50  # skipped files, classes, sources… listed in the summary; the tables hold all
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Report:
    """What an audit found.

    Attributes:
        data: JSON-able summary: "verdict", "data", "checks" and what the plots are drawn from.
        sounds, pairs, together: everything behind it, for the tables; None when read back from JSON.
    """

    data: dict[str, Any]
    sounds: Sounds | None = None
    pairs: Sequence[leaks.Pair] = ()
    together: Ints | None = None

    @property
    def found(self) -> dict[str, int]:
        """Number of checks by severity."""
        number: dict[str, int] = self.data["verdict"]
        return {name: number[name] for name in SEVERITIES}


def audit(
    place: Path | str,
    *,
    label: str | None = None,
    split: str | None = None,
    group: str | None = None,
    source: str | None = None,
    audio_root: Path | None = None,
    exclude: Sequence[str] = (),
    draws: int = DRAWS,
    deals: int = DEALS,
    seed: int = 0,
    command: str = "",
    cache_dir: Path | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Report:
    """Look for what a score on this set would owe to something other than the sound.

    Args:
        place: folder by classes, folder with a manifest, or a CSV; the rest as ``dataset.read_set``.
        draws: bootstrap draws of the intervals; deals: labels dealt anew for each test.
        seed: the same data and seed give the same report.
        command: recorded in the report.
        cache_dir: where per-file work is kept by content; ``default_cache()`` when None.
        progress: called with (what, done, total).

    Raises:
        DataError: nothing to audit.
        ArtifactError: the bundled student cannot be opened.
    """
    settings = settings or get_settings()
    found = read_set(
        place,
        label=label,
        split=split,
        group=group,
        source=source,
        audio_root=audio_root,
        exclude=exclude,
    )
    sounds = gather(found, cache=cache_dir or default_cache(), settings=settings, progress=progress)
    scene, basis = _scene(sounds, found)
    classes = tuple(sorted({item.label for item in sounds.items}))
    y = np.searchsorted(np.asarray(classes), [item.label for item in sounds.items]).astype(np.int64)

    matches = same_audio(sounds.evidence, leaks.sounds_apart(sounds, scene.has_split), progress)
    pairs = leaks.file_pairs(sounds, confirmed(matches, sounds, settings, progress))
    named = leaks.named_copies(
        families([item.name for item in sounds.items], [item.label for item in sounds.items]),
        pairs,
        scene.apart,
    )
    together = _together(sounds, pairs, named)
    results = [
        copy_checks.copies(scene, pairs, exact=True),
        copy_checks.copies(scene, pairs, exact=False),
        copy_checks.labels_of_copies(scene, pairs),
        *_groups(scene, y, basis),
        copy_checks.augmented_names(scene, named),
    ]
    statistics = {"draws": draws, "deals": deals, "seed": seed}
    plots = _statistics(sounds, y, classes, together, results, statistics, progress)
    results += _leftovers(sounds, classes, plots)
    data = _summary(found, sounds, results, plots, basis, command, statistics, exclude)
    return Report(_clean(data), sounds, pairs, together)


def _scene(sounds: Sounds, found: AudioSet) -> tuple[Scene, dict[str, str]]:
    """What there is to hold against each other. A split or source with one value is none."""
    basis = dict(found.basis)
    has_split = len({item.split for item in sounds.items if item.split}) > 1
    has_groups = any(item.group for item in sounds.items)
    if not has_split:
        basis.pop("split", None)
    return Scene(sounds.items, has_split, has_groups, leaks.is_apart(sounds.items, has_split)), basis


def _together(sounds: Sounds, pairs: Sequence[leaks.Pair], named: Sequence[leaks.NamedCopies]) -> Ints:
    """What must stay together in any split: groups, donors by name, copies; (items,) int from 0."""
    links = [(pair.first, pair.second) for pair in pairs]
    for one in named:
        if one.certain:
            links += [(one.family.members[0], other) for other in one.family.members[1:]]
    first: dict[str, int] = {}
    for index, donor in enumerate(leaks.donors_of(sounds.items)):
        if donor is not None:
            links.append((first.setdefault(donor, index), index))
    return joined([item.group for item in sounds.items], links)


def _groups(scene: Scene, y: Ints, basis: Mapping[str, str]) -> list[Check]:
    """Groups and donors on two sides, or what a random split would do to them."""
    groups = [item.group for item in scene.items]
    donors = leaks.donors_of(scene.items)
    sides = [item.split for item in scene.items]
    where = basis.get("group", "")
    if not scene.has_groups:
        why = "There is no group column, no donor in the file names, and no folder below the class."
        return [Check("groups", "Groups (donors, original recordings, sessions)", "skipped", why)]
    by_name = any(donors) and not where.startswith("donor in the file name")
    if scene.has_split:
        found = [checks.groups_on_both_sides(scene, leaks.divided(groups, sides), where)]
        if by_name:
            on_sides = leaks.divided(donors, sides)
            named = "in the file name, Donate-a-Cry"
            found.append(checks.groups_on_both_sides(scene, on_sides, named, "donors", "donor"))
        return found
    together = joined(groups)
    share = leaks.with_company(y, together)
    found = [checks.groups_without_split(share, where, int(together.max()) + 1, len(groups))]
    if by_name and (parted := leaks.divided(donors, groups)):
        found.append(checks.divided_donors(parted, scene.items))
    return found


def _statistics(
    sounds: Sounds,
    y: Ints,
    classes: tuple[str, ...],
    together: Ints,
    results: list[Check],
    options: Mapping[str, int],
    progress: Progress | None,
) -> dict[str, Any]:
    """Shortcuts, confounding, gap and null: their checks are added, their numbers returned for the plots."""
    plots: dict[str, Any] = {"shortcuts": None, "sources": None, "gap": None}
    if len(classes) < 2:
        why = f"There is one class only ({printable(classes[0])}); nothing can be predicted."
        results.append(Check("shortcuts", "Label from a trait of the recording alone", "skipped", why))
        return plots
    tell = progress or (lambda what, done, total: None)
    grouped = together if int(together.max()) + 1 < len(together) else None
    sources = [item.source for item in sounds.items]
    tell("shortcuts", 0, 1)
    plots["shortcuts"] = found = shortcuts(
        traits_of(sounds.traits, sources),
        y,
        classes,
        grouped,
        draws=options["draws"],
        deals=options["deals"],
        seed=options["seed"],
    )
    if not found["traits"]:
        why = "Fewer than two classes have recordings of two groups: nothing can be held out."
        results.append(Check("shortcuts", "Label from a trait of the recording alone", "skipped", why))
    results += [checks.shortcut(name, one, LINE) for name, one in found["traits"].items()]
    names = tuple(sorted({source for source in sources if source}))
    if len(names) > 1:
        known = np.array([index for index, source in enumerate(sources) if source])
        of = np.searchsorted(np.asarray(names), [sources[i] for i in known]).astype(np.int64)
        belongs = np.unique(together[known], return_inverse=True)[1].astype(np.int64)
        plots["sources"] = confounding(
            y[known], classes, of, names, belongs, deals=options["deals"], seed=options["seed"]
        )
    results.append(checks.sources(plots["sources"]))
    why = "No two recordings belong together, so a split by group is a random split."
    if grouped is not None:
        why = "There are too few classes or groups for two folds."
        plots["gap"] = random_versus_grouped(
            sounds.embedding, y, len(classes), grouped, progress=progress, **options
        )
    results += [checks.gap(plots["gap"], why), checks.null(plots["gap"])]
    return plots


def _leftovers(sounds: Sounds, classes: tuple[str, ...], plots: Mapping[str, Any]) -> list[Check]:
    """Notes on what could not be judged: classes of one group, silence, files that were skipped."""
    notes = []
    single = (plots["shortcuts"] or {}).get("single", [])
    if single and len(classes) > 1:
        named = ", ".join(printable(name) for name in single[:6])
        notes.append(
            Check(
                "one-group-classes",
                "Classes that come from one group only",
                "note",
                f"{len(single)} of {len(classes)} classes: {named}"
                + (f" and {len(single) - 6} more." if len(single) > 6 else "."),
                "Nothing can tell such a class from its donor, room or recorder. Record others.",
                {"classes": single},
            )
        )
    silent = [item.name for item, sound in zip(sounds.items, sounds.of, strict=True) if sound < 0]
    if silent:
        notes.append(
            Check(
                "silent",
                "Recordings of digital silence",
                "note",
                f"{checks.count(len(silent), 'recording')} with nothing but zeros.",
                "They are equal to each other and to any other silence; they were left out of the search for "
                "copies.",
                {"recordings": len(silent)},
                ("recording",),
                tuple((printable(name),) for name in silent[: checks.EXAMPLES]),
            )
        )
    if sounds.bad:
        notes.append(
            Check(
                "skipped-files",
                "Files that could not be used",
                "note",
                f"{checks.count(len(sounds.bad), 'file')} could not be used and "
                f"{checks.are(len(sounds.bad))} in no figure here.",
                "A file that this audit cannot read may be read (or silently dropped) by a training script.",
                {"files": len(sounds.bad)},
                ("file", "why"),
                tuple((printable(name), printable(why)) for name, why in sounds.bad[: checks.EXAMPLES]),
            )
        )
    return notes


def _summary(
    found: AudioSet,
    sounds: Sounds,
    results: Sequence[Check],
    plots: Mapping[str, Any],
    basis: Mapping[str, str],
    command: str,
    options: Mapping[str, int],
    exclude: Sequence[str],
) -> dict[str, Any]:
    """The report as JSON-able data. Names of files and classes are made printable; no path is absolute."""
    order = {name: place for place, name in enumerate(SEVERITIES)}
    number: dict[str, int] = {name: sum(one.severity == name for one in results) for name in SEVERITIES}
    ranked = sorted(results, key=lambda one: order[one.severity])
    items = sounds.items
    return {
        "kind": "audit",
        "command": command,
        "verdict": {**number, "sentence": verdict(number)},
        "data": {
            "title": printable(found.title),
            "recordings": len(items),
            "skipped": len(sounds.bad),
            "hours": sum(one.duration_s for one in sounds.traits) / 3600,
            "cut": sum(one.cut for one in sounds.traits),
            "labels": _counted([item.label for item in items]),
            "splits": _counted([item.split for item in items]),
            "groups": len({item.group for item in items if item.group}),
            "sources": _counted([item.source for item in items]),
            "excluded": list(exclude),
            "basis": dict(basis),
        },
        "options": dict(options),
        "checks": [asdict(one) for one in ranked],
        "plots": {**plots, "traits": _distributions(sounds)},
    }


def verdict(number: Mapping[str, int]) -> str:
    """The outcome in a sentence."""
    if number["leak"]:
        also = f", and {checks.count(number['shortcut'], 'shortcut')}" if number["shortcut"] else ""
        return f"{checks.count(number['leak'], 'leak')} found{also}."
    if number["shortcut"]:
        found = checks.count(number["shortcut"], "shortcut")
        return f"No leak found, but {found}: the label can be told without hearing the thing."
    return "None of these checks found a leak or a shortcut."


def _counted(values: Sequence[str | None]) -> dict[str, int]:
    found = counts(values)
    shown = {printable(name): number for name, number in list(found.items())[:SHOWN]}
    rest = sum(list(found.values())[SHOWN:])
    return shown | ({"(others)": rest} if rest else {})


def _distributions(sounds: Sounds) -> dict[str, dict[str, list[float]]]:
    """Quantiles (5, 25, 50, 75, 95 %) of each trait by class, for the plots; at most twelve classes."""
    labels = list(counts([item.label for item in sounds.items]))[:12]
    where = {name: [i for i, item in enumerate(sounds.items) if item.label == name] for name in labels}
    shown = {"sample rate": "rate", "bandwidth": "limit_hz", "length": "duration_s", "loudness": "rms_db"}
    return {
        title: {
            printable(name): np.percentile(
                [getattr(sounds.traits[i], attribute) for i in members], [5, 25, 50, 75, 95]
            ).tolist()
            for name, members in where.items()
        }
        for title, attribute in shown.items()
    }


def _clean(value: Any) -> Any:
    """NaN as None, tuples as lists, names printable: what JSON holds and a page may show."""
    if isinstance(value, Mapping):
        return {printable(str(key)): _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value

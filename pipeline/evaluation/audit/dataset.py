"""Reading any labelled audio set: folders by class, or a table of paths and labels.

Folders: ``<label>/…``, ``<split>/<label>/…`` or ``<label>/<split>/…``, where split folders are called train,
test, val, fold1 and the like. A folder below the label is taken for the group (donor, recording, session).

Tables (CSV; comma, semicolon or tab): a column of paths and one of labels, optionally split, group and source
columns, found by their usual names or named by the caller. Paths are relative to the table's folder (or to
``audio_root``) and stay below it.

A file that cannot be used is listed and skipped; only a set without anything to audit is an error.
"""

from __future__ import annotations

import csv
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipeline.audio import SUPPORTED_SUFFIXES
from pipeline.errors import DataError
from pipeline.evaluation.audit.names import donor

TABLES = ("manifest.csv", "metadata.csv")
NONE = "none"
"""As the name of a column: do not use one, even if there is one of the usual name."""
_USUAL: dict[str, tuple[str, ...]] = {
    "path": ("path", "file_name", "filename", "file", "filepath", "file_path", "audio", "audio_path", "wav"),
    "label": ("label", "class", "category", "class_name", "target", "reason", "y"),
    "split": ("split", "subset", "partition", "fold", "set"),
    "group": ("group", "donor", "donor_id", "speaker", "speaker_id", "subject", "subject_id", "baby",
              "patient", "participant", "session", "recording", "recording_id", "src_file"),
    "source": ("source", "dataset", "corpus", "origin", "collection"),
}  # fmt: skip
_SPLIT_FOLDER = re.compile(
    r"(?:train(?:ing)?|test(?:ing)?|val(?:id(?:ation)?)?|dev(?:elopment)?|eval(?:uation)?|hold[ _-]?out|"
    r"fold[ _-]?\d+)(?:[ _-]?(?:set|data|split))?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Item:
    """One labelled recording.

    Attributes:
        path: where it is.
        name: path below the set's folder, with forward slashes: the only name that reports show.
        label: its class.
        split: side of the split (train, test, a fold), or None.
        group: donor, recording or session that must not be on two sides, or None when unknown.
        source: collection it comes from, or None.
    """

    path: Path
    name: str
    label: str
    split: str | None = None
    group: str | None = None
    source: str | None = None


@dataclass(frozen=True)
class AudioSet:
    """A labelled set as it was found.

    Attributes:
        title: name of its folder or table.
        items: recordings in order; bad: (name, why) of rows and files that cannot be used.
        basis: where label, split, group and source come from, in words; no entry: not known.
    """

    title: str
    items: tuple[Item, ...]
    bad: tuple[tuple[str, str], ...] = ()
    basis: Mapping[str, str] = field(default_factory=dict)


def read_set(
    place: Path | str,
    *,
    label: str | None = None,
    split: str | None = None,
    group: str | None = None,
    source: str | None = None,
    audio_root: Path | None = None,
    exclude: Sequence[str] = (),
) -> AudioSet:
    """Read a set from a folder or a table.

    Args:
        place: a folder (with a ``manifest.csv`` or ``metadata.csv``, else read by its sub-folders) or a CSV.
        label, split, group, source: names of columns; None looks for the usual names, "none" uses none.
        audio_root: folder that a table's paths are relative to; default the table's own.
        exclude: labels to leave out.

    Raises:
        DataError: nothing there, no labels, or a named column that does not exist.
    """
    place = Path(place).expanduser()
    wanted = {"label": label, "split": split, "group": group, "source": source}
    if place.is_file():
        found = _read_table(place, wanted, audio_root)
    elif place.is_dir():
        table = next((place / name for name in TABLES if (place / name).is_file()), None)
        named = [name for name, column in wanted.items() if column not in (None, NONE)]
        if table is None and named:
            raise DataError(
                f"--{named[0]} names a column, but {place} holds no table ({' or '.join(TABLES)}); name the "
                "CSV file."
            )
        found = _read_folders(place) if table is None else _read_table(table, wanted, audio_root)
    else:
        raise DataError(f"{place}: there is no such folder or table.", "data-missing")
    items = tuple(item for item in found.items if item.label not in set(exclude))
    if not items:
        why = f" The first: {found.bad[0][0]} ({found.bad[0][1]})." if found.bad else ""
        raise DataError(
            f"{place}: there is no labelled recording to audit. Expected folders named by class with sound "
            f"files in them, or a CSV with a path and a label for each.{why}",
            "data-missing",
        )
    return _with_donors(replace(found, items=items))


def _with_donors(found: AudioSet) -> AudioSet:
    """Donate-a-Cry names carry the donor; used where nothing else says who it is."""
    if any(item.group for item in found.items):
        return found
    donors = [donor(item.name) for item in found.items]
    if not any(donors):
        return found
    items = tuple(replace(item, group=who) for item, who in zip(found.items, donors, strict=True))
    return replace(
        found, items=items, basis={**found.basis, "group": "donor in the file name (Donate-a-Cry)"}
    )


def _read_folders(root: Path) -> AudioSet:
    """Labels, splits and groups from the names of folders."""
    paths = sorted(_sound_files(root))
    parts = [path.relative_to(root).parts[:-1] for path in paths]
    bad = [
        (path.name, "it lies in no class folder")
        for path, where in zip(paths, parts, strict=True)
        if not where
    ]
    tops = {where[0] for where in parts if where}
    seconds = {where[1] for where in parts if len(where) > 1}
    split_first = len(tops) > 1 and all(map(_is_split, tops))
    split_second = not split_first and len(seconds) > 1 and all(map(_is_split, seconds))
    items = []
    for path, where in zip(paths, parts, strict=True):
        if not where:
            continue
        below, side = list(where), None
        if split_first:
            side = below.pop(0)
            if not below:
                bad.append((path.relative_to(root).as_posix(), "it lies in no class folder"))
                continue
        label = below.pop(0)
        if split_second and below:
            side = below.pop(0)
        name = path.relative_to(root).as_posix()
        items.append(Item(path, name, label, side, "/".join(below) or None, None))
    basis = {"label": "name of the class folder"}
    if split_first or split_second:
        basis["split"] = "train and test folders"
    if any(item.group for item in items):
        basis["group"] = "folder below the class"
    return AudioSet(root.resolve().name, tuple(items), tuple(bad), basis)


def _is_split(folder: str) -> bool:
    return _SPLIT_FOLDER.fullmatch(folder) is not None


def _sound_files(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if not name.startswith(".") and name.lower().endswith(SUPPORTED_SUFFIXES):
                yield Path(folder) / name


def _read_table(table: Path, wanted: Mapping[str, str | None], audio_root: Path | None) -> AudioSet:
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            head = file.readline()
            file.seek(0)
            delimiter = max(",;\t", key=head.count)
            reader = csv.DictReader(file, delimiter=delimiter)
            columns = _columns(list(reader.fieldnames or ()), wanted, table)
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table}: it cannot be read as a table ({error}).") from error
    root = Path(os.path.abspath((audio_root or table.parent).expanduser()))  # links are not followed
    items, bad = [], []
    for row in rows:
        item = _item(row, columns, root)
        if isinstance(item, Item):
            items.append(item)
        else:
            bad.append(item)
    basis = {role: f"column '{name}'" for role, name in columns.items() if role != "path"}
    title = table.resolve().parent.name if table.name in TABLES else table.name
    return AudioSet(title, tuple(items), tuple(bad), basis)


def _columns(found: list[str], wanted: Mapping[str, str | None], table: Path) -> dict[str, str]:
    """Role to the name of its column.

    Raises:
        DataError: a named column, or any column of paths or labels, is missing.
    """
    usual = {name.strip().lower(): name for name in reversed(found) if name}
    columns = {}
    for role, names in _USUAL.items():
        name = wanted.get(role)
        if name == NONE and role != "label":
            continue
        if name is not None:
            if name not in found:
                raise DataError(f"{table}: there is no column '{name}'; it has {', '.join(found)}.")
            columns[role] = name
            continue
        guess = next((usual[name] for name in names if name in usual), None)
        if guess is not None:
            columns[role] = guess
        elif role in ("path", "label"):
            hint = "" if role == "path" else " (or name it: --label COLUMN)"
            raise DataError(
                f"{table}: no column of {role}s was found among {', '.join(found) or 'nothing'}. "
                f"Call it '{names[0]}'{hint}."
            )
    return columns


def _item(row: Mapping[str, str | None], columns: Mapping[str, str], root: Path) -> Item | tuple[str, str]:
    """One row as an item, or (name, why not). A stranger's table does not reach outside its folder."""
    values = {role: (row.get(name) or "").strip() for role, name in columns.items()}
    given = values["path"]
    if not given:
        return "(a row)", "it has no path"
    if "\0" in given:
        return given.replace("\0", "?"), "its path cannot be that of a file"
    path = Path(os.path.abspath(root / given))
    if not path.is_relative_to(root):
        return Path(given).name, "its path leads out of the folder; say where the audio is with --audio-root"
    name = path.relative_to(root).as_posix()
    if not values["label"]:
        return name, "it has no label"
    try:
        there = path.is_file()
    except OSError:  # a name longer than the system takes
        there = False
    if not there:
        return name, "there is no such file"
    split, group, source = (values.get(role) or None for role in ("split", "group", "source"))
    return Item(path, name, values["label"], split, group, source)


def counts(values: Sequence[str | None]) -> dict[str, int]:
    """How often each value occurs, commonest first; None is left out."""
    return dict(Counter(value for value in values if value is not None).most_common())

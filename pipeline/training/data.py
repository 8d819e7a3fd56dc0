"""Training recordings: which there are, what each holds, and which must stay together in any split.

A folder of recordings is read in one of two ways.

With ``manifest.csv``: columns ``path, kind, label, source, group`` and optionally ``licence``; what it does
not list does not count.

Without one, a person's own folders: ``<root>/cry/...`` and ``<root>/not_cry/...`` (a folder below them is the
label), or ``<root>/<reason>/...``, where every recording is a cry. Its group is the recording session:

1. the donor in a Donate-a-Cry file name, if it is one;
2. else the sub-folder below the label, if there is one (of the same name under two labels: one group);
3. else recordings whose files were last written within 30 minutes of each other, in one chain, or whose names
   differ only in a last counter behind a part with a digit (``2026-11-03_part1``, ``2026-11-03_part2``).

Rule 3 errs towards too few groups (files copied at once become one session): that can stop a split, with a
message, but never lets one evening's crying be on both sides of it.
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Literal

from pipeline.audio import SUPPORTED_SUFFIXES
from pipeline.errors import DataError, SettingsError

KINDS = ("cry", "not_cry", "unverified")
COLUMNS = ("path", "kind", "label", "source", "group", "licence")
NO_REASON = frozenset(
    {"cry", "crying", "crying_baby", "baby_cry", "unknown"}
)  # labels of a cry, cause untold
SESSION_GAP_S = 30 * 60.0
NOT_STATED = "not stated"
LICENCES = {
    "donateacry": "ODbL 1.0 (database), DbCL 1.0 (contents)",
    "donateacry_raw": "ODbL 1.0 (database), DbCL 1.0 (contents)",
    "esc50": "CC BY-NC 3.0",
    "giulbia": "none stated",
    "catsdogs": "none stated",
    "speech_students": "MIT",
    "instruments": "CC, per clip upstream",
    "speech_commands_noise": "CC BY 4.0",
}
_DONOR = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-\d{9,}", re.IGNORECASE)

Progress = Callable[[int, int, str], None]  # (done, total, what)


@dataclass(frozen=True)
class Clip:
    """One recording.

    Attributes:
        path: absolute path, below the folder it was read from.
        kind: "cry", "not_cry" or "unverified".
        label: what it holds: a reason ("hungry"), or a sound ("dog_bark").
        source: the collection it comes from.
        group: what must stay on one side of any split (donor, original recording, session).
        licence: of the source; "not stated" when unknown.
    """

    path: Path
    kind: str
    label: str
    source: str
    group: str
    licence: str = NOT_STATED


@dataclass(frozen=True)
class Prepared:
    """What ``prepare`` did.

    Attributes:
        reasons: clips in ``dataset/`` per reason, of this source.
        kinds: clips in ``det_dataset/`` per kind, of this source.
        added: files newly linked or copied; unchanged: files that were there already.
        skipped: (path, why) of clips that went nowhere, or not into ``dataset/``.
    """

    reasons: dict[str, int]
    kinds: dict[str, int]
    added: int
    unchanged: int
    skipped: tuple[tuple[str, str], ...]


def donor_of(name: str) -> str | None:
    """Donor (app installation, lower case) in a Donate-a-Cry file name: the UUID before the time stamp."""
    found = _DONOR.match(name)
    return found[1].lower() if found else None


def read_manifest(root: Path | str) -> list[Clip]:
    """Read the recordings of a folder (or of a manifest file), see the module's description.

    Returns:
        Clips in the manifest's order, else sorted by path.

    Raises:
        DataError: no such folder, nothing in it, or a row that cannot be used (names the line).
    """
    root = Path(root).expanduser()
    manifest = root if root.is_file() else root / "manifest.csv"
    folder = manifest.parent.resolve()
    if manifest.is_file():
        clips = _read_rows(manifest, folder)
    elif folder.is_dir():
        clips = _scan(folder)
    else:
        raise DataError(f"{root}: there is no such folder of recordings.", "data-missing")
    if not clips:
        raise DataError(
            f"{root}: no recordings found. Expected a manifest.csv, or folders <reason>/ or cry/ and "
            "not_cry/ with sound files in them.",
            "data-missing",
        )
    return clips


def _read_rows(manifest: Path, folder: Path) -> list[Clip]:
    clips: list[Clip] = []
    try:
        with manifest.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [name for name in COLUMNS[:5] if name not in (reader.fieldnames or ())]
            if missing:
                raise DataError(f"{manifest}: column(s) {', '.join(missing)} are missing in its first line.")
            clips.extend(_clip_of(row, folder, f"{manifest}, line {reader.line_num}") for row in reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{manifest}: it cannot be read ({error}).") from error
    return clips


def _clip_of(row: dict[str, str], folder: Path, where: str) -> Clip:
    """One row, checked: a manifest may come with a stranger's data and must not reach outside its folder."""
    values = {name: (row.get(name) or "").strip() for name in COLUMNS}
    for name in COLUMNS[:5]:
        if not values[name]:
            raise DataError(f"{where}: '{name}' is empty.")
    path = values["path"]
    parts = PurePosixPath(path).parts
    if PurePosixPath(path).is_absolute() or PureWindowsPath(path).drive or ".." in parts or "\\" in path:
        raise DataError(
            f"{where}: the path {path!r} leads out of {folder}; paths are relative to the manifest."
        )
    if values["kind"] not in KINDS:
        raise DataError(f"{where}: kind {values['kind']!r} is unknown; it is one of {', '.join(KINDS)}.")
    _check_label(values["label"], where)
    target = folder.joinpath(*parts)
    if not target.is_file():
        raise DataError(f"{where}: the file {target} does not exist.", "data-missing")
    licence = values["licence"] or LICENCES.get(values["source"], NOT_STATED)
    return Clip(target, values["kind"], values["label"], values["source"], values["group"], licence)


def _check_label(label: str, where: str) -> None:
    if label.startswith(".") or not label.isprintable() or set(label) & set('/\\:*?"<>|'):
        raise DataError(f"{where}: the label {label!r} cannot name a folder.")


def _scan(folder: Path) -> list[Clip]:
    """A person's own folders, without a manifest."""
    paths = sorted(
        Path(parent) / name
        for parent, folders, names in os.walk(folder)
        for name in names
        if Path(name).suffix.lower() in SUPPORTED_SUFFIXES and not name.startswith(".")
        if not any(part.startswith(".") for part in Path(parent).relative_to(folder).parts)
    )
    loose = [path for path in paths if path.parent == folder]
    if loose:
        raise DataError(
            f"{folder}: {loose[0].name} lies outside any folder; put each recording in <reason>/, or in "
            "cry/ or not_cry/."
        )
    tops = {path.relative_to(folder).parts[0] for path in paths}
    by_kind = bool(tops & {"cry", "not_cry"})
    if by_kind and tops - set(KINDS):
        odd = sorted(tops - set(KINDS))
        raise DataError(f"{folder}: beside cry/ and not_cry/ there is {odd[0]}/; move it below one of them.")
    clips, sessions = [], []
    for path in paths:
        top, *below = path.relative_to(folder).parts[:-1]
        kind = top if by_kind else "cry"
        label = below.pop(0) if by_kind and below else top
        group = donor_of(path.name) or "/".join(below)
        clips.append(Clip(path, kind, label, folder.name or "own", group))
        if not group:
            sessions.append(path)
    named = _sessions(sessions)
    return [clip if clip.group else replace(clip, group=named[clip.path]) for clip in clips]


def _sessions(paths: Sequence[Path]) -> dict[Path, str]:
    """Rule 3 of the module's description: a session name for each file."""
    written = {path: path.stat().st_mtime for path in paths}
    parent = {path: path for path in paths}

    def root_of(path: Path) -> Path:
        while parent[path] != path:
            path = parent[path]
        return path

    def join(one: Path, other: Path) -> None:
        first, second = sorted((root_of(one), root_of(other)), key=lambda path: (written[path], path))
        parent[second] = first

    ordered = sorted(paths, key=lambda path: (written[path], path))
    for before, after in pairwise(ordered):
        if written[after] - written[before] <= SESSION_GAP_S:
            join(before, after)
    alike: dict[tuple[Path, str], Path] = {}
    for path in ordered:
        stem = re.sub(r"[\s_\-.(]*\d+\)?$", "", path.stem).lower()
        if re.search(r"\d", stem):
            join(alike.setdefault((path.parent, stem), path), path)
    return {
        path: f"session-{datetime.fromtimestamp(written[root_of(path)], UTC):%Y%m%dT%H%M%SZ}"
        for path in paths
    }


def prepare(
    source: Path | str,
    dataset_dir: Path | str = "dataset",
    det_dataset_dir: Path | str = "det_dataset",
    mode: Literal["link", "copy"] = "link",
    progress: Progress | None = None,
) -> Prepared:
    """Fill ``dataset/<reason>/`` and ``det_dataset/{cry,not_cry}/`` from a folder of recordings.

    Each folder gets (or keeps and extends) a ``manifest.csv`` with source, group and licence. Doing it again
    changes nothing. Unverified clips go into neither; cries of unknown cause not into ``dataset/``.

    Args:
        source: what ``read_manifest`` reads.
        mode: "link" makes symbolic links, "copy" copies.
        progress: called as progress(done, total, file name).

    Raises:
        DataError: the source cannot be used, or a file cannot be linked or copied.
        SettingsError: mode is unknown.
    """
    if mode not in ("link", "copy"):
        raise SettingsError(f"mode cannot be {mode!r}: it is 'link' or 'copy'.")
    clips = read_manifest(source)
    folders = {"dataset": Path(dataset_dir).resolve(), "det_dataset": Path(det_dataset_dir).resolve()}
    start = Path(source).expanduser().resolve()
    if (start.parent if start.is_file() else start) in folders.values():
        raise DataError(f"{start}: source and destination are the same folder.")
    wanted, skipped = _destinations(clips)
    total = sum(map(len, wanted.values()))
    done = added = 0
    for name, folder in folders.items():
        rows = _existing_rows(folder)
        for sub, clip in wanted[name]:
            target, is_new = _place(clip.path, folder / sub, mode)
            rows[target.relative_to(folder).as_posix()] = clip
            added += is_new
            done += 1
            if progress is not None:
                progress(done, total, clip.path.name)
        write_manifest(folder, rows)
    reasons = Counter(sub for sub, _ in wanted["dataset"])
    kinds = Counter(sub for sub, _ in wanted["det_dataset"])
    return Prepared(dict(reasons), dict(kinds), added, total - added, tuple(skipped))


def _destinations(
    clips: Sequence[Clip],
) -> tuple[dict[str, list[tuple[str, Clip]]], list[tuple[str, str]]]:
    """(sub-folder, clip) for each of the two folders, and (path, why) of what is left out."""
    skipped: list[tuple[str, str]] = []
    wanted: dict[str, list[tuple[str, Clip]]] = {"dataset": [], "det_dataset": []}
    for clip in clips:
        if clip.kind == "unverified":
            skipped.append((str(clip.path), "unverified: nobody has said whether it is a cry"))
            continue
        wanted["det_dataset"].append((clip.kind, clip))
        if clip.kind == "cry" and clip.label in NO_REASON:
            skipped.append((str(clip.path), "a cry without a reason: in det_dataset only"))
        elif clip.kind == "cry":
            wanted["dataset"].append((clip.label, clip))
    return wanted, skipped


def _existing_rows(folder: Path) -> dict[str, Clip]:
    """Rows of a manifest that is there already, without those whose files are gone."""
    manifest = folder / "manifest.csv"
    if not manifest.is_file():
        return {}
    with manifest.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if (folder / (row.get("path") or "?")).is_file()]
    return {row["path"]: _clip_of(row, folder, str(manifest)) for row in rows}


def _place(origin: Path, folder: Path, mode: str) -> tuple[Path, bool]:
    """Link or copy a file into a folder; another file of that name makes it take a name of its own."""
    origin = origin.resolve()
    mark = hashlib.sha256(origin.as_posix().encode()).hexdigest()[:8]
    target = folder / origin.name
    if _other(origin, target):
        target = folder / f"{origin.stem}-{mark}{origin.suffix}"
        if _other(origin, target):
            raise DataError(f"{target}: another file has this name; move it away.")
    if target.is_file():
        return target, False
    try:
        folder.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)  # a link whose goal is gone
        if mode == "link":
            target.symlink_to(origin)
        else:
            shutil.copy2(origin, target)
    except OSError as error:
        hint = " Copy instead of linking (mode 'copy')." if mode == "link" else ""
        raise DataError(f"{target}: cannot be written ({error.strerror}).{hint}") from error
    return target, True


def _other(origin: Path, target: Path) -> bool:
    """Whether the name is taken by a file that is not (a link to, a copy of) the origin."""
    if not target.is_file() or target.samefile(origin):
        return False
    mine, theirs = origin.stat(), target.stat()
    if mine.st_size != theirs.st_size:
        return True
    return origin.read_bytes() != target.read_bytes()


def write_manifest(folder: Path, rows: dict[str, Clip] | Iterable[tuple[str, Clip]]) -> Path:
    """Write ``manifest.csv``, sorted by path, whole or not at all; rows: relative posix path to clip."""
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / "manifest.csv.part"
    with part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for path, clip in sorted(dict(rows).items()):
            writer.writerow({**asdict(clip), "path": path})
    return part.replace(folder / "manifest.csv")

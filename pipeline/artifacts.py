"""Trained models on disk: one folder each, with a manifest, and nothing unpickled before it is checked.

A model folder holds its files, ``MODEL_CARD.md`` for people and ``manifest.json`` for programs: SHA-256 and
size of every file, the library versions that wrote it, the input schema, what it was trained on and how it
scored. A checksum says that a file is the one its manifest names; it does not say who wrote either. So a
joblib file passes three gates, in this order: its checksum, the versions of the libraries whose internals it
holds, and an unpickler that builds only listed types (``pipeline/unpickling.py``).
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from pipeline.errors import ArtifactError
from pipeline.settings import PROJECT_ROOT, Settings, get_settings
from pipeline.unpickling import unpickle

MANIFEST = "manifest.json"
CARD = "MODEL_CARD.md"
FORMAT_VERSION = 1

# Distributions looked for, first one installed wins: xgboost-cpu is xgboost without its GPU libraries.
_LIBRARIES: dict[str, tuple[str, ...]] = {
    "numpy": ("numpy",),
    "scikit-learn": ("scikit-learn",),
    "xgboost": ("xgboost-cpu", "xgboost"),
    "imbalanced-learn": ("imbalanced-learn",),
    "onnxruntime": ("onnxruntime",),
}
# A pickle holds these libraries' private attributes, which change between minor releases.
_TRUSTED_ONLY_AT_SAME_MINOR = ("scikit-learn", "xgboost", "imbalanced-learn", "numpy")

_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def library_versions() -> dict[str, str | None]:
    """Versions of Python and of the libraries that read and write models; None: not installed."""
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for library, distributions in _LIBRARIES.items():
        versions[library] = None
        for distribution in distributions:
            try:
                versions[library] = metadata.version(distribution)
                break
            except metadata.PackageNotFoundError:
                continue
    return versions


def save(
    folder: Path,
    *,
    files: Mapping[str, bytes],
    kind: str,
    schema: Mapping[str, Any],
    training: Mapping[str, Any],
    metrics: Mapping[str, Any],
    card: str,
    commit: str | None = None,
    created: datetime | None = None,
) -> None:
    """Write a model folder as a whole: a reader sees the old model or the new one, never half of one.

    Args:
        folder: where it goes; an older model there is replaced, anything else there is left alone.
        files: plain file name -> content. ``MODEL_CARD.md`` and ``manifest.json`` are added.
        kind: what the model is ("student", "detector", "reasons"); checked again when it is opened.
        schema: JSON-able description of what goes in and comes out (names, shapes, rates).
        training: JSON-able summary of the training data and options.
        metrics: JSON-able figures.
        card: the model card, Markdown.
        commit: git commit of the training code; found by git when None, and null without git.
        created: aware time of training; now (UTC) when None.

    Raises:
        ArtifactError: a file name is not plain, ``folder`` holds something that is not a model, or the
            folder cannot be written.
    """
    folder = Path(folder).absolute()
    _require_replaceable(folder)
    contents = {**files, CARD: card.encode()}
    for name in contents:
        _require_plain(name, folder)
    if MANIFEST in files:
        raise ArtifactError(f"{MANIFEST} is written by save() itself; give the model file another name.")
    manifest: dict[str, Any] = {
        "format": FORMAT_VERSION,
        "kind": kind,
        "created": (created or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds"),
        "commit": commit or _git_commit(),
        "versions": library_versions(),
        "files": {
            name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
            for name, data in sorted(contents.items())
        },
        "schema": dict(schema),
        "training": dict(training),
        "metrics": dict(metrics),
    }
    try:
        text = json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False, default=_plain_number)
    except (TypeError, ValueError) as error:
        raise ArtifactError(f"The manifest of {folder} cannot be written as JSON: {error}.") from error
    try:
        _write_folder(folder, {**contents, MANIFEST: f"{text}\n".encode()})
    except OSError as error:
        raise ArtifactError(f"The model cannot be written to {folder}: {error.strerror or error}.") from error


def _require_replaceable(folder: Path) -> None:
    """Refuse a folder of something else: save() replaces what is there."""
    if not folder.exists() or (folder / MANIFEST).is_file():
        return
    if not folder.is_dir() or any(folder.iterdir()):
        raise ArtifactError(
            f"{folder} exists and is not a model folder (no {MANIFEST}), so it is not overwritten. "
            "Name a new or empty folder."
        )


def _plain_number(value: Any) -> Any:
    """NumPy scalars and arrays as JSON-able Python values."""
    import numpy as np

    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not JSON-able")


def _write_folder(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write beside ``folder``, then rename into place; an old folder is kept until the new one stands."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    fresh, old = staging / "new", staging / "old"
    try:
        fresh.mkdir()
        for name, data in contents.items():
            with (fresh / name).open("wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
        if folder.exists():
            folder.rename(old)
        try:
            fresh.rename(folder)
        except OSError:
            if old.exists():
                old.rename(folder)
            raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _git_commit() -> str | None:
    """Commit of the working tree this code runs from, or None when there is no git or no repository."""
    try:
        found = subprocess.run(
            ["git", "-C", str(PROJECT_ROOT), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None if found.returncode == 0 else None


@dataclass(frozen=True, eq=False)
class Artifact:
    """An opened model folder: only the manifest has been read, each file is checked when it is read."""

    folder: Path
    manifest: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """What the model is, as given to :func:`save`."""
        return str(self.manifest["kind"])

    def read_bytes(self, file: str) -> bytes:
        """The content of one file, after its size and SHA-256 matched the manifest.

        Raises:
            ArtifactError: the file is not in the manifest, is missing, or was altered.
        """
        _require_plain(file, self.folder)
        entry = self.manifest["files"].get(file)
        if entry is None:
            raise ArtifactError(f"Model {self.folder.name} has no file {file!r} in its {MANIFEST}. {_REMEDY}")
        try:
            data = (self.folder / file).read_bytes()
        except OSError as error:
            raise ArtifactError(
                f"Model file {self.folder / file} cannot be read ({error.strerror or error}). {_REMEDY}"
            ) from error
        digest = hashlib.sha256(data).hexdigest()
        if digest != entry["sha256"]:
            raise ArtifactError(
                f"Model file {self.folder / file} is not the one its manifest names: SHA-256 {digest[:12]}… "
                f"({len(data)} bytes) instead of {entry['sha256'][:12]}…, so it was not opened. {_REMEDY}",
                code="artifact-altered",
            )
        return data

    def require_versions(self) -> None:
        """Refuse a model pickled by another major or minor version of a library whose internals it holds.

        Raises:
            ArtifactError: names each library, the version found and the version needed.
        """
        recorded, installed = self.manifest["versions"], library_versions()
        wrong = [
            f"{library} {installed[library] or 'is missing'} (written by {recorded[library]})"
            for library in _TRUSTED_ONLY_AT_SAME_MINOR
            if recorded.get(library) and _minor(recorded[library]) != _minor(installed[library])
        ]
        if wrong:
            found = ", ".join(wrong)
            raise ArtifactError(
                f"Model {self.folder.name} cannot be trusted with the libraries installed: {found}. Install "
                "the pinned requirements (pip install -r requirements-lite.txt) or train it again "
                "(crylens train).",
                code="artifact-version",
            )

    def load_joblib(self, file: str) -> Any:
        """Unpickle one joblib file: checksum first, then library versions, then listed types only.

        Raises:
            ArtifactError: any of the three refuses, or the bytes are not a joblib file.
        """
        data = self.read_bytes(file)
        self.require_versions()
        return unpickle(data, f"{self.folder.name}/{file}")


_REMEDY = "Restore the folder from the repository (git checkout) or train the model again (crylens train)."


def open_artifact(
    name_or_folder: str | Path, *, settings: Settings | None = None, kind: str | None = None
) -> Artifact:
    """Open a model by the name of its folder under ``settings.artifacts_dir``, or by the folder's path.

    Args:
        name_or_folder: a bare string is a name; a ``Path``, or a string with a separator, is a folder.
        settings: only ``artifacts_dir`` is used, and only for a name.
        kind: refuse a model of another kind; None takes any.

    Raises:
        ArtifactError: no such model, an unreadable or malformed manifest, or the wrong kind.
    """
    if isinstance(name_or_folder, str) and not re.search(r"[/\\]", name_or_folder):
        folder = (settings or get_settings()).artifacts_dir / name_or_folder
    else:
        folder = Path(name_or_folder)
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    except OSError as error:
        raise ArtifactError(
            f"There is no model at {folder} ({MANIFEST}: {error.strerror or error}). {_REMEDY}",
            code="artifact-missing",
        ) from error
    except ValueError as error:
        raise ArtifactError(f"{folder / MANIFEST} is not valid JSON ({error}). {_REMEDY}") from error
    _require_well_formed(manifest, folder)
    if kind is not None and manifest["kind"] != kind:
        raise ArtifactError(f"The model at {folder} is a {manifest['kind']!r}; a {kind!r} is needed here.")
    return Artifact(folder, manifest)


def _require_well_formed(manifest: Any, folder: Path) -> None:
    """Refuse a manifest that lacks a part, is from another format or names a file outside its folder."""
    parts = {"kind": str, "versions": dict, "files": dict, "schema": dict, "training": dict, "metrics": dict}
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT_VERSION:
        raise ArtifactError(f"{folder / MANIFEST} is no model manifest of format {FORMAT_VERSION}. {_REMEDY}")
    for part, expected in parts.items():
        if not isinstance(manifest.get(part), expected):
            raise ArtifactError(f"{folder / MANIFEST} has no usable {part!r}. {_REMEDY}")
    for name, entry in manifest["files"].items():
        _require_plain(name, folder)
        if not isinstance(entry, dict) or not isinstance(entry.get("sha256"), str):
            raise ArtifactError(f"{folder / MANIFEST} gives no SHA-256 for {name!r}. {_REMEDY}")


def _require_plain(name: str, folder: Path) -> None:
    """Only names of files directly inside the model folder: no separators, no parents, no hidden files."""
    if not _PLAIN_NAME.fullmatch(name):
        raise ArtifactError(f"Model {folder.name}: {name!r} is not a plain file name inside its folder.")


def _minor(version: str | None) -> tuple[str, ...] | None:
    """Major and minor part: ``1.9.1`` gives ``("1", "9")``."""
    return tuple(version.split(".")[:2]) if version else None

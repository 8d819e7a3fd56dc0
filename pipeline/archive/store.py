"""Results on disk, each moved into place whole: what is there is done, whatever ended the run.

RESULTS/recordings/3f/<name>.<key>.json   one recording's result: what ``analyze`` prints, and ``archive``
RESULTS/settings/<fingerprint>.json       what listened: models, thresholds, rules, versions
RESULTS/.partial/                         files being written; parts of long recordings
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any
from uuid import uuid4

from pipeline.archive.plan import Job
from pipeline.errors import SettingsError

# Not kept as done: what the file system refused today it may give tomorrow.
_PASSING = frozenset({"missing", "unreadable"})


class Store:
    """The results folder of a run with one fingerprint."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        """Make the folder.

        Raises:
            SettingsError: it cannot be made or written to.
        """
        self.folder, self.fingerprint = Path(folder), fingerprint
        self.partial = self.folder / ".partial"
        try:
            for name in ("recordings", "settings", ".partial/parts"):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
            with self.writing(self.folder / "settings" / ".try"):
                pass
            (self.folder / "settings" / ".try").unlink()
        except OSError as error:
            raise SettingsError(f"{folder} cannot be written: {error.strerror or error}.") from error

    def path(self, job: Job) -> Path:
        """Where the job's result is, or will be."""
        key = job.key(self.fingerprint)
        stem = re.sub(r"[^\w.-]", "_", PurePosixPath(job.name).name, flags=re.ASCII)[:80]
        return self.folder / "recordings" / key[:2] / f"{stem}.{key}.json"

    def read(self, job: Job) -> dict[str, Any] | None:
        """The job's result, or None where there is none yet (or none that can be read)."""
        try:
            found = json.loads(self.path(job).read_bytes())
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) and "archive" in found else None

    def is_done(self, job: Job, *, retry_errors: bool = False) -> bool:
        """Whether there is a result that stands: errors of the file system, or all on demand, do not."""
        found = self.read(job)
        if found is None:
            return False
        return found["error"] is None or not (retry_errors or found["archive"]["code"] in _PASSING)

    def put(self, job: Job, record: Mapping[str, Any], *, code: str | None, took_s: float) -> None:
        """Keep a result.

        Args:
            record: as ``Analysis.to_dict()`` or ``formats.error_record()`` gives it.
            code: of the error; None for a good result.
            took_s: seconds of work.
        """
        about = {
            "key": job.key(self.fingerprint),
            "fingerprint": self.fingerprint,
            "size": job.size,
            "mtime_ns": job.mtime_ns,
            "took_s": round(took_s, 3),
            "code": code,
        }
        target = self.path(job)
        target.parent.mkdir(exist_ok=True)
        with self.writing(target, synced=False) as file:
            json.dump({**record, "archive": about}, file, ensure_ascii=False, allow_nan=False)
        shutil.rmtree(self._parts(job), ignore_errors=True)

    def put_part(self, job: Job, part: Mapping[str, Any]) -> None:
        """Keep what was heard in one part of a long recording until its result is there."""
        self._parts(job).mkdir(exist_ok=True)
        with self.writing(self._parts(job) / f"{part['first']:09}.json", synced=False) as file:
            json.dump(part, file)

    def parts(self, job: Job) -> list[dict[str, Any]]:
        """The parts kept, in order; one that cannot be read is not there."""
        found = []
        for path in sorted(self._parts(job).glob("*.json")):
            try:
                found.append(json.loads(path.read_bytes()))
            except (OSError, ValueError):
                continue
        return found

    def put_settings(self, about: Mapping[str, Any]) -> None:
        """Keep what listened, under its fingerprint."""
        with self.writing(self.folder / "settings" / f"{self.fingerprint}.json") as file:
            json.dump(about, file, indent=2, ensure_ascii=False)

    @contextmanager
    def writing(self, target: Path, *, binary: bool = False, synced: bool = True) -> Iterator[IO[Any]]:
        """A file to write that becomes ``target`` when all of it is written, and nothing otherwise.

        Args:
            synced: wait for the disk. Results of recordings do not: that takes ten times as long, and one
                that a failure of the power leaves empty counts as not done (:meth:`read`).
        """
        fresh = self.partial / uuid4().hex
        as_text: dict[str, Any] = {"encoding": "utf-8", "errors": "backslashreplace", "newline": ""}
        try:
            with fresh.open("xb") if binary else fresh.open("x", **as_text) as file:
                yield file
                if synced:
                    file.flush()
                    os.fsync(file.fileno())
            os.replace(fresh, target)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise

    def _parts(self, job: Job) -> Path:
        return self.partial / "parts" / job.key(self.fingerprint)

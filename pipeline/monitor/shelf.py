"""The folder of kept sound: clips put in, found again after a power cut, and let go of by age and size.

What is starred is never let go of. By size, sound between episodes goes first, then episodes, and the best
clip of a night only once no other is left; of each the oldest first.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, TypeAlias

from filelock import FileLock, Timeout
from sqlalchemy import select

from pipeline.errors import SettingsError
from pipeline.monitor.clock import Clock
from pipeline.monitor.flac import PARTIAL, FlacFile, save_partial, words_of
from pipeline.monitor.journal import Journal, new_id
from pipeline.monitor.marks import starred
from pipeline.monitor.models import EpisodeRow, KeptSound
from pipeline.monitor.store import Row, Store, StoreError

What: TypeAlias = Literal["off", "episodes", "all"]
_MB = 1_000_000
_TELL_AGAIN_S = 600.0


@dataclass(frozen=True)
class Keep:
    """Which sound is kept, where, and for how long.

    Attributes:
        what: nothing ("off"), crying ("episodes") or everything ("all").
        longest_s: length of a clip, seconds.
        days: clips older than that are deleted.
        most_mb: size of all clips together, in millions of bytes.
        before_s, after_s: what is kept of the time before and after an episode, at most 8 and 2 s.
        free_mb: so much of the disk is left to others, the history above all.
    """

    what: What = "off"
    folder: Path = Path("crylens-sound")
    longest_s: float = 300.0
    days: float = 30.0
    most_mb: float = 1000.0
    before_s: float = 5.0
    after_s: float = 1.0
    free_mb: float = 100.0

    @property
    def words(self) -> str:
        """What is kept where."""
        kept = {"off": "No sound is kept", "episodes": "The sound of episodes", "all": "All sound"}[self.what]
        return f"{kept}." if self.what == "off" else f"{kept} is kept in {self.folder}."


def kept_path(folder: Path, path: str) -> Path | None:
    """The file of a row of kept sound; None where it would lie outside the folder.

    Args:
        path: as in the row.
    """
    try:
        inside = (folder / path).resolve()
    except RuntimeError:  # links that go round in a circle
        return None
    return inside if inside.is_relative_to(folder.resolve()) and inside != folder.resolve() else None


class Shelf:
    """The folder of one monitor; all but the making of it is for the recorder's thread."""

    def __init__(
        self, store: Store, journal: Journal, clock: Clock, keep: Keep, tell: Callable[[str], None]
    ) -> None:
        """Take the folder, which is made where there is none, and know what is in it.

        Raises:
            SettingsError: it cannot be written, or another monitor keeps sound there.
            StoreError: the history cannot be read.
        """
        self._store, self._journal, self._clock, self._keep, self._tell = store, journal, clock, keep, tell
        self._folder, self._told = keep.folder, dict[str, float]()
        self.failures = 0
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(self._folder / ".lock")
            self._lock.acquire(timeout=0)
        except Timeout:
            raise SettingsError(
                f"Another monitor keeps sound in {self._folder}: give this one its own --keep-folder."
            ) from None
        except OSError as error:
            raise SettingsError(
                f"Sound cannot be kept in {self._folder}: {error.strerror or error}."
            ) from error
        self._rows: dict[str, Row] = {row["id"]: row for row in store.rows(KeptSound)}

    def begin(
        self, room: str, episode: Row | None, began: datetime, rate: int, channels: int
    ) -> tuple[FlacFile, Row]:
        """A clip that begins, and the head of its row.

        Raises:
            OSError: it cannot be written, or the disk is nearly full.
        """
        free = shutil.disk_usage(self._folder).free
        if free < self._keep.free_mb * _MB:
            raise OSError(
                f"{free / _MB:,.0f} MB of its disk are free, and {self._keep.free_mb:,.0f} MB are left alone"
            )
        key, time = new_id(), began.astimezone(UTC)
        name = f"{time:%Y-%m-%dT%H-%M-%SZ} {key[:8]}.flac"
        path = "/".join([re.sub(r"[^\w ,()'-]", "_", room), f"{time:%Y-%m-%d}", name])
        head: dict[str, Any] = {
            "id": key,
            "episode_id": episode["id"] if episode else None,
            "room": room,
            "started_at": began,
            "path": path,
            "gone_at": None,
            "gone_why": None,
        }
        words = {
            **{k: head[k] for k in ("id", "episode_id", "room", "path")},
            "started_at": began.isoformat(),
        }
        return FlacFile(self._folder / path, rate, channels, words), head

    def add(self, row: Row) -> None:
        """A clip is in place."""
        self._put(row)
        self.tidy()

    def failed(self, room: str, words: str) -> None:
        """A clip could not be kept: it is counted, and told, the same not again for ten minutes."""
        self.failures += 1
        words = f"Sound cannot be kept in {self._folder}: {words}. Listening goes on."
        self._say(words, lambda: self._journal.health(room, "kept sound", "not-kept", words))

    def close(self) -> None:
        """Let go of the folder."""
        self._lock.release()

    def take_stock(self) -> None:
        """Find what a kill or a power cut left: files that no row tells of, and those not finished."""
        for path in [*self._folder.rglob(f".*.flac{PARTIAL}")]:
            if self._is_ours(path):
                try:
                    save_partial(path)
                except OSError as error:
                    self.failed("", error.strerror or str(error))
        there = {row["path"] for row in self._rows.values() if row["gone_at"] is None}
        for path in [*self._folder.rglob("*.flac")]:
            name = path.relative_to(self._folder).as_posix()
            if name not in there and self._is_ours(path) and not path.name.startswith("."):
                self._adopt(path, name)
        self.tidy()

    def tidy(self) -> None:
        """Notice files that are gone, and let go of what is too old or too much."""
        now = self._clock.now()
        for row in self._there():
            path = kept_path(self._folder, row["path"])
            if path is None or not path.is_file():
                self._put({**row, "gone_at": now, "gone_why": "missing"})
        oldest = now - timedelta(days=self._keep.days)
        too_much = sum(row["bytes"] for row in self._there()) - self._keep.most_mb * _MB
        if too_much <= 0 and all(row["ended_at"] >= oldest for row in self._there()):
            return
        try:
            kept_for_good, best_first = starred(self._store), self._by_worth()
        except StoreError:
            return  # which of them are starred is not known just now: none goes
        for row in self._there():
            if row["ended_at"] < oldest and row["episode_id"] not in kept_for_good:
                too_much -= self._delete(row, "expired", now)
        for row in best_first:
            if too_much <= 0:
                return
            row = self._rows[row["id"]]
            if row["gone_at"] is None and row["episode_id"] not in kept_for_good:
                too_much -= self._delete(row, "room", now)
        if too_much > 0:
            self._say(
                f"Starred sound alone takes more than {self._keep.most_mb:,.0f} MB in {self._folder}: "
                "nothing new can be kept. Unstar some, or allow more (--keep-mb)."
            )

    def _there(self) -> list[Row]:
        return sorted(
            (row for row in self._rows.values() if row["gone_at"] is None), key=lambda row: row["started_at"]
        )

    def _by_worth(self) -> Iterator[Row]:
        """What is there, in the order in which it may go.

        Raises:
            StoreError: the history cannot be read.
        """
        there = self._there()
        wanted = select(KeptSound.episode_id).where(KeptSound.gone_at.is_(None))
        peaks = {
            row["id"]: (row["peak"], row["mean"])
            for row in self._store.rows(EpisodeRow, where=EpisodeRow.id.in_(wanted))
        }
        best: dict[tuple[str, object], Row] = {}
        for row in there:
            if row["episode_id"] is None:
                continue
            night = (row["room"], (row["started_at"].astimezone() - timedelta(hours=12)).date())
            found = best.get(night)
            worth = peaks.get(row["episode_id"], (0.0, 0.0))
            if found is None or worth > peaks.get(found["episode_id"], (0.0, 0.0)):
                best[night] = row
        kept_longest = {row["episode_id"] for row in best.values()}
        ranks = {row["id"]: 0 if row["episode_id"] is None else 1 for row in there}
        ranks |= {row["id"]: 2 for row in there if row["episode_id"] in kept_longest}
        return iter(sorted(there, key=lambda row: (ranks[row["id"]], row["started_at"])))

    def _delete(self, row: Row, why: str, now: datetime) -> int:
        """Delete a file; how many bytes that gave."""
        path = kept_path(self._folder, row["path"])
        try:
            if path is not None:
                path.unlink(missing_ok=True)
        except OSError as error:
            self._say(f"{row['path']} cannot be deleted from {self._folder}: {error.strerror or error}.")
            return 0
        self._put({**row, "gone_at": now, "gone_why": why})
        return int(row["bytes"])

    def _put(self, row: Row) -> None:
        self._rows[row["id"]] = row
        self._journal.put(KeptSound, row["id"], row)

    def _adopt(self, path: Path, name: str) -> None:
        """A file without a row, or whose row says that it is gone."""
        words = words_of(path)
        if words is None or not {"id", "episode_id", "room", "started_at"} <= words.keys():
            return  # somebody else's
        try:
            began = datetime.fromisoformat(str(words["started_at"]))
            seconds = _length_s(path)
            episode = str(words["episode_id"]) if words["episode_id"] else None
            known = self._store.rows(EpisodeRow, where=EpisodeRow.id == episode) if episode else []
        except (ValueError, OSError, StoreError):
            return  # damaged, or not to be known just now: the next start sees it again
        if began.tzinfo is None:
            return
        self._put(
            {
                "id": str(words["id"]),
                "episode_id": episode if known else None,
                "room": str(words["room"]),
                "started_at": began,
                "ended_at": began + timedelta(seconds=seconds),
                "path": name,
                "bytes": path.stat().st_size,
                "gone_at": None,
                "gone_why": None,
            }
        )

    def _is_ours(self, path: Path) -> bool:
        """A file in the folder itself, and no link out of it."""
        return (
            path.is_file() and kept_path(self._folder, path.relative_to(self._folder).as_posix()) is not None
        )

    def _say(self, words: str, also: Callable[[], None] = lambda: None) -> None:
        """Tell something, the same not again for ten minutes."""
        now_s, kind = self._clock.monotonic(), re.sub(r"\d", "", words)
        if now_s - self._told.get(kind, -_TELL_AGAIN_S) >= _TELL_AGAIN_S:
            self._told[kind] = now_s
            self._tell(words)
            also()


def _length_s(path: Path) -> float:
    """Of a whole FLAC file; OSError where it is none."""
    import soundfile

    try:
        with soundfile.SoundFile(path) as file:
            return float(file.frames / file.samplerate)
    except soundfile.SoundFileError as error:
        raise OSError(str(error)) from error

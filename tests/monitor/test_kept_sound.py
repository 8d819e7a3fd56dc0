"""Sound is kept as it was heard, by choice, inside its folder, and the right clips go first."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import soundfile
from listening import Monitor, crylens

from pipeline.audio import SAMPLE_RATE, load
from pipeline.errors import SettingsError
from pipeline.monitor.clock import SystemClock
from pipeline.monitor.journal import Journal, new_id
from pipeline.monitor.marks import put_mark
from pipeline.monitor.models import Coverage, EpisodeRow, Health, KeptSound
from pipeline.monitor.recording import Recorder
from pipeline.monitor.shelf import Keep, kept_path
from pipeline.monitor.store import Row, Store, open_store, read_store

Start = Callable[..., Monitor]
NIGHT = datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
RATE = 8_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(str(tmp_path / "h.db")) as store:
        yield store


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    """Sound that no compression makes small, whole 16 bit numbers."""
    whole = np.random.default_rng(seed).integers(-9_000, 9_000, round(seconds * RATE))
    return (whole / 32768).astype(np.float32)


class Kept:
    """A recorder with its journal, fed second by second."""

    def __init__(self, store: Store, keep: Keep, **more: int) -> None:
        self.said: list[str] = []
        self.store, self.keep = store, keep
        self.journal = Journal(store, SystemClock(), run="r")
        self.recorder = Recorder(store, self.journal, SystemClock(), keep, tell=self.said.append, **more)
        self.journal.put(Coverage, "c", coverage())

    def hear(self, sound: np.ndarray, cries: dict[str, tuple[float, float]], *, began: datetime) -> None:
        """A stretch with these episodes in it, told of as late as they are live."""
        recording = self.recorder.recording("a b", RATE, 1, arrives=True)
        for second in range(len(sound) // RATE):
            until = second + 1
            recording.sound(sound[second * RATE : until * RATE], began + timedelta(seconds=until))
            for key, (begin, end) in cries.items():
                row = episode(key, begin, end, began + timedelta(seconds=begin))
                if until == int(begin + 2):
                    self.journal.put(EpisodeRow, key, row)
                    recording.cry("start", row)
                if until == int(end + 4):
                    recording.cry("end", row)
        recording.over()

    def end(self) -> list[Row]:
        """What is kept, by time."""
        self.recorder.close()
        assert self.journal.flush()
        return self.store.rows(KeptSound, order_by="started_at")


def coverage() -> Row:
    return {
        "id": "c", "run": "r", "room": "a", "source": "s", "started_at": NIGHT, "ended_at": NIGHT,
        "heard_s": 1.0, "lost_s": 0.0, "late": 0, "embedder": "student", "models": "m", "threshold": 0.5,
        "state": "ended", "why": None,
    }  # fmt: skip


def episode(key: str, begin: float, end: float, at: datetime, peak: float = 0.9) -> Row:
    return {
        "id": key, "coverage_id": "c", "room": "a b", "source": "s", "started_at": at,
        "ended_at": at + timedelta(seconds=end - begin), "start_s": begin, "end_s": end, "peak": peak,
        "mean": 0.6, "threshold": 0.5, "models": "m", "reasons": None, "state": "ended",
    }  # fmt: skip


def test_episodes_of_a_replayed_night_are_kept_bit_for_bit(night: Path, tmp_path: Path) -> None:
    database, folder = tmp_path / "h.db", tmp_path / "sound"
    crylens(
        *("monitor", "--source", night, "--room", "nursery", "--speed", "max", "--no-reasons"),
        *("--store", database, "--keep", "episodes", "--keep-folder", folder),
    )
    with read_store(str(database)) as opened:
        clips = opened.rows(KeptSound, order_by="started_at")
        cries = opened.rows(EpisodeRow, order_by="started_at")
        (stretch,) = opened.rows(Coverage)
    heard, rate = soundfile.read(night, dtype="int16")
    assert [clip["episode_id"] for clip in clips] == [cry["id"] for cry in cries]
    before = 0
    for clip, cry in zip(clips, cries, strict=True):
        path = folder / clip["path"]
        sound, found = soundfile.read(path, dtype="int16")
        first = max(round((cry["start_s"] - 5) * rate), before)  # or where the clip before it ended
        before = min(round((cry["end_s"] + 1) * rate), len(heard))
        assert found == rate
        assert np.array_equal(sound, heard[first:before])
        assert (clip["started_at"] - stretch["started_at"]).total_seconds() == pytest.approx(
            first / rate, abs=1e-4
        )
        assert (clip["ended_at"] - stretch["started_at"]).total_seconds() == pytest.approx(
            before / rate, abs=1e-4
        )
        assert clip["bytes"] == path.stat().st_size
    assert len(list(folder.rglob("*.flac"))) == len(clips)


def test_all_of_it_is_kept_in_clips_without_a_gap(store: Store, tmp_path: Path) -> None:
    keep = Keep("all", tmp_path / "sound", longest_s=20, free_mb=0, days=10**5)
    kept, sound = Kept(store, keep), noise(100)
    kept.recorder.start()
    kept.hear(sound, {"e1": (12.5, 15.5), "e2": (40.0, 75.0)}, began=NIGHT)
    clips = kept.end()
    assert np.array_equal(
        np.concatenate([soundfile.read(keep.folder / clip["path"], dtype="float32")[0] for clip in clips]),
        sound,
    )
    assert [clip["started_at"] for clip in clips][1:] == [clip["ended_at"] for clip in clips][:-1]
    assert [clip["episode_id"] for clip in clips] == [None, "e1", None, "e2", "e2", "e2", None, None]
    spans = [
        ((c["started_at"] - NIGHT).total_seconds(), (c["ended_at"] - NIGHT).total_seconds()) for c in clips
    ]
    assert spans == [
        (0, 7.5), (7.5, 16.5), (16.5, 35), (35, 55), (55, 75), (75, 76), (76, 96), (96, 100)
    ]  # fmt: skip


def test_a_long_episode_is_kept_up_to_the_longest_clip(store: Store, tmp_path: Path) -> None:
    keep = Keep("episodes", tmp_path / "sound", longest_s=20, free_mb=0, days=10**5)
    kept, sound = Kept(store, keep), noise(70)
    kept.recorder.start()
    kept.hear(sound, {"e": (10, 60)}, began=NIGHT)
    (clip,) = kept.end()
    assert np.array_equal(
        soundfile.read(keep.folder / clip["path"], dtype="float32")[0], sound[5 * RATE : 25 * RATE]
    )


def clip(shelf_or_store: Kept, key: str | None, at: datetime, peak: float, size: int = 1_000_000) -> str:
    """A file of so many bytes, and its rows."""
    kept, path = shelf_or_store, f"{new_id()}.flac"
    (kept.keep.folder / path).write_bytes(bytes(size))
    row = {
        "id": new_id(), "episode_id": key, "room": "a b", "started_at": at, "ended_at": at, "path": path,
        "bytes": size, "gone_at": None, "gone_why": None,
    }  # fmt: skip
    rows = [(EpisodeRow, episode(key, 0, 1, at, peak))] if key else []
    kept.store.write([(Coverage, coverage()), *rows, (KeptSound, row)])
    return path


@pytest.fixture
def full(store: Store, tmp_path: Path) -> tuple[Kept, dict[str, str]]:
    """Three nights and a day of clips, a megabyte each; what they are called by what they are."""
    folder = tmp_path / "sound"
    folder.mkdir()
    kept = Kept.__new__(Kept)
    kept.store, kept.keep = store, Keep("all", folder)
    now = datetime.now(UTC)
    old, last = now - timedelta(days=10), now - timedelta(days=1)
    names = {
        "old": clip(kept, "e1", old, 0.6),
        "old best": clip(kept, "e2", old + timedelta(minutes=1), 0.9),
        "old starred": clip(kept, "e3", old + timedelta(minutes=2), 0.5),
        "between": clip(kept, None, last, 0.0),
        "last": clip(kept, "e4", last + timedelta(minutes=1), 0.7),
        "last best": clip(kept, "e5", last + timedelta(minutes=2), 0.8),
        "last worse": clip(kept, "e6", last + timedelta(minutes=3), 0.6),
    }
    put_mark(str(store.name), "e3", "star", at=now)
    return kept, names


@pytest.mark.parametrize(
    ("most_mb", "gone"),
    [
        (7.0, []),
        (6.5, ["between"]),
        (5.0, ["between", "old"]),
        (3.0, ["between", "last", "last worse", "old"]),
        (2.0, ["between", "last", "last worse", "old", "old best"]),
        (0.5, ["between", "last", "last best", "last worse", "old", "old best"]),
    ],
)
def test_for_want_of_room_the_best_goes_last_and_what_is_starred_never(
    full: tuple[Kept, dict[str, str]], most_mb: float, gone: list[str]
) -> None:
    before, names = full
    kept = Kept(before.store, Keep("all", before.keep.folder, most_mb=most_mb))
    kept.recorder.start()
    rows = kept.end()
    assert sorted(name for name, path in names.items() if not (kept.keep.folder / path).exists()) == gone
    assert {row["path"]: row["gone_why"] for row in rows} == {
        path: "room" if name in gone else None for name, path in names.items()
    }
    assert any("Starred sound alone" in words for words in kept.said) == (most_mb < 1)


def test_what_is_old_goes_unless_it_is_starred(full: tuple[Kept, dict[str, str]]) -> None:
    before, names = full
    put_mark(str(before.store.name), "e4", "star", at=datetime.now(UTC))
    put_mark(str(before.store.name), "e4", "unstar", at=datetime.now(UTC))
    kept = Kept(before.store, Keep("episodes", before.keep.folder, days=9))
    kept.recorder.start()
    why = {row["path"]: row["gone_why"] for row in kept.end()}
    assert [name for name, path in names.items() if why[path] == "expired"] == ["old", "old best"]
    assert not (kept.keep.folder / names["old"]).exists()
    assert (kept.keep.folder / names["old starred"]).exists()


def test_nothing_outside_the_folder_is_touched(store: Store, tmp_path: Path) -> None:
    """Rows can come from an import: they may name any path."""
    folder, other = tmp_path / "sound", tmp_path / "precious.flac"
    folder.mkdir()
    other.write_bytes(b"x")
    (folder / "link.flac").symlink_to(other)
    kept = Kept.__new__(Kept)
    kept.store, kept.keep = store, Keep("all", folder)
    for number, path in enumerate(("../precious.flac", str(other), "link.flac", ".")):
        assert kept_path(folder, path) is None
        row = {
            "id": str(number), "episode_id": None, "room": "a", "started_at": NIGHT, "ended_at": NIGHT,
            "path": path, "bytes": 10**12, "gone_at": None, "gone_why": None,
        }  # fmt: skip
        store.write([(KeptSound, row)])
    kept = Kept(store, Keep("all", folder, days=1))
    kept.recorder.start()
    assert {row["gone_why"] for row in kept.end()} == {"missing"}
    assert other.exists()
    assert (folder / "link.flac").is_symlink()


def test_a_file_that_was_deleted_by_hand_is_noticed_and_one_that_came_back_too(
    store: Store, tmp_path: Path
) -> None:
    keep = Keep("episodes", tmp_path / "sound", free_mb=0, days=10**5)
    kept = Kept(store, keep)
    kept.recorder.start()
    kept.hear(noise(30), {"e1": (10, 15)}, began=NIGHT)
    ((_, path),) = [(row["id"], keep.folder / row["path"]) for row in kept.end()]
    path.rename(tmp_path / "away")
    kept = Kept(store, keep)
    kept.recorder.start()
    (row,) = kept.end()
    assert row["gone_why"] == "missing"
    assert row["gone_at"] is not None
    (tmp_path / "away").rename(path)
    kept = Kept(store, keep)
    kept.recorder.start()
    (again,) = kept.end()
    assert again == {**row, "gone_at": None, "gone_why": None}


def test_a_disk_that_hangs_holds_nobody_up_and_what_is_lost_is_told(store: Store, tmp_path: Path) -> None:
    keep = Keep("all", tmp_path / "sound", free_mb=0, days=10**5)
    second = noise(1).nbytes
    kept = Kept(store, keep, most_waiting=20 * second)
    hung = Event()
    kept.recorder.put(lambda: hung.wait(30) and None)
    kept.recorder.start()
    began = time.monotonic()
    kept.hear(noise(100), {}, began=NIGHT)
    assert time.monotonic() - began < 1.0
    hung.set()
    (clip,) = kept.end()
    assert soundfile.info(keep.folder / clip["path"]).duration == 20
    assert kept.recorder.lost_s == 80
    assert any("too slow, 80 s are lost" in words for words in kept.said)
    assert [row["state"] for row in store.rows(Health)] == ["not-kept"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_recorder_that_broke_off_is_told(store: Store, tmp_path: Path) -> None:
    kept = Kept(store, Keep("all", tmp_path / "sound"))
    kept.recorder.put(lambda: {}["broken"])
    kept.recorder.start()
    deadline = time.monotonic() + 10
    while not kept.recorder.failures:
        assert time.monotonic() < deadline
        kept.hear(noise(1), {}, began=NIGHT)
    assert any("broke off unexpectedly" in words for words in kept.said)
    kept.recorder.close()


def test_two_monitors_do_not_share_a_folder(store: Store, tmp_path: Path) -> None:
    first = Kept(store, Keep("all", tmp_path / "sound"))
    with pytest.raises(SettingsError, match="Another monitor keeps sound"):
        Kept(store, first.keep)
    first.recorder.close()
    Kept(store, first.keep).recorder.close()
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="Sound cannot be kept in"):
        Kept(store, Keep("all", tmp_path / "file"))


def test_after_a_kill_the_open_clip_is_there_up_to_the_last_seconds(
    another_cry: Path, tmp_path: Path, monitor: Start
) -> None:
    database, folder, source = tmp_path / "h.db", tmp_path / "sound", tmp_path / "long.wav"
    rate = SAMPLE_RATE
    heard = np.tile(np.rint(load(another_cry).samples * 32767).astype(np.int16), 30)
    soundfile.write(source, heard, rate)
    arguments = ("--store", database, "--keep", "episodes", "--keep-folder", folder)
    running = monitor("--source", source, "--speed", "10", *arguments)
    running.wait_for("crying since", timeout_s=240)
    deadline = time.monotonic() + 120
    while not any(path.stat().st_size > 500_000 for path in folder.rglob(".*.part")):
        assert time.monotonic() < deadline, running.said
        time.sleep(0.05)
    running.kill()
    assert not list(folder.rglob("*.flac"))
    crylens("monitor", "--source", another_cry, "--speed", "max", "--no-reasons", *arguments)
    with read_store(str(database)) as opened:
        saved, *_ = opened.rows(KeptSound, order_by="started_at")
        cry = opened.rows(EpisodeRow, where=EpisodeRow.id == saved["episode_id"])[0]
    sound, found = soundfile.read(folder / saved["path"], dtype="int16")
    first = max(0, round((cry["start_s"] - 5) * rate))
    assert np.array_equal(sound, heard[first : first + len(sound)])
    assert (saved["ended_at"] - saved["started_at"]).total_seconds() == pytest.approx(
        len(sound) / found, abs=1e-3
    )
    # Twelve seconds are held back, and up to a second is on its way; ten are heard in each.
    assert len(sound) / rate > cry["end_s"] - first / rate - 25
    assert not list(folder.rglob(".*.part"))


def test_a_full_disk_is_told_and_later_clips_are_kept_again(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() or not mount:
        pytest.skip("a small disk can be mounted by root only")
    if subprocess.run([mount, "-t", "tmpfs", "-o", "size=400k", "tmpfs", folder], check=False).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        kept = Kept(store, Keep("episodes", folder, free_mb=0, days=10**5))
        kept.recorder.start()
        sound = noise(60)
        kept.hear(sound, {"e1": (10, 50)}, began=NIGHT)
        kept.hear(sound, {"e2": (10, 20)}, began=NIGHT + timedelta(hours=1))
        (clip,) = kept.end()
        assert clip["episode_id"] == "e2"
        assert np.array_equal(
            soundfile.read(folder / clip["path"], dtype="float32")[0], sound[5 * RATE : 21 * RATE]
        )
        assert kept.recorder.failures == 1
        assert any("No space left" in words and "Listening goes on" in words for words in kept.said)
        assert [p.name for p in folder.rglob("*") if p.is_file()] == [".lock", Path(clip["path"]).name]
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_room_is_left_for_the_history(store: Store, tmp_path: Path) -> None:
    kept = Kept(store, Keep("episodes", tmp_path / "sound", free_mb=10**9, days=10**5))
    kept.recorder.start()
    kept.hear(noise(30), {"e1": (10, 15)}, began=NIGHT)
    assert kept.end() == []
    assert any("are left alone" in words for words in kept.said)

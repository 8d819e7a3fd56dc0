"""Manifests, a person's own folders, the class folders, and splits that keep groups together."""

from __future__ import annotations

import os
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.audio import load
from pipeline.errors import DataError, SettingsError
from pipeline.training.data import LICENCES, Clip, donor_of, prepare, read_manifest
from pipeline.training.splits import by_group, check_groups, leave_one_source_out


def record(path: Path, at_s: float = 1_700_000_000.0) -> Path:
    """A short recording, last written at this time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(zlib.crc32(path.name.encode())).normal(0, 0.1, 3200)
    soundfile.write(path, noise, 8000)
    os.utime(path, (at_s, at_s))
    return path


def manifest(folder: Path, *rows: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.csv").write_text("path,kind,label,source,group\n" + "\n".join(rows) + "\n")
    return folder


def groups(folder: Path) -> dict[str, str]:
    return {clip.path.relative_to(folder).as_posix(): clip.group for clip in read_manifest(folder)}


# --- the shared recordings -------------------------------------------------------------------------------


def test_the_shared_manifest(shared: Path) -> None:
    clips = read_manifest(shared / "data")
    assert Counter(clip.kind for clip in clips) == {"cry": 565, "not_cry": 2229, "unverified": 414}
    assert {clip.source for clip in clips} == set(LICENCES)
    assert all(clip.licence == LICENCES[clip.source] for clip in clips)
    assert all(clip.path.is_absolute() and clip.path.is_file() for clip in clips)
    assert read_manifest(shared / "data" / "manifest.csv") == clips
    for clip in clips:
        if clip.source.startswith("donateacry"):
            assert donor_of(clip.path.name) in (None, clip.group)


def test_prepare_fills_both_folders_and_does_so_once(shared: Path, tmp_path: Path) -> None:
    heard: list[tuple[int, int, str]] = []
    dataset, det = tmp_path / "dataset", tmp_path / "det_dataset"
    done = prepare(shared / "data", dataset, det, progress=lambda *step: heard.append(step))
    assert done.reasons == {"belly_pain": 16, "burping": 8, "discomfort": 27, "hungry": 382, "tired": 24}
    assert done.kinds == {"cry": 565, "not_cry": 2229}
    assert (done.added, done.unchanged) == (457 + 565 + 2229, 0)
    why = Counter(reason for _, reason in done.skipped)
    assert sorted(why.values()) == [108, 414]
    assert heard[-1][:2] == (done.added, done.added)
    assert sorted(path.name for path in det.iterdir()) == ["cry", "manifest.csv", "not_cry"]

    by_origin = {clip.path: clip for clip in read_manifest(shared / "data")}
    for folder in (dataset, det):
        for clip in read_manifest(folder):
            origin = by_origin[clip.path.resolve()]
            assert (clip.kind, clip.label, clip.source, clip.group, clip.licence) == (
                origin.kind,
                origin.label,
                origin.source,
                origin.group,
                origin.licence,
            )
            assert clip.path.parent.name == (clip.label if folder == dataset else clip.kind)
    first = (dataset / "manifest.csv").read_bytes(), (det / "manifest.csv").read_bytes()
    again = prepare(shared / "data", dataset, det)
    assert (again.added, again.unchanged) == (0, done.added)
    assert ((dataset / "manifest.csv").read_bytes(), (det / "manifest.csv").read_bytes()) == first


def test_prepared_audio_is_the_same_audio(a_cry: Path, tmp_path: Path) -> None:
    own = tmp_path / "own" / "hungry" / a_cry.name
    own.parent.mkdir(parents=True)
    own.write_bytes(a_cry.read_bytes())
    for mode in ("link", "copy"):
        prepare(tmp_path / "own", tmp_path / mode, tmp_path / f"det-{mode}", mode=mode)  # type: ignore[arg-type]
        (clip,) = read_manifest(tmp_path / mode)
        assert clip.path.is_symlink() == (mode == "link")
        assert clip.group == "035c6b30-a145-42b9-8d0f-445cd9003d2c"
        assert np.array_equal(load(clip.path).samples, load(a_cry).samples)


def test_colliding_names_and_a_second_source(tmp_path: Path) -> None:
    first = manifest(
        tmp_path / "a", "one/x.wav,not_cry,dog,a,1", "two/x.wav,not_cry,cat,a,2", "one/y.wav,cry,cry,a,3"
    )
    for name in ("one/x.wav", "two/x.wav", "one/y.wav"):
        record(first / name)
    soundfile.write(first / "two/x.wav", np.zeros(9000), 8000)
    det, dataset = tmp_path / "det", tmp_path / "ds"
    assert prepare(first, dataset, det).kinds == {"not_cry": 2, "cry": 1}
    assert prepare(first, dataset, det).added == 0
    second = manifest(tmp_path / "b", "x.wav,not_cry,bird,b,1")
    soundfile.write(second / "x.wav", np.ones(5000) / 2, 8000)
    assert prepare(second, dataset, det, mode="copy").added == 1
    clips = read_manifest(det)
    assert Counter((clip.source, clip.label) for clip in clips) == {
        ("a", "dog"): 1, ("a", "cat"): 1, ("a", "cry"): 1, ("b", "bird"): 1,
    }  # fmt: skip
    assert {clip.label: len(load(clip.path).samples) for clip in clips}["bird"] == 10_000


def test_prepare_refuses(tmp_path: Path) -> None:
    record(tmp_path / "own/hungry/a.wav")
    with pytest.raises(SettingsError, match="mode"):
        prepare(tmp_path / "own", tmp_path / "d", tmp_path / "e", mode="move")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="same folder"):
        prepare(tmp_path / "own", tmp_path / "own", tmp_path / "e")
    with pytest.raises(DataError, match="no such folder"):
        prepare(tmp_path / "nowhere", tmp_path / "d", tmp_path / "e")


# --- manifests that cannot be used -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("../a.wav,cry,hungry,s,g", "leads out"),
        ("/etc/hosts,cry,hungry,s,g", "leads out"),
        ("C:/a.wav,cry,hungry,s,g", "leads out"),
        ("a.wav,maybe,hungry,s,g", "'maybe' is unknown"),
        ("gone.wav,cry,hungry,s,g", "does not exist"),
        ("a.wav,cry,../up,s,g", "cannot name a folder"),
        ("a.wav,cry,hungry,s,", "'group' is empty"),
        ("a.wav,cry", "'label' is empty"),
    ],
)
def test_rows_are_checked(row: str, message: str, tmp_path: Path) -> None:
    record(manifest(tmp_path, "a.wav,cry,hungry,s,g", row) / "a.wav")
    with pytest.raises(DataError, match=message) as caught:
        read_manifest(tmp_path)
    assert "line 3" in str(caught.value)


def test_manifests_without_columns_or_text(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("path,label\na.wav,hungry\n")
    with pytest.raises(DataError, match="kind, source, group"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.csv").write_bytes(b"\xff\xfe\x00\x01" * 20)
    with pytest.raises(DataError, match=r"manifest\.csv"):
        read_manifest(tmp_path)


# --- a person's own folders ------------------------------------------------------------------------------


def test_reason_folders(tmp_path: Path) -> None:
    record(tmp_path / "hungry/a.wav")
    record(tmp_path / "Too warm/b.flac", 1_700_100_000)
    (tmp_path / "hungry/notes.txt").write_text("at night")
    record(tmp_path / "hungry/.hidden.wav")
    clips = read_manifest(tmp_path)
    assert [(clip.kind, clip.label, clip.source) for clip in clips] == [
        ("cry", "Too warm", tmp_path.name),
        ("cry", "hungry", tmp_path.name),
    ]


def test_cry_and_not_cry_folders(tmp_path: Path) -> None:
    for name in ("cry/a.wav", "cry/hungry/b.wav", "not_cry/c.wav", "not_cry/dog/d.wav"):
        record(tmp_path / name)
    assert [(clip.kind, clip.label) for clip in read_manifest(tmp_path)] == [
        ("cry", "cry"), ("cry", "hungry"), ("not_cry", "not_cry"), ("not_cry", "dog"),
    ]  # fmt: skip
    record(tmp_path / "music/e.wav")
    with pytest.raises(DataError, match="music"):
        read_manifest(tmp_path)


def test_a_session_is_the_default_group(tmp_path: Path) -> None:
    evening, minute = 1_700_000_000.0, 60.0
    record(tmp_path / "hungry/a.wav", evening)
    record(tmp_path / "tired/b.wav", evening + 29 * minute)
    record(tmp_path / "hungry/c.wav", evening + 58 * minute)
    record(tmp_path / "hungry/d.wav", evening + 89 * minute)
    found = groups(tmp_path)
    assert found["hungry/a.wav"] == found["tired/b.wav"] == found["hungry/c.wav"] != found["hungry/d.wav"]
    assert found["hungry/a.wav"] == "session-20231114T221320Z"


def test_parts_of_one_recording_and_sub_folders_stay_together(tmp_path: Path) -> None:
    day = 86400.0
    record(tmp_path / "hungry/2026-11-03_part1.wav", 0 * day)
    record(tmp_path / "hungry/2026-11-03_part2.wav", 5 * day)
    record(tmp_path / "hungry/Voice 1.wav", 10 * day)
    record(tmp_path / "hungry/Voice 2.wav", 15 * day)
    record(tmp_path / "hungry/anna/x.wav", 20 * day)
    record(tmp_path / "tired/anna/y.wav", 25 * day)
    found = groups(tmp_path)
    assert found["hungry/2026-11-03_part1.wav"] == found["hungry/2026-11-03_part2.wav"]
    assert found["hungry/Voice 1.wav"] != found["hungry/Voice 2.wav"]
    assert found["hungry/anna/x.wav"] == found["tired/anna/y.wav"] == "anna"


def test_folders_with_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no recordings"):
        read_manifest(tmp_path)
    record(tmp_path / "loose.wav")
    with pytest.raises(DataError, match=r"loose\.wav"):
        read_manifest(tmp_path)


# --- splits ----------------------------------------------------------------------------------------------


def test_folds_keep_donors_apart_and_proportions(shared: Path) -> None:
    clips = [clip for clip in read_manifest(shared / "data") if clip.source == "donateacry"]
    folds = by_group(clips, 5, seed=3)
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(len(clips)))
    for train, test in folds:
        assert not {clips[i].group for i in train} & {clips[i].group for i in test}
        hungry = np.mean([clips[i].label == "hungry" for i in test])
        assert 0.72 < hungry < 0.95
    again = by_group(clips, 5, seed=3)
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(folds, again, strict=True))
    assert not all(np.array_equal(a[1], b[1]) for a, b in zip(folds, by_group(clips, 5, seed=4), strict=True))


def test_leaving_sources_out(shared: Path) -> None:
    clips = read_manifest(shared / "data")
    folds = {source: (train, test) for source, train, test in leave_one_source_out(clips)}
    assert set(folds) == set(LICENCES)
    train, test = folds["donateacry_raw"]
    assert {clips[i].source for i in test} == {"donateacry_raw"}
    assert "donateacry" in {clips[i].source for i in train}
    donors = {clips[i].group for i in test}
    assert any(clip.source == "donateacry" and clip.group in donors for clip in clips)
    assert not donors & {clips[i].group for i in train}


def test_splits_that_cannot_be_made() -> None:
    def clip(label: str, group: str, source: str = "own") -> Clip:
        return Clip(Path(f"/{label}-{group}.wav"), "cry", label, source, group)

    one_session = [clip("hungry", "s"), clip("tired", "s")] * 5
    with pytest.raises(DataError, match="record on more occasions"):
        by_group(one_session, 2)
    with pytest.raises(DataError, match="'tired'"):
        by_group([*(clip("hungry", str(n)) for n in range(9)), clip("tired", "9")], 3)
    with pytest.raises(DataError, match="two sources"):
        leave_one_source_out(one_session)
    with pytest.raises(DataError, match="both sides") as caught:
        check_groups(one_session, np.array([0, 1]), np.array([2]))
    assert caught.value.code == "leakage"

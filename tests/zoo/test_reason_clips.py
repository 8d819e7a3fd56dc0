"""Which recordings take part: five reasons, eight with the uploaders' tags, nine with silence."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from pipeline.errors import DataError
from pipeline.training.checked import checked_uploads
from pipeline.training.data import read_manifest
from pipeline.training.reason_set import choose_clips
from pipeline.zoo import reason_clips
from pipeline.zoo.training import detection_clips

EIGHT = ("belly_pain", "burping", "cold_hot", "discomfort", "hungry", "lonely", "scared", "tired")


def test_tags_make_eight_reasons(shared: Path) -> None:
    five, eight = choose_clips(shared / "data"), choose_clips(shared / "data", unverified_tags=True)
    assert sorted({clip.label for clip in five}) == sorted(set(EIGHT) - {"cold_hot", "lonely", "scared"})
    assert tuple(sorted({clip.label for clip in eight})) == EIGHT
    added = [clip for clip in eight if clip.source == "donateacry_raw"]
    assert len(eight) == len(five) + len(added)
    assert {clip.path for clip in five} <= {clip.path for clip in eight}
    tags = Counter(clip.path.name.rsplit("-", 1)[1].split(".")[0] for clip in added)
    assert tags["dk"] == 0
    assert tags["lo"] == sum(clip.label == "lonely" for clip in eight) > 0
    silent = {name for name, kind in checked_uploads().items() if kind == "not_cry"}
    assert len(silent) == 119
    assert not silent & {clip.path.name for clip in eight}


def test_donors_of_both_releases_are_one_group_and_no_upload_counts_twice(shared: Path) -> None:
    eight = choose_clips(shared / "data", unverified_tags=True)
    sources: dict[str, set[str]] = {}
    for clip in eight:
        assert clip.path.name.lower().startswith(clip.group), "the group is the donor in the name"
        sources.setdefault(clip.group, set()).add(clip.source)
    assert sum(len(of) == 2 for of in sources.values()) > 50
    uploads = Counter("-".join(clip.path.name.lower().split("-")[:6]) for clip in eight)
    assert uploads.most_common(1)[0][1] == 1


def test_named_classes_may_be_sounds_of_any_kind(shared: Path, tmp_path: Path) -> None:
    nine = (*EIGHT, "silence")
    clips = choose_clips(shared / "data", classes=nine, unverified_tags=True, per_class=3)
    assert Counter(clip.label for clip in clips) == dict.fromkeys(nine, 3)
    assert {clip.label for clip in choose_clips(shared / "data", classes=("tired", "burping"))} == {
        "tired",
        "burping",
    }
    with pytest.raises(DataError, match=r"no recording of angry .*found .*belly_pain"):
        choose_clips(shared / "data", classes=("angry", "hungry", "tired"))


def test_a_folder_of_nine_classes_is_read_as_nine(separable: Path, tmp_path: Path) -> None:
    cuts = [clip.path for clip in read_manifest(separable)][:18]
    for i, label in enumerate((*EIGHT, "silence")):
        for k, cut in enumerate(cuts[2 * i : 2 * i + 2]):
            (tmp_path / label / str(i) / str(k)).mkdir(parents=True)
            (tmp_path / label / str(i) / str(k) / "cut.wav").symlink_to(cut)
    clips = reason_clips.read(tmp_path)
    assert clips.classes == (*EIGHT[:6], "scared", "silence", "tired")
    assert len(clips.examples()) == 18 * clips.copies == 18 * 5


def test_fingerprint_tells_sounds_labels_and_groups_apart(separable: Path) -> None:
    from dataclasses import replace

    clips = reason_clips.read(separable, per_class=3)
    same = reason_clips.read(separable, per_class=3)
    assert clips.fingerprint() == same.fingerprint()
    variants = [
        replace(clips, clips=clips.clips[::-1]),
        replace(clips, labels=clips.labels[::-1]),
        replace(clips, groups=clips.groups[::-1]),
        replace(clips, kinds=clips.kinds[:2]),
    ]
    assert len({clips.fingerprint(), *(variant.fingerprint() for variant in variants)}) == 5


def test_detection_takes_kinds_and_what_somebody_listened_to(shared: Path, tmp_path: Path) -> None:
    clips = detection_clips(shared / "data")
    found = Counter((clip.source == "donateacry_raw", clip.label) for clip in clips)
    assert found[True, "not_cry"] == 119
    assert found[True, "cry"] == 0
    assert found[False, "cry"] > 450
    (tmp_path / "hungry").mkdir()
    (tmp_path / "hungry" / "a.wav").write_bytes(b"RIFF")
    with pytest.raises(DataError, match="needs cries and other sounds"):
        detection_clips(tmp_path)

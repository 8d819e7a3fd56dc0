"""Copies, donors and recordings on two sides: each planted one is found, and nothing else is."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import planted
import pytest
import soundfile
from planted import ALTERED, RATE, Take, noisy

from pipeline.audio import load
from pipeline.evaluation.audit import Report, audit
from pipeline.evaluation.audit.confirm import SHARP, phase_peak
from pipeline.evaluation.audit.fingerprint import band_energies, compare
from pipeline.evaluation.audit.names import base_of, families
from pipeline.evaluation.audit.neighbours import landmark_candidates

Audit = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def copied(shared: Path, audit_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Cries of 15 donors in training; copies of eight of them in the test part, under donors' names of
    their own; six more donors there."""
    cuts = planted.cries(shared / "data" / "donateacry" / "hungry", 21, 4.5)
    takes = [
        Take(f"{number:02d}.wav", "ab"[number % 2], f"g{number}", "train" if number < 15 else "test", samples)
        for number, (_, samples) in enumerate(cuts)
    ]
    for number, (name, alter) in enumerate(ALTERED.items()):
        samples = alter(takes[number].samples)
        takes.append(planted.copied(takes[number], "test", f"other{number}", f"{name}.wav", samples))
    takes.append(planted.copied(takes[7], "test", "other7", "same.flac", takes[7].samples))
    root = tmp_path_factory.mktemp("copied")
    table = planted.write(root, takes, ("path", "label", "group", "split"))
    return audit(table, cache_dir=audit_cache, draws=100, deals=150)


def pairs_of(report: Report, kind: str) -> dict[str, str]:
    assert report.sounds is not None
    names = [item.name for item in report.sounds.items]
    return {names[pair.second]: names[pair.first] for pair in report.pairs if pair.kind == kind}


def test_the_same_samples_in_another_format_are_an_exact_copy(copied: Report) -> None:
    assert pairs_of(copied, "exact") == {"same.flac": "07.wav"}
    found = planted.check(copied.data, "exact-copies")
    assert found["severity"] == "leak"
    assert found["numbers"]["by_sides"] == {"test / train": 1}
    assert found["examples"][0][:2] == ["07.wav [train]", "same.flac [test]"]


@pytest.mark.parametrize("name", ALTERED)
def test_an_altered_copy_is_found(copied: Report, name: str) -> None:
    assert pairs_of(copied, "near").get(f"{name}.wav") == f"{list(ALTERED).index(name):02d}.wav"


def test_no_other_pair_is_taken_for_a_copy(copied: Report) -> None:
    assert len(copied.pairs) == len(ALTERED) + 1
    found = planted.check(copied.data, "near-copies")
    assert found["severity"] == "leak"
    assert found["numbers"]["pairs_apart"] == len(ALTERED)
    changes = {change for change in found["numbers"]["by_change"] if change != "as it is"}
    assert changes == {"speed x1.1"}, "what was done to the faster copy is told"


@pytest.mark.parametrize("name", ["mp3", "quiet", "trimmed", "resampled"])
def test_the_fingerprint_alone_leads_to_a_copy(copied: Report, name: str) -> None:
    """In a large set a copy need not be among the nearest neighbours."""
    assert copied.sounds is not None
    sound = {item.name: int(sound) for item, sound in zip(copied.sounds.items, copied.sounds.of, strict=True)}
    pairs = landmark_candidates(copied.sounds.evidence, lambda what, done, total: None).tolist()
    assert [sound[f"{list(ALTERED).index(name):02d}.wav"], sound[f"{name}.wav"]] in pairs


def test_two_performances_of_one_tune_are_no_copies(shared: Path) -> None:
    flutes = shared / "data" / "instruments" / "flute"
    one, other = (load(flutes / f"{name}.ogg").samples for name in ("85d6a7d2", "af227d6f"))
    alike = compare(band_energies(one), band_energies(other))
    assert alike.same, "to the fingerprint they are alike"
    assert phase_peak(one, other, alike.lag_s) < SHARP
    hidden = noisy(one[RATE : 6 * RATE], 0)
    assert phase_peak(one, hidden, 1.0) > SHARP, "a copy is known through noise of its own level"


def test_what_belongs_together_is_proposed_as_groups(copied: Report, tmp_path: Path) -> None:
    from pipeline.evaluation.audit.output import write

    write(copied, tmp_path)
    with (tmp_path / "groups.csv").open(newline="") as file:
        together = {row["path"]: row["together"] for row in csv.DictReader(file)}
    assert together["same.flac"] == together["07.wav"]
    assert together["faster.wav"] == together["06.wav"]
    assert together["00.wav"] != together["01.wav"]
    with (tmp_path / "pairs.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len(copied.pairs)


def three_copies(each: Callable[[Take], Take]) -> list[Take]:
    takes = planted.takes(donors=8)
    return [*takes, *(replace(each(take), name=f"copy_of/{take.name}") for take in takes[:3])]


def test_without_a_split_copies_that_no_group_holds_together_are_a_leak(
    audited: Audit, tmp_path: Path
) -> None:
    takes = three_copies(lambda take: replace(take, group=f"new-{take.group}"))
    report = audited(planted.write(tmp_path, takes, ("path", "label", "group")))
    found = planted.check(report, "exact-copies")
    assert (found["severity"], found["numbers"]["pairs_apart"]) == ("leak", 3)
    assert "3 of them in different groups" in found["finding"]


def test_copies_on_one_side_are_worth_a_note_only(audited: Audit, tmp_path: Path) -> None:
    report = audited(planted.write(tmp_path, three_copies(lambda take: take), ("path", "label", "group")))
    found = planted.check(report, "exact-copies")
    assert (found["severity"], found["numbers"]["pairs"]) == ("note", 3)
    assert report["verdict"]["leak"] == 0


def test_the_same_audio_under_two_labels_is_told(audited: Audit, tmp_path: Path) -> None:
    takes = three_copies(lambda take: replace(take, label="falling" if take.label == "rising" else "rising"))
    report = audited(planted.write(tmp_path, takes, ("path", "label", "group")))
    found = planted.check(report, "contradictions")
    assert (found["severity"], found["numbers"]["pairs"]) == ("note", 3)


def test_a_donor_on_both_sides_is_a_leak(audited: Audit, tmp_path: Path) -> None:
    takes = planted.takes(donors=8)
    moved = [replace(take, split="test") if take.name.endswith("d03_b.wav") else take for take in takes]
    report = audited(planted.write(tmp_path, moved, ("path", "label", "group", "split")))
    found = planted.check(report, "groups")
    assert found["severity"] == "leak"
    assert found["examples"] == [["d03", "test: 1, train: 1"]]
    assert planted.by_severity(report, "leak") == {"groups"}


def test_pieces_of_one_recording_on_both_sides_are_a_leak_by_their_column(
    audited: Audit, tmp_path: Path
) -> None:
    takes = planted.takes(donors=8)
    moved = [
        replace(take, split="test" if take.name.endswith("_b.wav") else "train", source=f"tape-{take.group}")
        for take in takes
    ]
    table = planted.write(tmp_path, moved, ("path", "label", "split", "source"))
    found = planted.check(audited(table, group="source", source="none"), "groups")
    assert (found["severity"], found["numbers"]["groups"]) == ("leak", 8)
    assert "column 'source'" in found["finding"]


DONOR = "549a46d8-9c84-430e-ade8-97eae2bef7{:02d}"


def test_donors_are_known_by_their_donate_a_cry_names(audited: Audit, tmp_path: Path) -> None:
    takes = [
        replace(
            take,
            name=f"{DONOR.format(int(take.group[1:]))}-143013077217{number}-1.7-m-48-hu.wav",
            split="train" if number % 2 else "test",
            group=f"file-{number}",
        )
        for number, take in enumerate(planted.takes(donors=8))
    ]
    report = audited(planted.write(tmp_path, takes, ("path", "label", "split")))
    found = planted.check(report, "groups")
    assert (found["severity"], found["numbers"]["groups"]) == ("leak", 8)
    report = audited(planted.write(tmp_path, takes, ("path", "label", "group", "split")))
    assert planted.check(report, "groups")["severity"] == "clear", "every file is a group of its own"
    assert planted.check(report, "donors")["severity"] == "leak", "but the names tell who it is"


def test_augmented_copies_are_known_by_name(audited: Audit, tmp_path: Path) -> None:
    takes = planted.takes(donors=8)
    altered = [
        planted.copied(take, "test", f"x{i}", f"{take.name[:-4]}_pitch+2.wav", noisy(take.samples, 20))
        for i, take in enumerate(takes[2:5])
    ]
    moved = [replace(take, split="train") for take in takes[:12]] + takes[12:]
    report = audited(planted.write(tmp_path, [*moved, *altered], ("path", "label", "split")))
    found = planted.check(report, "augmented-names")
    assert (found["severity"], found["numbers"]["apart"], found["numbers"]["heard"]) == ("leak", 3, 3)


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("cry_12_pitch+2.wav", "cry_12"),
        ("aug1_cry_12.wav", "cry_12"),
        ("cry_12 (2).wav", "cry_12"),
        ("deep/cry_12_stretch_0.9.wav", "cry_12"),
        ("cry_12_noise-10dB.wav", "cry_12"),
        ("noise_3.wav", "noise_3"),
    ],
)
def test_what_an_augmented_file_was_called_before(name: str, base: str) -> None:
    assert base_of(name) == base


def test_a_noise_of_the_kitchen_is_no_noisy_kitchen() -> None:
    assert base_of("noise_3_kitchen.wav") != base_of("kitchen.wav")


def test_names_alone_do_not_make_copies_of_short_names() -> None:
    found = families(
        ["a/room_noise_1.wav", "a/room_noise_2.wav", "a/549a46d8_aug1.wav", "a/549a46d8.wav"], "aaaa"
    )
    assert {family.base: family.telling for family in found} == {"room": False, "549a46d8": True}


def test_digital_silence_is_no_copy_of_other_silence(audited: Audit, tmp_path: Path) -> None:
    takes = planted.takes(donors=4)
    planted.write(tmp_path, takes, ("path", "label", "group"))
    for name in ("falling/s1.wav", "rising/s2.wav"):
        soundfile.write(tmp_path / name, np.zeros(RATE), RATE)
    (tmp_path / "manifest.csv").unlink()
    report = audited(tmp_path)
    assert planted.check(report, "exact-copies")["severity"] == "clear"
    assert planted.check(report, "silent")["numbers"]["recordings"] == 2

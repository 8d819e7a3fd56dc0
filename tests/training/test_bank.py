"""The bank of heard audio: what is kept, for whom, the same twice, and after an interruption."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.audio import load
from pipeline.embedding.base import EMBEDDING_SIZE, frame_count
from pipeline.embedding.logmel import frames_of_log_mel
from pipeline.embedding.yamnet import CRYING_CLASSES, YamnetEmbedder
from pipeline.errors import AudioError
from pipeline.training import bank as bank_module
from pipeline.training import synthetic
from pipeline.training.bank import Bank, Entry, MixedBank, entries_of
from pipeline.training.data import Clip, read_manifest

ARRAYS = ("embeddings", "scores", "clean_scores", "columns")


@pytest.fixture(scope="module")
def clips(shared: Path) -> list[Clip]:
    """Seven real recordings of five sources; the last was given up before it began."""
    found = read_manifest(shared / "data")
    chosen = []
    for source, kind in (
        ("esc50", "cry"), ("giulbia", "cry"), ("esc50", "not_cry"), ("giulbia", "not_cry"),
        ("catsdogs", "not_cry"), ("speech_commands_noise", "not_cry"),
    ):  # fmt: skip
        chosen.append(next(c for c in found if (c.source, c.kind) == (source, kind)))
    return [*chosen, next(c for c in found if c.source == "donateacry_raw" and _too_short(c.path))]


def _too_short(path: Path) -> bool:
    if path.stat().st_size > 8_000:
        return False
    try:
        load(path)
    except AudioError as error:
        return error.code == "too-short"
    return False


@pytest.fixture(autouse=True, scope="module")
def _few_synthetic_sounds() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bank_module, "SYNTHETIC_PER_KIND", 1)
        patch.setattr(synthetic, "KINDS", ("silence", "sweep"))
        yield


@pytest.fixture(scope="module")
def bank(clips: list[Clip], yamnet: YamnetEmbedder, tmp_path_factory: pytest.TempPathFactory) -> Bank:
    """Four passes over the clips."""
    built = Bank(clips, cache_dir=tmp_path_factory.mktemp("bank"), passes=4)
    built.build(yamnet)
    return built


def test_entries_are_the_recordings_and_our_own_sounds(clips: list[Clip]) -> None:
    entries = entries_of(clips)
    assert len(entries) == len(clips) + 2
    assert entries[-1] == Entry(None, "not_cry", "sweep", "synthetic", "synthetic-sweep-0")
    assert [e.path for e in entries[: len(clips)]] == [str(c.path) for c in clips]


def test_the_clean_pass_is_what_yamnet_hears(bank: Bank, yamnet: YamnetEmbedder, clips: list[Clip]) -> None:
    heard = bank.open(0)
    example = heard.examples[0]
    assert (example.entry, example.partner, example.start) == (0, -1, 0)
    samples = load(clips[0].path).samples.astype(np.float16).astype(np.float32)
    embeddings, scores = yamnet.embed_and_score(samples)
    rows = slice(0, example.frames)
    np.testing.assert_allclose(heard.embeddings[rows], embeddings, atol=1e-2, rtol=1e-3)
    np.testing.assert_allclose(heard.scores[rows], scores[:, CRYING_CLASSES], atol=1e-3)
    np.testing.assert_array_equal(heard.clean_scores[rows], heard.scores[rows])
    columns = np.asarray(heard.columns[: 48 * (example.frames - 1) + 96], np.float32)
    np.testing.assert_allclose(columns[48 : 48 + 96], frames_of_log_mel(samples)[48 : 48 + 96], atol=5e-3)


def test_examples_lie_end_to_end(bank: Bank) -> None:
    for heard in bank:
        assert [a.start + a.frames for a in heard.examples] == [
            *(b.start for b in heard.examples[1:]),
            len(heard.embeddings),
        ]
        assert heard.embeddings.shape[1] == EMBEDDING_SIZE
        assert len(heard.scores) == len(heard.clean_scores) == len(heard.embeddings)
        last = heard.examples[-1]
        assert len(heard.columns) == last.column_start + 48 * (last.frames - 1) + 96
        assert np.isfinite(heard.embeddings).all()


def test_every_clip_is_heard_but_the_one_that_is_too_short(bank: Bank, clips: list[Clip]) -> None:
    audible = set(range(len(bank.entries))) - {len(clips) - 1}
    for k, heard in enumerate(bank):
        assert {e.entry for e in heard.examples} == audible
        cries = [e.entry for e in heard.examples if bank.entries[e.entry].kind == "cry"]
        assert cries == ([0, 0, 1, 1] if k else [0, 1]), "changed passes hear each cry twice"


def test_partners_are_other_sounds_and_are_noted(bank: Bank) -> None:
    partners = [e.partner for heard in bank for e in heard.examples]
    assert all(p == -1 for p in partners[: len(bank.open(0).examples)]), (
        "nothing is mixed into the clean pass"
    )
    mixed = [p for p in partners if p >= 0]
    assert 0.2 < len(mixed) / (len(partners) - len(bank.open(0).examples)) < 0.8
    assert {bank.entries[p].kind for p in mixed} == {"not_cry"}
    for k in range(1, 4):
        planned = {(i, p) for i, recipe, p, _ in bank._plan(k) if recipe.partner_snr_db is not None}
        assert {(e.entry, e.partner) for e in bank.open(k).examples if e.partner >= 0} <= planned


def test_a_changed_pass_sounds_different_and_keeps_the_clean_evidence(bank: Bank) -> None:
    clean, changed = bank.open(0), bank.open(1)
    assert not np.array_equal(clean.embeddings[:5], changed.embeddings[:5])
    for example in changed.examples:
        rows = slice(example.start, example.start + example.frames)
        if bank.entries[example.entry].kind == "not_cry":
            np.testing.assert_array_equal(changed.clean_scores[rows], changed.scores[rows])
        else:  # the same stretch before anything was done to it, though cut a little otherwise
            own = next(e for e in clean.examples if e.entry == example.entry)
            before = clean.scores[own.start : own.start + own.frames].max()
            assert changed.clean_scores[rows].max() == pytest.approx(before, abs=0.25)
            assert not np.array_equal(changed.clean_scores[rows], changed.scores[rows])


def test_only_late_passes_change_the_speed(bank: Bank) -> None:
    for k in range(4):
        speeds = [recipe.speed for _, recipe, _, _ in bank._plan(k)]
        assert any(speeds) == (k >= bank_module.FIRST_PASS_WITH_SPEED)


def test_same_seed_same_arrays_after_an_interruption(
    bank: Bank, clips: list[Clip], yamnet: YamnetEmbedder, tmp_path: Path
) -> None:
    again = Bank(clips, cache_dir=tmp_path, passes=3)
    assert again.folder.parent.name == bank.folder.parent.name

    def stop_in_the_second(what: str, done: int, total: int) -> None:
        if "pass 2 of 3" in what:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        again.build(yamnet, stop_in_the_second)
    assert not again.is_built
    assert [p.name for p in again.folder.iterdir()] == ["0"]
    kept = (again.folder / "0" / "embeddings.npy").stat().st_mtime_ns
    stages: list[str] = []
    again.build(yamnet, lambda what, done, total: stages.append(what))
    assert again.is_built
    assert (again.folder / "0" / "embeddings.npy").stat().st_mtime_ns == kept
    assert not any("pass 1 of 3" in stage for stage in stages)
    for k in range(3):
        mine, theirs = again.open(k), bank.open(k)
        assert mine.examples == theirs.examples
        for name in ARRAYS:
            np.testing.assert_array_equal(getattr(mine, name), getattr(theirs, name))
    again.build(yamnet, lambda *_: pytest.fail("nothing was missing"))


def test_another_seed_or_other_clips_are_another_bank(clips: list[Clip], tmp_path: Path) -> None:
    folders = [
        Bank(clips, cache_dir=tmp_path, passes=2).folder,
        Bank(clips, cache_dir=tmp_path, passes=2, seed=1).folder,
        Bank(clips[1:], cache_dir=tmp_path, passes=2).folder,
    ]
    assert len(set(folders)) == 3
    assert Bank(clips, cache_dir=tmp_path, passes=5).folder == folders[0], "more passes are added to it"


def test_a_damaged_recording_stops_the_build(
    clips: list[Clip], yamnet: YamnetEmbedder, tmp_path: Path
) -> None:
    (tmp_path / "bad.wav").write_text("no sound")
    bad = Clip(tmp_path / "bad.wav", "cry", "hungry", "mine", "one")
    with pytest.raises(AudioError, match="bad"):
        Bank([*clips[:1], bad], cache_dir=tmp_path / "cache", passes=1).build(yamnet)


def test_mixed_conditions(bank: Bank, clips: list[Clip], yamnet: YamnetEmbedder, tmp_path: Path) -> None:
    mixed = MixedBank(clips, cache_dir=tmp_path, backgrounds="speech_commands_noise")
    assert mixed.passes == 7
    for k, (what, snr) in enumerate(mixed.CONDITIONS):
        for entry, recipe, partner, _ in mixed._plan(k):
            assert bank.entries[entry].source not in {"synthetic", "speech_commands_noise"}
            if what == "bands swapped":
                assert (bank.entries[entry].kind == "not_cry") == (recipe.high_hz == 3400.0)
                assert bank.entries[entry].kind == "not_cry" or bank.entries[entry].source != "donateacry"
            elif what == "background":
                assert bank.entries[partner].source == "speech_commands_noise"
                assert (recipe.partner_snr_db, recipe.noise) == (snr, None)
            else:
                assert (recipe.noise, recipe.noise_snr_db, partner) == ("white", snr, -1)
    mixed.build(yamnet)
    quiet, loud = (mixed.open(k).scores.astype(float).max(axis=1).mean() for k in (3, 5))
    assert quiet < loud, "less is heard of a cry under more noise"


def test_frames_of_the_bank_are_those_of_the_sound(bank: Bank, clips: list[Clip]) -> None:
    counts = {e.entry: e.frames for e in bank.open(0).examples}
    for i, clip in enumerate(clips[:-1]):
        assert counts[i] == frame_count(len(load(clip.path).samples))

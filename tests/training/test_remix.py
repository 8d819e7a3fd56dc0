"""Remixes: named by the teacher, honest about whose sound is in them, made once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.embedding.logmel import LOG_OFFSET
from pipeline.embedding.yamnet import YamnetEmbedder
from pipeline.training import remix, student
from pipeline.training.bank import Bank, Example
from pipeline.training.data import read_manifest
from pipeline.training.remix import Remixes


@pytest.fixture(scope="module")
def bank(small_cut: Path, yamnet: YamnetEmbedder, tmp_path_factory: pytest.TempPathFactory) -> Bank:
    """A clean hearing of a few real recordings."""
    bank = Bank(read_manifest(small_cut)[::4], cache_dir=tmp_path_factory.mktemp("cache"), passes=1)
    bank.build(yamnet)
    return bank


@pytest.fixture(scope="module")
def remixes(bank: Bank, yamnet: YamnetEmbedder) -> Remixes:
    made = Remixes(bank, 1)
    made.build(lambda: yamnet)
    return made


def test_the_teacher_named_every_remix(remixes: Remixes, yamnet: YamnetEmbedder) -> None:
    (heard,) = remixes
    assert np.isfinite(heard.columns).all()
    assert heard.columns.min() >= np.float16(np.log(LOG_OFFSET))
    for example in heard.examples[:: len(heard.examples) // 12]:
        columns = heard.columns[example.column_start :][:240].astype(np.float32)
        given = heard.embeddings[example.start :][:4].astype(np.float32)
        wanted = yamnet.embed_columns(columns)
        # Columns and embeddings are kept in half precision.
        np.testing.assert_allclose(given, wanted, atol=0.05 + 0.02 * np.abs(wanted).max())


def test_every_clip_begins_remixes_and_most_have_a_partner(bank: Bank, remixes: Remixes) -> None:
    (heard,) = remixes
    begun = [example.entry for example in heard.examples]
    assert begun == sorted(begun)
    assert {begun.count(e.entry) for e in bank.open(0).examples} == {remix.PER_CLIP}
    mixed = np.mean([example.partner >= 0 for example in heard.examples])
    assert remix.MIXED - 0.1 < mixed < remix.MIXED + 0.1


def test_no_remix_of_a_banned_clip_teaches(bank: Bank, remixes: Remixes) -> None:
    banned = np.array([entry.kind == "cry" for entry in bank.entries])
    (heard,) = remixes
    allowed = {
        example.start
        for example in heard.examples
        if not banned[example.entry] and not (example.partner >= 0 and banned[example.partner])
    }
    assert 0 < len(allowed) < len(heard.examples)
    assert set(student.Frames.gather(remixes, banned).index[:, 2].tolist()) == allowed


def test_remixes_are_made_once_and_the_same_everywhere(
    bank: Bank, remixes: Remixes, yamnet: YamnetEmbedder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def no_teacher() -> YamnetEmbedder:
        raise AssertionError("all of them were there")

    Remixes(bank, 1).build(no_teacher)
    elsewhere = Remixes(bank, 1)
    monkeypatch.setattr(elsewhere, "folder", tmp_path / "remix")
    stages: list[str] = []
    elsewhere.build(lambda: yamnet, lambda what, *_: stages.append(what))
    assert set(stages) == {"remixing 1 of 1"}
    (ours,), (theirs,) = remixes, elsewhere
    np.testing.assert_array_equal(ours.columns, theirs.columns)
    assert ours.examples == theirs.examples


@given(seed=st.integers(0, 2**32 - 1), frames=st.integers(1, 9), loud=st.floats(-7, 6))
def test_a_stretch_is_of_its_own_sound_alone(seed: int, frames: int, loud: float) -> None:
    columns = np.full((3_000, 64), 50.0, np.float16)
    example = Example(0, -1, 0, frames, 500)
    columns[500 : 500 + 48 * (frames + 1)] = loud
    found = remix._stretch(columns, example, np.random.default_rng(seed))
    assert found.shape == (240, 64)
    expected = max(np.exp(np.float32(np.float16(loud))) - LOG_OFFSET, 0.0)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)


@given(seed=st.integers(0, 2**32 - 1), which=st.sampled_from(["noise", "silence", "one band"]))
def test_whatever_is_remixed_gives_finite_columns(seed: int, which: str) -> None:
    rng = np.random.default_rng(seed)
    make: dict[str, Callable[[], Any]] = {
        "noise": lambda: rng.gamma(2.0, 1.0, (240, 64)),
        "silence": lambda: np.zeros((240, 64)),
        "one band": lambda: np.tile(np.eye(64)[int(rng.integers(64))], (240, 1)),
    }
    sound, other = make[which]().astype(np.float32), make["noise"]().astype(np.float32)
    before = sound.copy(), other.copy()
    heard = remix._finished(remix._mixed(remix._remix(sound, rng), other, rng), rng)
    assert heard.shape == (240, 64)
    assert np.isfinite(heard).all()
    np.testing.assert_array_equal(before[0], sound)
    np.testing.assert_array_equal(before[1], other)

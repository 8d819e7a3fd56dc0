"""Front ends are computed once for what sounds the same, and again for what does not."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.audio import load
from pipeline.errors import AudioError
from pipeline.training.data import Clip
from pipeline.zoo.base import Example
from pipeline.zoo.examples import FrontEnd, cached, content, samples_of


def clip_of(path: Path) -> Clip:
    return Clip(path, "cry", "hungry", "own", "one")


class Counting:
    """A front end's function that counts how often it is called."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        self.calls += 1
        return np.array([len(samples), np.abs(samples).max()], dtype=np.float32)


def test_values_are_kept_by_what_is_heard(a_cry: Path, another_cry: Path, tmp_path: Path) -> None:
    compute = Counting()
    front_end = FrontEnd("counting 1", compute)
    examples = [Example(clip_of(a_cry)), Example(clip_of(a_cry), "stretch1.1"), Example(clip_of(another_cry))]
    first = cached(examples, front_end, cache=tmp_path)
    assert compute.calls == 3
    assert first[1][0] == pytest.approx(first[0][0] / 1.1, rel=0.01), "the copy is shorter"
    moved = tmp_path / "another name.flac"
    shutil.copy(a_cry, moved)
    again = cached([Example(clip_of(moved)), *examples], front_end, cache=tmp_path)
    assert compute.calls == 3
    np.testing.assert_array_equal(again, [first[0], *first])
    cached(examples[:1], FrontEnd("counting 2", compute), cache=tmp_path)
    assert compute.calls == 4, "another version is another value"


def test_a_file_written_anew_is_heard_anew(a_cry: Path, another_cry: Path, tmp_path: Path) -> None:
    file = tmp_path / "recording"
    shutil.copy(a_cry, file)
    front_end = FrontEnd("counting 1", Counting())
    example = Example(clip_of(file))
    before, digest = cached([example], front_end, cache=tmp_path)[0], content(example)
    shutil.copy(another_cry, file)
    assert content(example) != digest
    assert cached([example], front_end, cache=tmp_path)[0][0] != before[0]


def test_samples_are_the_recording_or_its_copy(a_cry: Path) -> None:
    original = samples_of(Example(clip_of(a_cry)))
    np.testing.assert_array_equal(original, load(a_cry).samples)
    copy = samples_of(Example(clip_of(a_cry), "pitch+2"))
    assert copy.shape == original.shape
    assert copy.dtype == np.float32
    assert not np.allclose(copy, original, atol=1e-3)


def test_an_error_names_the_recording(a_cry: Path, tmp_path: Path) -> None:
    def refuse(samples: NDArray[np.float32]) -> NDArray[np.float32]:
        raise AudioError(f"{len(samples)} samples are too few.", "too-short")

    with pytest.raises(AudioError, match=rf"{a_cry.name}: .* too few") as caught:
        cached([Example(clip_of(a_cry))], FrontEnd("refusing 1", refuse), cache=tmp_path)
    assert caught.value.code == "too-short"

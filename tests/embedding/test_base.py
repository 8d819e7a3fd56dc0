"""Embedding in blocks: however a recording is cut, each frame is embedded once, from the same samples."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.embedding.base import (
    EMBEDDING_SIZE,
    FRAME_SAMPLES,
    HOP_SAMPLES,
    embed_in_blocks,
    frame_count,
    pad_to_frames,
)


def frames_of(samples: np.ndarray) -> np.ndarray:
    """Stands in for a network: each frame's own samples, so that a wrong one cannot hide."""
    padded = pad_to_frames(samples)
    view = np.lib.stride_tricks.sliding_window_view(padded, FRAME_SAMPLES)[::HOP_SAMPLES]
    return view[:, :: FRAME_SAMPLES // 1000][:, :EMBEDDING_SIZE].copy()


def cut(samples: np.ndarray, at: list[int]) -> Iterator[np.ndarray]:
    yield from np.split(samples, sorted(place % (len(samples) + 1) for place in at))


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 6 * HOP_SAMPLES), at=st.lists(st.integers(0, 6 * HOP_SAMPLES), max_size=8))
@example(n=FRAME_SAMPLES, at=[])
@example(n=FRAME_SAMPLES, at=[FRAME_SAMPLES - 1])
@example(n=FRAME_SAMPLES + 1, at=[FRAME_SAMPLES])
@example(n=FRAME_SAMPLES + 2 * HOP_SAMPLES, at=[FRAME_SAMPLES + HOP_SAMPLES, 0, 0])
def test_any_cut_gives_the_frames_of_the_whole(n: int, at: list[int]) -> None:
    samples = np.arange(1, n + 1, dtype=np.float32)
    lengths = []

    def embed(part: np.ndarray) -> np.ndarray:
        lengths.append(len(part))
        return frames_of(part)

    given_frames = np.concatenate(list(embed_in_blocks(cut(samples, at), embed)))
    np.testing.assert_array_equal(given_frames, frames_of(samples))
    assert len(given_frames) == frame_count(n)
    assert all((length - FRAME_SAMPLES) % HOP_SAMPLES == 0 for length in lengths[:-1]), "padded inside"


def test_nothing_comes_of_nothing() -> None:
    assert list(embed_in_blocks([], frames_of)) == []
    assert list(embed_in_blocks([np.zeros(0, np.float32)], frames_of)) == []


def test_what_is_held_back_stays_small() -> None:
    block = np.ones(10_000, np.float32)
    largest = 0

    def embed(part: np.ndarray) -> np.ndarray:
        nonlocal largest
        largest = max(largest, len(part))
        return frames_of(part)

    for _ in embed_in_blocks((block for _ in range(300)), embed):
        pass
    assert largest < FRAME_SAMPLES + len(block)


@pytest.mark.parametrize(
    ("n", "frames"),
    [(1, 1), (15_600, 1), (15_601, 2), (23_280, 2), (23_281, 3), (160_000, 20)],
)
def test_frames_of_a_length(n: int, frames: int) -> None:
    assert frame_count(n) == frames
    assert len(pad_to_frames(np.ones(n, np.float32))) == FRAME_SAMPLES + (frames - 1) * HOP_SAMPLES

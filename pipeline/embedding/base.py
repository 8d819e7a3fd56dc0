"""What an embedder is, and how any embedder runs over audio in blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

FRAME_HOP_S = 0.48
FRAME_WINDOW_S = 0.96
EMBEDDING_SIZE = 1024
SAMPLE_RATE = 16_000

HOP_SAMPLES = 7_680
# The 96 spectrogram columns of one frame: 95 hops of 160 samples and one STFT window of 400.
FRAME_SAMPLES = 15_600

FloatArray = NDArray[np.float32]


class Embedder(Protocol):
    """Sound in, one 1024-wide embedding per 0.48 s out (each looks at 0.96 s)."""

    name: str
    notice: str | None

    def embed(self, samples: FloatArray) -> FloatArray:
        """Embed mono float32 samples at 16 kHz, shape (n,), as (frames, 1024) float32."""
        ...

    def embed_blocks(self, blocks: Iterable[FloatArray]) -> Iterator[FloatArray]:
        """Embed a stream of blocks; the results, concatenated, equal ``embed`` of the whole."""
        ...


def frame_count(n_samples: int) -> int:
    """Number of frames that YAMNet gives for ``n_samples``: the tail is zero-padded to a whole hop."""
    if n_samples <= FRAME_SAMPLES:
        return 1
    return 1 + -(-(n_samples - FRAME_SAMPLES) // HOP_SAMPLES)


def pad_to_frames(samples: FloatArray) -> FloatArray:
    """Zero-pad (n,) samples at the end so that they hold exactly ``frame_count(n)`` frames."""
    wanted = FRAME_SAMPLES + (frame_count(len(samples)) - 1) * HOP_SAMPLES
    return np.pad(samples, (0, wanted - len(samples))) if wanted > len(samples) else samples


def embed_in_blocks(
    blocks: Iterable[FloatArray], embed: Callable[[FloatArray], FloatArray]
) -> Iterator[FloatArray]:
    """Run ``embed`` over whole frames as blocks arrive, carrying the overlap from block to block.

    Args:
        blocks: mono float32 arrays at 16 kHz, any lengths.
        embed: maps samples to (frames, 1024); only its last call may get a length that needs padding.

    Yields:
        (frames, 1024) arrays; memory is bounded by the largest block.
    """
    carry = np.zeros(0, dtype=np.float32)
    emitted = False
    for block in blocks:
        carry = np.concatenate([carry, block])
        frames = (len(carry) - FRAME_SAMPLES) // HOP_SAMPLES + 1
        if frames >= 1:
            yield embed(carry[: FRAME_SAMPLES + (frames - 1) * HOP_SAMPLES])
            carry = carry[frames * HOP_SAMPLES :]
            emitted = True
    # What is left is shorter than a frame. It holds unseen samples only beyond the last frame's overlap.
    overlap = FRAME_SAMPLES - HOP_SAMPLES
    if len(carry) > (overlap if emitted else 0):
        yield embed(carry)

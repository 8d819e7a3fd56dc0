"""The harmonic part of a sound: what lasts in time rather than spreads over frequency (Fitzgerald 2010).

Nearly all its cost is two running medians over 31 neighbours, along time and along frequency. They are
computed here as a network of minima and maxima over whole rows of numbers at once, in which neighbouring
windows share their sorting (the idea of Adams 2021, "Fast median filters using separable sorting networks",
in one dimension). A median is one of the numbers themselves, so this gives every bit of what sorting gives.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pipeline._spectrum import TINY, ComplexArray, FloatArray

MEDIAN = 31  # frames, and bins: librosa's kernel
_TILE = 16  # windows that share a core: as many as half the kernel


def harmonic(spectrum: ComplexArray, magnitude: FloatArray) -> ComplexArray:
    """The harmonic part of a (frames, bins) spectrum, as ``librosa.decompose.hpss(spectrum)[0]``.

    Args:
        spectrum: (frames, bins) complex64.
        magnitude: its absolute values, (frames, bins) float32.
    """
    lasting = running_median(magnitude)
    spread = np.ascontiguousarray(running_median(np.ascontiguousarray(magnitude.T)).T)
    # Wiener's mask, lasting² / (lasting² + spread²), which is a half where both are nothing.
    larger = np.maximum(lasting, spread)
    nothing = larger < TINY
    np.copyto(larger, 1.0, where=nothing)
    for part in (lasting, spread):
        part /= larger
        part *= part
    spread += lasting
    np.copyto(spread, 1.0, where=nothing)
    mask = lasting
    mask /= spread
    np.copyto(mask, 0.5, where=nothing)
    # In this order, magnitude times mask times phase, the rounding is librosa's too: near digital silence the
    # tonal centroids are made of little else.
    mask *= magnitude
    divisor = np.where(magnitude == 0, np.float32(1.0), magnitude)
    kept = np.empty_like(spectrum)
    kept.real = mask * (spectrum.real / divisor)
    kept.imag = mask * (spectrum.imag / divisor)
    return kept


def running_median(rows: FloatArray) -> FloatArray:
    """Median over 31 neighbours along the first axis, mirrored at the ends, of (n, width) float32."""
    count, width = rows.shape
    tiles = -(-count // _TILE)
    half = MEDIAN // 2
    # Window ``w`` of a tile is rows w+1 ... w+31 from its start; the row before them aligns the tiles.
    length = (tiles + 2) * _TILE
    padded = np.pad(rows, ((half + 1, max(half, length - count - half - 1)), (0, 0)), mode="symmetric")
    by_place = np.ascontiguousarray(padded[:length].reshape(tiles + 2, _TILE, width).swapaxes(0, 1))
    runs = {1: [by_place]}
    size = 1
    while size < _TILE:
        runs[2 * size] = _merged([lane[0::2] for lane in runs[size]], [lane[1::2] for lane in runs[size]])
        size *= 2
    medians = np.empty((tiles, _TILE, width), dtype=rows.dtype)
    core = [lane[0, 1 : 1 + tiles] for lane in runs[_TILE]]
    for window, median in _narrowed(core, 0, runs):
        medians[:, window] = median
    return medians.reshape(-1, width)[:count]


def _narrowed(
    core: list[FloatArray], start: int, runs: dict[int, list[FloatArray]]
) -> Iterator[tuple[int, FloatArray]]:
    """Each window's median, of the windows from ``start`` on that share ``core``.

    Args:
        core: of the numbers that all these windows hold the middle ones, sorted, as many as windows; those
            left out are certain to be no median. Arrays of (tiles, width).
        start: place of the first window in its tile.
        runs: by length the sorted runs of 1, 2 ... 16 neighbouring rows, as lanes: the smallest of every run,
            the next ... Arrays of (runs in a tile, tiles + 2, width).
    """
    if len(core) == 1:
        yield start, core[0]
        return
    half = len(core) // 2
    in_a_tile = _TILE // half
    # The first half of the windows also share the rows before the core, the second half those after it.
    for first, run in ((start, start // half + 1), (start + half, (start + 2 * _TILE) // half)):
        tile, place = divmod(run, in_a_tile)
        added = [lane[place, tile : tile + len(core[0])] for lane in runs[half]]
        yield from _narrowed(_middle(core, added), first, runs)


def _middle(core: list[FloatArray], added: list[FloatArray]) -> list[FloatArray]:
    """The middle third of 2k sorted numbers and k more sorted ones, sorted."""
    k = len(added)
    without_lowest = _sorted_bitonic([np.maximum(core[i], added[k - 1 - i]) for i in range(k)])
    return _sorted_bitonic([np.minimum(without_lowest[i], core[2 * k - 1 - i]) for i in range(k)])


def _merged(one: list[FloatArray], other: list[FloatArray]) -> list[FloatArray]:
    """Two sorted rows of k lanes each as one of 2k."""
    pairs = list(zip(one, reversed(other), strict=True))
    low = [np.minimum(a, b) for a, b in pairs]
    high = [np.maximum(a, b) for a, b in pairs]
    return _sorted_bitonic(low) + _sorted_bitonic(high)


def _sorted_bitonic(lanes: list[FloatArray]) -> list[FloatArray]:
    """Lanes that rise then fall (or the other way round), sorted (Batcher 1968)."""
    half = len(lanes) // 2
    if not half:
        return lanes
    low = [np.minimum(lanes[i], lanes[i + half]) for i in range(half)]
    high = [np.maximum(lanes[i], lanes[i + half]) for i in range(half)]
    return _sorted_bitonic(low) + _sorted_bitonic(high)

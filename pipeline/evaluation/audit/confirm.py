"""Doubtful pairs, judged by the waveform: two flutes that play one tune have alike bits and other phases.

Where a quarter of the fingerprint's bits or more differ, both recordings are read again and laid over each
other at the fingerprint's shift. The cross-correlation with all magnitudes made equal (PHAT: C. Knapp and
G. Carter, "The generalized correlation method for estimation of time delay", IEEE Trans. ASSP 24, 1976) has
one sharp peak there when it is the same audio, through noise, codecs and filters, and none when it is another
performance. Copies of other pitch or tempo have lost that; for them the fingerprint's line is stricter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pipeline.errors import AudioError
from pipeline.evaluation.audit.fingerprint import SAMPLE_RATE
from pipeline.evaluation.audit.gather import Sounds
from pipeline.evaluation.audit.measure import FloatArray, sound_of
from pipeline.evaluation.audit.neighbours import Match
from pipeline.settings import Settings

DOUBTFUL_ERROR = 0.25
SHARP = 60.0
"""Peak over standard deviation. Doubtful pairs that were copies reached 75 and more, others 45 at most."""
LONGEST_S = 60.0
_NEAR = int(0.05 * SAMPLE_RATE)

Progress = Callable[[str, int, int], None]


def confirmed(
    matches: Sequence[Match], sounds: Sounds, settings: Settings, progress: Progress | None = None
) -> list[Match]:
    """Matches without the doubtful ones that the waveform refutes; a file gone by now refutes nothing."""
    tell = progress or (lambda what, done, total: None)
    doubtful = [m for m in matches if not m.likeness.change and m.likeness.error > DOUBTFUL_ERROR]
    first: dict[int, int] = {}
    for index, sound in enumerate(sounds.of.tolist()):
        first.setdefault(sound, index)
    refuted = set()
    for done, match in enumerate(doubtful):
        tell("listening again to doubtful pairs", done, len(doubtful))
        one, other = (sounds.items[first[sound]] for sound in (match.first, match.second))
        try:
            samples = [sound_of(item.path, item.name, settings) for item in (one, other)]
        except AudioError:
            continue
        if phase_peak(samples[0], samples[1], match.likeness.lag_s) < SHARP:
            refuted.add((match.first, match.second))
    return [match for match in matches if (match.first, match.second) not in refuted]


def phase_peak(one: FloatArray, other: FloatArray, lag_s: float) -> float:
    """How sharply two recordings agree in phase within 50 ms of a shift.

    Args:
        one, other: (n,), (m,) float32 at 16 kHz; lag_s: where the second begins in the first, seconds.

    Returns:
        Highest magnitude there over the standard deviation at all shifts; 0 without an overlap.
    """
    lag = round(lag_s * SAMPLE_RATE)
    one, other = one[max(0, lag) :], other[max(0, -lag) :]
    count = min(len(one), len(other), int(LONGEST_S * SAMPLE_RATE))
    if count <= _NEAR:
        return 0.0
    size = int(2 ** np.ceil(np.log2(2 * count)))
    cross = np.fft.rfft(one[:count], size) * np.conj(np.fft.rfft(other[:count], size))
    magnitude = np.abs(cross)
    top = float(magnitude.max())
    if top <= 0:
        return 0.0
    whitened = np.fft.irfft(cross / np.maximum(magnitude, 1e-4 * top), size)  # emptiness is not made loud
    return float(np.abs(np.r_[whitened[:_NEAR], whitened[-_NEAR:]]).max() / whitened.std())

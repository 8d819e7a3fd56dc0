"""From a row of window scores to crying episodes, for whole recordings and for endless streams alike.

Window ``i`` of a score sequence hears the audio in ``[i*hop_s, i*hop_s + window_s)``. Windows overlap (1.92 s
every 0.48 s by default), so the union of the windows that fired would overstate a cry by almost a window on
each side. A pooled window score crosses its threshold when roughly half of the window holds crying, that is
when the true edge passes the window's *centre*. So **each instant belongs to the window whose centre is
nearest**: window ``i`` speaks for ``centre +- hop/2``. The first window also speaks for everything before its
centre and the last for everything after it, since nobody else heard those parts. These cells tile the audio,
which is what makes episodes sorted, disjoint and inside it.

Rules, in this order:

1. A score ``>= onset`` starts a run; the run holds while scores are ``>= offset`` (hysteresis).
2. Runs less than ``max_gap_s`` apart are one episode (a baby breathes in between two cries).
3. Episodes shorter than ``min_duration_s`` are dropped.

With ``min_duration_s=0`` there is an episode if and only if ``max(scores) >= onset``.

`find_episodes` drives `EpisodeTracker`, so the two cannot disagree.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.errors import CryError, SettingsError

# Lengths are multiples of the hop in binary floats: 3 * 0.48 must count as 1.44, not as a hair less.
_SLACK_S = 1e-9


@dataclass(frozen=True, slots=True)
class Episode:
    """One stretch of crying.

    Attributes:
        start: seconds from the start of the audio, ``>= 0``.
        end: seconds from the start of the audio, ``> start``.
        peak: highest window score inside, in [0, 1].
        mean: mean window score inside, merged gaps included, in [0, 1] and never above ``peak``.
    """

    start: float
    end: float
    peak: float
    mean: float

    @property
    def duration_s(self) -> float:
        """Length in seconds, above 0."""
        return self.end - self.start


@dataclass(frozen=True)
class EpisodeRules:
    """How scores become episodes; checked when made.

    Attributes:
        onset: score in [0, 1] that starts an episode.
        offset: score in [0, onset] down to which it holds.
        min_duration_s: shorter episodes are dropped; 0 keeps all.
        max_gap_s: runs with less than this between them are one episode; 0 never merges.
        hop_s: seconds from one window to the next, above 0.
        window_s: seconds that a window hears, at least ``hop_s``.
        offset_ratio: ``offset / onset`` kept by `with_threshold`, in [0, 1]. None: that of the given pair
            (1 when ``onset`` is 0).

    Raises:
        SettingsError: a value is out of its bounds; names it.
    """

    onset: float
    offset: float
    min_duration_s: float = 0.0
    max_gap_s: float = 2.0
    hop_s: float = 0.48
    window_s: float = 1.92
    offset_ratio: float | None = None

    def __post_init__(self) -> None:
        if self.offset_ratio is None:
            # A denormal onset can push the quotient a hair over 1.
            ratio = min(1.0, self.offset / self.onset) if self.onset else 1.0
            object.__setattr__(self, "offset_ratio", ratio)
        checks = (
            ("onset", self.onset, 0.0 <= self.onset <= 1.0, "between 0 and 1"),
            (
                "offset",
                self.offset,
                0.0 <= self.offset <= self.onset,
                f"between 0 and the onset, {self.onset!r}",
            ),
            ("min_duration_s", self.min_duration_s, 0.0 <= self.min_duration_s < math.inf, "0 s or more"),
            ("max_gap_s", self.max_gap_s, 0.0 <= self.max_gap_s < math.inf, "0 s or more"),
            ("hop_s", self.hop_s, 0.0 < self.hop_s < math.inf, "above 0 s"),
            (
                "window_s",
                self.window_s,
                self.hop_s <= self.window_s < math.inf,
                f"at least the hop, {self.hop_s!r} s",
            ),
            ("offset_ratio", self.offset_ratio, 0.0 <= (self.offset_ratio or 0.0) <= 1.0, "between 0 and 1"),
        )
        for name, value, valid, bounds in checks:
            if not valid:  # NaN fails every comparison, so it lands here too
                raise SettingsError(f"Episode rule '{name}' cannot be {value!r}: it must be {bounds}.")

    def with_threshold(self, threshold: float) -> EpisodeRules:
        """The same rules with ``onset=threshold`` and the offset at the same fraction of it.

        Args:
            threshold: the new onset, in [0, 1].

        Raises:
            SettingsError: ``threshold`` is not in [0, 1].
        """
        return replace(self, onset=threshold, offset=threshold * (self.offset_ratio or 0.0))

    def centre_s(self, index: int) -> float:
        """Centre of window ``index``, seconds from the start of the audio."""
        return index * self.hop_s + self.window_s / 2


def window_times(count: int, rules: EpisodeRules) -> NDArray[np.float64]:
    """Centres of the first ``count`` windows: (count,) float64, seconds from the start of the audio."""
    return np.arange(count, dtype=np.float64) * rules.hop_s + rules.window_s / 2


@dataclass(slots=True)
class _Run:
    """An episode in the making, by window index; ``gap_*`` is what came after the last window that held."""

    first: int
    last: int
    peak: float
    total: float
    gap_count: int = 0
    gap_total: float = 0.0

    def hold(self, index: int, score: float) -> None:
        """Take in a window that holds, and with it the gap before it."""
        self.last = index
        self.peak = max(self.peak, score)
        self.total += self.gap_total + score
        self.gap_count, self.gap_total = 0, 0.0

    def wait(self, score: float) -> None:
        """Note a window that does not hold: gap or end, later windows tell."""
        self.gap_count += 1
        self.gap_total += score

    @property
    def mean(self) -> float:
        """Mean score from first to last window; rounding must not lift it above the peak."""
        return min(self.peak, self.total / (self.last - self.first + 1))


class EpisodeTracker:
    """The episode rules one score at a time, in constant memory, for as long as a monitor runs.

    What `push` and `finish` return, put together, is what `find_episodes` gives for the same scores; an
    episode once returned never changes, and one once seen as ``active`` is returned in the end.
    """

    def __init__(self, rules: EpisodeRules) -> None:
        self.rules = rules
        self._count = 0
        self._run: _Run | None = None
        self._finished = False
        # Runs merge when gap_count * hop_s < max_gap_s; in whole windows, so that no rounding can sway it.
        self._closing_gap = max(1, math.ceil((rules.max_gap_s - _SLACK_S) / rules.hop_s))

    @property
    def count(self) -> int:
        """Windows pushed so far."""
        return self._count

    @property
    def active(self) -> Episode | None:
        """The episode still open, as far as it is certain; later windows can only lengthen it.

        It ends where the part that its latest window speaks for ends, though that window hears further, so
        that an alarm raised on it is never taken back. None when nothing is open, or what is open is still
        shorter than ``min_duration_s``.
        """
        return self._episode(math.inf)

    def push(self, score: float) -> tuple[Episode, ...]:
        """Take the next window's score.

        Args:
            score: in [0, 1].

        Returns:
            The episodes that this score closed: none or one.

        Raises:
            CryError: ``score`` is not a number in [0, 1] (code ``score-invalid``); it is then not taken.
            RuntimeError: the tracker was finished.
        """
        score = float(score)
        if self._finished:
            raise RuntimeError("This EpisodeTracker was finished; make a new one.")
        if not 0.0 <= score <= 1.0:
            raise _bad_score(self._count, score)
        return self._step(score)

    def _step(self, score: float) -> tuple[Episode, ...]:
        """`push` without the checks."""
        index, run, rules = self._count, self._run, self.rules
        self._count += 1
        if run is None:
            if score >= rules.onset:
                self._run = _Run(index, index, score, score)
            return ()
        # After a gap only a new onset may go on with the episode: otherwise murmur would stretch it.
        if score >= (rules.onset if run.gap_count else rules.offset):
            run.hold(index, score)
            return ()
        run.wait(score)
        if run.gap_count < self._closing_gap:
            return ()
        episode = self._episode(math.inf)
        self._run = None
        return (episode,) if episode else ()

    def finish(self, duration_s: float | None = None) -> tuple[Episode, ...]:
        """End the audio: close what is open. Nothing may be pushed afterwards.

        Args:
            duration_s: length of the audio in seconds; None: up to the end of the last window. The last
                window may reach past the end (a padded one), but the part it speaks for must begin before it.

        Returns:
            The episode still open: none or one.

        Raises:
            CryError: ``duration_s`` is negative, not finite, or too short for that many windows
                (code ``duration-invalid``).
            RuntimeError: the tracker was finished before.
        """
        if self._finished:
            raise RuntimeError("This EpisodeTracker was finished; make a new one.")
        if duration_s is not None:
            count, hop_s = self._count, self.rules.hop_s
            least = self._cell_start(count - 1) if count else -1.0
            if not least < duration_s < math.inf or duration_s < 0:
                raise CryError(
                    f"{count} windows, {hop_s:g} s apart, do not fit audio of {duration_s!r} s: "
                    "give the length of the audio that was scored.",
                    code="duration-invalid",
                )
        heard_s = (self._count - 1) * self.rules.hop_s + self.rules.window_s
        episode = self._episode(heard_s if duration_s is None else min(heard_s, duration_s))
        self._finished, self._run = True, None
        return (episode,) if episode else ()

    def _cell_start(self, index: int) -> float:
        """Where the part of the audio that window ``index`` speaks for begins, seconds."""
        return self.rules.centre_s(index) - self.rules.hop_s / 2 if index else 0.0

    def _episode(self, end_of_audio_s: float) -> Episode | None:
        """The open run as an episode; None if there is none or it is too short.

        Args:
            end_of_audio_s: what a run that reaches the last window extends to; infinite while unknown.
        """
        run = self._run
        if run is None:
            return None
        start, end = self._cell_start(run.first), self._cell_start(run.last + 1)
        if run.last == self._count - 1 and end_of_audio_s < math.inf:
            end = end_of_audio_s
        if end - start < self.rules.min_duration_s - _SLACK_S:
            return None
        return Episode(start, end, run.peak, run.mean)


def find_episodes(
    scores: ArrayLike | Iterable[float], rules: EpisodeRules, *, duration_s: float | None = None
) -> tuple[Episode, ...]:
    """All episodes of a whole recording.

    Args:
        scores: (T,) window scores in [0, 1], in time order. Compared as float64, so a float32 score is
            compared by its exact value (take ``float(scores.max()) >= onset`` for the same verdict).
        rules: thresholds and lengths.
        duration_s: length of the audio in seconds; None: up to the end of the last window.

    Returns:
        Episodes sorted by time, disjoint, inside ``[0, duration_s]``.

    Raises:
        CryError: a score is not a number in [0, 1], scores are not one row (code ``score-invalid``), or
            ``duration_s`` does not fit their number (code ``duration-invalid``).
    """
    row = np.asarray(scores if hasattr(scores, "__len__") else list(scores), dtype=np.float64)  # type: ignore[arg-type]
    if row.ndim != 1:
        raise CryError(
            f"Window scores must be one row of numbers, not an array of shape {row.shape}.", "score-invalid"
        )
    bad = np.flatnonzero(~((row >= 0.0) & (row <= 1.0)))
    if bad.size:
        raise _bad_score(int(bad[0]), float(row[bad[0]]))
    tracker = EpisodeTracker(rules)
    found: list[Episode] = []
    for score in row.tolist():
        found.extend(tracker._step(score))
    found.extend(tracker.finish(duration_s))
    return tuple(found)


def _bad_score(index: int, score: float) -> CryError:
    return CryError(
        f"The score of window {index} is {score!r}: scores are numbers from 0 to 1.", "score-invalid"
    )

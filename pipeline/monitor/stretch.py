"""One stretch of listening without a break: sound in, episodes and coverage on their way into the history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pipeline.episodes import Episode
from pipeline.errors import AudioError, CryError
from pipeline.monitor.ears import Ears
from pipeline.monitor.journal import new_id
from pipeline.monitor.minutes import Minutes
from pipeline.monitor.models import Coverage, EpisodeRow
from pipeline.monitor.pen import Book
from pipeline.monitor.recent import Recent
from pipeline.monitor.recording import Recording
from pipeline.monitor.sources import Block
from pipeline.streaming import EpisodeEvent, Heard

_SETTLE_S = 60.0


class Anchor:
    """From seconds of a stream to the time of day, though a sound card's clock is not the computer's.

    ``began`` is when it began.

    Sound can come late, never early: what comes before its time was placed too late, and the least delay of
    each minute is what the two clocks differ by.
    """

    def __init__(self, began: datetime) -> None:
        """``began``: when the stream's first sample sounded."""
        self.began = began
        self._zero, self._offset_s = began, 0.0
        self._least, self._until_s = float("inf"), _SETTLE_S

    def at(self, position_s: float) -> datetime:
        """When a position of the stream sounded."""
        return self._zero + timedelta(seconds=position_s + self._offset_s)

    def lost(self, seconds: float) -> None:
        """Sound is missing: what follows is later by that much."""
        self._offset_s += seconds

    def heard(self, position_s: float, now: datetime) -> None:
        """Sound up to ``position_s`` has come by ``now``."""
        delay_s = (now - self._zero).total_seconds() - position_s
        self._least = min(self._least, delay_s)
        self._offset_s = min(self._offset_s, delay_s)
        if position_s < _SETTLE_S:  # a stream may begin with some seconds that it had kept
            self.began = min(self.began, self.at(0.0))
        if position_s >= self._until_s:
            self._offset_s = self._least
            self._least, self._until_s = float("inf"), position_s + _SETTLE_S


@dataclass(frozen=True)
class Cry:
    """An episode began or ended, in time of day; ``row`` is as in the history."""

    kind: str
    row: dict[str, Any]


class Stretch:
    """Hears one stretch; times are placed from ``began`` on.

    Attributes:
        key: of its row of coverage.
        episode: the row of the episode that goes on, if one does.
        score: of the newest window, [0, 1].
    """

    def __init__(
        self,
        ears: Ears,
        journal: Book,
        room: str,
        block: Block,
        began: datetime,
        minutes: Minutes,
        *,
        arrives: bool,
        recording: Recording | None = None,
    ) -> None:
        """Begin with the stretch that ``block`` is the first of.

        Args:
            minutes: of the room; they go on over its stretches.
            arrives: sound comes as it happens: its clock is held to the computer's.
            recording: keeps its sound.

        Raises:
            AudioError: a sample rate that cannot be heard.
        """
        self.kind = (block.part, block.rate, block.samples.shape[1:])
        self.key = new_id()
        self._ears, self._journal, self._arrives = ears, journal, arrives
        self.recording = recording
        self._room, self._source, self._rate = room, block.part, block.rate
        self._listener = ears.listener(block.rate, block.part)
        self._anchor, self._minutes = Anchor(began), minutes
        self._recent = Recent(block.rate, ears.head.window_s)
        self._frames = self._late = 0
        self._lost_s = 0.0
        self._episode: str | None = None
        self.episode: dict[str, Any] | None = None
        self.score = 0.0

    @property
    def end(self) -> datetime:
        """When the last sound in it was heard."""
        return self._anchor.at(self._frames / self._rate)

    @property
    def heard_s(self) -> float:
        """Seconds of sound in it."""
        return self._frames / self._rate

    @property
    def crying(self) -> bool:
        """Whether an episode goes on."""
        return self._episode is not None

    def push(self, block: Block, came: datetime) -> tuple[Heard, list[Cry]]:
        """Hear more of it, which had come by ``came``.

        Raises:
            AudioError: samples that are no numbers; it is over then.
        """
        if block.lost_s:
            self._lost_s += block.lost_s
            self._late += block.late
            self._anchor.lost(block.lost_s)
        self._frames += len(block.samples)
        if self._arrives:
            self._anchor.heard(self._frames / self._rate, came)
        self._recent.push(block.samples, crying=self.crying)
        self._minutes.sound(block.samples, self._rate, self.end)
        if self.recording is not None:
            self.recording.sound(block.samples, self.end)
        heard = self._listener.push(block.samples)
        cries = self._told(heard)
        self._keep("open", None)
        return heard, cries

    def finish(self, state: str, why: str | None) -> tuple[Heard, list[Cry]]:
        """End it: what is still open ends with it. ``state`` and ``why`` as in :class:`Coverage`."""
        heard, cries = Heard(), []
        try:
            heard = self._listener.finish()
            cries = self._told(heard)
        except (AudioError, RuntimeError) as error:  # too short for a single window, or it broke before
            why = why or str(error)
        finally:
            self._listener.close()
            if self.recording is not None:
                self.recording.over()
        active = self._listener.active
        if self._episode is not None and active is not None:
            self._put(active, "interrupted", None)
        self._episode = None
        self._keep(state, why)
        return heard, cries

    def _told(self, heard: Heard) -> list[Cry]:
        for window in heard.windows:
            self.score = window.score
            self._recent.score(window)
            self._minutes.score(window.score, self._anchor.at(window.time_s))
        cries = [self._event(event) for event in heard.events]
        active = self._listener.active
        if self._episode is not None and active is not None:
            self._put(active, "open", None)
        return cries

    def _event(self, event: EpisodeEvent) -> Cry:
        if event.kind == "start":
            self._episode = new_id()
            return self._told_of(Cry("start", self._put(event.episode, "open", None)))
        row = self._put(event.episode, "ended", self._reasons(event.episode))
        self._episode = None
        self._recent.clear()
        return self._told_of(Cry("end", row))

    def _told_of(self, cry: Cry) -> Cry:
        if self.recording is not None:
            self.recording.cry(cry.kind, cry.row)
        return cry

    def _reasons(self, episode: Episode) -> dict[str, Any] | None:
        samples, scores = self._recent.take(episode.start, episode.end)
        if not len(scores):
            return None
        try:
            return self._ears.reasons(samples, self._rate, scores, self._source)
        except CryError as error:
            self._journal.health(self._room, self._source, "no-reasons", str(error))
            return None

    def _put(self, episode: Episode, state: str, reasons: dict[str, Any] | None) -> dict[str, Any]:
        assert self._episode is not None
        self._keep("open", None)
        row: dict[str, Any] = {
            "id": self._episode,
            "coverage_id": self.key,
            "room": self._room,
            "source": self._source,
            "started_at": self._anchor.at(episode.start),
            "ended_at": self._anchor.at(episode.end),
            "start_s": episode.start,
            "end_s": episode.end,
            "peak": episode.peak,
            "mean": episode.mean,
            "threshold": self._ears.threshold,
            "models": self._ears.models,
            "reasons": reasons,
            "state": state,
        }
        self._journal.put(EpisodeRow, self._episode, row)
        self._minutes.crying(self._episode, row["started_at"], row["ended_at"])
        self.episode = row if state == "open" else None
        return row

    def _keep(self, state: str, why: str | None) -> None:
        row: dict[str, Any] = {
            "id": self.key,
            "run": self._journal.run,
            "room": self._room,
            "source": self._source,
            "started_at": self._anchor.began,
            "ended_at": self.end,
            "heard_s": self._frames / self._rate,
            "lost_s": self._lost_s,
            "late": self._late,
            "embedder": self._ears.embedder.name,
            "models": self._ears.models,
            "threshold": self._ears.threshold,
            "state": state,
            "why": why,
        }
        self._journal.put(Coverage, self.key, row)

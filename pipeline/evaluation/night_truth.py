"""What is true of a night: when a baby cries, as placed, and which other sounds come when.

What of a recording is crying at all is told by :mod:`pipeline.evaluation.night_crying`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from pipeline.errors import DataError
from pipeline.evaluation.events import Events, as_events
from pipeline.evaluation.night_room import SAMPLE_RATE, Place

FORMAT = 1


@dataclass(frozen=True)
class CryEpisode:
    """One episode of crying by one baby.

    Attributes:
        start_s, end_s: from the first crying heard to the last (its room's echo dies away after it).
        donor, source, clips: whose crying, from which collection and files.
        snr_db: mean power above 250 Hz of the pieces, as heard, over the background's meanwhile.
        background: name of the night's background.
        place: where the baby is.
        pieces: (start, end) seconds of what is crying; the pauses between them are under 2 s.
    """

    start_s: float
    end_s: float
    donor: str
    source: str
    clips: tuple[str, ...]
    snr_db: float
    background: str
    place: Place
    pieces: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class OtherSound:
    """A sound that is no cry: when, what, how loud at one metre, from where."""

    start_s: float
    end_s: float
    label: str
    source: str
    clip: str
    level_dbfs: float
    place: Place


@dataclass(frozen=True)
class Truth:
    """All that is known of one night.

    Attributes:
        name: short name, used for files; fold: which fold's sources it is made of; sources: those.
        suite: name of the negative suite, None for a night with crying.
        background, background_dbfs: what is always heard, and how loud.
        episodes, sounds: by start.
    """

    name: str
    duration_s: float
    fold: int
    sources: tuple[str, ...]
    seed: int
    suite: str | None
    background: str
    background_dbfs: float
    episodes: tuple[CryEpisode, ...]
    sounds: tuple[OtherSound, ...]

    @property
    def crying(self) -> Events:
        """(n, 2) start and end of the episodes, seconds."""
        return as_events((e.start_s, e.end_s) for e in self.episodes)

    def to_json(self) -> str:
        """As JSON text; :meth:`from_json` reads it back to the same truth."""
        return json.dumps({"format": FORMAT, "sample_rate": SAMPLE_RATE, **asdict(self)}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Truth:
        """Read :meth:`to_json` back.

        Raises:
            DataError: not such a file, or of another format.
        """
        try:
            row = json.loads(text)
            if row.pop("format") != FORMAT or row.pop("sample_rate") != SAMPLE_RATE:
                raise DataError("The truth of this night was written by another version; make it again.")
            row["episodes"] = tuple(CryEpisode(**_from_plain(e)) for e in row["episodes"])
            row["sounds"] = tuple(OtherSound(**_from_plain(s)) for s in row["sounds"])
            return cls(**{**row, "sources": tuple(row["sources"])})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"This is not the truth of a night in JSON ({error}).") from error

    def to_rttm(self) -> str:
        """NIST Rich Transcription Time Marked lines, one per episode.

        The speaker is the donor (percent-encoded), the sub-type field holds what RTTM has no column for.
        """
        lines = [
            f"SPEAKER {quote(self.name, safe='')} 1 {e.start_s:.7f} {e.end_s - e.start_s:.7f} <NA> "
            f"crying;snr_db={e.snr_db:g};background={quote(e.background, safe='')} "
            f"{quote(e.donor, safe='')} <NA> <NA>\n"
            for e in self.episodes
        ]
        return "".join(lines)


@dataclass(frozen=True)
class RttmEvent:
    """One line of a night's RTTM file."""

    file: str
    start_s: float
    end_s: float
    donor: str
    snr_db: float
    background: str


def read_rttm(lines: Iterable[str]) -> list[RttmEvent]:
    """What :meth:`Truth.to_rttm` wrote; times exact to the sample.

    Raises:
        DataError: a line that is not like that; names its number.
    """
    events = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            kind, file, _, start, length, _, details, donor, _, _ = line.split()
            known = dict(part.split("=", 1) for part in details.split(";")[1:])
            if kind != "SPEAKER":
                raise ValueError(kind)
            events.append(
                RttmEvent(
                    unquote(file),
                    _on_grid(float(start)),
                    _on_grid(float(start) + float(length)),
                    unquote(donor),
                    float(known["snr_db"]),
                    unquote(known["background"]),
                )
            )
        except (ValueError, KeyError) as error:
            raise DataError(f"Line {number} is not an RTTM line of a night: {line.strip()!r}.") from error
    return events


def write_truth(truth: Truth, folder: Path) -> None:
    """``<name>.json`` and ``<name>.rttm`` in the folder."""
    (folder / f"{truth.name}.json").write_text(truth.to_json() + "\n", "utf-8")
    (folder / f"{truth.name}.rttm").write_text(truth.to_rttm(), "utf-8")


def _on_grid(seconds: float) -> float:
    """The nearest whole sample's time."""
    return round(seconds * SAMPLE_RATE) / SAMPLE_RATE


def _from_plain(row: dict[str, Any]) -> dict[str, Any]:
    """Lists back to tuples, the place back to its class."""
    plain = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
    if "pieces" in plain:
        plain["pieces"] = tuple((start, end) for start, end in plain["pieces"])
    return {**plain, "place": Place(**row["place"])}

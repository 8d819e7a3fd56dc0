"""What is seen of a running monitor: a table that lives on a terminal, lines everywhere else.

Episodes go to standard output, one line each way; everything else to standard error.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from pipeline.formats import clock as length
from pipeline.monitor.level import FLOOR_DBFS
from pipeline.monitor.room import Status
from pipeline.monitor.stretch import Cry

if TYPE_CHECKING:
    from rich.table import Table

_COLOURS = {"listening": "green", "stalled": "yellow", "retrying": "yellow", "failed": "red"}
_BAR = 12
_SILENT_S = 5.0


class Display:
    """Shows rooms; told things from several threads."""

    def __init__(self, statuses: Sequence[Status], *, every_s: float = 10.0) -> None:
        """``every_s``: how often, without a terminal, a line tells level and score; 0 for never."""
        self._statuses, self._every_s = statuses, every_s
        self._saying = threading.Lock()
        self._live: Any = None
        self._next_s = every_s
        self.trouble: str | None = None

    def running(self) -> AbstractContextManager[object]:
        """The table while the context lasts, where standard error is a terminal."""
        if not sys.stderr.isatty():
            return nullcontext()
        from rich.console import Console
        from rich.live import Live

        self._live = Live(
            get_renderable=self._table, console=Console(stderr=True), refresh_per_second=4, transient=True
        )
        return self._live  # type: ignore[no-any-return]

    def tell(self, status: Status, what: Cry | str) -> None:
        """An episode began or ended, or a room's state changed."""
        if isinstance(what, Cry):
            self._print(f"{status.room}: {cry_words(what)}", sys.stdout)
        else:
            self._print(f"{status.room}: {what}", sys.stderr)

    def say(self, words: str) -> None:
        """Something about the monitor as a whole."""
        self._print(words, sys.stderr)

    def tick(self, running_s: float) -> None:
        """Called all the time, with the seconds since the start: a line now and then where no table is."""
        if self._live is not None or not self._every_s or running_s < self._next_s:
            return
        self._next_s = running_s + self._every_s
        for status in self._statuses:
            if status.state == "listening":
                self._print(f"{status.room}: {level_words(status)}", sys.stderr)

    def _print(self, line: str, stream: Any) -> None:
        with self._saying:
            if self._live is not None and self._live.is_started:
                from rich.text import Text

                self._live.console.print(Text(line))
                if stream is not sys.stdout or stream.isatty():
                    return
            print(line, file=stream, flush=True)

    def _table(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, padding=(0, 1), expand=True)
        for name in ("room", "", "level", "dBFS", "score", "crying", "episodes", "heard"):
            table.add_column(name, no_wrap=True, min_width=_BAR if name == "level" else None)
        table.add_column("", no_wrap=True, overflow="ellipsis", ratio=1)
        for status in self._statuses:
            words = status.words if status.state != "listening" else sound_words(status)
            table.add_row(
                Text(status.room),
                Text(status.state, style=_COLOURS.get(status.state, "")),
                Text(_bar(status.level.level_dbfs), style="red" if status.level.peak_dbfs > -0.1 else "cyan"),
                f"{status.level.level_dbfs:6.1f}",
                Text(f"{status.score:.2f}", style="bold" if status.score >= status.threshold else ""),
                "crying" if status.crying else "",
                str(status.episodes),
                length(status.heard_s),
                Text(words),
            )
        if self.trouble:
            table.caption = self.trouble
        return table


def cry_words(cry: Cry) -> str:
    """An episode's beginning or end in a line; times of day in UTC."""
    row = cry.row
    began = row["started_at"].isoformat(timespec="milliseconds")
    if cry.kind == "start":
        return f"crying since {began}, {row['start_s']:.2f} s into {row['source']}"
    why = ""
    if row["reasons"]:
        label = row["reasons"]["label"]
        why = ", reason not sure"
        if label:
            chance, base = row["reasons"]["probabilities"][label], row["reasons"]["base_rate"][label]
            why = f", reason {label.replace('_', ' ')} {chance:.0%} (of all cries: {base:.0%})"
    start_s, end_s = row["start_s"], row["end_s"]
    where = f"{start_s:.2f}-{end_s:.2f} s of {row['source']}"
    scores = f"peak {row['peak']:.2f}, mean {row['mean']:.2f}"
    return f"cried from {began} for {end_s - start_s:.2f} s ({where}), {scores}{why}"


def level_words(status: Status) -> str:
    """Level and score in a line."""
    level = status.level
    extra = sound_words(status)
    return (
        f"level {level.level_dbfs:.1f} dBFS, peak {level.peak_dbfs:.1f}, score {status.score:.2f} of "
        f"{status.threshold:.2f} needed, {status.episodes} episodes in {length(status.heard_s)} heard"
        + (f"; {extra}" if extra else "")
    )


def sound_words(status: Status) -> str:
    """What is wrong with the sound, if anything."""
    level, words = status.level, []
    if level.stuck_s > _SILENT_S and level.peak_dbfs > FLOOR_DBFS:
        words.append(f"the same value for {length(level.stuck_s)}")
    elif level.silent_s > _SILENT_S:
        words.append(f"silence for {length(level.silent_s)}")
    if level.clipped:
        words.append(f"{level.clipped:,} samples clipped")
    if status.late:
        words.append(f"late {status.late} times, {status.lost_s:.1f} s lost")
    if status.skipped:
        words.append(f"{status.skipped} recordings skipped")
    return ", ".join(words)


def _bar(level_dbfs: float) -> str:
    filled = round(_BAR * min(1.0, max(0.0, 1 + level_dbfs / 60)))
    return "█" * filled + "·" * (_BAR - filled)

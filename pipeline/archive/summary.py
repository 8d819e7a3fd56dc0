"""What an archive holds, by day and hour, as one HTML page: nothing to fetch, nothing to run."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from html import escape
from typing import Any, TypeAlias

from pipeline.archive.plan import Job
from pipeline.archive.started import started
from pipeline.archive.tables import Result
from pipeline.formats import clock, crying_s

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_MOST_FOLDERS, _MOST_ERRORS = 500, 100
_HOUR = timedelta(hours=1)

Hour: TypeAlias = tuple[date, int]


@dataclass
class Sums:
    """Recordings added up.

    Attributes:
        heard, crying: seconds by day and hour of the clock.
        begun: episodes by day and hour in which they began.
        folders: by folder: recordings, seconds heard, seconds of crying, episodes.
        known_from: recordings by how their time is known ("name", "modified", "unknown").
        errors: (recording, what is wrong with it), the first hundred.
    """

    recordings: int = 0
    with_crying: int = 0
    failed: int = 0
    heard_s: float = 0.0
    crying_s: float = 0.0
    episodes: int = 0
    heard: dict[Hour, float] = field(default_factory=lambda: defaultdict(float))
    crying: dict[Hour, float] = field(default_factory=lambda: defaultdict(float))
    begun: Counter[Hour] = field(default_factory=Counter)
    folders: dict[str, list[float]] = field(default_factory=lambda: defaultdict(lambda: [0, 0.0, 0.0, 0]))
    known_from: Counter[str] = field(default_factory=Counter)
    errors: list[tuple[str, str]] = field(default_factory=list)

    def add(self, job: Job, found: Mapping[str, Any]) -> None:
        """Count one result."""
        self.recordings += 1
        if found["error"] is not None:
            self.failed += 1
            if len(self.errors) < _MOST_ERRORS:
                self.errors.append((job.path, found["error"]))
            return
        length, crying, episodes = found["duration_s"], crying_s(found), found["episodes"]
        self.with_crying += bool(episodes)
        self.heard_s += length
        self.crying_s += crying
        self.episodes += len(episodes)
        folder = self.folders[job.path.replace("\\", "/").rpartition("/")[0]]
        for column, value in enumerate((1, length, crying, len(episodes))):
            folder[column] += value
        begun = started(job, length)
        self.known_from[begun.source if begun else "unknown"] += 1
        if begun is None:
            return
        _spread(self.heard, begun.at, length)
        for episode in episodes:
            at = begun.at + timedelta(seconds=episode["start_s"])
            self.begun[at.date(), at.hour] += 1
            _spread(self.crying, at, episode["end_s"] - episode["start_s"])


def _spread(sums: dict[Hour, float], at: datetime, seconds: float) -> None:
    """Add a stretch of time to the hours it lies in."""
    end = at + timedelta(seconds=seconds)
    while at < end:
        following = min(end, at.replace(minute=0, second=0, microsecond=0) + _HOUR)
        sums[at.date(), at.hour] += (following - at).total_seconds()
        at = following


def summarise(results: Callable[[], Iterator[Result]]) -> Sums:
    """Add up all results."""
    sums = Sums()
    for job, found in results():
        sums.add(job, found)
    return sums


def to_html(sums: Sums, *, about: Mapping[str, str]) -> str:
    """The page.

    Args:
        about: what else is to be told at its head, name to value.
    """
    facts = {
        "recordings": f"{sums.recordings:,}, {sums.with_crying:,} with crying",
        "heard": _hours(sums.heard_s),
        "crying": f"{_hours(sums.crying_s)} in {sums.episodes:,} episodes",
        "could not be used": f"{sums.failed:,}",
        "times of recording": _sources(sums.known_from),
        **about,
    }
    days = sorted({day for day, _ in sums.heard})
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Crying by day and hour</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>",
        f"<h1>Crying by day and hour</h1>\n<dl>{listed}</dl>",
    ]
    if days:
        by_day, by_hour = _added(sums.crying, 0), _added(sums.crying, 1)
        parts += [
            "<h2>Minutes of crying in each hour</h2>",
            "<p>Empty: nothing was recorded. Pale: recorded, and no crying was heard.</p>",
            _scrolled(_heat_map(sums, days)),
            "<h2>Minutes of crying by hour of the day, all days together</h2>",
            _scrolled(_bars({f"{hour:02}": by_hour.get(hour, 0.0) / 60 for hour in range(24)})),
            "<h2>Minutes of crying by day</h2>",
            _scrolled(_bars({day.isoformat(): by_day.get(day, 0.0) / 60 for day in days})),
            "<h2>Days in figures</h2>",
            _scrolled(_table(("day", "heard", "crying", "episodes"), _day_rows(sums, days))),
        ]
    parts += ["<h2>Folders</h2>", _scrolled(_table(_FOLDER_COLUMNS, _folder_rows(sums)))]
    if sums.errors:
        parts += ["<h2>Could not be used</h2>", _scrolled(_table(("recording", "why"), sums.errors))]
    return "\n".join([*parts, "</main>\n</body>\n</html>\n"])


def _sources(known_from: Mapping[str, int]) -> str:
    words = {
        "name": "from the names of files",
        "modified": "from when files were last changed, less their length",
        "unknown": "unknown, so not in the plots",
    }
    return (
        "; ".join(f"{known_from[one]:,} {said}" for one, said in words.items() if known_from.get(one))
        or "none"
    )


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:,.1f} h" if seconds >= 36_000 else clock(seconds)


def _added(sums: Mapping[Hour, float], axis: int) -> dict[Any, float]:
    """Values by day (axis 0) or by hour of the day (axis 1)."""
    added: dict[Any, float] = defaultdict(float)
    for hour, value in sums.items():
        added[hour[axis]] += value
    return added


def _heat_map(sums: Sums, days: list[date]) -> str:
    """Days down, hours across; the darker, the more minutes of crying."""
    cell, left, top = 26, 92, 22
    most = max(sums.crying.values(), default=0.0)
    found = [
        f'<text x="{left + h * cell + cell / 2}" y="14" text-anchor="middle">{h:02}</text>' for h in range(24)
    ]
    for row, day in enumerate(days):
        y = top + row * cell
        found.append(f'<text x="{left - 8}" y="{y + 17}" text-anchor="end">{day.isoformat()}</text>')
        for hour in range(24):
            heard, crying = sums.heard.get((day, hour), 0.0), sums.crying.get((day, hour), 0.0)
            if not heard:
                continue
            shade = 0.07 + 0.93 * (crying / most) ** 0.5 if crying else 0.07
            said = (
                f"{day.isoformat()} {hour:02}:00: {crying / 60:.1f} min of crying, "
                f"{sums.begun[day, hour]} episodes begun, {heard / 60:.0f} min heard"
            )
            found.append(
                f'<rect x="{left + hour * cell + 1}" y="{y + 1}" width="{cell - 2}" height="{cell - 2}" '
                f'rx="3" fill="var(--mark)" fill-opacity="{shade:.2f}"><title>{said}</title></rect>'
            )
    return _svg(left + 24 * cell, top + len(days) * cell, found, "Minutes of crying by day and hour")


def _bars(values: Mapping[str, float]) -> str:
    """One bar per name, its value above it; long names stand upright."""
    upright = len(next(iter(values))) > 3
    width, height, foot = (26, 150, 80) if upright else (34, 150, 22)
    most = max(values.values()) or 1.0
    found = []
    for at, (name, value) in enumerate(values.items()):
        x, tall = at * width, value / most * (height - 22)
        middle = x + width / 2
        found.append(
            f'<rect x="{x + 3}" y="{height - tall:.1f}" width="{width - 6}" height="{tall:.1f}" rx="2" '
            f'fill="var(--mark)"><title>{name}: {value:.1f} min</title></rect>'
        )
        if value:
            figure = f"{value:.0f}" if value >= 10 else f"{value:.1f}"
            found.append(
                f'<text x="{middle}" y="{height - tall - 5:.1f}" text-anchor="middle">{figure}</text>'
            )
        place = f'x="{middle}" y="{height + 16}" text-anchor="middle"'
        if upright:
            foot_x, foot_y = middle + 4, height + 8
            place = f'x="{foot_x}" y="{foot_y}" text-anchor="end" transform="rotate(-90 {foot_x} {foot_y})"'
        found.append(f"<text {place}>{name}</text>")
    return _svg(len(values) * width, height + foot, found, "Minutes of crying")


def _svg(width: float, height: float, inside: list[str], title: str) -> str:
    return (
        f'<svg role="img" aria-label="{escape(title)}" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}">{"".join(inside)}</svg>'
    )


_FOLDER_COLUMNS = ("folder", "recordings", "heard", "crying", "episodes")


def _folder_rows(sums: Sums) -> Iterator[tuple[str, ...]]:
    for name in sorted(sums.folders)[:_MOST_FOLDERS]:
        recordings, heard, crying, episodes = sums.folders[name]
        yield name, f"{recordings:,.0f}", _hours(heard), _hours(crying), f"{episodes:,.0f}"


def _day_rows(sums: Sums, days: list[date]) -> Iterator[tuple[str, ...]]:
    heard, crying, begun = _added(sums.heard, 0), _added(sums.crying, 0), _added(sums.begun, 0)
    for day in days:
        episodes = f"{begun.get(day, 0):,.0f}"
        yield day.isoformat(), _hours(heard[day]), _hours(crying.get(day, 0.0)), episodes


def _table(columns: tuple[str, ...], rows: Any) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _scrolled(inside: str) -> str:
    return f'<div class="wide">{inside}</div>'


_STYLE = """
:root { color-scheme:light dark; --page:#ffffff; --text:#1d2733; --soft:#51606f; --rule:#d4dce4;
  --mark:#2b6a99; }
@media (prefers-color-scheme:dark) { :root { --page:#12171d; --text:#e4e9ee; --soft:#a3b0bd; --rule:#35414e;
  --mark:#6fb1e0; } }
body { margin:0; background:var(--page); color:var(--text); font:16px/1.5 system-ui,sans-serif; }
main { max-width:60rem; margin:0 auto; padding:1.5rem 1rem 3rem; }
h1 { font-size:1.6rem; margin:0 0 .8rem; }
h2 { font-size:1.15rem; margin:2.2rem 0 .6rem; }
dl { display:grid; grid-template-columns:max-content 1fr; gap:.15rem 1rem; margin:0; }
dt, p { color:var(--soft); }
dd { margin:0; overflow-wrap:anywhere; }
.wide { overflow-x:auto; }
svg text { font:11px system-ui,sans-serif; fill:var(--soft); }
table { border-collapse:collapse; font-size:.9rem; }
th, td { text-align:left; padding:.25rem .8rem .25rem 0; border-bottom:1px solid var(--rule);
  vertical-align:top; font-variant-numeric:tabular-nums; }
"""

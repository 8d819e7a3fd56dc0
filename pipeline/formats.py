"""Results as text: table, JSON, JSON lines, CSV, Audacity labels, Raven selection tables and RTTM.

A *record* is one recording's result as plain values: what ``Analysis.to_dict()`` gives, or ``error_record()``
for a file that could not be used. Every writer takes records as they come and yields text as it goes, so that
the command line prints each result when it is ready; the ``to_…`` functions give the whole text at once.

JSON and JSON lines carry everything. CSV has one row per recording: its episodes are counted, summed and
written into one cell as ``start-end`` in seconds (``0.48-3.84; 6.72-9.60``); each reason has a column with
its calibrated probability. Audacity labels, Raven tables and RTTM have one row per episode, and no place for
an error.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote

if TYPE_CHECKING:
    from pipeline.analysis import Analysis

Record: TypeAlias = Mapping[str, Any]
Writer: TypeAlias = Callable[[Iterable[Record]], Iterator[str]]

# From this score on people are told "perhaps", however high the line is: the score is calibrated, and a third
# of the cries of sources it had not heard stay below the shipped line (README.md).
PERHAPS = 0.5
# A cry's fundamental and its strong harmonics; only where Raven draws the box.
_LOW_HZ, _HIGH_HZ = 250, 8000
_RAVEN_COLUMNS = (
    *("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)"),
    *("Begin Path", "File Offset (s)", "Annotation", "Peak Score", "Mean Score"),
)
_CSV_COLUMNS = (
    *("path", "duration_s", "is_cry", "cry_probability", "threshold", "embedder", "episodes", "crying_s"),
    *("episode_times_s", "reason", "reason_threshold"),
)
_CSV_LAST_COLUMNS = ("warnings", "error")
# Spreadsheets run a cell that begins with one of these; a file may be called anything.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def error_record(path: str, error: str, *, embedder: str | None = None) -> dict[str, Any]:
    """The record of a file that could not be used: every key of a good one, and ``error`` set."""
    unknown = dict.fromkeys(("duration_s", "is_cry", "cry_probability", "threshold"))
    rest: Record = {"embedder": embedder, "episodes": [], "reasons": None, "warnings": [], "notices": []}
    return {"path": path, **unknown, **rest, "error": error}


def to_json(results: Analysis | Record | Iterable[Analysis | Record]) -> str:
    """One result as a JSON object, or several as an array; UTF-8 text, indented."""
    if isinstance(results, Mapping) or hasattr(results, "to_dict"):
        return json.dumps(_record(results), **_JSON, indent=2) + "\n"
    return "".join(json_array(_record(result) for result in results))


def to_csv(results: Iterable[Analysis | Record]) -> str:
    """Results as CSV (RFC 4180), one row per recording, header first."""
    records = [_record(result) for result in results]
    reasons = [record["reasons"]["probabilities"] for record in records if record.get("reasons")]
    names = dict.fromkeys(name for probabilities in reasons for name in probabilities)
    return "".join(csv_rows(records, reason_names=list(names)))


def to_audacity(result: Analysis | Record) -> str:
    """One recording's episodes as an Audacity label track."""
    return "".join(audacity_labels([_record(result)]))


def to_raven(results: Iterable[Analysis | Record]) -> str:
    """Episodes of one or more recordings as a Raven selection table."""
    return "".join(raven_table(_record(result) for result in results))


def to_rttm(results: Iterable[Analysis | Record]) -> str:
    """Episodes of one or more recordings as NIST Rich Transcription Time Marked lines."""
    return "".join(rttm_lines(_record(result) for result in results))


def json_array(records: Iterable[Record]) -> Iterator[str]:
    """A JSON array, one indented object after the other."""
    opening = "[\n"
    for record in records:
        yield opening + json.dumps(record, **_JSON, indent=2)
        opening = ",\n"
    yield "[]\n" if opening == "[\n" else "\n]\n"


def json_lines(records: Iterable[Record]) -> Iterator[str]:
    """One JSON object per line."""
    for record in records:
        yield json.dumps(record, **_JSON) + "\n"


def csv_rows(records: Iterable[Record], *, reason_names: Sequence[str] = ()) -> Iterator[str]:
    """Header, then one row per record.

    Args:
        records: what to write; keys that are missing leave their cells empty.
        reason_names: reasons that get a ``probability_<reason>`` column, in this order.
    """
    probabilities = [f"probability_{name}" for name in reason_names]
    columns = [*_CSV_COLUMNS, *probabilities, *_CSV_LAST_COLUMNS]
    yield _delimited(columns, ",")
    for record in records:
        reasons = record.get("reasons") or {}
        episodes = None if record.get("error") else record.get("episodes")
        cells = {
            **{column: record.get(column) for column in columns},
            "episodes": None if episodes is None else len(episodes),
            "crying_s": None if episodes is None else f"{crying_s(record):.2f}",
            "episode_times_s": "; ".join(f"{e['start_s']:.2f}-{e['end_s']:.2f}" for e in episodes or []),
            "reason": (reasons.get("label") or "not sure") if reasons else None,
            "reason_threshold": reasons.get("threshold"),
            "warnings": " ".join(record.get("warnings") or []),
        }
        for column, name in zip(probabilities, reason_names, strict=True):
            cells[column] = reasons.get("probabilities", {}).get(name)
        yield _delimited([_cell(cells[column]) for column in columns], ",")


def audacity_labels(records: Iterable[Record]) -> Iterator[str]:
    """Start, end, text; one line per episode (Audacity's own label format, times in seconds)."""
    for record in records:
        for episode in record.get("episodes") or []:
            times = f"{episode['start_s']:.6f}\t{episode['end_s']:.6f}"
            yield f"{times}\tcry {episode['peak']:.2f}\n"


def raven_table(records: Iterable[Record]) -> Iterator[str]:
    """Raven selection table; one row per episode, the recording in ``Begin Path``."""
    yield _delimited(_RAVEN_COLUMNS, "\t")
    number = 0
    for record in records:
        for episode in record.get("episodes") or []:
            number += 1
            start, end = f"{episode['start_s']:.3f}", f"{episode['end_s']:.3f}"
            box = [number, "Spectrogram 1", 1, start, end, _LOW_HZ, _HIGH_HZ]
            scores = [f"{episode['peak']:.4f}", f"{episode['mean']:.4f}"]
            yield _delimited([*box, record["path"], start, "cry", *scores], "\t")


def rttm_lines(records: Iterable[Record]) -> Iterator[str]:
    """One SPEAKER line per episode, in seconds; the speaker is "cry", the confidence the peak score.

    No field may hold a space, so the recording's path is percent-encoded.
    """
    for record in records:
        for episode in record.get("episodes") or []:
            file = quote(record["path"], "/:", errors="surrogateescape")
            times = f"{episode['start_s']:.3f} {episode['end_s'] - episode['start_s']:.3f}"
            yield f"SPEAKER {file} 1 {times} <NA> <NA> cry {episode['peak']:.4f} <NA>\n"


def csv_table(
    columns: Sequence[str], rows: Iterable[Mapping[str, Any]], *, exact: bool = False
) -> Iterator[str]:
    """Any table as CSV (RFC 4180): header, then one line per row; keys that are missing leave cells empty.

    Numbers have nine digits (a day in milliseconds), or as many as bring them back unchanged (``exact``);
    times are ISO 8601.
    """
    yield _delimited(columns, ",")
    for row in rows:
        yield _delimited([_full_cell(row.get(column), exact) for column in columns], ",")


def table(records: Iterable[Record], *, color: bool = False) -> Iterator[str]:
    """For people: a line per recording as it is ready, the file last; a single recording is told in full.

    Args:
        records: what to show.
        color: whether the text goes to a terminal that shows colours.
    """
    yield f"{'':8}{'chance':>7}{'length':>9}{'crying':>9}  {'reason':14}  file\n"
    shown: list[Record] = []
    for record in records:
        shown = [*shown[-1:], record]
        yield _table_line(record, color)
    if len(shown) == 1 and not shown[0].get("error"):
        yield from _details(shown[0])


def _table_line(record: Record, color: bool) -> str:
    path = str(record["path"])
    if record.get("error"):
        return f"{_styled('error', '31', color)}   {told_error(record)}\n"
    cry = bool(record["is_cry"])
    reasons = record.get("reasons") or {}
    perhaps = "perhaps" if record["cry_probability"] >= PERHAPS else "no cry"
    verdict = _styled("cry", "1;33", color) + " " * 5 if cry else f"{perhaps:8}"
    figures = f"{record['cry_probability']:7.2f}{clock(record['duration_s']):>9}"
    reason = (reasons.get("label") or "not sure") if reasons else "-"
    crying = clock(crying_s(record)) if cry else "-"
    return f"{verdict}{figures}{crying:>9}  {reason:14}  {path}\n"


def _details(record: Record) -> Iterator[str]:
    """Episodes, reasons beside their base rate, and whatever should be known about the recording."""
    yield f"\nEmbedder {record['embedder']}, detection threshold {record['threshold']:.2f}.\n"
    for episode in record["episodes"]:
        span = f"{clock(episode['start_s'])} to {clock(episode['end_s'])}"
        yield f"Crying from {span} (highest score {episode['peak']:.2f}).\n"
    if reasons := record.get("reasons"):
        yield f"\n{'reason':14}{'chance':>8}{'usual':>8}\n"
        for name, chance in sorted(reasons["probabilities"].items(), key=lambda item: -item[1]):
            yield f"{name:14}{chance:8.0%}{reasons['base_rate'][name]:8.0%}\n"
        yield f"{reasons['statement']}\n"
    for note in record.get("warnings") or []:
        yield f"Note: {note}\n"


def told_error(record: Record) -> str:
    """The error of a record in a sentence that names the file (most messages do so themselves)."""
    path, error = str(record["path"]), str(record["error"])
    return error if PurePath(path).name in error else f"{path}: {error}"


def crying_s(record: Record) -> float:
    """Seconds of crying in a record: its episodes summed."""
    return float(sum(episode["end_s"] - episode["start_s"] for episode in record.get("episodes") or []))


def clock(seconds: float) -> str:
    """Seconds as people read them on a player, ``m:ss`` or ``h:mm:ss``, rounded to whole seconds.

    >>> clock(7.9), clock(3725)
    ('0:08', '1:02:05')
    """
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


_JSON: Mapping[str, Any] = {"ensure_ascii": False, "allow_nan": False}


def _record(result: Any) -> Record:
    """An ``Analysis`` as its record; a record as it is."""
    return result if isinstance(result, Mapping) else result.to_dict()


def _cell(value: Any) -> Any:
    """A CSV cell: booleans in lower case like JSON's, and no text that a spreadsheet would run."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        return f"'{value}"
    return value


def _full_cell(value: Any, exact: bool) -> Any:
    if isinstance(value, float):
        return repr(value) if exact else f"{value:.9g}"
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    return _cell(value)


def _delimited(cells: Sequence[Any], delimiter: str) -> str:
    line = io.StringIO()
    csv.writer(line, delimiter=delimiter, lineterminator="\r\n" if delimiter == "," else "\n").writerow(cells)
    return line.getvalue()


def _styled(text: str, code: str, color: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if color else text

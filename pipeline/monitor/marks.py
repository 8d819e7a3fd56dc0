"""What people say of the history: put in by the page or the command line while a monitor goes on writing.

Only they write the table of marks, and the monitor only reads it, so neither overwrites the other. Nothing is
taken back: the newest mark of a group counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, TypeAlias, get_args

from pipeline.errors import CryError
from pipeline.monitor.journal import new_id
from pipeline.monitor.models import Alert, Base, EpisodeRow, Mark
from pipeline.monitor.store import Row, Store, mark_store

Kind: TypeAlias = Literal["right", "wrong", "helped", "cause", "star", "unstar", "seen", "test"]
KINDS: tuple[Kind, ...] = get_args(Kind)
VERDICTS: tuple[Kind, ...] = ("right", "wrong")
STARS: tuple[Kind, ...] = ("star", "unstar")
MONITOR = "monitor"
LONGEST_WORDS = 500


class MarkError(CryError):
    """A mark that cannot be put into the history."""

    default_code = "mark-invalid"


def put_mark(url: str, about: str, kind: Kind, words: str | None = None, *, at: datetime) -> Row:
    """Put a mark into the history, in one short transaction; a running monitor is not held up.

    Args:
        url: of the history.
        about: the key of an episode, of an alert ("seen") or "monitor" ("test"); the first characters will do
            where only one begins so.
        words: what helped, the cause, or what it was instead.
        at: when it is said; aware.

    Returns:
        The row, with the whole key.

    Raises:
        MarkError: there is no such episode or alert, or the words are missing or too long.
        StoreError: the history cannot be read or written.
    """
    words = (words or "").strip() or None
    if kind not in KINDS:
        raise MarkError(f"A mark cannot be '{kind}': {', '.join(KINDS)} are known.")
    if kind in ("helped", "cause") and words is None:
        raise MarkError(f"Say in a few words {'what helped' if kind == 'helped' else 'what the cause was'}.")
    if words is not None and len(words) > LONGEST_WORDS:
        raise MarkError(f"{len(words)} characters are too many for a mark: {LONGEST_WORDS} are kept.")
    with mark_store(url) as store:
        row: Row = {
            "id": new_id(),
            "at": at,
            "about": _whole(store, about.strip(), kind),
            "kind": kind,
            "words": words,
        }
        store.write([(Mark, row)])
    return row


def newest(store: Store, kinds: Sequence[Kind]) -> dict[str, Row]:
    """The newest mark among ``kinds`` of each that has one, by what it is about.

    Raises:
        StoreError: the history cannot be read.
    """
    rows = store.rows(Mark, order_by="at", where=Mark.kind.in_(kinds))
    return {row["about"]: row for row in rows}


def starred(store: Store) -> set[str]:
    """Keys of the episodes whose sound is never deleted.

    Raises:
        StoreError: the history cannot be read.
    """
    return {about for about, row in newest(store, STARS).items() if row["kind"] == "star"}


def _whole(store: Store, about: str, kind: Kind) -> str:
    """The key that begins so.

    Raises:
        MarkError: none does, or several.
    """
    if kind == "test":
        return MONITOR
    table: type[Base] = Alert if kind == "seen" else EpisodeRow
    name, column = "alert" if kind == "seen" else "episode", table.__table__.columns["id"]
    where = column.startswith(about, autoescape=True)
    found = [str(row["id"]) for row in store.rows(table, where=where)] if about else []
    if about in found:
        return about
    if len(found) != 1:
        many = "more than one" if found else "no"
        raise MarkError(f"There is {many} {name} '{about}' in the history (history export shows their ids).")
    return found[0]

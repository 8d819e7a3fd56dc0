"""The one place where an exception becomes words: no traceback ever reaches the page.

A problem we know of (``CryError``) already says what was found and what to do, so its text is shown. Anything
else is our mistake: the person gets a number to quote, the log gets the number and the traceback.
Streamlit's own control flow (stop, rerun) derives from ``BaseException`` and passes through.
"""

from __future__ import annotations

import functools
import logging
import secrets
from collections.abc import Callable
from typing import ParamSpec

from pipeline.errors import CryError
from pipeline.pages.words import plain

logger = logging.getLogger(__name__)
P = ParamSpec("P")


def explain(error: Exception, *, doing: str, name: str | None = None) -> str:
    """One message in plain words for any exception; an unforeseen one is logged under the number it names.

    Args:
        error: what was raised.
        doing: what was being done, as in "reading the sound".
        name: the file it was about; put in front when the error's own text does not name it.
    """
    if isinstance(error, CryError):
        text = str(error)
        return text if name is None or name in text else f"{name}: {text}"
    number = secrets.token_hex(3)
    logger.error("Problem %s while %s (%s)", number, doing, name or "page", exc_info=error)
    subject = f"{name}: something" if name else "Something"
    return (
        f"{subject} went wrong on our side while {doing}. Nothing was sent anywhere. "
        f"Please try again; if it happens again, report problem {number}, which is in the program's log."
    )


def guarded(doing: str) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Decorate a page or a fragment: what it raises is shown as a message instead."""

    def decorate(draw: Callable[P, None]) -> Callable[P, None]:
        @functools.wraps(draw)
        def safe(*args: P.args, **kwargs: P.kwargs) -> None:
            try:
                draw(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 - the edge of the program: told to the person and logged, never hidden
                import streamlit as st

                st.error(plain(explain(error, doing=doing)), icon=":material/error:")

        return safe

    return decorate

"""“How good is it?”: the benchmark card, shown from the page that makes the claims."""

from __future__ import annotations

import re
from pathlib import Path

import streamlit as st

from pipeline.pages.guard import guarded

DOCS = Path(__file__).resolve().parents[2] / "docs"
CARD = "benchmark.md"
_IN_SHORT = (
    "**In short:** it misses some crying, most of all when it is faint or under other sound, and now and "
    "then it takes something else for a cry. It cannot tell why a baby cries. What was measured, for those "
    "who want to know exactly:"
)
_PICTURE = re.compile(r"!\[(?P<alt>[^\]]*)\]\((?P<file>[\w./-]+)\)")


def button() -> None:
    """The button that opens the card."""
    if st.button("How good is it?", icon=":material/query_stats:", help="Measured figures, good and bad."):
        _card()


@st.dialog("How good is it?", width="large")
@guarded("showing the benchmark card")
def _card() -> None:
    path = DOCS / CARD
    if not path.is_file():
        st.info(
            "The benchmark card is not on this computer. It is docs/benchmark.md of the project, written by "
            "`python -m pipeline evaluate leaderboard`."
        )
        return
    st.markdown(_IN_SHORT)
    for kind, content, alt in parts(path.read_text(encoding="utf-8")):
        if kind == "text":
            st.markdown(content)
        elif (picture := DOCS / content).is_file():
            st.image(picture.read_text(encoding="utf-8"), caption=alt, width="stretch")


def parts(card: str) -> list[tuple[str, str, str]]:
    """The card in pieces a page can draw: ("text", Markdown, "") and ("picture", file, words).

    The title is dropped, the dialog has one; small type becomes Streamlit's.
    """
    card = re.sub(r"\A# .*\n+", "", card)
    card = re.sub(r"<sub>(.*?)</sub>", r":small[\1]", card)
    pieces: list[tuple[str, str, str]] = []
    at = 0
    for found in _PICTURE.finditer(card):
        if text := card[at : found.start()].strip():
            pieces.append(("text", text, ""))
        pieces.append(("picture", found["file"], found["alt"]))
        at = found.end()
    if text := card[at:].strip():
        pieces.append(("text", text, ""))
    return pieces

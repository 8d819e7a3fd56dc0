"""Colours that stand on the page itself can be told from it, in light and in dark."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from pipeline.pages import charts
from pipeline.pages.monitor import markup
from pipeline.settings import PROJECT_ROOT

COLOURS = [charts.SOUND, charts.CRY, charts.LINE, charts.QUIET, markup.GREEN, markup.AMBER, markup.RED]


def luminance(colour: str) -> float:
    """Relative luminance of "#rrggbb" (WCAG 2.2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Contrast ratio (WCAG 2.2), 1 to 21."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_colour_stands_out_from_the_page(colour: str, theme: str) -> None:
    themes = tomllib.loads(Path(PROJECT_ROOT / ".streamlit" / "config.toml").read_text())["theme"]
    # No colour reaches more than 4.2 on both.
    assert contrast(colour, themes[theme]["backgroundColor"]) >= 4.1

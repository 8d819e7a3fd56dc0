"""The benchmark card on the full page."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pipeline.pages import quality

ROOT = Path(__file__).resolve().parents[2]
CARD = """# Benchmark

Words.

| model | recall |
| --- | ---: |
| `a` | 0.5 <sub>0.4–0.6</sub> |

![ROC](benchmark/roc.svg)

## More
"""


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AppTest:
    monkeypatch.setenv("CRY_EMBEDDER", "student")
    monkeypatch.setattr(quality, "DOCS", tmp_path)
    return AppTest.from_file(str(ROOT / "cry_classify_app.py"), default_timeout=120).run()


def opened(page: AppTest) -> str:
    next(b for b in page.button if b.label == "How good is it?").click()
    page.run()
    assert not page.exception
    return "\n".join(m.value for m in [*page.markdown, *page.info])


def test_the_card_opens_with_its_tables(page: AppTest, tmp_path: Path) -> None:
    (tmp_path / "benchmark").mkdir()
    (tmp_path / "benchmark" / "roc.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    (tmp_path / "benchmark.md").write_text(CARD)
    text = opened(page)
    assert "| `a` | 0.5 :small[0.4–0.6] |" in text
    assert "# Benchmark" not in text
    assert "## More" in text


def test_without_a_card_the_page_says_where_it_is(page: AppTest) -> None:
    assert "docs/benchmark.md" in opened(page)


def test_a_card_comes_in_pieces() -> None:
    assert [(kind, content[:20]) for kind, content, _ in quality.parts(CARD)] == [
        ("text", "Words.\n\n| model | re"), ("picture", "benchmark/roc.svg"), ("text", "## More")
    ]  # fmt: skip

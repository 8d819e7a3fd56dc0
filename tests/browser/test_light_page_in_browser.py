"""The light page in a real browser: a reason only, and it says so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from driving import PHONE, SCREENSHOTS, photograph, upload, visit

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def test_it_gives_a_reason_and_claims_no_more(browser: Browser, light_page: str, a_cry: Path) -> None:
    page = visit(browser, light_page, size=PHONE)
    assert "does not check whether a baby is crying" in page.get_by_test_id("stAlert").first.inner_text()
    upload(page, [a_cry])
    page.get_by_role("heading", name=re.compile(r"^Why\?")).wait_for()
    assert page.get_by_text("How far to trust this").is_visible()
    assert page.get_by_text("is crying, from").count() == 0
    photograph(page, SCREENSHOTS / "light-phone-light.png")
    page.get_by_role("slider", name=re.compile("Reason threshold")).focus()
    page.keyboard.press("End")
    page.get_by_role("heading", name="Why? Not sure").wait_for()
    page.context.close()

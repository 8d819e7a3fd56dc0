"""Take the README's pictures of the pages again: ``python tests/browser/readme_images.py``.

Uses a synthesised cry (the Try it tab) and a made-up history, so that the pictures hold nobody's recording or
nights. Written to docs/images.
"""

from __future__ import annotations

import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from driving import PHONE, ROOT, chromium, photograph, served, settle, visit

sys.path.insert(0, str(ROOT / "tests" / "pages"))
import made_up

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FOLDER = ROOT / "docs" / "images"
LARGEST = 300_000
WINDOW = {"width": 900, "height": 1180}


def main() -> None:
    """The full page on a desk by day and on a phone at night, the light page, the monitor's page."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, chromium() as browser:
        with served("cry_classify_app.py", Path(scratch) / "full.txt", CRY_EMBEDDER="student") as address:
            for name, size, scheme in (("page-light", WINDOW, "light"), ("page-phone-dark", PHONE, "dark")):
                page = visit(browser, address, size=size, scheme=scheme)
                page.get_by_role("tab", name="Try it").click()
                page.get_by_role("button", name="A baby crying").click()
                page.get_by_test_id("stAlert").get_by_role("heading", level=2).wait_for()
                page.get_by_role("tab", name="Upload").click()
                settle(page)
                page.mouse.move(0, 0)
                page.screenshot(path=FOLDER / f"{name}.png", animations="disabled")
                page.context.close()
        with served("app.py", Path(scratch) / "light.txt") as address:
            page = visit(browser, address, size=PHONE)
            page.get_by_role("tab", name="Try it").click()
            page.get_by_role("button", name="A baby crying").click()
            page.get_by_test_id("stAlert").get_by_role("heading", level=3).wait_for()
            photograph(page, FOLDER / "light-page-phone.png")
        _monitor(browser, Path(scratch))
    for picture in sorted(FOLDER.glob("*.png")):
        n_bytes = picture.stat().st_size
        sys.stdout.write(f"{picture.relative_to(ROOT)}: {n_bytes // 1000} KB\n")
        if n_bytes > LARGEST:
            sys.exit(f"{picture.name} is larger than {LARGEST // 1000} KB")


def _monitor(browser: Browser, scratch: Path) -> None:
    """The timeline of a made-up day."""
    # A little ahead, so that it still listens once the page is drawn.
    url = made_up.write(scratch / "history.db", made_up.weeks(datetime.now(UTC) + timedelta(minutes=1)))
    with served("monitor_app.py", scratch / "monitor.txt", CRY_MONITOR_STORE=url) as address:
        page = visit(
            browser, f"{address}/?view=Timeline", size=WINDOW, tab="Timeline", zone=str(made_up.ZONE)
        )
        page.get_by_text("Loudness of each minute").wait_for()
        settle(page)
        page.mouse.move(0, 0)
        page.screenshot(path=FOLDER / "monitor-page.png", animations="disabled")
        page.context.close()


if __name__ == "__main__":
    main()

"""Take the README's pictures of the pages again: ``python tests/browser/readme_images.py``.

Uses a synthesised cry (the Try it tab), so that the pictures hold nobody's recording. Written to docs/images.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from driving import PHONE, ROOT, chromium, photograph, served, settle, visit

FOLDER = ROOT / "docs" / "images"
LARGEST = 300_000
WINDOW = {"width": 900, "height": 1180}


def main() -> None:
    """One picture of the full page on a desk by day, one on a phone at night, one of the light page."""
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
    for picture in sorted(FOLDER.glob("*.png")):
        n_bytes = picture.stat().st_size
        sys.stdout.write(f"{picture.relative_to(ROOT)}: {n_bytes // 1000} KB\n")
        if n_bytes > LARGEST:
            sys.exit(f"{picture.name} is larger than {LARGEST // 1000} KB")


if __name__ == "__main__":
    main()

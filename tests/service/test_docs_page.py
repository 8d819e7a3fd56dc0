"""The page of endpoints in a real browser: it works, and asks nobody but the service."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from serving import Server

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"


@pytest.mark.browser
@pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="Debian's package chromium is not installed")
def test_docs_need_no_network_and_try_out(service: Server, a_cry: Path) -> None:
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    asked: list[str] = []
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        # By the name that README.md gives, which is another origin than the address it listens on.
        page.goto(f"http://localhost:{service.port}/docs")
        classify = page.locator("#operations-analysis-classify_classify_post")
        classify.locator("button.opblock-summary-control").click()
        classify.get_by_role("button", name="Try it out").click()
        classify.locator("input[type=file]").set_input_files(str(a_cry))
        classify.get_by_role("button", name="Execute").click()
        answer = classify.locator(".live-responses-table .highlight-code").first
        answer.wait_for(timeout=60_000)
        assert json.loads(answer.inner_text().removeprefix("Download"))["path"] == a_cry.name
        browser.close()
    elsewhere = [url for url in asked if not url.startswith((f"http://localhost:{service.port}/", "data:"))]
    assert elsewhere == []
    assert any(url.endswith("swagger-ui-bundle.js") for url in asked)

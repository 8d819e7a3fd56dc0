"""A real page in a real browser: the server as a process of its own, Chromium driven by Playwright.

Shared by the tests and by ``readme_images.py``. Debian's Chromium is used, not Playwright's own build: the
headless shell that Playwright downloads refuses the microphone.
"""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = ROOT / "build" / "screenshots"
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
QUIET = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run")

# suffix -> (PyAV container, encoder, sample rate): what phones and browsers write
FORMATS = {
    "wav": ("wav", "pcm_s16le", 44_100),
    "flac": ("flac", "flac", 44_100),
    "ogg": ("ogg", "libopus", 48_000),
    "mp3": ("mp3", "libmp3lame", 44_100),
    "m4a": ("ipod", "aac", 44_100),
    "webm": ("webm", "libopus", 48_000),
    "3gp": ("3gp", "aac", 16_000),
    "caf": ("caf", "pcm_s16be", 44_100),
}


def encode(samples: np.ndarray, rate: int, suffix: str) -> bytes:
    """(n,) float32 mono samples as a file of that format."""
    import av

    container, codec, out_rate = FORMATS[suffix]
    held = io.BytesIO()
    with av.open(held, "w", format=container) as out:
        stream = out.add_stream(codec, rate=out_rate, layout="mono")
        context = stream.codec_context
        context.open()
        resampler = av.AudioResampler(context.format, "mono", out_rate, frame_size=context.frame_size or 0)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[np.newaxis]), "fltp", "mono")
        frame.sample_rate = rate
        for piece in (*resampler.resample(frame), *resampler.resample(None)):
            out.mux(stream.encode(piece))
        out.mux(stream.encode(None))
    return held.getvalue()


@contextmanager
def served(script: str, log: Path, **environment: str) -> Iterator[str]:
    """Run a page on a free port, yield its address, stop it. Its output goes to ``log``."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", script, "--server.headless=true"]
    command += [f"--server.port={port}", "--server.address=127.0.0.1", "--server.fileWatcherType=none"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **environment}, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            _wait_until_up(f"http://127.0.0.1:{port}/_stcore/health", process, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=60)


def _wait_until_up(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"The page did not start:\n{log.read_text(errors='replace')}")


@contextmanager
def chromium(microphone: Path | None = None) -> Iterator[Browser]:
    """Debian's Chromium without a window; ``microphone`` is a WAV that its microphone plays over and over."""
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--headless=new", *QUIET]
    if microphone is not None:
        flags += ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
        flags += [f"--use-file-for-fake-audio-capture={microphone}"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        try:
            yield browser
        finally:
            browser.close()


def visit(
    browser: Browser,
    address: str,
    *,
    size: dict[str, int] = WIDE,
    scheme: str = "light",
    tab: str = "Upload",
    zone: str | None = None,
) -> Page:
    """A new visitor's page, ready to use: ``tab`` is there. ``zone``: the browser's time zone."""
    context = browser.new_context(
        viewport=size,
        color_scheme=scheme,
        permissions=["microphone"],
        accept_downloads=True,
        timezone_id=zone,
    )
    page = context.new_page()
    page.set_default_timeout(90_000)  # the first sound waits for the models on a busy machine
    page.goto(address)
    page.get_by_role("tab", name=tab).wait_for()
    return page


def upload(page: Page, files: Sequence[Path]) -> None:
    """Give files to the uploader, as by the file picker."""
    page.locator("input[type=file]").set_input_files([str(path) for path in files])


def settle(page: Page, *, live: bool = False) -> None:
    """Wait until Streamlit has finished and every chart on the page is drawn.

    ``live``: the page looks again by itself every few seconds, so that a busy machine never finds it idle.
    """
    page.wait_for_function(
        """live => (live || (!document.querySelector('[data-stale=true]')
                && document.querySelector('[data-test-script-state]')?.dataset.testScriptState !== 'running'))
            && !document.querySelector('[data-testid=stSkeleton], [data-testid=stSpinner]')
            && [...document.querySelectorAll('[data-testid=stVegaLiteChart]')]
                .every(chart => chart.querySelector('svg .mark-group, canvas'))""",
        arg=live,
    )


def photograph(page: Page, path: Path, *, live: bool = False) -> None:
    """The whole page, top to bottom, in one picture; ``live`` as of :func:`settle`."""
    settle(page, live=live)
    path.parent.mkdir(parents=True, exist_ok=True)
    size = page.viewport_size or WIDE
    tall = page.evaluate("document.querySelector('[data-testid=stMainBlockContainer]').scrollHeight")
    page.set_viewport_size({"width": size["width"], "height": max(size["height"], min(int(tall) + 60, 6000))})
    settle(page, live=live)
    page.screenshot(path=path, animations="disabled")
    page.set_viewport_size(size)

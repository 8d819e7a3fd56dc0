"""One server of each page and one browser for all tests here; skipped, with the reason, without Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from driving import CHROMIUM, FORMATS, chromium, encode, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder carries the mark ``browser``."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session", autouse=True)
def _chromium_is_there() -> None:
    pytest.importorskip(
        "playwright.sync_api", reason="Playwright for Python is not installed (make test does it)"
    )
    if not Path(CHROMIUM).exists():
        pytest.skip("no Chromium found: install Debian's package chromium to run the browser tests")


@pytest.fixture(scope="session")
def sounds(tmp_path_factory: pytest.TempPathFactory, a_cry: Path) -> Path:
    """A folder with a real cry in every format, and the same at 48 kHz for the microphone."""
    import soxr

    from pipeline import audio

    folder = tmp_path_factory.mktemp("sounds")
    cry = soxr.resample(audio.load(a_cry).samples, audio.SAMPLE_RATE, 48_000)
    for suffix in FORMATS:
        (folder / f"cry.{suffix}").write_bytes(encode(cry, 48_000, suffix))
    (folder / "microphone.wav").write_bytes(_wav(cry, 48_000))
    (folder / "broken.wav").write_bytes((folder / "cry.wav").read_bytes()[:20] + b"\0" * 500)
    return folder


def _wav(samples: object, rate: int) -> bytes:
    import io

    import soundfile

    held = io.BytesIO()
    soundfile.write(held, samples, rate, format="WAV", subtype="PCM_16")
    return held.getvalue()


@pytest.fixture(scope="session")
def full_page(tmp_path_factory: pytest.TempPathFactory, _chromium_is_there: None) -> Iterator[str]:
    """Address of ``cry_classify_app.py`` with the bundled embedder."""
    log = tmp_path_factory.mktemp("full-page") / "log.txt"
    with served("cry_classify_app.py", log, CRY_EMBEDDER="student") as address:
        yield address
    assert "Traceback" not in log.read_text(errors="replace")


@pytest.fixture(scope="session")
def light_page(tmp_path_factory: pytest.TempPathFactory, _chromium_is_there: None) -> Iterator[str]:
    """Address of ``app.py``."""
    log = tmp_path_factory.mktemp("light-page") / "log.txt"
    with served("app.py", log) as address:
        yield address
    assert "Traceback" not in log.read_text(errors="replace")


@pytest.fixture(scope="module")
def browser(sounds: Path) -> Iterator[Browser]:
    """Chromium whose microphone hears a real cry.

    Closed after each file: Playwright keeps an event loop running while it is open, and a test of another
    folder in the same process could start none of its own.
    """
    with chromium(sounds / "microphone.wav") as one:
        yield one

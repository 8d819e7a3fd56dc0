"""The light page: no TensorFlow, no claim about a cry."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).resolve().parents[2]

WITHOUT_TENSORFLOW = """
import sys
sys.modules["tensorflow"] = None  # importing it would now fail
from streamlit.testing.v1 import AppTest
page = AppTest.from_file("app.py", default_timeout=120).run()
page.file_uploader[0].set_value([("cry.flac", open(sys.argv[1], "rb").read(), "audio/flac")])
page.run()
assert not page.exception, page.exception
assert not page.error, page.error[0].value
assert any(alert.value.startswith("### Why") for alert in [*page.info, *page.warning])
loaded = [name for name in sys.modules if name.startswith("tensorflow") and sys.modules[name]]
assert not loaded, loaded
"""


def test_it_works_where_tensorflow_cannot_be_imported(a_cry: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW, str(a_cry)],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.fixture
def page() -> AppTest:
    return AppTest.from_file(str(ROOT / "app.py"), default_timeout=120).run()


def test_it_says_that_it_does_not_check(page: AppTest) -> None:
    assert "does not check whether a baby is crying" in page.info[0].value
    assert [tab.label for tab in page.tabs] == ["Upload", "Record", "Try it"]


def test_only_demo_cries_are_offered(page: AppTest) -> None:
    from pipeline.synthesis import DEMOS

    offered = {
        button.key.removeprefix("demo-") for button in page.button if (button.key or "").startswith("demo-")
    }
    assert offered == {key for key, demo in DEMOS.items() if demo.is_cry}


def test_a_long_sound_is_cut_and_silence_is_said(page: AppTest, a_cry: Path) -> None:
    import numpy as np

    from pipeline.pages.examine import wav_bytes

    noise = np.random.default_rng(0).normal(0, 0.1, 70 * 16_000).astype(np.float32)
    page.file_uploader[0].set_value([("long.wav", wav_bytes(noise), "audio/wav")])
    page.run()
    assert any("Only the first 60 seconds were used" in text.value.replace("\\", "") for text in page.caption)
    page.file_uploader[0].set_value([("quiet.wav", wav_bytes(np.zeros(16_000, np.float32)), "audio/wav")])
    page.run()
    assert any("The recording is silent" in alert.value for alert in page.info)

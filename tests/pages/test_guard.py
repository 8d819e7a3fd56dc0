"""No traceback reaches a page: known problems speak for themselves, others get a number found in the log."""

from __future__ import annotations

import logging
import re

import pytest
from streamlit.runtime.scriptrunner import StopException
from streamlit.testing.v1 import AppTest

from pipeline.errors import AudioError
from pipeline.pages.guard import explain, guarded


def test_a_known_problem_names_the_file_once() -> None:
    assert explain(AudioError("a.wav: empty."), doing="reading", name="a.wav") == "a.wav: empty."
    assert explain(AudioError("It is empty."), doing="reading", name="a.wav") == "a.wav: It is empty."


def test_an_unforeseen_one_is_logged_under_the_number_shown(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        told = explain(ZeroDivisionError("secret detail"), doing="listening", name="a.wav")
    assert "secret" not in told
    assert "a.wav" in told
    number = re.search(r"problem ([0-9a-f]{6})", told)
    assert number
    assert number[1] in caplog.text
    assert "ZeroDivisionError" in caplog.text


def _broken_page() -> None:
    from pipeline.pages.guard import guarded

    @guarded("drawing the page")
    def main() -> None:
        raise RuntimeError("[a](javascript:1) secret")

    main()


def test_a_broken_page_shows_words() -> None:
    page = AppTest.from_function(_broken_page).run()
    assert not page.exception
    assert "went wrong on our side while drawing the page" in page.error[0].value
    assert "secret" not in page.error[0].value


def test_streamlits_own_control_flow_passes() -> None:
    @guarded("drawing")
    def stops() -> None:
        raise StopException

    with pytest.raises(StopException):
        stops()

"""Words: what people read is right, and what strangers wrote stays text."""

from __future__ import annotations

import pytest

from pipeline.pages.words import clean_name, in_hundred, length, one_of, plain, size, span


def test_a_span_is_never_empty() -> None:
    assert span(2.1, 6.2) == "0:02 to 0:06"
    assert span(2.1, 2.4) == "0:02 to 0:03"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(1.92, "1.9 seconds"), (7.04, "7 seconds"), (250, "4 min 10 s"), (7500, "2 h 05 min")],
)
def test_length(seconds: float, words: str) -> None:
    assert length(seconds) == words


def test_small_words() -> None:
    assert one_of(["a"]) == "a"
    assert one_of(["a", "b", "c"]) == "a, b or c"
    assert one_of([]) == ""
    assert in_hundred(0.836) == "84 in 100"
    assert in_hundred(0.004) == "fewer than 1 in 100"
    assert in_hundred(0.999) == "more than 99 in 100"
    assert size(12_345) == "12 KB"
    assert size(200 * 2**20) == "200.0 MB"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\sounds\\cry.wav", "cry.wav"),
        ("evil\u202egpj.wav", "evilgpj.wav"),
        ("a\nb\tc\x00.wav", "abc.wav"),
        ("\u200b", "sound"),
        ("", "sound"),
        ("schreit nachts – 3 Uhr.m4a", "schreit nachts – 3 Uhr.m4a"),
    ],
)
def test_names_are_one_printable_line(given: str, shown: str) -> None:
    assert clean_name(given) == shown


def test_long_names_keep_both_ends() -> None:
    shown = clean_name("x" * 500 + "_end.flac")
    assert len(shown) <= 60
    assert shown.startswith("xxx")
    assert shown.endswith("_end.flac")


@pytest.mark.parametrize("mark", list("\\`*_{}[]()<>#+-.!|~$&"))
def test_every_markdown_sign_is_escaped(mark: str) -> None:
    assert plain(f"a{mark}b") == f"a\\{mark}b"


def test_nothing_turns_into_a_link_or_an_emoji() -> None:
    assert "www\\." not in plain("www.example.org")
    assert "://" not in plain("see http://example.org")
    assert "b@c" not in plain("b@c.de")
    assert ":smile:" not in plain("a :smile: b")


def test_clock_times_stay_as_they_are() -> None:
    assert plain("from 0:02 to 1:02:03") == "from 0:02 to 1:02:03"
    assert plain(":100:") != ":100:"

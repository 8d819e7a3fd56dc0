"""Why it fired at a moment or did not, as the history says it; and which sound is served."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import made_up
import pytest

from pipeline.pages.monitor import kept, reading
from pipeline.pages.monitor.reading import Marks, Part, shown_address
from pipeline.pages.monitor.times import Zone
from pipeline.pages.monitor.why import Answer, explain, near_miss_words, near_misses

BERLIN = Zone.named("Europe/Berlin")


def at(text: str) -> datetime:
    shown = datetime.fromisoformat(f"2026-05-04 {text}")
    return BERLIN.moment(shown.date(), shown.time())


COVERAGE = [
    made_up.stretch("c1", at("00:00"), at("03:30"), state="interrupted")[1],
    made_up.stretch("c2", at("03:40"), at("05:00"), state="failed", why="The camera does not answer.")[1],
]
CRY = made_up.cry("e1", "c1", at("02:10:05"), at("02:12:05"))[1]
MINUTES = [
    made_up.minute(at("02:10"), best=0.91, crying_s=55.0)[1],
    made_up.minute(at("03:12"), best=0.41, best_at=at("03:12:20"))[1],
    made_up.minute(at("03:20"), best=0.71, best_at=at("03:20:30"))[1],
    made_up.minute(at("04:00"), best=0.05)[1],
]
NIGHT = Part((at("00:00"), at("06:00")), COVERAGE, [CRY], MINUTES)


def asked(moment: str, alerts: list[dict[str, Any]] | None = None, **sent: Any) -> Answer:
    return explain(made_up.ROOM, at(moment), NIGHT, alerts or [], sent, BERLIN)


def test_below_the_line_with_both_figures() -> None:
    answer = asked("03:12")
    assert answer.kind == "below"
    assert answer.headline == "Below threshold at 03:12:20: 0.41 against 0.55"
    assert "-52 dBFS" in answer.detail


def test_over_the_line_but_too_short() -> None:
    answer = asked("03:20")
    assert answer.kind == "short"
    assert "0.71 against 0.55" in answer.detail


def test_not_listening_says_since_when_and_why() -> None:
    answer = asked("03:35")
    assert answer.kind == "unheard"
    assert "03:30:00" in answer.detail
    assert "power cut" in answer.detail
    assert "from 03:40:00 on" in answer.detail
    assert "The camera does not answer." in asked("05:30").detail
    assert explain("attic", at("03:12"), NIGHT, [], {}, BERLIN).kind == "unheard"


def test_an_older_history_without_minutes() -> None:
    answer = asked("01:00")
    assert answer.kind == "unknown"
    assert "heard no crying" in answer.headline


@pytest.mark.parametrize(
    ("held", "words"),
    [
        ("cooldown: the last was told at 2026-05-04T00:08:00+00:00", "cooldown"),
        ("quiet hours", "quiet hours"),
        ("no channel is named", "without a channel"),
        (None, "1 of 2 channels took it. 1 have not arrived."),
    ],
)
def test_crying_says_whether_somebody_was_told(held: str | None, words: str) -> None:
    told = made_up.alert("a1", at("02:10:15"), held=held, details={"episode_id": "e1"})[1]
    sent = [
        made_up.delivery(str(n), "a1", at("02:10:15"), state=s)[1]
        for n, s in ((1, "delivered"), (2, "waiting"))
    ]
    for moment in ("02:10", "02:10:30", "02:12"):  # also the minute it began and the one it ended in
        answer = asked(moment, [told], a1=sent)
        assert answer.kind == "cry"
        assert answer.headline == "Crying from 02:10:05 to 02:12:05"
        assert "0.91" in answer.detail
        assert words in answer.detail
    assert "No alert was raised" in asked("02:11").detail


def test_near_misses_are_those_without_crying_nearest_first() -> None:
    found = near_misses(NIGHT, made_up.ROOM)
    assert [near_miss_words(row, at("06:00"), BERLIN) for row in found] == [
        "03:20:30: 0.71 against 0.55, too short",
        "03:12:20: 0.41 against 0.55",
    ]


def test_the_newest_mark_counts() -> None:
    def said(*kinds: str) -> Marks:
        rows = [
            {"at": at("03:00") + timedelta(seconds=n), "about": "e", "kind": kind, "words": None}
            for n, kind in enumerate(kinds)
        ]
        return Marks({(row["about"], row["kind"]): row for row in rows})

    assert said().judged("e") is None
    assert said("right", "wrong").judged("e") == "wrong"
    assert said("wrong", "right").judged("e") == "right"
    assert said("star", "unstar").starred("e") is False
    assert said("unstar", "star").starred("e") is True


def test_only_sound_inside_its_folder_is_served(tmp_path: Path) -> None:
    folder = tmp_path / "sound"
    (folder / "nursery").mkdir(parents=True)
    (folder / "nursery" / "a.flac").write_bytes(b"a")
    (tmp_path / "secret.flac").write_bytes(b"s")
    (folder / "link.flac").symlink_to(tmp_path / "secret.flac")

    def row(path: str, gone: str | None = None) -> dict[str, Any]:
        return {
            "path": path,
            "started_at": at("02:10"),
            "gone_at": at("04:00") if gone else None,
            "gone_why": gone,
        }

    sounds, why_not = kept.found(folder, [row("nursery/a.flac")])
    assert [sound.path.read_bytes() for sound in sounds] == [b"a"]
    assert not why_not
    for outside in (
        "../secret.flac",
        str(tmp_path / "secret.flac"),
        "link.flac",
        "nursery/../../secret.flac",
    ):
        assert kept.found(folder, [row(outside)])[0] == []
    assert kept.found(folder, [row("nursery/a.flac", "expired")]) == (
        [], "Its sound was kept, and deleted when its time was over."
    )  # fmt: skip
    words = kept.found(folder, [row("nursery/b.flac")])[1]
    assert f"not in the folder {folder}" in words
    assert kept.FOLDER in words


def test_no_password_is_shown() -> None:
    assert "secret" not in shown_address("postgresql://crylens:secret@db.lan/history")
    assert shown_address("sqlite:///night.db") == "sqlite:///night.db"
    assert shown_address("night.db") == "night.db"


def test_an_alert_is_found_by_its_episode_where_a_replay_ran_ahead(tmp_path: Path) -> None:
    early = made_up.alert("a1", at("01:00"), details={"episode_id": "e1"})
    url = made_up.write(tmp_path / "history.db", [early, made_up.alert("a2", at("01:00"), details={})])
    assert reading.told(url, at("02:00"), at("03:00"))[0] == []
    assert [row["id"] for row in reading.told(url, at("02:00"), at("03:00"), ["e1"])[0]] == ["a1"]

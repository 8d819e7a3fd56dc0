"""The monitor's page through AppTest, over histories that are there, empty, old, broken or gone."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import made_up
import pytest
from streamlit.testing.v1 import AppTest

from pipeline.monitor.models import Mark
from pipeline.monitor.store import open_store, read_store

ROOT = Path(__file__).resolve().parents[2]
VIEWS = ("Tonight", "Timeline", "Weeks", "Episodes", "Alerts", "Settings")
Show = Callable[..., AppTest]


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch) -> Show:
    """The page over a history, at a view."""

    def one(url: object, view: str = "Tonight") -> AppTest:
        monkeypatch.setenv("CRY_MONITOR_STORE", str(url))
        page = AppTest.from_file(str(ROOT / "monitor_app.py"), default_timeout=60)
        page.session_state["view"] = view
        page.run()
        assert not page.exception
        return page

    return one


@pytest.fixture(scope="module")
def five_weeks(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("history")
    return made_up.write(folder / "weeks.db", made_up.weeks(datetime.now(UTC)))


def said(page: AppTest) -> str:
    """All text on the page, without escapes."""
    kinds = (page.markdown, page.caption, page.subheader, page.info, page.error, page.warning, page.code)
    texts = [element.value for kind in kinds for element in kind]
    texts += [element.proto.body for element in page.get("html")]
    return "\n".join(texts).replace("\\", "").replace("\u2060", "")


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_over_weeks_shows_no_error(show: Show, five_weeks: str, view: str) -> None:
    with open_store(five_weeks) as store:
        store.write([made_up.pulse(datetime.now(UTC))])
    page = show(five_weeks, view)
    assert not page.error
    assert "Listening in nursery" in said(page)
    assert "Times are those of" in said(page)


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_over_an_empty_history(show: Show, tmp_path: Path, view: str) -> None:
    page = show(made_up.write(tmp_path / "empty.db", []), view)
    assert not page.error
    assert "Not listening" in said(page)


def test_a_history_that_is_not_there_says_how_to_make_one(show: Show, tmp_path: Path) -> None:
    page = show(f"sqlite:///{tmp_path}/none.db")
    assert "Nothing to show yet" in said(page)
    assert (
        f'python -m pipeline monitor --source mic --room nursery --store "sqlite:///{tmp_path}/none.db"'
        in said(page)
    )
    made_up.write(tmp_path / "none.db", [made_up.pulse(datetime.now(UTC))])
    assert "Listening in nursery" in said(page.run())
    (tmp_path / "none.db").unlink()
    assert "Nothing to show yet" in said(page.run())


def test_a_file_that_is_no_history_and_one_of_another_layout(show: Show, tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no database, " * 1000)
    assert "The history cannot be read" in said(show(tmp_path / "text.db"))
    url = made_up.write(tmp_path / "old.db", [])
    with sqlite3.connect(tmp_path / "old.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    page = show(url)
    assert "older layouts are brought up to date" in said(page)
    assert "Traceback" not in said(page)


def test_a_monitor_that_is_gone_is_told_and_how_to_start_it(show: Show, tmp_path: Path) -> None:
    before = datetime.now(UTC) - timedelta(hours=2)
    rows = [made_up.stretch("c", before - timedelta(hours=6), before, state="open"), made_up.pulse(before)]
    page = show(made_up.write(tmp_path / "gone.db", rows))
    assert "Not listening" in said(page)
    assert "The monitor is not running" in said(page)
    assert f'--source "{made_up.SOURCE}" --room "nursery"' in said(page)
    assert "Cry score just now" not in said(page)  # it is two hours old


def test_tonight_tells_crying_from_quiet(show: Show, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    path = tmp_path / "tonight.db"
    begun = [
        made_up.stretch("c", now - timedelta(hours=6), now, state="open"),
        made_up.cry("e1", "c", now - timedelta(hours=3), now - timedelta(hours=2, minutes=50)),
    ]
    url = made_up.write(path, [*begun, made_up.pulse(now)])
    assert "Quiet since" in said(show(url))
    crying = made_up.cry("e2", "c", now - timedelta(seconds=100), now, state="open")
    with open_store(url) as store:
        store.write([crying, made_up.pulse(datetime.now(UTC), score=0.83)])
    page = show(url)
    assert "Crying since" in said(page)
    assert "0.83, cry from 0.55 on" in said(page)
    assert "**12 min** of crying in **6 h** of listening" in said(page)


def marks(url: str) -> list[tuple[str, str, str | None]]:
    with read_store(url) as store:
        return [(row["about"], row["kind"], row["words"]) for row in store.rows(Mark, order_by="at")]


def test_marks_arrive_in_the_history_and_count(show: Show, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    rows = [
        made_up.stretch("c", now - timedelta(hours=6), now, state="open"),
        made_up.cry("e1", "c", now - timedelta(hours=3), now - timedelta(hours=2), reasons=made_up.reasons()),
        made_up.pulse(now),
    ]
    url = made_up.write(tmp_path / "marks.db", rows)
    page = show(url, "Episodes")
    assert "On babies it had not heard" in said(page)  # the honest sentence stands beside the reasons
    page.button("mark-wrong").click().run()
    page.button("mark-right").click().run()
    page.button("mark-star").click().run()
    page.pills("helped-e1").set_value(["feeding", "rocking"])
    page.text_input("helped-other-e1").set_value("singing")
    page.pills("cause-e1").set_value("hungry")
    next(button for button in page.button if button.label == "Save").click().run()
    assert not page.exception
    assert marks(url) == [
        ("e1", "wrong", None), ("e1", "right", None), ("e1", "star", None),
        ("e1", "helped", "feeding, rocking, singing"), ("e1", "cause", "hungry"),
    ]  # fmt: skip
    page.selectbox("episodes-kind").set_value("Marked right").run()
    assert "1 episode" in said(page)
    page.button("mark-wrong").click().run()
    assert "0 episodes" in said(page)
    day = show(url, "Timeline")
    assert "0 s** of crying" in said(day)
    assert "marked wrong" in said(day)


def test_alerts_are_seen_once_said_so(show: Show, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    rows = [
        made_up.alert("a1", now - timedelta(minutes=5)),
        made_up.delivery("d1", "a1", now - timedelta(minutes=5), tries=3, delay_s=7.9),
        made_up.alert("a2", now - timedelta(minutes=3), held="quiet hours"),
        made_up.pulse(now),
    ]
    url = made_up.write(tmp_path / "alerts.db", rows)
    page = show(url, "Alerts")
    text = said(page)
    assert "2 alerts" in text
    assert "arrived after 7.9 s, 3 tries" in text
    assert "Sent to nobody: quiet hours" in text
    assert page.button("test-alert").disabled  # this monitor has no channel
    page.button("seen-a1").click().run()
    assert marks(url) == [("a1", "seen", None)]
    assert "Seen at" in said(page)


def test_the_test_button_asks_the_monitor(show: Show, five_weeks: str) -> None:
    with open_store(five_weeks) as store:
        store.write([made_up.pulse(datetime.now(UTC))])
    page = show(five_weeks, "Alerts")
    page.button("test-alert").click().run()
    assert marks(five_weeks)[-1] == ("monitor", "test", None)


def test_a_threshold_that_follows_from_marks(show: Show, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    rows = [made_up.stretch("c", now - timedelta(hours=9), now, state="open"), made_up.pulse(now)]
    for number in range(24):
        start = now - timedelta(hours=8) + timedelta(minutes=10 * number)
        peak = 0.9 if number % 2 else 0.6
        rows.append(made_up.cry(f"e{number}", "c", start, start + timedelta(minutes=1), peak=peak))
        rows.append(made_up.mark(f"m{number}", f"e{number}", "right" if number % 2 else "wrong"))
    page = show(made_up.write(tmp_path / "fit.db", rows), "Settings")
    assert "12 episodes right and 12 wrong" in said(page)
    assert "--detection-threshold 0.75" in said(page)


def test_a_lower_threshold_from_hours_without_crying(show: Show, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    day = datetime.now().astimezone() - timedelta(days=1)
    start = day.replace(hour=8, minute=30, second=0, microsecond=0).astimezone(UTC)
    rows = [
        made_up.stretch("c", start, start + timedelta(hours=9), threshold=0.8),
        made_up.pulse(now, threshold=0.8),
    ]
    for number in range(540):
        best = 0.2 if number == 100 else 0.04
        rows.append(made_up.minute(start + timedelta(minutes=number), best=best, threshold=0.8))
    page = show(made_up.write(tmp_path / "hours.db", rows), "Settings")
    assert "--detection-threshold 0.6" not in said(page)
    page.date_input[0].set_value(day.date())
    page.button[0].click().run()
    assert not page.exception
    assert "8 h were heard then" in said(page)
    assert "--detection-threshold 0.649" in said(page)
    page.time_input[1].set_value(time(8))
    page.button[0].click().run()
    assert "choose a later end" in said(page)


def test_why_for_a_chosen_moment(show: Show, five_weeks: str) -> None:
    page = show(five_weeks, "Timeline")
    assert any(words in said(page) for words in ("Below threshold at", "Crying from"))
    page.date_input("why-day").set_value((datetime.now() - timedelta(days=40)).date()).run()
    assert not page.exception

"""Somebody is told, once, when it matters; what cannot be delivered waits, over a restart too."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from listening import crylens
from receiving import Receiver

from pipeline.errors import CryError
from pipeline.monitor.alerts import Alerts
from pipeline.monitor.channels import Channel
from pipeline.monitor.journal import Journal
from pipeline.monitor.models import Alert, Delivery
from pipeline.monitor.rules import Rules, parse_quiet
from pipeline.monitor.store import Store, open_store, read_store
from pipeline.monitor.webhook import SIGNATURE, Webhook, signature

AT = datetime(2026, 6, 1, 20, 0, tzinfo=UTC)


class SetClock:
    """A clock that is set by hand; waits are short."""

    def __init__(self, passed_s: float = 0.0) -> None:
        self.passed_s = passed_s

    def now(self) -> datetime:
        return AT + timedelta(seconds=self.passed_s)

    def monotonic(self) -> float:
        return self.passed_s

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        del seconds
        return stop.wait(0.01)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(str(tmp_path / "h.db")) as opened:
        yield opened


class Outbox:
    """Alerts with a journal that is flushed as in the monitor."""

    def __init__(
        self,
        store: Store,
        *channels: Channel,
        rules: Rules | None = None,
        second: Sequence[Channel] = (),
        after_s: float = 0.0,
    ) -> None:
        self.clock, self.store, self.said = SetClock(after_s), store, list[str]()
        self.journal = Journal(store, self.clock, run="r")
        self.alerts = Alerts(
            store, self.journal, self.clock, channels, rules or Rules(), second=second, tell=self.said.append
        )
        self.journal.start()
        self.alerts.start()

    def cry(
        self, key: str, lasted_s: float, room: str = "nursery", *, state: str = "open", rise_db: float = 0.0
    ) -> None:
        now = self.clock.now()
        row = {"id": key, "room": room, "start_s": 0.0, "end_s": lasted_s, "peak": 0.9, "started_at": now}
        self.alerts.crying(row | {"ended_at": now, "state": state}, now, rise_db=rise_db)

    def close(self) -> list[dict[str, Any]]:
        self.alerts.close()
        assert self.journal.close()
        return self.store.rows(Delivery, order_by="at")


def until(there: Any) -> None:
    deadline = time.monotonic() + 30
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_is_not_taken_is_sent_again_until_it_is_and_then_never_again(store: Store) -> None:
    with Receiver(500, "drop", 302, 404) as receiver:
        outbox = Outbox(store, Webhook(receiver.address, "s3cret"))
        outbox.cry("e", 12.0)
        for number in range(1, 5):
            until(lambda number=number: len(receiver.asked) == number)
            time.sleep(0.1)
            assert len(receiver.asked) == number  # not before its time
            outbox.clock.passed_s += 2.0**number
        until(lambda: receiver.taken)
        outbox.clock.passed_s += 3600
        (delivery,) = outbox.close()
        assert len(receiver.asked) == 5
        assert {path for path, _, _ in receiver.asked} == {"/hook?token=hidden"}
    assert (delivery["state"], delivery["tries"]) == ("delivered", 5)
    assert delivery["delay_s"] == pytest.approx(30)
    assert "hidden" not in delivery["channel"]
    (message,) = receiver.taken
    assert (message["event"], message["room"], message["lasted_s"]) == ("crying", "nursery", 12.0)
    for _, headers, body in receiver.asked:  # what a receiver does to know who sent it, and whether it has it
        found = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", headers[SIGNATURE.lower()])
        assert found
        assert found[2] == signature("s3cret", found[1], body)
        assert headers["idempotency-key"] == message["id"]


def test_a_cry_is_told_once_and_a_room_not_again_before_the_cooldown_is_over(store: Store) -> None:
    with Receiver() as receiver:
        outbox = Outbox(store, Webhook(receiver.address), rules=Rules(after_s=10, cooldown_s=300))
        for lasted_s in (2, 9.9, 10, 11, 60):
            outbox.cry("first", lasted_s)
        outbox.clock.passed_s += 100
        outbox.cry("too soon", 20)
        outbox.clock.passed_s += 1
        outbox.cry("other room", 20, "kitchen")
        outbox.clock.passed_s += 200
        outbox.cry("late enough", 20)
        until(lambda: len(receiver.taken) == 3)
        outbox.close()
    assert {message["episode_id"] for message in receiver.taken} == {"first", "other room", "late enough"}
    held = [row["held"] for row in store.rows(Alert, order_by="at")]
    assert [bool(why) for why in held] == [False, True, False, False]
    again = Outbox(
        store, Webhook("http://127.0.0.1:9/none"), rules=Rules(after_s=10, cooldown_s=300)
    )  # a restart does not forget
    again.clock.passed_s = 400
    again.cry("after a restart", 20)
    again.close()
    assert "cooldown" in store.rows(Alert, order_by="at")[-1]["held"]


@pytest.mark.parametrize(
    ("quiet", "hour_utc", "held"),
    [
        ("22:00-06:00", 20, True),
        ("22:00-06:00", 3, True),
        ("22:00-06:00", 4, False),
        ("22:00-06:00", 19, False),
        ("12:00-14:00", 10, True),
        ("12:00-14:00", 12, False),
    ],
)
def test_quiet_hours_are_those_of_the_place_and_go_over_midnight(
    quiet: str, hour_utc: int, held: bool
) -> None:
    rules = Rules(quiet=parse_quiet(quiet), zone=ZoneInfo("Europe/Berlin"))  # in June two hours ahead of UTC
    assert rules.is_quiet(AT.replace(hour=hour_utc)) is held


@pytest.mark.parametrize("text", ["22-6", "night", "22:00", "25:00-06:00"])
def test_quiet_hours_that_are_none_are_said(text: str) -> None:
    with pytest.raises(CryError, match="22:00-06:30"):
        parse_quiet(text)


def test_quiet_hours_hold_back_crying_but_not_a_room_that_is_not_heard(store: Store) -> None:
    with Receiver() as receiver:
        rules = Rules(quiet=parse_quiet("00:00-23:59:59"), zone=UTC)
        outbox = Outbox(store, Webhook(receiver.address), rules=rules)
        outbox.cry("e", 20)
        outbox.alerts.trouble("nursery", "Unplugged.", outbox.clock.now())
        until(lambda: receiver.taken)
        outbox.close()
    assert [message["event"] for message in receiver.taken] == ["trouble"]


def test_a_real_night_is_told_though_the_receiver_was_down_and_the_monitor_ended(
    night: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRY_MONITOR_WEBHOOK_SECRET", "s3cret")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    store = tmp_path / "history.db"
    address = f"http://127.0.0.1:{port}/hook?token=hidden"
    command = (
        *("monitor", "--source", night, "--speed", "max", "--no-reasons", "--store", store),
        *("--alert-after", "3", "--cooldown", "0", "--webhook", address),
    )
    done = crylens(*command)
    with read_store(str(store)) as opened:
        stored = {row["id"] for row in opened.rows(Alert)}
    assert len(stored) >= 3
    assert f"{len(stored)} alerts have not arrived yet" in done.stderr
    assert "hidden" not in done.stderr + done.stdout
    with Receiver(port=port) as receiver:
        crylens(*command)
        assert crylens("monitor", "test-alert", "--webhook", receiver.address).returncode == 0
    told = [message["id"] for message in receiver.taken]
    assert len(told) == len(set(told))
    assert stored < set(told)
    assert [message["event"] for message in receiver.taken][-1] == "test"
    with read_store(str(store)) as opened:
        assert {row["state"] for row in opened.rows(Delivery)} == {"delivered"}
    assert "answered 500" in _refused()


def _refused() -> str:
    with Receiver(500) as receiver:
        return crylens("monitor", "test-alert", "--webhook", receiver.address, status=1).stderr

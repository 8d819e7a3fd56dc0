"""Somebody is told, once, when it matters; what cannot be delivered waits, over a restart too."""

from __future__ import annotations

import re
import socket
import time
from datetime import UTC
from pathlib import Path

import pytest
from broker import until
from listening import crylens
from receiving import Receiver
from telling import Telling

from pipeline.monitor.models import Alert, Delivery
from pipeline.monitor.rules import Rules, parse_quiet
from pipeline.monitor.store import Store, read_store
from pipeline.monitor.webhook import SIGNATURE, Webhook, signature


def test_what_is_not_taken_is_sent_again_until_it_is_and_then_never_again(store: Store) -> None:
    with Receiver(500, "drop", 302, 404) as receiver:
        telling = Telling(store, Webhook(receiver.address, "s3cret"))
        telling.cry("e", 12.0)
        for number in range(1, 5):
            until(lambda number=number: len(receiver.asked) == number)
            time.sleep(0.1)
            assert len(receiver.asked) == number  # not before its time
            telling.clock.passed_s += 2.0**number
        until(lambda: receiver.taken)
        telling.clock.passed_s += 3600
        (delivery,) = telling.close()
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
        telling = Telling(store, Webhook(receiver.address), rules=Rules(after_s=10, cooldown_s=300))
        for lasted_s in (2, 9.9, 10, 11, 60):
            telling.cry("first", lasted_s)
        telling.clock.passed_s += 100
        telling.cry("too soon", 20)
        telling.clock.passed_s += 1
        telling.cry("other room", 20, "kitchen")
        telling.clock.passed_s += 200
        telling.cry("late enough", 20)
        until(lambda: len(receiver.taken) == 3)
        telling.close()
    assert {message["episode_id"] for message in receiver.taken} == {"first", "other room", "late enough"}
    held = [row["held"] for row in store.rows(Alert, order_by="at")]
    assert [bool(why) for why in held] == [False, True, False, False]
    again = Telling(
        store, Webhook("http://127.0.0.1:9/none"), rules=Rules(after_s=10, cooldown_s=300)
    )  # a restart does not forget
    again.clock.passed_s = 400
    again.cry("after a restart", 20)
    again.close()
    assert "cooldown" in store.rows(Alert, order_by="at")[-1]["held"]


def test_quiet_hours_hold_back_crying_but_not_a_room_that_is_not_heard(store: Store) -> None:
    with Receiver() as receiver:
        rules = Rules(quiet=parse_quiet("00:00-23:59:59"), zone=UTC)
        telling = Telling(store, Webhook(receiver.address), rules=rules)
        telling.cry("e", 20)
        telling.alerts.trouble("nursery", "Unplugged.", telling.clock.now())
        until(lambda: receiver.taken)
        telling.close()
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

"""A real broker is told what is heard, and when nobody listens any more."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from broker import PASSWORD, USER, Broker, Reader, until
from listening import crylens
from receiving import Receiver

from pipeline.errors import SettingsError
from pipeline.monitor.alerts import Alerts, trial_message
from pipeline.monitor.channels import ChannelError
from pipeline.monitor.clock import SystemClock
from pipeline.monitor.homeassistant import slugs
from pipeline.monitor.journal import Journal
from pipeline.monitor.models import ChannelRow, Delivery
from pipeline.monitor.mqtt import Mqtt
from pipeline.monitor.rules import Rules
from pipeline.monitor.store import open_store, read_store
from pipeline.monitor.webhook import Webhook

NOW = datetime(2026, 6, 1, 20, 0, tzinfo=UTC)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path) as running:
        yield running


def entities(reader: Reader) -> dict[str, dict[str, Any]]:
    """What Home Assistant would make of it, by name."""
    found = [json.loads(text) for topic, text in reader.last.items() if topic.startswith("homeassistant/")]
    return {config["name"]: config for config in found}


def is_available(reader: Reader, config: dict[str, Any]) -> bool:
    """As Home Assistant decides it."""
    return all(reader.last.get(one["topic"]) == "online" for one in config.get("availability", []))


def test_home_assistant_sees_a_room_cry_and_the_monitor_die(
    night: Path, broker: Broker, tmp_path: Path, monitor: Any
) -> None:
    store = tmp_path / "history.db"
    listening = ("--source", night, "--speed", "8", "--room", "nursery", "--store", store)
    with Reader(broker.port) as reader:
        running = monitor(*listening, "--alert-after", "2", "--notify", broker.address)
        crying = until(lambda: entities(reader).get("Crying"), 90)
        assert (crying["device_class"], crying["expire_after"]) == ("sound", 30)
        until(lambda: is_available(reader, crying))
        until(lambda: "OFF" in str(reader.of(crying["state_topic"])))
        until(lambda: "ON" in str(reader.of(crying["state_topic"])), 60)
        alert = json.loads(until(lambda: reader.of("home/cry/alert"), 60)[0])
        assert (alert["event"], alert["room"]) == ("crying", "nursery")
        until(lambda: json.loads(reader.last[crying["state_topic"]])["crying"] == "OFF", 60)
        states = [json.loads(text) for text in reader.of(crying["state_topic"])]
        assert max(state["score"] for state in states) > 0.5
        assert len({state["level_dbfs"] for state in states}) > 2
        until(lambda: reader.of("home/cry/heartbeat"))
        found = entities(reader)
        assert set(found) == {"Crying", "Score", "Level", "Not listening", "Monitor"}
        assert len({config["unique_id"] for config in found.values()}) == 5
        assert {config["device"]["name"] for config in found.values()} == {"CryLens nursery"}
        with Reader(broker.port) as later:  # Home Assistant was started anew
            until(lambda: len(entities(later)) == 5 and is_available(later, crying))
        running.kill()
        # The broker itself says it, once the connection is gone.
        until(lambda: reader.last["home/cry/status"] == "offline")
        assert not is_available(reader, crying)
        assert reader.last[found["Monitor"]["state_topic"]] == found["Monitor"]["payload_off"]
    with read_store(str(store)) as opened:
        (row,) = opened.rows(ChannelRow)
    assert row["accepted_at"] is not None
    assert (row["error"], row["probe_every_s"]) == (None, 30.0)


def test_a_room_that_is_not_heard_is_not_available_and_neither_is_a_monitor_that_was_ended(
    broker: Broker, tmp_path: Path, monitor: Any
) -> None:
    nobody = f"tcp://127.0.0.1:{_free()}"
    with Reader(broker.port) as reader:
        running = monitor("--source", nobody, "--room", "cot", "--store", tmp_path / "h.db", "--notify",
                          broker.address)  # fmt: skip
        until(lambda: reader.last.get("home/cry/status") == "online", 90)
        until(lambda: "Next try" in reader.last.get("home/cry/cot/trouble", ""))
        found = entities(reader)
        assert is_available(reader, found["Not listening"])
        assert reader.last[found["Not listening"]["state_topic"]] == found["Not listening"]["payload_on"]
        assert not is_available(reader, found["Crying"])
        running.end(signal.SIGTERM)
        until(lambda: reader.last["home/cry/status"] == "offline")


def test_a_broker_that_is_down_for_a_while_misses_no_alert_and_gets_each_once(
    broker: Broker, tmp_path: Path
) -> None:
    clock = SystemClock()
    with Reader(broker.port) as reader, Receiver() as receiver, open_store(str(tmp_path / "h.db")) as store:
        journal = Journal(store, clock, run="r")
        channels = [Mqtt(broker.address), Webhook(receiver.address)]
        alerts = Alerts(store, journal, clock, channels, Rules(cooldown_s=0))
        journal.start()
        alerts.start(["nursery"])
        alerts.trouble("nursery", "0", clock.now())
        until(lambda: reader.of("home/cry/alert"))
        broker.stop()
        for number in range(1, 6):
            alerts.trouble("nursery", str(number), clock.now())
            time.sleep(0.6)
        assert len(until(lambda: receiver.taken if len(receiver.taken) == 6 else None)) == 6
        assert len(alerts.waiting()) == 5
        broker.start()
        until(lambda: not alerts.waiting())
        wanted = {"homeassistant/binary_sensor/home_cry_nursery/crying/config", "home/cry/status"}
        until(lambda: wanted <= set(reader.last))
        until(lambda: len(set(reader.of("home/cry/alert"))) == 6)
        assert alerts.close() == 0
        assert journal.close()
        rows = store.rows(Delivery, order_by="at")
    got = [json.loads(text) for text in reader.of("home/cry/alert")]
    assert sorted(message["words"] for message in got) == [f"nursery: {number}" for number in range(6)]
    assert {row["state"] for row in rows} == {"delivered"}
    slow = [row["delay_s"] for row in rows if row["channel"].startswith("mqtt")]
    fast = [row["delay_s"] for row in rows if row["channel"].startswith("http")]
    assert max(slow) > 2 > max(fast)  # the broker held up nobody but itself


def test_a_password_is_used_and_never_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    with Broker(tmp_path, password=True) as broker:
        written = PASSWORD.replace("@", "%40").replace("/", "%2F")
        there = f"127.0.0.1:{broker.port}/home/cry"
        monkeypatch.setenv("CRY_MONITOR_NOTIFY", f"mqtt://{USER}:{written}@{there}")
        with Reader(broker.port, user=USER, password=PASSWORD) as reader:
            done = crylens("monitor", "test-alert")
            assert json.loads(until(lambda: reader.of("home/cry/alert"))[0])["event"] == "test"
        wrong = Mqtt(f"mqtt://{USER}:secret2@{there}", longest_s=3)
        with pytest.raises(ChannelError, match="refused: Not authorized") as error:
            wrong.send(trial_message(NOW), NOW.timestamp())
        wrong.close()
    shown = f"{done.stdout}{done.stderr}{wrong.name}{error.value}{caplog.text}"
    assert f"mqtt://127.0.0.1:{broker.port} #" in shown
    assert not [word for word in (PASSWORD, written, "secret2", USER) if word in shown]


def test_an_encrypted_connection_is_taken_only_from_who_is_trusted(tmp_path: Path) -> None:
    certificate = tmp_path / "broker.crt"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", tmp_path / "broker.key", "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    with Broker(tmp_path, certificate=certificate) as broker:
        trusting = Mqtt(f"mqtts://127.0.0.1:{broker.port}?ca={certificate}")
        trusting.send(trial_message(NOW), NOW.timestamp())
        trusting.close()
        careful = Mqtt(f"mqtts://127.0.0.1:{broker.port}", longest_s=2)
        with pytest.raises(ChannelError, match="could not be reached"):
            careful.send(trial_message(NOW), NOW.timestamp())
        careful.close()
    with pytest.raises(SettingsError, match="certificates"):
        Mqtt("mqtts://127.0.0.1?ca=/nowhere.crt")


@pytest.mark.parametrize("address", ["mqtt://", "mqtt://host:port", "mqtt://host/a/+", "mqtt://u:hidden@h?x=1"])
def test_what_is_no_broker_is_said(address: str) -> None:
    with pytest.raises(SettingsError, match="mqtt://USER") as error:
        Mqtt(address)
    assert "hidden" not in str(error.value)


def test_each_room_has_topics_of_its_own_whatever_it_is_called() -> None:
    rooms = ["nursery", "room 1", "Room 1", "Küche", "台所", "status", "a.b", "a b"]
    found = slugs(rooms)
    assert (found["nursery"], slugs(["room 1"])) == ("nursery", {"room 1": "room_1"})
    assert len(set(found.values())) == len(rooms)
    assert all(slug.isascii() and slug.replace("_", "").isalnum() for slug in found.values())
    assert "status" not in found.values()


def _free() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

"""Each way to tell somebody: chosen by its address, keeping its secrets, holding up no other."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from broker import until
from listening import crylens
from receiving import Receiver
from telling import Telling

from pipeline.errors import CryError
from pipeline.monitor.alerts import trial_message
from pipeline.monitor.channels import Channel, ChannelError, parse_channel, split_addresses
from pipeline.monitor.models import ChannelRow, Delivery
from pipeline.monitor.rules import Rules
from pipeline.monitor.store import Store
from pipeline.monitor.webhook import Webhook

NOW = datetime(2026, 6, 1, 20, 0, tzinfo=UTC)


def json_address(receiver: Receiver) -> str:
    """The same receiver, told through apprise."""
    return f"json://user:hidden@127.0.0.1:{receiver.port}/hook?token=hidden"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://user:hidden@home.lan:8443/hidden/hook?key=hidden", "https://home.lan:8443"),
        ("mqtt://user:hidden@home.lan/hidden", "mqtt://home.lan"),
        ("ntfys://user:hidden@ntfy.example.org/hidden", "ntfys://ntfy.example.org"),
        ("ntfy://hidden", "ntfy://"),
        ("tgram://123456789:hidden_hidden_hidden/12315544/", "tgram://"),
        ("discord://4174216298/hidden-hidden", "discord://"),
        ("slack://T1HIDDEN9/A1HIDDEN9/HiddenHiddenHiddenHidden/", "slack://"),
        ("mailtos://me:hidden@gmail.com?to=you@hidden.org", "mailtos://gmail.com"),
        ("json://user:hidden@[::1]:80/hidden", "json://::1"),
    ],
)
def test_a_channel_is_called_by_scheme_and_host_and_nothing_that_may_be_a_key(
    address: str, shown: str
) -> None:
    name = parse_channel(address).name
    assert name.partition(" #")[0] == shown
    assert name == parse_channel(address).name
    other = (
        address.replace("hidden", "hiddem", 1)
        if "hidden" in address
        else address.replace("Hidden", "Hiddem", 1)
    )
    assert name != parse_channel(other).name  # what differs in a key is another channel


@pytest.mark.parametrize(
    "address",
    ["hidden", "http://", "https://[hidden", "nosuch://hidden", "tgram://hidden", "mqtt://user:hidden@", ""],
)
def test_what_is_no_address_is_said_without_saying_it(address: str) -> None:
    with pytest.raises(CryError) as error:
        parse_channel(address)
    assert "hidden" not in str(error.value)


def test_addresses_with_commas_between_them_may_have_commas_inside() -> None:
    text = "mqtt://a:b@c/d, ntfys://h/one,two,three?tags=x,y ,https://e/f?g=1,2,"
    assert split_addresses(text) == [
        "mqtt://a:b@c/d",
        "ntfys://h/one,two,three?tags=x,y",
        "https://e/f?g=1,2",
    ]
    assert split_addresses(" ") == []


def test_apprise_delivers_and_says_in_words_when_it_could_not(caplog: pytest.LogCaptureFixture) -> None:
    with Receiver(500, "drop") as receiver:
        channel = parse_channel(json_address(receiver))
        message = {**trial_message(NOW), "room": "nursery", "words": "Crying ✓", "delay_s": 125.0}
        with pytest.raises(ChannelError, match=r"json://127.0.0.1 #\w{8} answered 500\.") as first:
            channel.send(message, NOW.timestamp())
        with pytest.raises(ChannelError, match="could not be reached") as second:
            channel.send(message, NOW.timestamp())
        channel.send(message, NOW.timestamp())
    (told,) = receiver.taken
    assert told["title"] == "CryLens: nursery"
    assert told["message"].startswith("Crying ✓\n")
    assert told["message"].endswith(", 2:05 ago")
    with pytest.raises(ChannelError, match="could not be reached"):  # it is gone now
        channel.send(message, NOW.timestamp())
    assert "hidden" not in f"{first.value}{second.value}{caplog.text}"


class Slow(Channel):
    """Takes what it is given when it is let."""

    name = "slow"

    def __init__(self) -> None:
        self.let, self.taken = threading.Event(), list[Any]()

    def send(self, message: Mapping[str, Any], at_s: float) -> None:
        assert self.let.wait(30)
        self.taken.append(message)


class Broken(Slow):
    """A channel with a mistake in it."""

    name = "broken"

    def send(self, message: Mapping[str, Any], at_s: float) -> None:
        raise KeyError("hidden")


def test_a_channel_that_hangs_or_breaks_holds_up_no_other(store: Store) -> None:
    slow = Slow()
    with Receiver() as receiver:
        telling = Telling(store, slow, Broken(), Webhook(receiver.address), rules=Rules(cooldown_s=0))
        for key in "abc":
            telling.cry(key, 20)
        until(lambda: len(receiver.taken) == 3)
        assert not slow.taken
        slow.let.set()
        until(lambda: len(slow.taken) == 3)
        rows = {row["channel"]: row for row in telling.close()}
    assert rows["broken"]["state"] == "waiting"
    assert rows["broken"]["error"] == "broken did not take it: it broke off with KeyError."
    assert {rows[name]["state"] for name in rows if name != "broken"} == {"delivered"}


def test_what_works_again_is_given_all_that_waits_at_once(store: Store) -> None:
    with Receiver(503, 503, 503, 503, 503) as receiver:
        telling = Telling(store, Webhook(receiver.address), rules=Rules(cooldown_s=0))

        def tries(number: int) -> int:
            waiting = telling.alerts.waiting()
            return int(waiting[number]["tries"]) if number < len(waiting) else 0

        telling.cry("old", 20)
        for number, wait_s in ((1, 1.0), (2, 2.0), (3, 4.0), (4, 0.0)):
            until(lambda number=number: tries(0) == number)
            telling.clock.passed_s += wait_s
        telling.cry("new", 20)
        until(lambda: tries(1) == 1)
        telling.clock.passed_s += 1  # the new one's time; the old one's would come in seven seconds
        until(lambda: len(receiver.taken) == 2)
        assert [message["episode_id"] for message in receiver.taken] == ["new", "old"]
        telling.close()


def test_what_is_a_day_old_is_given_up_and_that_is_said(store: Store) -> None:
    with Receiver(*[503] * 99) as receiver:
        telling = Telling(store, Webhook(receiver.address))
        telling.cry("e", 20)
        until(lambda: telling.alerts.waiting()[0]["tries"])
        telling.clock.passed_s = 24 * 3600 + 1
        until(lambda: not telling.alerts.waiting())
        (row,) = telling.close()
    assert (row["state"], "answered 503" in row["error"]) == ("expired", True)
    assert any("has not taken an alert for a day" in words for words in telling.said)


def test_what_waits_for_a_channel_that_is_no_longer_named_is_given_up_after_a_day(store: Store) -> None:
    with Receiver(*[503] * 99) as old, Receiver() as new:
        telling = Telling(store, Webhook(old.address))
        telling.cry("e", 20)
        until(lambda: telling.alerts.waiting()[0]["tries"])
        assert telling.close()[0]["state"] == "waiting"
        again = Telling(store, Webhook(new.address), after_s=3600)
        time.sleep(0.1)
        assert not again.alerts.waiting()  # it is no trouble of a channel that is there
        again.clock.passed_s = 25 * 3600
        until(lambda: any("is no longer used" in words for words in again.said))
        assert again.close()[0]["state"] == "expired"
        assert not new.taken


def test_a_channel_that_is_asked_shows_when_it_last_said_yes(store: Store) -> None:
    with Receiver(204, 500) as asked, Receiver() as unasked:
        telling = Telling(store, Webhook(asked.address, probe_every_s=60), Webhook(unasked.address))

        def row(receiver: Receiver) -> dict[str, Any]:
            found = {row["name"]: row for row in telling.alerts.channel_rows()}
            return found[Webhook(receiver.address).name]

        until(lambda: row(asked)["accepted_at"])
        assert asked.taken[0]["event"] == "probe"
        telling.clock.passed_s = 61
        until(lambda: row(asked)["error"])
        assert row(asked)["accepted_at"] < row(asked)["at"]
        telling.clock.passed_s = 125
        until(lambda: row(asked)["error"] is None)
        assert row(unasked) | {"name": ""} == {
            "name": "",
            "run": "r",
            "at": None,
            "accepted_at": None,
            "error": None,
            "probe_every_s": None,
        }
        telling.cry("e", 20)
        until(lambda: row(unasked)["accepted_at"])
        telling.close()
        assert not [one for one in unasked.taken if one["event"] == "probe"]
        assert {one["name"] for one in store.rows(ChannelRow)} == {row(asked)["name"], row(unasked)["name"]}
        assert len(store.rows(Delivery)) == 2  # a probe is no alert


def test_the_command_tests_each_channel_and_fails_when_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Receiver() as well, Receiver(500) as failing:
        monkeypatch.setenv("CRY_MONITOR_NOTIFY", f"{well.address}, {json_address(well)}")
        done = crylens("monitor", "test-alert", "--notify", failing.address, status=1)
    said = done.stdout + done.stderr
    assert len(well.taken) == 2
    assert said.count("took it.") == 2
    assert "answered 500" in said
    assert "hidden" not in said
    monkeypatch.delenv("CRY_MONITOR_NOTIFY")
    assert "nobody to tell" in crylens("monitor", "test-alert", status=2).stderr
    alone = crylens("monitor", "test-alert", "--escalate-to", "https://home.lan/hook", status=2)
    assert "told first" in alone.stderr

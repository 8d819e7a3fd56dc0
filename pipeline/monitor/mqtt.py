"""A channel for alerts, and for how each room is doing just now: an MQTT broker, as of a Home Assistant."""

from __future__ import annotations

import json
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from pipeline.errors import SettingsError
from pipeline.monitor.channels import Channel, ChannelError, channel_name
from pipeline.monitor.homeassistant import OFFLINE, ONLINE, Topics, discovery, slugs

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessageInfo

_QOS = 1
_KEEPALIVE_S = 15
_LONGEST_S = 10.0
_FIRST_RETRY_S, _LONGEST_RETRY_S = 1, 30
_EVERY_S = 5.0
_PROBE_S = 30.0
_HOW = "write mqtt://USER:PASSWORD@HOST:1883/PREFIX, or mqtts:// for an encrypted connection"


@dataclass
class _Shown:
    """What is known of a room, and what of it the broker was told."""

    state: dict[str, Any] = field(default_factory=dict)
    told: dict[str, Any] = field(default_factory=dict)
    next_s: float = 0.0
    available: bool = False
    words: str = "It is starting."
    words_next_s: float = 0.0


class Mqtt(Channel):
    """``mqtt://[USER:PASSWORD@]HOST[:1883][/PREFIX][?discovery=homeassistant][&ca=FILE]``; mqtts for TLS.

    Connects by itself, and again whenever the connection is lost, after 1 s, 2 s, … up to 30 s.
    """

    probe_every_s = _PROBE_S

    def __init__(self, address: str, *, longest_s: float = _LONGEST_S) -> None:
        """Name a broker.

        Raises:
            SettingsError: the address is not written so, or the file of ``ca`` cannot be used.
        """
        try:
            parts = urlsplit(address)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        asked = parse_qs(parts.query, keep_blank_values=True)
        prefix = unquote(parts.path).strip("/") or "crylens"
        if (
            not parts.hostname
            or parts.fragment
            or set(asked) - {"ca", "discovery"}
            or set(prefix) & set("+#\0")
        ):
            raise SettingsError(f"A broker cannot be reached by the address given: {_HOW}.")
        self._secure = parts.scheme == "mqtts"
        self._host, self._port = parts.hostname, port or (8883 if self._secure else 1883)
        self.name = channel_name(address, parts.hostname + (f":{port}" if port else ""))
        self._topics, self._found_under = (
            Topics(prefix),
            asked.get("discovery", ["homeassistant"])[0].strip("/"),
        )
        self._longest_s = longest_s
        self._slugs: dict[str, str] = {}
        self._rooms: dict[str, _Shown] = {}
        self._reached: Callable[[], None] = lambda: None
        self._why = "it has not answered yet"
        self._lock, self._connected = threading.RLock(), threading.Event()
        self._flying: dict[str, MQTTMessageInfo] = {}
        self._began_s: float | None = None
        self._client = self._make_client(parts.username, parts.password, asked.get("ca", [None])[0])

    def open(self, rooms: Sequence[str], reached: Callable[[], None]) -> None:
        self._reached, self._slugs = reached, slugs(rooms)
        self._rooms = {room: _Shown() for room in rooms}
        self._client.will_set(self._topics.status, OFFLINE, _QOS, retain=True)
        self._begin()

    def send(self, message: Mapping[str, Any], at_s: float) -> None:
        self._confirmed(message["id"], self._topics.alert, json.dumps(message, ensure_ascii=False))

    def probe(self, message: Mapping[str, Any], at_s: float) -> None:
        """Nobody is disturbed: the broker confirms that it has the time, in a topic of its own."""
        self._confirmed("probe", self._topics.heartbeat, message["at"])

    def show(self, room: str, *, crying: bool, score: float, level_dbfs: float) -> None:
        with self._lock:
            shown = self._rooms.get(room)
            if shown is None:  # it is not open yet
                return
            shown.state = {
                "crying": "ON" if crying else "OFF",
                "score": round(score, 3),
                "level_dbfs": round(level_dbfs, 1),
            }
            if shown.state["crying"] != shown.told.get("crying") or time.monotonic() >= shown.next_s:
                self._tell_state(room)

    def set_available(self, room: str, available: bool, words: str) -> None:
        with self._lock:
            shown = self._rooms.get(room)
            if shown is None:
                return
            words = "" if available else words
            if shown.available != available or (
                shown.words != words and time.monotonic() >= shown.words_next_s
            ):
                shown.available, shown.words = available, words
                self._tell_available(room)

    def close(self) -> None:
        if self._began_s is None:
            return
        if self._connected.is_set() and self._rooms:
            for room in self._rooms:
                self.set_available(room, False, "The monitor was stopped.")
            last = self._client.publish(self._topics.status, OFFLINE, _QOS, retain=True)
            _wait(last, self._longest_s / 4)
        self._client.disconnect()
        self._client.loop_stop()

    def _make_client(self, user: str | None, password: str | None, ca: str | None) -> Any:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        # A name of its own each time: of two that share one, the broker puts one out.
        client = Client(CallbackAPIVersion.VERSION2, client_id=f"crylens-{secrets.token_hex(6)}")
        if user:
            client.username_pw_set(unquote(user), unquote(password) if password else None)
        if self._secure:
            try:
                client.tls_set_context(ssl.create_default_context(cafile=ca))
            except (OSError, ssl.SSLError) as error:
                raise SettingsError(f"The certificates in '{ca}' cannot be used: {error}.") from error
        client.reconnect_delay_set(_FIRST_RETRY_S, _LONGEST_RETRY_S)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_connect_fail = self._on_connect_fail
        return client

    def _begin(self) -> None:
        with self._lock:
            if self._began_s is not None:
                return
            self._began_s = time.monotonic()
        self._client.connect_async(self._host, self._port, keepalive=_KEEPALIVE_S)
        self._client.loop_start()

    def _on_connect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        del client, data, flags, properties
        if reason.is_failure:
            self._why = f"it refused: {reason}"
            return
        self._connected.set()
        with self._lock:
            for room, slug in self._slugs.items():
                if self._found_under:
                    for topic, config in discovery(self._topics, room, slug, self._found_under).items():
                        self._publish(topic, json.dumps(config, ensure_ascii=False), retain=True)
                self._tell_available(room)
                if self._rooms[room].state:
                    self._tell_state(room)
            if self._rooms:
                self._publish(self._topics.status, ONLINE, retain=True)
        self._reached()

    def _on_disconnect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        del client, data, flags, properties
        if self._connected.is_set():
            self._why = f"the connection was lost ({reason})"
        self._connected.clear()

    def _on_connect_fail(self, client: Any, data: Any) -> None:
        del client, data
        self._why = "nothing answers there"

    def _publish(self, topic: str, payload: str, *, retain: bool = False) -> None:
        if self._connected.is_set():  # what cannot go now is told anew on the next connection
            self._client.publish(topic, payload, _QOS, retain=retain)

    def _tell_state(self, room: str) -> None:
        shown = self._rooms[room]
        self._publish(self._topics.state(self._slugs[room]), json.dumps(shown.state))
        shown.told, shown.next_s = shown.state, time.monotonic() + _EVERY_S

    def _tell_available(self, room: str) -> None:
        shown, slug = self._rooms[room], self._slugs[room]
        words = json.dumps({"words": shown.words}, ensure_ascii=False)
        self._publish(self._topics.trouble(slug), words, retain=True)
        self._publish(self._topics.available(slug), ONLINE if shown.available else OFFLINE, retain=True)
        shown.words_next_s = time.monotonic() + _EVERY_S

    def _confirmed(self, key: str, topic: str, payload: str) -> None:
        """Publish, and wait until the broker has confirmed it.

        What was published and is not confirmed is not published a second time: paho sends it again itself
        when the connection is back.

        Raises:
            ChannelError: not within the time there is.
        """
        self._begin()
        assert self._began_s is not None
        if not self._connected.wait(max(0.0, self._began_s + self._longest_s - time.monotonic())):
            raise ChannelError(f"{self.name} could not be reached: {self._why}.")
        info = self._flying.pop(key, None) or self._client.publish(topic, payload, _QOS)
        if info.rc:  # the connection was lost this very moment
            raise ChannelError(f"{self.name} could not be reached: {self._why}.")
        if not _wait(info, self._longest_s):
            self._flying[key] = info
            raise ChannelError(f"{self.name} has not confirmed it within {self._longest_s:g} s.")


def _wait(info: MQTTMessageInfo, longest_s: float) -> bool:
    """Whether the broker confirms it within that time."""
    try:
        info.wait_for_publish(longest_s)
        return info.is_published()
    except (RuntimeError, ValueError):  # it never went out
        return False

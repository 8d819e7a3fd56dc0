"""Ways to tell somebody, behind one small port; which one it is says the address."""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from pipeline.errors import CryError, SettingsError

_BETWEEN = re.compile(r"\s*,\s*(?=[A-Za-z][A-Za-z0-9+.-]*://)")


class ChannelError(CryError):
    """An alert could not be handed over; it is tried again."""

    default_code = "not-delivered"


class Channel(ABC):
    """A way to tell somebody.

    Attributes:
        name: for people and the history; never holds a password, a key, or a path that may be one.
        probe_every_s: how often it is asked whether it would take an alert, seconds; None: never, since
            asking would disturb somebody.
    """

    name: str
    probe_every_s: float | None = None

    @abstractmethod
    def send(self, message: Mapping[str, Any], at_s: float) -> None:
        """Hand a message over; called by one thread at a time.

        Args:
            message: plain values; its "id" is the same each time it is sent.
            at_s: now, Unix time.

        Raises:
            ChannelError: it was not taken.
        """

    def probe(self, message: Mapping[str, Any], at_s: float) -> None:
        """Find out whether it would take an alert; as :meth:`send`, whose thread asks, too."""
        self.send(message, at_s)

    def open(self, rooms: Sequence[str], reached: Callable[[], None]) -> None:
        """The monitor begins to listen to these rooms; ``reached`` is called when a connection is back."""
        del rooms, reached

    def show(self, room: str, *, crying: bool, score: float, level_dbfs: float) -> None:
        """How a room is doing just now, told several times a second; never waits."""
        del room, crying, score, level_dbfs

    def set_available(self, room: str, available: bool, words: str) -> None:
        """Whether a room is really listened to, and why not; never waits."""
        del room, available, words

    def close(self) -> None:  # noqa: B027 - most have nothing to end
        """The monitor ends."""


def channel_name(address: str, host: str | None = None) -> str:
    """Scheme and host of an address. The sum tells addresses apart that differ in what is not shown."""
    scheme = urlsplit(address).scheme
    return f"{scheme}://{host or ''} #{hashlib.sha256(address.encode()).hexdigest()[:8]}"


def parse_channel(
    address: str,
    *,
    secret: str | None = None,
    probe_every_s: float | None = None,
    message_every_s: float | None = None,
) -> Channel:
    """The channel of an address: MQTT, a webhook (http, https), or whatever apprise knows.

    Args:
        secret: signs what webhooks are sent.
        probe_every_s: a webhook is sent a probe so often.
        message_every_s: others are sent a message that the monitor is there so often.

    Raises:
        SettingsError: it is no such address.
    """
    scheme = address.partition("://")[0].lower()
    if scheme in ("mqtt", "mqtts"):
        from pipeline.monitor.mqtt import Mqtt

        return Mqtt(address)
    if scheme in ("http", "https"):
        from pipeline.monitor.webhook import Webhook

        return Webhook(address, secret, probe_every_s=probe_every_s)
    if scheme == address:
        raise SettingsError(
            "A channel is named by its address, such as mqtt://home.lan, https://home.lan/hook or "
            "ntfys://ntfy.example.org/topic: what was given holds no '://'."
        )
    from pipeline.monitor.apprise_channel import Apprise

    return Apprise(address, message_every_s=message_every_s)


def split_addresses(text: str) -> list[str]:
    """Addresses with commas between them; a comma inside an address is none of those."""
    return [address for address in _BETWEEN.split(text.strip().strip(",")) if address]

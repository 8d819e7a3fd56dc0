"""A channel for alerts: the hundred services that apprise knows."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from pipeline.errors import SettingsError
from pipeline.formats import clock as length
from pipeline.monitor.channels import Channel, ChannelError, channel_name

_KINDS = {"crying": "warning", "trouble": "failure", "all-clear": "success"}
_LATE_S = 10.0


class Apprise(Channel):
    """One apprise address: ``ntfys://HOST/TOPIC``, ``tgram://TOKEN/CHAT``, ``mailtos://…`` and so on."""

    def __init__(self, address: str, *, message_every_s: float | None = None) -> None:
        """Name an address. Keys can stand anywhere in it: only a host that is one is ever shown.

        Args:
            message_every_s: somebody gets the message that the monitor is there so often.

        Raises:
            SettingsError: apprise does not know such an address.
        """
        import apprise

        _log.attach()
        # No pictures from elsewhere, nothing kept on the disk.
        asset = apprise.AppriseAsset(
            app_id="CryLens", app_desc="CryLens", app_url="", image_url_mask="", image_url_logo="",
            storage_mode=apprise.PersistentStoreMode.MEMORY,
        )  # fmt: skip
        scheme = address.partition("://")[0]
        service = apprise.Apprise.instantiate(address, asset=asset)
        if service is None:
            raise SettingsError(
                f"The address {scheme}://… cannot be used: apprise knows no such service, or it is not "
                "written as its page on that service says."
            )
        self.name = channel_name(address, _host(address, service.url(privacy=True)))
        self.probe_every_s = message_every_s
        self._apprise = apprise.Apprise(asset=asset)
        self._apprise.add(service)

    def send(self, message: Mapping[str, Any], at_s: float) -> None:
        at = datetime.fromisoformat(message["at"]).astimezone()
        late = f", {length(message['delay_s'])} ago" if message["delay_s"] >= _LATE_S else ""
        said: list[str] = []
        before = _said.set(said)
        try:
            taken = self._apprise.notify(
                title=f"CryLens: {message['room'] or 'monitor'}",
                body=f"{message['words']}\n{at:%H:%M:%S}{late}",
                notify_type=_KINDS.get(message["event"], "info"),
            )
        finally:
            _said.reset(before)
        if not taken:
            raise ChannelError(f"{self.name} {_why(' '.join(said))}.")


def _host(address: str, masked: str) -> str | None:
    """The host of an address where it is one; in many addresses a key stands in its place."""
    try:
        host, shown = urlsplit(address).hostname, urlsplit(masked).hostname
    except ValueError:
        return None
    if host is None or host != shown:
        return None
    return host if "." in host or ":" in host or host == "localhost" else None


def _why(said: str) -> str:
    """What apprise said of a failure, in words that hold no part of an address."""
    answered = re.search(r"error=(\d{3})", said)
    if answered:
        return f"answered {answered[1]}"
    if re.search(r"connection|socket|timed? ?out", said, re.IGNORECASE):
        return "could not be reached"
    return "did not take it, for a reason that its service does not give"


# What apprise says while a channel sends, in whichever of its threads.
_said: ContextVar[list[str] | None] = ContextVar("said", default=None)


class _Log(logging.Handler):
    """Hears what apprise says, and passes nothing on: it may hold parts of an address."""

    def attach(self) -> None:
        logger = logging.getLogger("apprise")
        if self not in logger.handlers:
            logger.addHandler(self)
            logger.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        said = _said.get()
        if said is not None and record.levelno >= logging.WARNING:
            said.append(record.getMessage())


_log = _Log()

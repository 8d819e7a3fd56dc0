"""A channel for alerts: a signed POST to an address."""

from __future__ import annotations

import hashlib
import hmac
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from pipeline.errors import SettingsError
from pipeline.monitor.channels import Channel, ChannelError, channel_name

SIGNATURE = "X-CryLens-Signature"
_LONGEST_S = 10.0


class Webhook(Channel):
    """POSTs JSON. With a secret, ``X-CryLens-Signature: t=TIME,v1=HEX``: HMAC-SHA-256 of ``TIME.BODY``."""

    def __init__(
        self,
        address: str,
        secret: str | None = None,
        *,
        probe_every_s: float | None = None,
        longest_s: float = _LONGEST_S,
    ) -> None:
        """Name an address. Whether it would take an alert only shows when it is sent something: what
        ``probe_every_s`` asks for is the event "probe".

        Raises:
            SettingsError: it is none of http or https.
        """
        try:
            parts = urlsplit(address)
            port = f":{parts.port}" if parts.port else ""
        except ValueError:
            parts, port = urlsplit(""), ""
        if parts.scheme not in ("http", "https") or not parts.hostname:
            # What was given is not said again: it may hold a key.
            raise SettingsError(
                "A webhook cannot be used: an address such as https://home.lan/hook is needed."
            )
        self.name = channel_name(address, f"{parts.hostname}{port}")
        self._address, self._secret, self._longest_s = address, secret, longest_s
        self.probe_every_s = probe_every_s
        self._opener = urllib.request.build_opener(_NoRedirect)

    def send(self, message: Mapping[str, Any], at_s: float) -> None:
        body = json.dumps(message, ensure_ascii=False, allow_nan=False).encode()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "CryLens",
            "Idempotency-Key": message["id"],
        }
        if self._secret:
            headers[SIGNATURE] = f"t={at_s:.0f},v1={signature(self._secret, f'{at_s:.0f}', body)}"
        request = urllib.request.Request(self._address, body, headers, method="POST")
        try:
            with self._opener.open(request, timeout=self._longest_s) as answer:
                answer.read(1)
        except urllib.error.HTTPError as error:
            error.close()
            raise ChannelError(f"{self.name} answered {error.code} {error.reason}.") from error
        except (OSError, ValueError) as error:  # ValueError: an answer that is no HTTP
            said = getattr(error, "reason", None) or error
            raise ChannelError(f"{self.name} could not be reached: {said}.") from error


def signature(secret: str, time: str, body: bytes) -> str:
    """HMAC-SHA-256, in hexadecimal, of the time, a dot and the body."""
    return hmac.new(secret.encode(), time.encode() + b"." + body, hashlib.sha256).hexdigest()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST would arrive as a GET without the alert."""

    def redirect_request(self, *args: Any, **keywords: Any) -> None:
        del args, keywords

"""A channel for alerts: a signed POST to an address."""

from __future__ import annotations

import hashlib
import hmac
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

from pipeline.errors import CryError, SettingsError
from pipeline.monitor.sources import printable_address

SIGNATURE = "X-CryLens-Signature"
_LONGEST_S = 10.0


class ChannelError(CryError):
    """An alert could not be handed over; it is tried again."""

    default_code = "not-delivered"


class Channel(Protocol):
    """A way to tell somebody. ``name``: for people and the history; never holds a password."""

    name: str

    def send(self, message: Mapping[str, Any], at_s: float) -> None:
        """Hand a message over.

        Args:
            message: plain values; its "id" is the same each time it is sent.
            at_s: now, Unix time.

        Raises:
            ChannelError: it was not taken.
        """
        ...


class Webhook:
    """POSTs JSON. With a secret, ``X-CryLens-Signature: t=TIME,v1=HEX``: HMAC-SHA-256 of ``TIME.BODY``."""

    def __init__(self, address: str, secret: str | None = None, *, longest_s: float = _LONGEST_S) -> None:
        """Name an address.

        Raises:
            SettingsError: it is none of http or https.
        """
        if urlsplit(address).scheme not in ("http", "https") or not urlsplit(address).hostname:
            raise SettingsError(
                f"Webhook '{printable_address(address)}' cannot be used: an http(s) address is needed."
            )
        # The sum tells addresses apart that differ in what is not shown.
        self.name = f"{printable_address(address)} #{hashlib.sha256(address.encode()).hexdigest()[:8]}"
        self._address, self._secret, self._longest_s = address, secret, longest_s
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

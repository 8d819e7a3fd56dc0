"""A real MQTT broker that can be stopped and started again, and somebody who reads along."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
USER, PASSWORD = "monitor", "pass@w0rd/hidden"


def until(there: Callable[[], Any], longest_s: float = 30.0) -> Any:
    """Wait for something, and give it back."""
    deadline = time.monotonic() + longest_s
    while not (found := there()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


class Broker:
    """mosquitto on a port of its own; nothing of it is kept over a stop."""

    def __init__(self, folder: Path, *, password: bool = False, certificate: Path | None = None) -> None:
        if MOSQUITTO is None:
            pytest.skip(
                "no mosquitto found: install Debian's package mosquitto to run the tests with a broker"
            )
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        lines = [f"listener {self.port} 127.0.0.1", f"allow_anonymous {'false' if password else 'true'}"]
        if password:
            users = folder / "users"
            subprocess.run(
                ["mosquitto_passwd", "-b", "-c", users, USER, PASSWORD], check=True, capture_output=True
            )
            users.chmod(0o644)
            lines.append(f"password_file {users}")
        if certificate is not None:
            lines += [f"certfile {certificate}", f"keyfile {certificate.with_suffix('.key')}"]
        self._config = folder / "mosquitto.conf"
        if os.getuid() == 0:
            lines.append("user root")
        self._config.write_text("\n".join([*lines, "persistence false", ""]))
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def address(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}/home/cry"

    def start(self) -> None:
        assert MOSQUITTO is not None
        self._process = subprocess.Popen([MOSQUITTO, "-c", self._config], stderr=subprocess.DEVNULL)
        until(self._answers)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "mosquitto ended"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def __enter__(self) -> Broker:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Reader:
    """Reads everything, as Home Assistant would; connects again by itself."""

    def __init__(self, port: int, *, user: str | None = None, password: str | None = None) -> None:
        self.read: list[tuple[str, str]] = []
        self.last: dict[str, str] = {}
        ready = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.reconnect_delay_set(1, 1)
        if user:
            self._client.username_pw_set(user, password)

        def on_connect(client: Client, *_: object) -> None:
            client.subscribe("#", 1)

        def on_message(_: object, __: object, message: Any) -> None:
            self.read.append((message.topic, message.payload.decode()))
            self.last[message.topic] = message.payload.decode()

        self._client.on_connect, self._client.on_message = on_connect, on_message
        self._client.on_subscribe = lambda *_: ready.set()
        self._client.connect_async("127.0.0.1", port, 5)
        self._client.loop_start()
        assert ready.wait(20)

    def of(self, topic: str) -> list[str]:
        """What came under a topic."""
        return [payload for name, payload in self.read if name == topic]

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

"""What Home Assistant finds by itself: one device a room, its entities, and the topics they read."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# A state that is not told again within this time is not true any more, seconds.
EXPIRES_S = 30
ONLINE, OFFLINE = "online", "offline"


@dataclass(frozen=True)
class Topics:
    """Where a monitor writes, below its prefix.

    Attributes:
        status: "online", or "offline" by last will: the monitor is there.
        alert: alerts as JSON, as a webhook gets them.
        heartbeat: the time, now and then: is the broker taking things?
    """

    prefix: str

    @property
    def status(self) -> str:
        return f"{self.prefix}/status"

    @property
    def alert(self) -> str:
        return f"{self.prefix}/alert"

    @property
    def heartbeat(self) -> str:
        return f"{self.prefix}/heartbeat"

    def state(self, slug: str) -> str:
        """Crying, score and level of a room, as JSON."""
        return f"{self.prefix}/{slug}/state"

    def available(self, slug: str) -> str:
        """ "online" while a room is really listened to, else "offline"."""
        return f"{self.prefix}/{slug}/available"

    def trouble(self, slug: str) -> str:
        """Why it is not, as JSON."""
        return f"{self.prefix}/{slug}/trouble"


def slugs(rooms: Sequence[str]) -> dict[str, str]:
    """A name for each room that may stand in a topic, each its own."""
    plain = {room: re.sub(r"[^a-z0-9]+", "_", room.lower()).strip("_") for room in rooms}
    found = {}
    for room, slug in plain.items():
        said_all = re.sub(r"[^\w]+", "_", room.lower()).strip("_") == slug
        if (
            slug in ("", "status", "alert", "heartbeat")
            or not said_all
            or list(plain.values()).count(slug) > 1
        ):
            slug = f"{slug or 'room'}_{hashlib.sha256(room.encode()).hexdigest()[:6]}"
        found[room] = slug
    return found


def discovery(topics: Topics, room: str, slug: str, found_under: str) -> dict[str, dict[str, Any]]:
    """The configuration of each entity of a room, by the topic it belongs in; to be retained there."""
    base = f"{re.sub(r'[^a-zA-Z0-9]+', '_', topics.prefix)}_{slug}"
    listened = [{"topic": topics.status}, {"topic": topics.available(slug)}]
    measured = {
        "state_topic": topics.state(slug),
        "expire_after": EXPIRES_S,
        "availability": listened,
        "availability_mode": "all",
    }
    entities: list[tuple[str, str, dict[str, Any]]] = [
        (
            "binary_sensor",
            "crying",
            {
                "name": "Crying",
                "device_class": "sound",
                "value_template": "{{ value_json.crying }}",
                **measured,
            },
        ),
        (
            "sensor",
            "score",
            {
                "name": "Score",
                "icon": "mdi:waveform",
                "state_class": "measurement",
                "suggested_display_precision": 2,
                "value_template": "{{ value_json.score }}",
                **measured,
            },
        ),
        (
            "sensor",
            "level",
            {
                "name": "Level",
                "icon": "mdi:volume-high",
                "unit_of_measurement": "dBFS",
                "state_class": "measurement",
                "value_template": "{{ value_json.level_dbfs }}",
                **measured,
            },
        ),
        (
            "binary_sensor",
            "problem",
            {
                "name": "Not listening",
                "device_class": "problem",
                "entity_category": "diagnostic",
                "state_topic": topics.available(slug),
                "payload_on": OFFLINE,
                "payload_off": ONLINE,
                "json_attributes_topic": topics.trouble(slug),
                "availability": [{"topic": topics.status}],
            },
        ),
        # Without availability: it says "disconnected" when the monitor is gone, where others only vanish.
        (
            "binary_sensor",
            "monitor",
            {
                "name": "Monitor",
                "device_class": "connectivity",
                "entity_category": "diagnostic",
                "state_topic": topics.status,
                "payload_on": ONLINE,
                "payload_off": OFFLINE,
            },
        ),
    ]
    device = {"identifiers": [base], "name": f"CryLens {room}", "manufacturer": "CryLens", "model": "Monitor"}
    return {
        f"{found_under}/{kind}/{base}/{name}/config": {
            **config,
            "unique_id": f"{base}_{name}",
            "qos": 1,
            "device": device,
            "origin": {"name": "CryLens"},
        }
        for kind, name, config in entities
    }

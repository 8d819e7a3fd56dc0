"""Log lines as JSON, one object each. No audio, no tokens, no names of files, no addresses of clients."""

from __future__ import annotations

import json
import logging
import logging.config
from datetime import UTC, datetime
from typing import Any

log = logging.getLogger("pipeline.service")


class JsonLines(logging.Formatter):
    """A record as a JSON object: time (UTC), level, event, and the fields of ``extra``."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class NotSaidTwice(logging.Filter):
    """Leaves out what uvicorn says of streams: clients' addresses, and that one that was refused never began.

    The request's own line, by the gate, says what is to be known of it.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to keep it."""
        told = str(record.msg)
        return not told.startswith(('%s - "WebSocket', "ASGI callable returned without completing handshake"))


def configure() -> None:
    """Send this program's and uvicorn's log to standard error as JSON lines, and what others warn of.

    For programs, not libraries.
    """
    logging.captureWarnings(True)
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"json": {"()": JsonLines}},
            "filters": {"streams": {"()": NotSaidTwice}},
            "handlers": {
                "stderr": {"class": "logging.StreamHandler", "formatter": "json", "filters": ["streams"]}
            },
            "root": {"handlers": ["stderr"], "level": "WARNING"},
            "loggers": {
                name: {"handlers": ["stderr"], "level": level, "propagate": False}
                for name, level in (("pipeline", "INFO"), ("uvicorn", "INFO"), ("uvicorn.access", "ERROR"))
            },
        }
    )


def say(event: str, level: int = logging.INFO, *, exc_info: Any = None, **fields: Any) -> None:
    """Log an event with its fields."""
    log.log(level, event, extra={"fields": fields}, exc_info=exc_info)

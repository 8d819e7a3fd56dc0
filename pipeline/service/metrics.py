"""Figures for Prometheus, in a registry of the application's own."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from pipeline import __version__

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """What is counted. Labels take few values: routes by template, never by what a client wrote."""

    def __init__(self, role: str) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "crylens_requests", "Requests answered.", ["method", "route", "status"], registry=registry
        )
        self.seconds = Histogram(
            "crylens_request_seconds",
            "From the first byte of a request to the last of its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.errors = Counter("crylens_errors", "Problem documents sent.", ["code"], registry=registry)
        self.audio_seconds = Counter(
            "crylens_audio_seconds", "Seconds of sound heard.", ["route"], registry=registry
        )
        self.decode_seconds = Histogram(
            "crylens_decode_seconds", "Decoding one upload.", buckets=_SECONDS, registry=registry
        )
        self.decoders_replaced = Counter(
            "crylens_decoders_replaced", "Decoding processes given up.", ["reason"], registry=registry
        )
        self.streams = Gauge("crylens_streams", "Live streams open.", registry=registry)
        info = Gauge("crylens_info", "Always 1.", ["version", "role"], registry=registry)
        info.labels(__version__, role).set(1)

    def watch(self, name: str, about: str, value: Callable[[], float]) -> None:
        """A gauge that is read when it is asked for."""
        Gauge(name, about, registry=self._registry).set_function(value)

    def text(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self._registry)

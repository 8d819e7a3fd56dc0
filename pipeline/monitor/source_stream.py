"""Cameras, web radio and everything else that FFmpeg opens, through PyAV."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pipeline.errors import AudioError
from pipeline.monitor.sources import Block, Skipped, printable_address

# FFmpeg gives up opening and reading after so long, in seconds, so that no thread waits for ever.
_OPEN_S, _READ_S = 15.0, 15.0
_BLOCK_S = 0.1


class StreamSource:
    """Sound from an address. What comes of a camera's picture is left alone."""

    reopens = True
    arrives = True

    def __init__(self, address: str, *, open_s: float = _OPEN_S, read_s: float = _READ_S) -> None:
        """Name an address; ``open_s`` and ``read_s``: longest waits of FFmpeg, seconds."""
        self.name = printable_address(address)
        self._address, self._timeout = address, (open_s, read_s)

    def blocks(self) -> Iterator[Block | Skipped]:
        import av

        # TCP: a camera's UDP packets are lost without a word.
        options = {"rtsp_transport": "tcp"} if self._address.startswith("rtsp") else {}
        try:
            with av.open(
                self._address, timeout=self._timeout, options=options, metadata_errors="replace"
            ) as container:
                if not container.streams.audio:
                    raise AudioError(f"{self.name}: it has no sound.", "no-audio-track")
                yield from self._decoded(container)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            said = getattr(error, "strerror", None) or type(error).__name__
            raise AudioError(f"{self.name}: it cannot be heard ({said}).", "unreadable") from error

    def _decoded(self, container: object) -> Iterator[Block]:
        import av

        stream = container.streams.audio[0]  # type: ignore[attr-defined]
        resampler, kind, rate = None, None, 0
        held: list[np.ndarray] = []
        for packet in container.demux(stream):  # type: ignore[attr-defined]
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:  # a damaged packet; the next is another
                continue
            for frame in frames:
                found = (frame.sample_rate, frame.layout.name)
                if resampler is None or found != kind:
                    # Only the sample format changes here; rates are for the listener's own resampler.
                    resampler = av.AudioResampler(format="fltp", layout=found[1], rate=found[0])
                    kind = found
                    if sum(map(len, held)):
                        yield self._joined(held, rate)
                    held, rate = [], found[0]
                held += [part.to_ndarray().T for part in resampler.resample(frame)]
                if sum(map(len, held)) >= _BLOCK_S * rate:
                    yield self._joined(held, rate)
                    held = []
        if sum(map(len, held)):
            yield self._joined(held, rate)

    def _joined(self, held: list[np.ndarray], rate: int) -> Block:
        """FFmpeg's frames last some milliseconds; a tenth of a second at a time costs less."""
        return Block(np.ascontiguousarray(np.concatenate(held), dtype=np.float32), rate, self.name)

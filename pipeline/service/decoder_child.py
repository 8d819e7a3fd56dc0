"""The process that decodes what strangers send. It may be killed at any time, and takes nothing with it.

``python -m pipeline.service.decoder_child files MEMORY_MB CPU_S`` reads one JSON job per line from
standard input (``path``, ``out``, ``name``, ``settings``), writes mono float32 samples at 16 kHz to ``out``,
and answers with one JSON line: ``samples``, ``rate`` and ``warnings``, or ``error`` and ``message``.

``… stream MEMORY_MB CPU_S`` decodes an endless Ogg or WebM from standard input to standard output (the same
samples), and says on standard error, as one JSON line, why it stopped before the end, if it did.

Its memory and processor time are limited by the kernel. It is given no secrets: see ``decoding.py``.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import av
import numpy as np

from pipeline import audio
from pipeline._decode import DEMUXERS, AvDecoder, check_shape, to_float
from pipeline._sniff import identify
from pipeline.errors import AudioError
from pipeline.service import DECODER_OUT_OF_MEMORY
from pipeline.settings import Settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BLOCK_S = 10.0
_STREAM_BLOCK = audio.SAMPLE_RATE // 10
_FILE_HANDLES = 64


def main() -> None:
    """Run until standard input ends."""
    mode, memory_mb, cpu_s = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    _limit(memory_mb)
    try:
        if mode == "stream":
            _serve_stream(json.loads(sys.argv[4]))
        else:
            _serve_files(cpu_s)
    except MemoryError:
        sys.exit(DECODER_OUT_OF_MEMORY)


def _limit(memory_mb: int) -> None:
    """No more memory than the program itself and ``memory_mb``; no core files; few open files."""
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if sys.platform == "linux" else 0
    if pages:
        most = pages * resource.getpagesize() + memory_mb * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_FILE_HANDLES, _FILE_HANDLES))


def _limit_time(seconds: float) -> None:
    """So many more seconds of processor time; past them the kernel ends the process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = int(used.ru_utime + used.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (most, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _serve_files(cpu_s: float) -> None:
    _answer({"ready": True})
    for line in sys.stdin.buffer:
        job = json.loads(line)
        _limit_time(cpu_s)
        try:
            _answer(_decode(job))
        except AudioError as error:
            _answer({"error": error.code, "message": str(error)})


def _decode(job: dict[str, Any]) -> dict[str, Any]:
    settings = Settings(**job["settings"])
    count = 0
    with (
        audio.open_stream(job["path"], name=job["name"], settings=settings, block_s=_BLOCK_S) as stream,
        open(job["out"], "wb") as out,
    ):
        for block in stream:
            out.write(block.tobytes())
            count += len(block)
    return {"samples": count, "rate": stream.source_rate, "warnings": list(stream.warnings)}


def _answer(reply: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(reply) + "\n")
    sys.stdout.flush()


def _serve_stream(given: dict[str, Any]) -> None:
    try:
        decoder = LiveDecoder(sys.stdin.buffer, "stream")
        for block in audio.AudioStream(decoder, "stream", Settings(**given), block=_STREAM_BLOCK):
            sys.stdout.buffer.write(block.tobytes())
            sys.stdout.buffer.flush()
    except AudioError as error:
        sys.stderr.write(json.dumps({"error": error.code, "message": str(error)}) + "\n")
    except BrokenPipeError:
        os._exit(0)  # nobody listens any more; there is nothing to tidy up


class LiveDecoder(AvDecoder):
    """FFmpeg over something that arrives bit by bit and cannot be rewound; decodes what is there at once."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        """Wait for the stream's head.

        Raises:
            AudioError: nothing came, or it is not sound.
        """
        head = file.peek(64)[:64] if hasattr(file, "peek") else b""  # type: ignore[attr-defined]
        if not head:
            raise AudioError(f"{name}: it ended before any sound came.", "empty")
        self._name, self._found = name, identify(head)[0]
        self._end, self._counted = None, False
        self.damage: list[str] = []
        # Long probing would hold back the first seconds: what is needed stands in the head of Ogg and WebM.
        options = {"format_whitelist": DEMUXERS, "protocol_whitelist": "none", "probesize": "2048"}
        options |= {"analyzeduration": "0"}
        try:
            self._container = av.open(_Arriving(file), mode="r", options=options, buffer_size=1024)
        except (av.error.FFmpegError, OSError, ValueError, RuntimeError) as error:
            raise AudioError(f"{name}: Opus in Ogg or WebM is needed; found {self._found}.") from error
        self._stream = self._pick()
        self.rate = int(self._stream.codec_context.sample_rate or 0)

    def blocks(self) -> Iterator[tuple[NDArray[np.float32], int]]:
        """Frame by frame."""
        decoded = bad = 0
        for frame in self._frames():
            if frame is None:
                bad += 1
                continue
            check_shape(frame.sample_rate, frame.layout.nb_channels, self._name)
            decoded += frame.samples
            values = frame.to_ndarray()
            planar = frame.format.is_planar
            yield (
                to_float(values.T if planar else values.reshape(-1, frame.layout.nb_channels)),
                frame.sample_rate,
            )
        if bad and not decoded:
            raise AudioError(f"{self._name}: none of it could be decoded.")


class _Arriving:
    """A file that can only be read on, and gives what is there rather than waiting for all."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int) -> bytes:
        """At least a byte, at most ``size``; none at the end."""
        return self._file.read1(size)  # type: ignore[attr-defined, no-any-return]


if __name__ == "__main__":
    main()

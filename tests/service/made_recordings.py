"""Recordings and what pretends to be one, as the bytes of a file."""

from __future__ import annotations

import io
import struct
import zipfile

import numpy as np
import soundfile

from pipeline.audio import SAMPLE_RATE
from pipeline.synthesis import DEMOS


def wav(seconds: float = 3.0, rate: int = SAMPLE_RATE) -> bytes:
    """A cry, put together: up to six seconds, 16-bit."""
    buffer = io.BytesIO()
    cry = np.tile(DEMOS["cry"].make().samples, 2)[: round(seconds * rate)]
    soundfile.write(buffer, cry, rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def flac_bomb(seconds: int, rate: int = 8_000) -> bytes:
    """Silence in FLAC: hours in a few hundred kilobytes."""
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", rate, 1, format="FLAC", subtype="PCM_16") as file:
        for _ in range(seconds // 60):
            file.write(np.zeros(60 * rate, np.int16))
    return buffer.getvalue()


def zipped() -> bytes:
    """A zip with fifty megabytes of nothing."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.wav", b"\0" * 50_000_000)
    return buffer.getvalue()


def with_nan() -> bytes:
    """A second of samples that are no numbers."""
    buffer = io.BytesIO()
    soundfile.write(
        buffer, np.full(SAMPLE_RATE, np.nan, np.float32), SAMPLE_RATE, format="WAV", subtype="FLOAT"
    )
    return buffer.getvalue()


def wav_claiming(rate: int, channels: int) -> bytes:
    """A WAV whose head claims that rate and that many channels."""
    data = b"\1\0" * 50_000
    head = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", 36 + len(data), b"WAVE", b"fmt ", 16, 1, channels, rate,
                       rate * channels * 2 & 0xFFFFFFFF, channels * 2 & 0xFFFF, 16)  # fmt: skip
    return head + b"data" + struct.pack("<I", len(data)) + data

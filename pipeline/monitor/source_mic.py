"""A microphone of this computer, through sounddevice, which is imported only when one is asked for."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from pipeline.audio import SAMPLE_RATE
from pipeline.errors import AudioError
from pipeline.monitor.sources import Block, Skipped

_BLOCK_S = 0.1
# What may wait to be taken, in seconds; what comes on top is lost, and counted.
_WAITING_S = 30.0
# A device that gives nothing for so long, in seconds, is gone.
_GONE_S = 5.0


class MicrophoneSource:
    """An input device. Its call-back only puts what it is given into a queue, and never waits."""

    reopens = True
    arrives = True

    def __init__(self, device: str = "", *, waiting_s: float = _WAITING_S) -> None:
        """``device``: number, or part of the name; empty for the default one."""
        self._device: int | str | None = int(device) if device.isdigit() else device or None
        self.name = f"microphone {device}".strip()
        self._most = max(1, round(waiting_s / _BLOCK_S))

    def blocks(self) -> Iterator[Block | Skipped]:
        sounddevice = _sounddevice()
        waiting: queue.SimpleQueue[tuple[Any, bool]] = queue.SimpleQueue()
        dropped = 0

        def taken(samples: Any, frames: int, time: Any, status: Any) -> None:
            nonlocal dropped
            del frames, time
            if waiting.qsize() >= self._most:
                dropped += 1
            else:
                waiting.put((samples.copy(), bool(status.input_overflow)))

        try:
            with _counted(sounddevice):
                rate = self._rate(sounddevice)
                with sounddevice.InputStream(
                    samplerate=rate,
                    blocksize=round(rate * _BLOCK_S),
                    device=self._device,
                    channels=1,
                    dtype="float32",
                    callback=taken,
                ):
                    told = 0
                    while True:
                        samples, overflow = waiting.get(timeout=_GONE_S)
                        late, told = dropped - told, dropped
                        # How much the device itself dropped is not known: at least some of one block.
                        lost_s = (late + overflow) * _BLOCK_S
                        yield Block(np.asarray(samples, np.float32), rate, self.name, lost_s, late + overflow)
        except queue.Empty:
            raise AudioError(
                f"{self.name}: nothing came from it for {_GONE_S:g} s. Is it still plugged in?", "unreadable"
            ) from None
        except (sounddevice.PortAudioError, ValueError) as error:
            raise AudioError(
                f"{self.name}: it cannot be used ({error}). What there is: crylens monitor --list-devices.",
                "unreadable",
            ) from error

    def _rate(self, sounddevice: Any) -> int:
        """16 kHz where the device has it, else its own rate."""
        try:
            sounddevice.check_input_settings(
                device=self._device, channels=1, dtype="float32", samplerate=SAMPLE_RATE
            )
        except sounddevice.PortAudioError:
            return int(sounddevice.query_devices(self._device, "input")["default_samplerate"])
        return SAMPLE_RATE


def list_devices() -> list[str]:
    """Input devices, one line each: number, name, channels, rate in Hz.

    Raises:
        AudioError: sounddevice or the PortAudio library is missing.
    """
    sounddevice = _sounddevice()
    return [
        f"{number}  {device['name']}  ({device['max_input_channels']} channels, "
        f"{device['default_samplerate']:.0f} Hz)"
        for number, device in enumerate(sounddevice.query_devices())
        if device["max_input_channels"]
    ]


def _sounddevice() -> Any:
    try:
        import sounddevice
    except (ImportError, OSError) as error:  # OSError: the package is there, the PortAudio library is not
        raise AudioError(
            f"No microphone can be used: {error}. Install PortAudio (Debian, Ubuntu: apt-get install "
            "libportaudio2) and the package sounddevice. All other sources work without.",
            "no-portaudio",
        ) from error
    return sounddevice


_open = 0
_counting = threading.Lock()


@contextmanager
def _counted(sounddevice: Any) -> Iterator[None]:
    """PortAudio lists devices once: it is started anew for one that came later, while none is open."""
    global _open
    with _counting:
        if not _open:
            sounddevice._terminate()
            sounddevice._initialize()
        _open += 1
    try:
        yield
    finally:
        with _counting:
            _open -= 1

"""The microphone of the computer that runs the page, through sounddevice, where there is one.

sounddevice needs PortAudio, which many servers lack: then there is simply no such microphone, and the page
offers the browser's own. sounddevice is imported here and only when the page draws its Record tab.
"""

from __future__ import annotations

import numpy as np

from pipeline.audio import SAMPLE_RATE
from pipeline.errors import AudioError


def find() -> str | None:
    """Name of the default input device, or None when there is no microphone or no PortAudio."""
    try:
        import sounddevice
    except (ImportError, OSError):  # OSError: the package is there, the PortAudio library is not
        return None
    try:
        return str(sounddevice.query_devices(kind="input")["name"])
    except (sounddevice.PortAudioError, ValueError):  # how sounddevice says that no input device exists
        return None


def record(seconds: float) -> np.ndarray:
    """Record from the default input device.

    Args:
        seconds: how long, above 0.

    Returns:
        (n,) float32 mono at 16 kHz.

    Raises:
        AudioError: the device refused (in use, unplugged, not permitted); says what to do.
    """
    import sounddevice

    try:
        taken = sounddevice.rec(
            round(seconds * SAMPLE_RATE), samplerate=SAMPLE_RATE, channels=1, dtype="float32"
        )
        sounddevice.wait()
    except sounddevice.PortAudioError as error:
        raise AudioError(
            f"The microphone of this computer could not be used ({error}). Is it plugged in, and is no other "
            "program using it? The browser's microphone works without it.",
            "unreadable",
        ) from error
    return np.asarray(taken[:, 0], dtype=np.float32)

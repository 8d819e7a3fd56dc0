"""The computer's own microphone, with PortAudio (the edge of the world) played by a stand-in."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline.errors import AudioError
from pipeline.pages import microphone


class PortAudioError(Exception):
    """As sounddevice's."""


def port_audio(**functions: Any) -> SimpleNamespace:
    return SimpleNamespace(PortAudioError=PortAudioError, wait=lambda: None, **functions)


def refuse(*_: Any, **__: Any) -> Any:
    raise PortAudioError("Error querying device -1")


def test_no_port_audio_is_no_microphone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Missing:
        def find_spec(self, name: str, *_: Any) -> None:
            if name == "sounddevice":
                raise OSError("PortAudio library not found")

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    assert microphone.find() is None


def test_no_package_is_no_microphone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert microphone.find() is None


def test_no_device_is_no_microphone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", port_audio(query_devices=refuse))
    assert microphone.find() is None


def test_a_device_records_mono(monkeypatch: pytest.MonkeyPatch) -> None:
    def rec(frames: int, samplerate: int, channels: int, dtype: str) -> np.ndarray:
        assert (samplerate, channels, dtype) == (16_000, 1, "float32")
        return np.full((frames, 1), 0.25, dtype=np.float32)

    stand_in = port_audio(query_devices=lambda kind: {"name": "USB Mic"}, rec=rec)
    monkeypatch.setitem(sys.modules, "sounddevice", stand_in)
    assert microphone.find() == "USB Mic"
    samples = microphone.record(0.5)
    assert samples.shape == (8000,)
    assert samples.dtype == np.float32


def test_a_device_that_refuses_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", port_audio(rec=refuse))
    with pytest.raises(AudioError, match="plugged in"):
        microphone.record(1.0)

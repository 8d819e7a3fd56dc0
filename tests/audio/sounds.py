"""What the tests of sound share: real cries in every format, and how alike two sounds are."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from pipeline.audio import SAMPLE_RATE, load
from pipeline.errors import AudioError

# suffix: (container, codec, source rate, container options); AAC starts 1024 samples late, which is a whole
# number of samples at 16 kHz when its rate is 32 kHz
ENCODINGS: dict[str, tuple[str, str, int, dict[str, str]]] = {
    "wav": ("wav", "pcm_s24le", 44100, {}),
    "flac": ("flac", "flac", 48000, {}),
    "mp3": ("mp3", "libmp3lame", 44100, {}),
    "opus": ("ogg", "libopus", 48000, {}),
    "m4a": ("ipod", "aac", 32000, {"movflags": "faststart"}),
    "aac": ("adts", "aac", 32000, {}),
    "webm": ("webm", "libopus", 48000, {}),
    "3gp": ("3gp", "aac", 32000, {}),
    "caf": ("caf", "pcm_s16le", 22050, {}),
}


def encode(samples: np.ndarray, path: Path, channels: str = "stereo") -> Path:
    """Write 16 kHz mono samples in the format of the path's ending, as FFmpeg does."""
    if path.suffix == ".ogg":  # Vorbis: FFmpeg's builds here cannot write it, libsndfile can
        soundfile.write(path, samples, SAMPLE_RATE, format="OGG", subtype="VORBIS")
        return path
    container_name, codec, rate, options = ENCODINGS[path.suffix[1:]]
    whole = av.AudioFrame.from_ndarray((samples * 32767).astype(np.int16)[None], format="s16", layout="mono")
    whole.sample_rate = SAMPLE_RATE
    with av.open(str(path), "w", format=container_name, options=options) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.layout = channels
        stream.bit_rate = 160_000
        frame_size = stream.codec_context.frame_size or 1024
        convert = av.AudioResampler(stream.format, channels, rate, frame_size=frame_size)
        for frame in [*convert.resample(whole), *convert.resample(None), None]:
            for packet in stream.encode(frame):
                container.mux(packet)
    return path


def likeness(found: np.ndarray, wanted: np.ndarray) -> float:
    """Highest normalised correlation within 100 ms of shift (encoders add up to 50 ms of lead-in)."""
    size = 1 << int(np.ceil(np.log2(len(found) + len(wanted))))
    product = np.fft.irfft(np.fft.rfft(found, size) * np.conj(np.fft.rfft(wanted, size)))
    near = np.r_[product[:1600], product[-1600:]]
    return float(near.max() / (np.linalg.norm(found) * np.linalg.norm(wanted)))


def fails(code: str, *parts: str, source: object, **options: object) -> AudioError:
    """Assert that reading fails with this code and a message holding these words; give the error."""
    with pytest.raises(AudioError) as caught:
        load(source, **options)  # type: ignore[arg-type]
    assert caught.value.code == code
    for part in parts:
        assert part in str(caught.value)
    return caught.value


class Pipe:
    """A stream that cannot be rewound, such as standard input."""

    def __init__(self, content: bytes) -> None:
        self._file = io.BytesIO(content)

    def seekable(self) -> bool:
        return False

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

"""What cannot be used is refused in words, and what is damaged is read as far as it goes."""

from __future__ import annotations

import contextlib
import io
import os
import struct
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from sounds import Pipe, fails, likeness

from pipeline.audio import SAMPLE_RATE, load, open_stream
from pipeline.errors import AudioError
from pipeline.settings import get_settings


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "opus", "mp3", "m4a", "aac", "webm", "caf"])
def test_truncated_keeps_what_decoded_and_says_so(suffix: str, encoded: dict[str, Path]) -> None:
    content = encoded[suffix].read_bytes()
    whole = load(encoded[suffix])
    cut = load(content[: int(len(content) * 0.6)], name=f"half.{suffix}")
    assert 0.3 * whole.duration_s < cut.duration_s < 0.75 * whole.duration_s
    n = len(cut.samples) - 1600  # the last tenth of a second may be cut inside a codec's frame
    assert likeness(cut.samples[:n], whole.samples[:n]) > 0.99
    assert len(cut.warnings) == 1
    assert f"half.{suffix}" in cut.warnings[0]
    assert "cut short" in cut.warnings[0]


def test_truncated_mp4_without_its_index(encoded: dict[str, Path]) -> None:
    content = encoded["3gp"].read_bytes()
    fails("not-audio", "clip.3gp", "cut short", source=content[: len(content) // 2], name="clip.3gp")


@pytest.mark.parametrize("length", [b"\0\0\0\0", b"\xff\xff\xff\xff"])
def test_wav_of_a_recorder_that_never_wrote_its_length(
    length: bytes, cry: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "stopped.wav"
    soundfile.write(path, cry, SAMPLE_RATE, subtype="PCM_16")
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = length
    wave = load(bytes(content))
    assert len(wave.samples) == len(cry)
    assert likeness(wave.samples, cry) > 0.999


def test_damage_in_the_middle_is_survived(encoded: dict[str, Path]) -> None:
    for suffix in ("mp3", "m4a", "webm", "ogg", "flac"):
        content = bytearray(encoded[suffix].read_bytes())
        middle = len(content) // 2
        content[middle : middle + 400] = bytes(range(200)) * 2
        wave = load(bytes(content))
        assert wave.duration_s > 1
        assert np.isfinite(wave.samples).all()


def test_hostile_bytes_give_audio_errors_only(encoded: dict[str, Path]) -> None:
    generator = np.random.default_rng(2)
    limits = get_settings(max_duration_s=60)
    for path in encoded.values():
        original = np.frombuffer(path.read_bytes(), np.uint8)
        for _ in range(6):
            content = original[: generator.integers(20, 30_000)].copy()
            for at in generator.integers(0, min(len(content), 400), 8):
                content[at] = generator.integers(256)
            with contextlib.suppress(AudioError):
                assert np.isfinite(load(content.tobytes(), settings=limits).samples).all()


def test_missing_directory_and_unreadable(tmp_path: Path) -> None:
    fails("missing", "nowhere.wav", source=tmp_path / "nowhere.wav")
    fails("missing", source="")
    fails("missing", source="a\0b.wav")
    fails("directory", str(tmp_path), source=tmp_path)
    closed = io.BytesIO(b"RIFF")
    closed.close()
    fails("unreadable", source=closed)
    fails("unreadable", "binary", source=io.StringIO("sound"))
    fails("not-audio", "list", source=[0.0, 0.1])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_pipes_and_devices_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    fails("unreadable", "pipe", source=tmp_path / "pipe.wav")
    fails("unreadable", "device", source="/dev/zero")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_one_may_not_read(cry: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "private.wav"
    soundfile.write(path, cry, SAMPLE_RATE)
    path.chmod(0)
    fails("unreadable", "private.wav", source=path)


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:9/a.wav", "concat:a.wav|b.wav", "pipe:0", "lavfi:sine", "file:///etc/hosts"]
)
def test_addresses_are_not_opened(address: str) -> None:
    fails("missing", address, source=address)


@pytest.mark.parametrize("lead", ["", "\N{BYTE ORDER MARK}"])
def test_playlists_read_no_other_file(lead: str, encoded: dict[str, Path], tmp_path: Path) -> None:
    target = encoded["wav"]
    for name, text in {
        "list.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{target}\n#EXT-X-ENDLIST\n",
        "list.wav": f"ffconcat version 1.0\nfile '{target}'\n",
        "list.mp4": f"<?xml version='1.0'?><MPD><BaseURL>{target}</BaseURL></MPD>",
    }.items():
        path = tmp_path / name
        path.write_text(lead + text)
        fails("not-audio", name, source=path)


def test_empty_and_too_short(tmp_path: Path, cry: np.ndarray) -> None:
    (tmp_path / "none.wav").touch()
    fails("empty", "none.wav", "0 bytes", source=tmp_path / "none.wav")
    fails("empty", source=b"")
    soundfile.write(tmp_path / "header.wav", cry[:0], SAMPLE_RATE)
    fails("empty", "header.wav", source=tmp_path / "header.wav")
    soundfile.write(tmp_path / "blip.wav", cry[:3000], SAMPLE_RATE)
    fails("too-short", "blip.wav", "0.188 s", "0.2 s", source=tmp_path / "blip.wav")
    soundfile.write(tmp_path / "enough.wav", cry[:3200], SAMPLE_RATE)
    assert load(tmp_path / "enough.wav").duration_s == 0.2
    fails("empty", source=np.zeros(0), sample_rate=8000)


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "webm"])
def test_length_limit_holds_while_decoding(suffix: str, encoded: dict[str, Path]) -> None:
    limits = get_settings(max_duration_s=3)
    fails("too-long", "3 s", source=encoded[suffix], settings=limits)
    stream = open_stream(encoded["webm"], settings=limits, block_s=0.5)
    with pytest.raises(AudioError):
        list(stream)
    assert stream.duration_s <= 3


def test_size_limit_holds_before_decoding(encoded: dict[str, Path]) -> None:
    path = encoded["wav"]
    limits = get_settings(max_bytes=1000)
    content = path.read_bytes()
    sources = [path, content, bytearray(content), io.BytesIO(content), Pipe(content)]
    for source in sources:
        fails("too-large", "1,000", source=source, settings=limits)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(99), "PNG picture"),
        (b"%PDF-1.7\n" + bytes(99), "PDF"),
        (b"PK\x03\x04" + bytes(99), "ZIP"),
        (b"Dear diary, tonight nobody slept.", "text"),
        (bytes(5000), "nothing that looks like sound"),
        (b"RIFF" + bytes(60), "RIFF"),
        (b"fLaC" + b"\xff" * 300, "FLAC"),
        (b"\x1aE\xdf\xa3" + bytes(300), "WebM"),
        (b"\0\0\0\x18ftypM4A \0\0\0\0", "MP4"),
    ],
)
def test_not_audio_says_what_was_found(content: bytes, found: str) -> None:
    fails("not-audio", "upload.bin", found, "M4A", source=content, name="upload.bin")


def test_random_bytes_are_not_audio() -> None:
    for seed in range(20):
        content = np.random.default_rng(seed).bytes(4000)
        with pytest.raises(AudioError):
            load(content)


def test_film_without_sound(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))
        for frame in [picture, None]:
            for packet in stream.encode(frame):
                container.mux(packet)
    fails("no-audio-track", "film.mp4", "without a sound track", source=path)


@pytest.mark.parametrize(
    ("rate", "channels"), [(0, 1), (4, 1), (2**31 - 1, 1), (16000, 0), (16000, 900), (16000, 65535)]
)
def test_absurd_headers(rate: int, channels: int, cry: np.ndarray) -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, cry, SAMPLE_RATE, format="WAV")
    content = bytearray(buffer.getvalue())
    at = content.index(b"fmt ")
    content[at + 10 : at + 16] = struct.pack("<HI", channels, rate)
    fails("not-audio", source=bytes(content))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_non_finite_samples(value: float, cry: np.ndarray) -> None:
    spoilt = cry.copy()
    spoilt[len(cry) // 2] = value
    buffer = io.BytesIO()
    soundfile.write(buffer, spoilt, SAMPLE_RATE, format="WAV", subtype="FLOAT")
    fails("non-finite", "take.wav", source=buffer.getvalue(), name="take.wav")
    fails("non-finite", source=spoilt, sample_rate=SAMPLE_RATE)


def test_immense_values_do_not_become_infinite(cry: np.ndarray) -> None:
    fails("non-finite", source=cry * np.float64(1e300), sample_rate=44100)


def test_silence_is_an_answer(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "quiet.wav", np.zeros(16000), 8000)
    wave = load(tmp_path / "quiet.wav")
    assert wave.is_silent
    assert wave.duration_s == 2
    dither = np.random.default_rng(0).choice([-1, 0, 1], 16000).astype(np.int16)
    assert load(dither, sample_rate=16000).is_silent


def test_a_real_cry_is_not_silent(a_cry: Path) -> None:
    assert not load(a_cry).is_silent


def test_names_of_uploads_are_made_printable() -> None:
    error = fails("not-audio", source=b"x" * 50, name="evil\x1b[31m\nname" + "y" * 5000)
    assert "\x1b" not in str(error)
    assert "\n" not in str(error)
    assert len(str(error)) < 600

"""Sound in, on real recordings in every format phones and browsers write."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pipeline.audio import SAMPLE_RATE, SUPPORTED_SUFFIXES, Waveform, load, open_stream
from pipeline.errors import AudioError, SettingsError
from pipeline.settings import get_settings

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


@pytest.fixture(scope="session")
def cry(a_cry: Path) -> np.ndarray:
    """The samples of a real cry, float32 at 16 kHz."""
    return load(a_cry).samples


@pytest.fixture(scope="session")
def encoded(cry: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("encoded")
    return {suffix: encode(cry, folder / f"cry.{suffix}") for suffix in [*ENCODINGS, "ogg"]}


def fails(code: str, *parts: str, source: object, **options: object) -> AudioError:
    """Assert that reading fails with this code and a message holding these words; give the error."""
    with pytest.raises(AudioError) as caught:
        load(source, **options)  # type: ignore[arg-type]
    assert caught.value.code == code
    for part in parts:
        assert part in str(caught.value)
    return caught.value


# --- formats ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [*ENCODINGS, "ogg"])
def test_every_format_sounds_like_the_recording(
    suffix: str, encoded: dict[str, Path], cry: np.ndarray
) -> None:
    path = encoded[suffix]
    assert path.suffix in SUPPORTED_SUFFIXES
    wave = load(path)
    assert wave.samples.dtype == np.float32
    assert wave.samples.ndim == 1
    assert wave.duration_s == pytest.approx(len(cry) / SAMPLE_RATE, abs=0.1)
    assert wave.source == str(path)
    assert wave.source_rate == ENCODINGS.get(suffix, ("", "", SAMPLE_RATE))[2]
    assert wave.warnings == ()
    assert likeness(wave.samples, cry) > 0.97


@pytest.mark.parametrize("suffix", ["wav", "mp3", "m4a", "webm"])
def test_path_string_bytes_and_file_object_agree(suffix: str, encoded: dict[str, Path]) -> None:
    path = encoded[suffix]
    wanted = load(path).samples
    content = path.read_bytes()
    assert np.array_equal(load(str(path)).samples, wanted)
    assert np.array_equal(load(content).samples, wanted)
    assert np.array_equal(load(memoryview(content)).samples, wanted)
    with path.open("rb") as file:
        file.seek(100)  # a page may have looked into the upload before
        assert np.array_equal(load(file).samples, wanted)
        assert not file.closed
    assert np.array_equal(load(_Pipe(content)).samples, wanted)


class _Pipe:
    """A stream that cannot be rewound, such as standard input."""

    def __init__(self, content: bytes) -> None:
        self._file = io.BytesIO(content)

    def seekable(self) -> bool:
        return False

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)


def test_the_phones_own_files(shared: Path) -> None:
    folder = shared / "data" / "donateacry_raw"
    for suffix, rates in (("3gp", {8000, 16000, 44100}), ("caf", {8000, 16000, 44100})):
        some = sorted(folder.glob(f"*.{suffix}"))[:12]
        assert len(some) == 12
        for path in some:
            wave = load(path)
            assert 1 < wave.duration_s < 60
            assert wave.source_rate in rates
            assert not wave.is_silent
            assert wave.warnings == ()


def test_a_real_upload_that_is_too_short(shared: Path) -> None:
    path = shared / "data/donateacry_raw/F15D825B-F861-410B-ACC9-9863C8949217-1427012197-1.0-m-04-ti.caf"
    fails("too-short", path.name, "0.004 s", "0.2 s", source=path)


def test_the_name_of_a_file_does_not_decide(encoded: dict[str, Path], tmp_path: Path) -> None:
    odd = tmp_path / "recording.raw"
    odd.write_bytes(encoded["m4a"].read_bytes())
    assert np.array_equal(load(odd).samples, load(encoded["m4a"]).samples)


def test_resampling_is_soxr_over_the_whole(a_cry: Path) -> None:
    samples, rate = soundfile.read(a_cry, dtype="float32")
    assert rate == 8000
    np.testing.assert_allclose(load(a_cry).samples, soxr.resample(samples, rate, SAMPLE_RATE), atol=1e-6)


@pytest.mark.parametrize("suffix", ["mp3", "opus", "ogg", "flac"])
def test_a_long_file_decodes_without_seams(suffix: str, cry: np.ndarray, tmp_path: Path) -> None:
    """Decoders that seek between reads repeat and drop samples, which shows only beyond the first block."""
    long = np.tile(cry, 4)
    wave = load(encode(long, tmp_path / f"long.{suffix}", "mono"))
    assert likeness(wave.samples, long) > 0.98
    for at in range(0, len(long) - SAMPLE_RATE, SAMPLE_RATE):
        second = slice(at, at + SAMPLE_RATE)
        assert likeness(wave.samples[second], long[second]) > 0.9


# --- blocks ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "m4a", "webm", "caf"])
@pytest.mark.parametrize("block_s", [0.05, 1.0, 30.0])
def test_blocks_joined_are_the_whole(suffix: str, block_s: float, encoded: dict[str, Path]) -> None:
    whole = load(encoded[suffix])
    stream = open_stream(encoded[suffix], block_s=block_s)
    blocks = list(stream)
    assert np.array_equal(np.concatenate(blocks), whole.samples)
    assert {len(block) for block in blocks[:-1]} <= {round(block_s * SAMPLE_RATE)}
    assert 0 < len(blocks[-1]) <= round(block_s * SAMPLE_RATE)
    assert stream.duration_s == whole.duration_s
    assert stream.peak == float(np.abs(whole.samples).max())
    assert (stream.source_rate, stream.warnings) == (whole.source_rate, whole.warnings)


def test_a_stream_is_read_once(a_cry: Path) -> None:
    stream = open_stream(a_cry)
    assert len(list(stream)) == 1
    with pytest.raises(RuntimeError, match="once"):
        iter(stream)


def test_a_long_file_is_never_held_whole(tmp_path: Path) -> None:
    hours = 2
    path = tmp_path / "night.flac"
    silence = np.zeros(8000 * 600, np.int16)
    with soundfile.SoundFile(path, "w", 8000, 1) as file:
        for _ in range(hours * 6):
            file.write(silence)
    script = (
        "import resource, sys\n"
        "from pipeline.audio import open_stream\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "stream = open_stream(sys.argv[1])\n"
        "for block in stream: pass\n"
        "print(stream.duration_s, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)\n"
    )
    output = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True, timeout=120
    ).stdout
    duration_s, grown_mib = map(float, output.split())
    assert duration_s == hours * 3600
    assert grown_mib < 60  # the whole would be 439 MiB


@pytest.mark.parametrize("suffix", ["wav", "flac", "m4a", "mp3"])
@pytest.mark.parametrize(("start_s", "duration_s"), [(0, 1), (0.5, 0.1), (2.3, 1.5), (3.3, None), (6, 60)])
def test_a_stretch_is_that_part_of_the_whole(
    suffix: str, start_s: float, duration_s: float | None, encoded: dict[str, Path]
) -> None:
    whole = load(encoded[suffix]).samples
    begin = round(start_s * SAMPLE_RATE)
    wanted = whole[begin:] if duration_s is None else whole[begin : begin + round(duration_s * SAMPLE_RATE)]
    found = load(encoded[suffix], start_s=start_s, duration_s=duration_s).samples
    assert len(found) == len(wanted)
    np.testing.assert_allclose(found, wanted, atol=2e-5)
    cut = load(load(encoded[suffix]), start_s=start_s, duration_s=duration_s)
    assert np.array_equal(cut.samples, wanted)


def test_a_stretch_beyond_the_end(a_cry: Path) -> None:
    fails("too-short", a_cry.name, "99 s", source=a_cry, start_s=99)


# --- truncated and damaged -------------------------------------------------------------------------------


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


# --- errors ----------------------------------------------------------------------------------------------


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
    sources = [path, content, bytearray(content), io.BytesIO(content), _Pipe(content)]
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


# --- arrays ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "scale"), [("int16", 2**15), ("int32", 2**31), (">i2", 2**15), ("float64", 1)]
)
def test_integers_are_scaled(dtype: str, scale: float, cry: np.ndarray) -> None:
    values = (cry.astype(np.float64) * (scale - 1 if scale > 1 else 1)).astype(dtype)
    np.testing.assert_allclose(
        load(values, sample_rate=16000).samples, cry, atol=2.2 / min(scale, 2**15) + 1e-6
    )


def test_uint8_is_centred_on_128() -> None:
    values = np.tile(np.array([0, 128, 255], np.uint8), 2000)
    np.testing.assert_allclose(load(values, sample_rate=16000).samples[:3], [-1, 0, 127 / 128])


def test_channel_axis_is_the_shorter_one(cry: np.ndarray) -> None:
    pair = np.stack([cry, np.zeros_like(cry)])
    by_rows, by_columns = load(pair, sample_rate=16000), load(pair.T, sample_rate=16000)
    np.testing.assert_allclose(by_rows.samples, cry / 2, atol=1e-7)
    assert np.array_equal(by_rows.samples, by_columns.samples)
    assert np.array_equal(load(cry[None], sample_rate=16000).samples, cry)


def test_channels_that_cancel_are_told(cry: np.ndarray) -> None:
    wave = load(np.stack([cry, -cry]), sample_rate=16000)
    assert wave.is_silent
    assert "cancel" in wave.warnings[0]
    assert load(np.stack([cry, cry]), sample_rate=16000).warnings == ()


def test_integers_stored_as_floats_are_told(cry: np.ndarray) -> None:
    assert "full scale" in load(cry * 32768, sample_rate=16000).warnings[0]


def test_arrays_that_cannot_be_sound(cry: np.ndarray) -> None:
    for values in (cry.astype(object), cry.astype(complex), cry > 0, np.zeros((2, 2, 2)), np.zeros((99, 99))):
        fails("not-audio", source=values, sample_rate=16000)
    for rate in (None, 44100.5, True):
        with pytest.raises(SettingsError, match="sample_rate"):
            load(cry, sample_rate=rate)  # type: ignore[arg-type]
    fails("not-audio", "5 Hz", source=cry, sample_rate=5)


def test_arguments_out_of_range(a_cry: Path) -> None:
    with pytest.raises(SettingsError, match="arrays only"):
        load(a_cry, sample_rate=16000)
    for options in (
        {"start_s": -1},
        {"duration_s": 0},
        {"duration_s": float("nan")},
        {"start_s": float("inf")},
    ):
        with pytest.raises(SettingsError, match="_s cannot be"):
            load(a_cry, **options)
    with pytest.raises(SettingsError, match="block_s"):
        open_stream(a_cry, block_s=0)


def test_a_waveform_is_returned_as_it_is(cry: np.ndarray) -> None:
    wave = Waveform(cry, "mine", 44100, ("a note",))
    assert load(wave) is wave
    stream = open_stream(wave, block_s=2)
    assert np.array_equal(np.concatenate(list(stream)), cry)
    assert stream.warnings == ("a note",)


@hypothesis_settings(max_examples=60, deadline=None)
@given(
    seconds=st.floats(0.21, 2.0),
    rate=st.sampled_from([4000, 8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000, 192000])
    | st.integers(1000, 50_000),
    channels=st.integers(1, 8),
    dtype=st.sampled_from(["float32", "float64", "int16", "int32", "uint8"]),
    rows=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_array_becomes_mono_16_khz(
    seconds: float, rate: int, channels: int, dtype: str, rows: bool, seed: int
) -> None:
    n = int(np.ceil(seconds * rate))
    values = np.random.default_rng(seed).uniform(-1, 1, (n, channels))
    if dtype == "uint8":
        values = (values * 127 + 128).astype(dtype)
    elif dtype.startswith("int"):
        values = (values * np.iinfo(dtype).max).astype(dtype)
    else:
        values = values.astype(dtype)
    wave = load(values.T if rows else values, sample_rate=rate)
    assert wave.samples.dtype == np.float32
    assert wave.samples.shape == (len(wave.samples),)
    assert abs(len(wave.samples) - n * SAMPLE_RATE / rate) <= 1
    assert np.isfinite(wave.samples).all()
    assert float(np.abs(wave.samples).max()) < 2.5
    blocks = list(open_stream(values, sample_rate=rate, block_s=0.1))
    assert np.array_equal(np.concatenate(blocks), wave.samples)


def test_pyav_is_imported_only_when_needed(a_cry: Path) -> None:
    script = (
        "import sys; from pipeline.audio import load; load(sys.argv[1]); "
        "assert 'av' not in sys.modules and 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script, str(a_cry)], check=True, timeout=60)

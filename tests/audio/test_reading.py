"""Sound in, on real recordings in every format phones and browsers write, whole and in blocks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from sounds import ENCODINGS, Pipe, encode, fails, likeness

from pipeline.audio import SAMPLE_RATE, SUPPORTED_SUFFIXES, load, open_stream


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
    assert np.array_equal(load(Pipe(content)).samples, wanted)


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
        "import sys\n"
        "from pathlib import Path\n"
        "from pipeline.audio import open_stream\n"
        # Not getrusage: its maximum goes back to before this program began, to the one that started it.
        "most = lambda: int(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])\n"
        "before = most()\n"
        "stream = open_stream(sys.argv[1])\n"
        "for block in stream: pass\n"
        "print(stream.duration_s, (most() - before) / 1024)\n"
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

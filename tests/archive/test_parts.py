"""Long recordings heard in parts: the same to the last bit."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from running import RATE

from pipeline.analysis import CryPipeline
from pipeline.archive import parts
from pipeline.archive.parts import Length, Part
from pipeline.embedding.base import HOP_SAMPLES
from pipeline.errors import AudioError
from pipeline.settings import Settings


def in_parts(
    pipeline: CryPipeline, path: Path, length: Length, planned: list[Part], settings: Settings
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    found = [
        parts.hear(pipeline, path, part, direct=length.direct, name=str(path), settings=settings)
        for part in planned
    ]
    return found, parts.joined(pipeline, path, found, name=str(path)).to_dict()


def write_m4a(path: Path, sound: np.ndarray, rate: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(sound[None].astype(np.float32), format="fltp", layout="mono")
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)


def written(folder: Path, kind: str, evening: np.ndarray) -> Path:
    suffix, rate = kind.split()
    sound = evening if int(rate) == RATE else soxr.resample(evening, RATE, int(rate))
    path = folder / f"evening-{rate}.{suffix}"
    if suffix == "m4a":
        write_m4a(path, sound, int(rate))
    else:
        both = np.stack([sound, 0.5 * sound], axis=1)
        with soundfile.SoundFile(path, "w", int(rate), channels=2) as file:
            for at in range(0, len(both), RATE):  # libsndfile's Vorbis encoder fails on long stretches
                file.write(both[at : at + RATE])
    return path


@pytest.mark.parametrize("kind", ["wav 16000", "flac 16000", "wav 44100", "ogg 32000", "m4a 48000"])
def test_parts_together_are_the_whole(
    kind: str, tmp_path: Path, evening: np.ndarray, student: CryPipeline, settings: Settings
) -> None:
    path = written(tmp_path, kind, evening[: 100 * RATE])
    whole = student.analyze(path)
    assert whole.episodes
    length = parts.measured(path, "evening", settings)
    assert length.seconds == pytest.approx(100, abs=0.2)
    assert length.direct is (kind in ("wav 16000", "flac 16000"))
    found, record = in_parts(student, path, length, [Part(0, 61), Part(61, 80), Part(141, None)], settings)
    assert all(part["regular"] for part in found)
    together = np.concatenate([part["scores"] for part in found]).astype(np.float32)
    assert np.array_equal(together, student._score(iter([_samples(path)])))  # type: ignore[arg-type]
    assert record == whole.to_dict()


def _samples(path: Path) -> np.ndarray:
    from pipeline import audio

    return audio.load(path).samples


@hypothesis_settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(cuts=st.sets(st.integers(1, 25), max_size=3), extra=st.integers(0, HOP_SAMPLES))
def test_wherever_it_is_cut(
    cuts: set[int],
    extra: int,
    tmp_path: Path,
    evening: np.ndarray,
    student: CryPipeline,
    settings: Settings,
) -> None:
    path = tmp_path / "short.wav"
    soundfile.write(path, evening[: 31 * HOP_SAMPLES + extra], RATE, subtype="PCM_16")
    edges = [0, *sorted(cuts)]
    planned = [Part(first, end - first) for first, end in pairwise(edges)]
    found, record = in_parts(student, path, Length(15, True), [*planned, Part(edges[-1], None)], settings)
    assert all(part["regular"] for part in found)
    assert record == student.analyze(path).to_dict()


def test_silence_in_one_part_is_not_silence(
    tmp_path: Path, evening: np.ndarray, student: CryPipeline, settings: Settings
) -> None:
    path = tmp_path / "quiet.wav"
    soundfile.write(path, np.concatenate([np.zeros(20 * RATE, np.float32), evening[: 20 * RATE]]), RATE)
    planned = [Part(0, 35), Part(35, None)]
    _, record = in_parts(student, path, Length(40, True), planned, settings)
    assert record == student.analyze(path).to_dict()
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, np.zeros(40 * RATE, np.float32), RATE)
    _, record = in_parts(student, silent, Length(40, True), planned, settings)
    assert record == student.analyze(silent).to_dict()
    assert not record["is_cry"]


@given(seconds=st.floats(1, 90_000), direct=st.booleans(), workers=st.integers(1, 128))
def test_parts_follow_one_another_and_the_last_is_open(seconds: float, direct: bool, workers: int) -> None:
    planned = parts.divided(Length(seconds, direct), workers)
    at = 0
    for part in planned[:-1]:
        assert part.first == at
        assert part.count is not None
        at += part.count
    assert planned[-1] == Part(at, None)
    assert at == 0 or at * 0.48 < seconds - 200, "the last part is long enough for a length that was rounded"
    if direct:
        assert all(part.count == parts.PART_WINDOWS for part in planned[:-1]), (
            "the same, however many workers"
        )
    else:
        assert len(planned) <= workers


def test_a_file_that_is_shorter_than_it_says_is_noticed(
    tmp_path: Path, evening: np.ndarray, student: CryPipeline, settings: Settings
) -> None:
    path = tmp_path / "cut.flac"
    soundfile.write(path, evening[: 60 * RATE], RATE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert parts.measured(path, "cut", settings).seconds == pytest.approx(60)

    def hear(part: Part) -> dict[str, Any]:
        return parts.hear(student, path, part, direct=True, name="cut", settings=settings)

    assert hear(Part(0, 20))["regular"]
    assert not hear(Part(20, 80))["regular"]
    with pytest.raises(AudioError):
        hear(Part(110, None))

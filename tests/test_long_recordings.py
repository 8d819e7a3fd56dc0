"""Recordings of any length: same scores however they are cut, memory that does not grow, threads as set."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import example, given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

from pipeline._threads import one_blas_thread
from pipeline.analysis import CryPipeline
from pipeline.audio import SAMPLE_RATE, load, open_stream
from pipeline.detection import Evidence
from pipeline.embedding.base import FRAME_SAMPLES, HOP_SAMPLES
from pipeline.embedding.logmel import columns_of, frames_of_log_mel
from pipeline.embedding.network import BATCH
from pipeline.embedding.student import MODEL_FILE, StudentEmbedder
from pipeline.episodes import Episode, EpisodeTracker
from pipeline.settings import PROJECT_ROOT

TENTH = SAMPLE_RATE // 10


@pytest.fixture(scope="module")
def pipe() -> CryPipeline:
    return CryPipeline.load("student")


@pytest.fixture(scope="module")
def evening(a_cry: Path, another_cry: Path, a_non_cry: Path) -> np.ndarray:
    """90 s of cries, near and far, of a vacuum cleaner and of nearly nothing; (n,) float32."""
    cry, other, vacuum = (load(path).samples for path in (a_cry, another_cry, a_non_cry))
    still = np.random.default_rng(0).normal(0, 1e-3, 6 * SAMPLE_RATE).astype(np.float32)
    parts = [still, cry, vacuum, 0.1 * cry, cry, still, other, 0.3 * other, vacuum, still, vacuum, cry, still]
    return np.concatenate([*parts, other, still, 0.5 * cry])[: 90 * SAMPLE_RATE]


def heard_live(pipe: CryPipeline, blocks: Iterator[np.ndarray]) -> tuple[list[float], list[Episode]]:
    """What a monitor would say: one window's score after the other, judged as it comes."""
    head = pipe._head
    evidence, tracker = Evidence(head), EpisodeTracker(head.rules(pipe.default_threshold))
    scores: list[float] = []
    episodes: list[Episode] = []
    samples = 0

    def counted() -> Iterator[np.ndarray]:
        nonlocal samples
        for block in blocks:
            samples += len(block)
            yield block

    for part in head.score_blocks(pipe.embedder.embed_blocks(counted())):
        for score in part:
            scores.append(evidence.push(float(score)))
            episodes += tracker.push(scores[-1])
    return scores, [*episodes, *tracker.finish(samples / SAMPLE_RATE)]


def assert_same_answer(pipe: CryPipeline, path: Path, live: tuple[list[float], list[Episode]]) -> None:
    batch = pipe.analyze(path, reasons="never")
    np.testing.assert_allclose(live[0], batch.window_scores, atol=1e-5)
    assert [(e.start, e.end) for e in live[1]] == [(e.start, e.end) for e in batch.episodes]
    np.testing.assert_allclose([e.peak for e in live[1]], [e.peak for e in batch.episodes], atol=1e-5)


def test_a_tenth_of_a_second_at_a_time_is_the_recording(
    pipe: CryPipeline, evening: np.ndarray, tmp_path: Path, a_cry: Path
) -> None:
    path = tmp_path / "evening.flac"
    soundfile.write(path, evening, SAMPLE_RATE)
    assert len(pipe.analyze(path, reasons="never").episodes) > 1
    for recording in (path, a_cry):  # the second is at 8 kHz
        with open_stream(recording, block_s=0.1) as stream:
            assert_same_answer(pipe, recording, heard_live(pipe, iter(stream)))


@settings(max_examples=10, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 40 * SAMPLE_RATE), min_size=1, max_size=12),
    length=st.integers(SAMPLE_RATE // 2, 90 * SAMPLE_RATE),
)
@example(sizes=[TENTH], length=30 * SAMPLE_RATE)
@example(sizes=[32 * SAMPLE_RATE, 1], length=90 * SAMPLE_RATE)
@example(sizes=[FRAME_SAMPLES, HOP_SAMPLES], length=FRAME_SAMPLES + 7 * HOP_SAMPLES)
def test_any_blocks_give_the_scores_of_the_whole(
    pipe: CryPipeline, evening: np.ndarray, sizes: list[int], length: int
) -> None:
    samples = evening[:length]

    def blocks() -> Iterator[np.ndarray]:
        at = 0
        while at < length:
            for size in sizes:
                yield samples[at : at + size]
                at += size

    pieces = list(blocks()) if sum(sizes) > TENTH // 2 else [samples]
    scores, episodes = heard_live(pipe, iter(pieces))
    whole, whole_episodes = heard_live(pipe, iter([samples]))
    np.testing.assert_allclose(scores, whole, atol=1e-5)
    assert [(e.start, e.end) for e in episodes] == [(e.start, e.end) for e in whole_episodes]


def test_a_short_block_is_answered_before_the_next_is_asked_for(pipe: CryPipeline, a_cry: Path) -> None:
    samples = load(a_cry).samples
    asked = 0

    def blocks() -> Iterator[np.ndarray]:
        nonlocal asked
        for at in range(0, len(samples), TENTH):
            asked += 1
            yield samples[at : at + TENTH]

    frames = 0
    for answer in pipe.embedder.embed_blocks(blocks()):
        frames += len(answer)
        heard = min(len(samples), asked * TENTH)
        assert frames >= (heard - FRAME_SAMPLES) // HOP_SAMPLES + 1


def test_long_blocks_are_asked_for_ahead_but_never_all_at_once(evening: np.ndarray) -> None:
    student = StudentEmbedder((PROJECT_ROOT / "artifacts" / "student" / MODEL_FILE).read_bytes(), threads=2)
    asked = 0

    def blocks() -> Iterator[np.ndarray]:
        nonlocal asked
        for _ in range(12):
            asked += 1
            yield evening[: 30 * SAMPLE_RATE]

    stream = student.embed_blocks(blocks())
    first = next(stream)
    assert 2 < asked <= 6
    np.testing.assert_array_equal(first, student.embed(evening[: 30 * SAMPLE_RATE])[: len(first)])
    stream.close()


@pytest.mark.parametrize("threads", [1, 3])
def test_as_many_threads_as_were_set(
    threads: int, evening: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    student = StudentEmbedder(
        (PROJECT_ROOT / "artifacts" / "student" / MODEL_FILE).read_bytes(), threads=threads
    )
    assert student._session.get_session_options().intra_op_num_threads == 1
    run, at_work, most = student._run, set[int](), 0
    lock = threading.Lock()

    def noted(inputs: np.ndarray) -> np.ndarray:
        nonlocal most
        with lock:
            at_work.add(threading.get_ident())
            most = max(most, len(at_work))
        time.sleep(0.02)
        try:
            return run(inputs)
        finally:
            with lock:
                at_work.discard(threading.get_ident())

    monkeypatch.setattr(student, "_run", noted)
    blocks = [evening[i : i + 20 * SAMPLE_RATE] for i in range(0, 80 * SAMPLE_RATE, 20 * SAMPLE_RATE)]
    streamed = np.concatenate(list(student.embed_blocks(iter(blocks))))
    assert most <= threads
    assert (most > 1) == (threads > 1)
    columns = frames_of_log_mel(evening[: 80 * SAMPLE_RATE])
    assert len(columns) > columns_of(3 * BATCH)
    np.testing.assert_allclose(student.embed_columns(columns), streamed, atol=1e-5)
    assert most <= threads


def blas_threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_linear_algebra_keeps_to_one_thread_until_the_last_listener_has_left(pipe: CryPipeline) -> None:
    before = blas_threads()
    first = pipe.embedder.embed_blocks(iter([np.zeros(SAMPLE_RATE, np.float32)] * 4))
    next(first)
    with one_blas_thread():
        assert blas_threads() == {1}
    assert blas_threads() == {1}, "the first listener is still there"
    first.close()
    assert blas_threads() == before


MEMORY = """
import sys
from pathlib import Path
from pipeline import CryPipeline
pipe = CryPipeline.load("student")
for path in sys.argv[1:]:
    heard = pipe.analyze(path)
    assert heard.episodes and heard.reasons
    # Not getrusage: its maximum goes back to before this program began, to the process that started it.
    status = Path("/proc/self/status").read_text()
    print(int(status.split("VmHWM:")[1].split()[0]) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is counted in other units elsewhere")
def test_memory_does_not_grow_with_the_length(evening: np.ndarray, tmp_path: Path) -> None:
    for name, times in (("short", 2), ("long", 20)):  # 3 minutes and half an hour
        with soundfile.SoundFile(tmp_path / f"{name}.wav", "w", SAMPLE_RATE, 1) as out:
            for _ in range(times):
                out.write(evening)
    files = [str(tmp_path / f"{name}.wav") for name in ("short", "long")]
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, *files], cwd=PROJECT_ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    short, long = map(int, done.stdout.split())
    assert long < 600
    # The samples alone of half an hour are 115 MB.
    assert long - short < 40, f"{short} MB for 3 minutes, {long} MB for half an hour"

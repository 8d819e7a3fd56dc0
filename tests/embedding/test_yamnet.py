"""YAMNet by path, through the hub's cache, and when it cannot be had; it answers what TensorFlow answers."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.audio import load
from pipeline.embedding.base import EMBEDDING_SIZE, frame_count
from pipeline.embedding.logmel import columns_of
from pipeline.embedding.yamnet import (
    BABY_CRY_CLASS,
    CRYING_CLASSES,
    YamnetEmbedder,
    cache_folder,
    is_cached,
    is_converted,
    is_local,
    is_reachable,
)
from pipeline.errors import EmbedderError
from pipeline.settings import PROJECT_ROOT, YAMNET_HUB_HANDLE, get_settings


def test_by_path(yamnet: YamnetEmbedder, a_cry: Path, a_non_cry: Path) -> None:
    cry, other = load(a_cry).samples, load(a_non_cry).samples
    embeddings, scores = yamnet.embed_and_score(cry)
    assert embeddings.shape == (frame_count(len(cry)), EMBEDDING_SIZE)
    assert embeddings.dtype == np.float32
    assert scores.shape == (len(embeddings), 521)
    assert scores[:, BABY_CRY_CLASS].max() > 0.7
    assert yamnet.embed_and_score(other)[1][:, CRYING_CLASSES].max() < 0.1
    np.testing.assert_array_equal(yamnet.embed(cry), embeddings)


@pytest.mark.parametrize("sound", ["a_cry", "another_cry", "a_non_cry", "short", "silence"])
def test_it_answers_what_tensorflow_answers(
    sound: str, yamnet: YamnetEmbedder, saved_model: Any, request: pytest.FixtureRequest
) -> None:
    if sound == "silence":
        samples = np.zeros(40_000, np.float32)
    elif sound == "short":
        samples = load(request.getfixturevalue("a_cry")).samples[16_000:20_800]
    else:
        samples = load(request.getfixturevalue(sound)).samples
    ours, our_scores = yamnet.embed_and_score(samples)
    frames = frame_count(len(samples))
    *both, log_mel = (np.asarray(each) for each in saved_model(samples))
    scores, theirs = (each[:frames] for each in both)
    assert ours.shape == theirs.shape
    assert theirs.max() > 1, "something is heard, in silence too"
    np.testing.assert_allclose(ours, theirs, atol=1e-3)
    np.testing.assert_allclose(our_scores, scores, atol=1e-3)
    # Down to the smallest, too: the student's lessons are read off their logarithms.
    small = np.maximum([our_scores, scores], 1e-30)
    np.testing.assert_allclose(*np.log(small), atol=0.02)
    # Most of it is the rounding of log-mel in bands that hold nothing; the network itself differs less.
    of_theirs = yamnet.embed_columns(log_mel[: columns_of(frames)])
    np.testing.assert_allclose(of_theirs, theirs, atol=5e-5)


# 15 600 + 3 * 7 680 needs no padding, and yet YAMNet by itself adds a frame of it.
@pytest.mark.parametrize("n", [3_200, 15_600, 15_601, 38_640, 40_000, 61_680])
def test_as_many_frames_as_we_count(n: int, yamnet: YamnetEmbedder) -> None:
    assert yamnet.embed(np.zeros(n, np.float32)).shape == (frame_count(n), EMBEDDING_SIZE)


def test_blocks_give_what_the_whole_gives(yamnet: YamnetEmbedder, a_cry: Path) -> None:
    samples = load(a_cry).samples
    blocks = np.split(samples, [5, 20_000, 20_001, 61_000])
    together = np.concatenate(list(yamnet.embed_blocks(blocks)))
    np.testing.assert_allclose(together, yamnet.embed(samples), atol=1e-4)


def test_through_the_hub_cache(
    yamnet: YamnetEmbedder, yamnet_dir: Path, a_cry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default address, already downloaded: nothing is asked of a network (the tests have none)."""
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
    assert cache_folder() == tmp_path
    assert not is_cached(YAMNET_HUB_HANDLE)
    (tmp_path / hashlib.sha1(YAMNET_HUB_HANDLE.encode()).hexdigest()).symlink_to(yamnet_dir)
    assert is_cached(YAMNET_HUB_HANDLE)
    samples = load(a_cry).samples
    cached = YamnetEmbedder(get_settings(yamnet_handle=YAMNET_HUB_HANDLE))
    np.testing.assert_array_equal(cached.embed(samples), yamnet.embed(samples))


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_a_folder_without_a_model(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    handle = str(tmp_path / name)
    with pytest.raises(EmbedderError, match="no SavedModel") as caught:
        YamnetEmbedder(get_settings(yamnet_handle=handle))
    assert handle in str(caught.value)


def test_a_damaged_model(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"not a model")
    with pytest.raises(EmbedderError) as caught:
        YamnetEmbedder(get_settings(yamnet_handle=str(tmp_path)))
    assert str(tmp_path) in str(caught.value)


def test_an_address_that_nobody_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
    handle = "http://127.0.0.1:9/yamnet"
    assert not is_local(handle)
    assert not is_reachable(handle, 1.0)
    with pytest.raises(EmbedderError, match="--embedder student") as caught:
        YamnetEmbedder(get_settings(yamnet_handle=handle, yamnet_timeout_s=1))
    assert handle in str(caught.value)


def test_where_nothing_can_be_kept_it_is_heard_all_the_same(
    yamnet: YamnetEmbedder, yamnet_dir: Path, a_cry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))  # nobody can make a folder below a file
    made_anew = YamnetEmbedder(get_settings(yamnet_handle=str(yamnet_dir)))
    assert not is_converted(str(yamnet_dir))
    samples = load(a_cry).samples
    np.testing.assert_array_equal(made_anew.embed(samples), yamnet.embed(samples))


def test_what_was_kept_is_taken_only_as_it_was_kept_and_for_that_model(
    yamnet: YamnetEmbedder, yamnet_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del yamnet  # loading it has left one in the cache
    [kept] = (Path(os.environ["XDG_CACHE_HOME"]) / "crylens" / "yamnet").glob("*.onnx")
    copy = tmp_path / "crylens" / "yamnet" / kept.name
    copy.parent.mkdir(parents=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert not is_converted(str(yamnet_dir))
    copy.write_bytes(kept.read_bytes())
    assert is_converted(str(yamnet_dir))
    other = tmp_path / "other"
    shutil.copytree(yamnet_dir, other, copy_function=shutil.copyfile)
    assert is_converted(str(other)), "the same files elsewhere"
    [weights] = (other / "variables").glob("*.data*")
    with weights.open("r+b") as file:
        file.write(b"other")
    assert not is_converted(str(other))
    altered = bytearray(kept.read_bytes())
    altered[len(altered) // 2] ^= 1
    copy.write_bytes(altered)
    assert not is_converted(str(yamnet_dir))


def test_no_tensorflow_in_a_process_that_hears(yamnet: YamnetEmbedder, yamnet_dir: Path, a_cry: Path) -> None:
    del yamnet
    code = f"""
import sys
from pipeline.analysis import CryPipeline
from pipeline.settings import get_settings
settings = get_settings(yamnet_handle={str(yamnet_dir)!r})
heard = CryPipeline.load("yamnet", settings).analyze({str(a_cry)!r}, reasons="never")
assert heard.embedder == "yamnet" and heard.is_cry
assert not {{"tensorflow", "tensorflow_hub", "keras", "onnx"}} & set(sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr

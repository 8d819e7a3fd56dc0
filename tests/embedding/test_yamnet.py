"""YAMNet through the real ``hub.load``: by path, through the hub's cache, and when it cannot be had."""

from __future__ import annotations

import hashlib
import socket
from pathlib import Path

import numpy as np
import pytest

from pipeline.audio import load
from pipeline.embedding.base import EMBEDDING_SIZE, frame_count
from pipeline.embedding.yamnet import (
    BABY_CRY_CLASS,
    CRYING_CLASSES,
    YamnetEmbedder,
    cache_folder,
    is_cached,
    is_local,
    is_reachable,
)
from pipeline.errors import EmbedderError
from pipeline.settings import YAMNET_HUB_HANDLE, get_settings


def test_by_path(yamnet: YamnetEmbedder, a_cry: Path, a_non_cry: Path) -> None:
    cry, other = load(a_cry).samples, load(a_non_cry).samples
    embeddings, scores = yamnet.embed_and_score(cry)
    assert embeddings.shape == (frame_count(len(cry)), EMBEDDING_SIZE)
    assert embeddings.dtype == np.float32
    assert scores.shape == (len(embeddings), 521)
    assert scores[:, BABY_CRY_CLASS].max() > 0.7
    assert yamnet.embed_and_score(other)[1][:, CRYING_CLASSES].max() < 0.1
    np.testing.assert_array_equal(yamnet.embed(cry), embeddings)


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
    assert socket.getdefaulttimeout() is None, "the time-out is for the hub alone"

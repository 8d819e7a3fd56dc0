"""Detection models along real recordings: a cry stands out, clip and night agree, blocks change nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.audio import load
from pipeline.embedding.yamnet import YamnetEmbedder
from pipeline.episodes import find_episodes
from pipeline.errors import ArtifactError, SettingsError
from pipeline.training.data import Clip
from pipeline.zoo import registry
from pipeline.zoo.base import Example, Timeline
from pipeline.zoo.level import Level, a_weighted_db
from pipeline.zoo.listening import Listener, listen, rules_of
from pipeline.zoo.yamnet_class import YamnetClass, YamnetCryingMax

RATE = 16_000
NAMES = ("level", "yamnet-class", "yamnet-crying-max")


@pytest.fixture
def model(request: pytest.FixtureRequest, yamnet: YamnetEmbedder) -> Listener:
    """A model by name that learns nothing."""
    made = {"level": Level, "yamnet-class": YamnetClass, "yamnet-crying-max": YamnetCryingMax}
    kind = made[request.param]
    return kind() if kind is Level else kind(yamnet=yamnet)


@pytest.fixture(scope="module")
def night(another_cry: Path, a_non_cry: Path) -> NDArray[np.float32]:
    """Near silence for 20 s, a cry of 5 s at 10 s, a vacuum cleaner far away at 20 s: 30 s, unevenly cut."""
    rng = np.random.default_rng(0)
    sound = rng.normal(0, 1e-4, 30 * RATE + 4321).astype(np.float32)
    cry, vacuum = load(another_cry).samples, load(a_non_cry).samples
    sound[10 * RATE : 10 * RATE + len(cry)] += cry
    sound[20 * RATE : 20 * RATE + len(vacuum)] += 0.02 * vacuum
    return sound


@pytest.mark.parametrize("model", NAMES, indirect=True)
def test_a_cry_scores_above_noise_and_is_one_episode_where_it_is(
    model: Listener, night: NDArray[np.float32]
) -> None:
    timeline = model.timeline(night)
    centres = np.arange(len(timeline.scores)) * timeline.hop_s + timeline.window_s / 2
    crying = (centres > 10) & (centres < 15)
    assert timeline.scores[crying].max() > model.threshold > timeline.scores[~crying].max()
    found = find_episodes(timeline.scores, rules_of(model, timeline), duration_s=len(night) / RATE)
    assert found
    assert 9 <= found[0].start < found[-1].end <= 16


@pytest.mark.parametrize("model", NAMES, indirect=True)
def test_the_score_of_a_clip_is_the_best_window_of_its_timeline(
    model: Listener, a_cry: Path, another_cry: Path, a_non_cry: Path
) -> None:
    clips = [Clip(path, "cry", "cry", "esc50", path.name) for path in (a_cry, another_cry, a_non_cry)]
    scores = model.scores([Example(clip) for clip in clips])
    best = [model.timeline(load(clip.path).samples).scores.max() for clip in clips]
    assert scores[:, 1].tolist() == best
    np.testing.assert_allclose(scores.sum(axis=1), 1)
    if model.name != "level":  # a vacuum cleaner is as loud as a cry
        assert min(best[:2]) > 0.5 > best[2]


@pytest.mark.parametrize("model", NAMES, indirect=True)
def test_sound_in_blocks_is_heard_as_in_one(model: Listener, night: NDArray[np.float32]) -> None:
    whole = model.timeline(night)
    for block_s, stretch_s in ((30.0, 9.7), (1.3, 5.0), (0.1, 12.0)):
        size = round(block_s * RATE)
        blocks = (night[i : i + size] for i in range(0, len(night), size))
        heard = listen(model, blocks, stretch_s)
        assert (heard.hop_s, heard.window_s) == (whole.hop_s, whole.window_s)
        np.testing.assert_allclose(heard.scores, whole.scores, atol=1e-4)


class Loudest(Listener):
    """The highest sample of each window: what it hears is known to the sample."""

    name = "loudest"
    about = "for tests"

    def __init__(self, hop: int, window: int) -> None:
        super().__init__()
        self.hop, self.window = hop, window

    def timeline(self, samples: NDArray[np.float32]) -> Timeline:
        count = max(1, -(-(len(samples) - self.window) // self.hop) + 1)
        parts = [samples[i * self.hop : i * self.hop + self.window] for i in range(count)]
        scores = np.array([part.max(initial=0.0) for part in parts], np.float64)
        return Timeline(scores, self.hop / RATE, self.window / RATE)


@settings(max_examples=200)
@given(
    n=st.integers(1, 500),
    hop=st.integers(1, 40),
    overlap=st.integers(0, 40),
    stretch=st.integers(160, 400),
    block=st.integers(1, 300),
)
def test_every_window_is_heard_once_however_sound_comes(
    n: int, hop: int, overlap: int, stretch: int, block: int
) -> None:
    model = Loudest(hop, hop + overlap)
    sound = np.random.default_rng(n).random(n).astype(np.float32)
    heard = listen(model, (sound[i : i + block] for i in range(0, n, block)), stretch / RATE)
    assert np.array_equal(heard.scores, model.timeline(sound).scores)


@pytest.mark.parametrize(
    ("model", "names"),
    [(Loudest(100, RATE), "too long"), (Loudest(0, 10), "no whole samples")],
)
def test_windows_that_cannot_be_streamed_are_refused(model: Loudest, names: str) -> None:
    model.timeline = lambda samples: Timeline(np.zeros(9), model.hop / RATE, model.window / RATE)  # type: ignore[method-assign]
    with pytest.raises(SettingsError, match=names):
        listen(model, [np.zeros(2 * RATE, np.float32)], 1.5)


@pytest.mark.parametrize(
    ("hz", "weight_db"), [(31.5, -39.4), (100, -19.1), (1000, 0.0), (2000, 1.2), (4000, 1.0), (6300, -0.1)]
)
def test_levels_have_the_weights_of_iec_61672(hz: float, weight_db: float) -> None:
    """Table 3 of IEC 61672-1, as measured on a sine at full scale (-3.01 dB)."""
    t = np.arange(2 * RATE) / RATE
    level = a_weighted_db(np.sin(2 * np.pi * hz * t))
    assert level[0] == pytest.approx(weight_db - 3.01, abs=0.15)


def test_level_follows_loudness_and_silence_is_nothing(another_cry: Path) -> None:
    cry = load(another_cry).samples
    loud, soft = Level().timeline(cry).scores, Level().timeline(0.1 * cry).scores
    np.testing.assert_allclose(loud - soft, 0.2, atol=1e-9)  # 20 dB on a scale of 100
    assert Level().timeline(np.zeros(3 * RATE, np.float32)).scores.tolist() == [0.0] * 5
    assert len(Level().timeline(np.zeros(100, np.float32)).scores) == 1


def test_one_hears_the_class_for_babies_only_the_other_all_crying(
    yamnet: YamnetEmbedder,
) -> None:
    frames = np.array([[0.9, 0.1, 0.2], [0.1, 0.7, 0.3], [0.0, 0.0, 0.4]])
    assert YamnetClass(yamnet=yamnet).of_frames(frames).scores.tolist() == [0.1, 0.7, 0.0]
    assert YamnetCryingMax(yamnet=yamnet).of_steps(frames).scores.tolist() == [0.9, 0.7, 0.4]


def test_models_without_weights_are_saved_with_what_they_were_shown(
    another_cry: Path, a_non_cry: Path, tmp_path: Path
) -> None:
    examples = [
        Example(Clip(path, kind, kind, "esc50", kind))
        for path, kind in ((another_cry, "cry"), (a_non_cry, "not_cry"))
    ]
    model = Level()
    model.fit(examples, np.array([1, 0]), np.array(["a", "b"]), seed=0, work=tmp_path, cache=tmp_path)
    model.save(tmp_path / "level")
    again = registry.load("level", tmp_path / "level")
    sound = load(another_cry).samples
    assert np.array_equal(again.timeline(sound).scores, model.timeline(sound).scores)  # type: ignore[attr-defined]
    assert again._learned["recordings"] == 2  # type: ignore[attr-defined]
    with pytest.raises(ArtifactError):
        registry.load("yamnet-class", tmp_path / "level")
    with pytest.raises(SettingsError, match="hungry"):
        registry.create("level", ("hungry", "tired"))

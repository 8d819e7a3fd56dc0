"""The detector head: its features, its arithmetic against scikit-learn's, its streaming twin, its file."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from pipeline import artifacts
from pipeline.detection import FEATURES, HEAD_FILE, DetectorHead, Evidence, load_head, window_features
from pipeline.embedding import EMBEDDING_SIZE
from pipeline.episodes import find_episodes
from pipeline.errors import ArtifactError
from pipeline.settings import get_settings

WINDOW = 3
SUSTAINED, GAIN, SLOPE = 5, 2.0, 3.0


def frames(count: int, seed: int = 0) -> np.ndarray:
    """Embeddings as a ReLU gives them: many zeros, the rest of very different sizes."""
    rng = np.random.default_rng(seed)
    return np.maximum(rng.normal(0, rng.uniform(0.1, 3, EMBEDDING_SIZE), (count, EMBEDDING_SIZE)), 0).astype(
        np.float32
    )


@pytest.fixture(scope="module")
def trained() -> Pipeline:
    """The recipe as scikit-learn runs it, fitted on windows of two kinds."""
    x = window_features(frames(200), WINDOW).astype(np.float64)
    y = np.arange(len(x)) % 2
    x[y == 1, :40] += 0.5
    return make_pipeline(StandardScaler(), PCA(12, random_state=0), LogisticRegression()).fit(x, y)


@pytest.fixture(scope="module")
def head(trained: Pipeline) -> DetectorHead:
    """The same recipe as our arrays."""
    scaler, pca, model = (step for _, step in trained.steps)
    return DetectorHead(
        scaler_mean=scaler.mean_,
        scaler_scale=scaler.scale_,
        pca_mean=pca.mean_,
        pca_components=pca.components_,
        coefficients=model.coef_[0],
        intercept=np.array(model.intercept_[0]),
        calibration=np.array([0.7, -0.4]),
        threshold=np.array(0.4),
        window=np.array(WINDOW),
        sustained_windows=np.array(SUSTAINED),
        sustained_gain=np.array(GAIN),
        sustained_slope=np.array(SLOPE),
    )


@pytest.mark.parametrize("window", [1, 3, 4])
@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_features_are_mean_and_deviation_of_each_run(count: int, window: int) -> None:
    embeddings = frames(count)
    features = window_features(embeddings, window)
    used = min(window, count)
    assert features.shape == (max(1, count - window + 1), FEATURES)
    assert features.dtype == np.float32
    for i, row in enumerate(features):
        part = embeddings[i : i + used].astype(np.float64)
        np.testing.assert_allclose(row[:EMBEDDING_SIZE], part.mean(axis=0), atol=1e-5)
        np.testing.assert_allclose(row[EMBEDDING_SIZE:], part.std(axis=0), atol=1e-5)


def test_constant_sound_has_no_deviation() -> None:
    features = window_features(np.repeat(frames(1) * 1000, 5, axis=0), WINDOW)
    assert np.isfinite(features).all()
    np.testing.assert_allclose(features[:, EMBEDDING_SIZE:], 0, atol=1e-2)


def test_scores_are_those_of_scikit_learn(trained: Pipeline, head: DetectorHead) -> None:
    embeddings = frames(50, seed=1)
    features = window_features(embeddings, WINDOW)
    wanted = trained.decision_function(features.astype(np.float64))
    np.testing.assert_allclose(head.logits(features), wanted, rtol=1e-6, atol=1e-6)
    calibrated = 1 / (1 + np.exp(-(0.7 * wanted - 0.4)))
    scores = head.scores(embeddings)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, calibrated, atol=1e-6)
    assert np.ptp(scores) > 0.05, "the comparison is of scores that differ"


def test_extreme_sound_gives_a_score_all_the_same(head: DetectorHead) -> None:
    for scale in (0.0, 1e4, 1e8):
        scores = head.scores(frames(6) * np.float32(scale))
        assert ((scores >= 0) & (scores <= 1)).all()


@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 12), at=st.lists(st.integers(0, 12), max_size=8), window=st.integers(1, 4))
@example(count=1, at=[], window=3)
@example(count=2, at=[1], window=3)
@example(count=3, at=[1, 2], window=3)
@example(count=3, at=[1, 1], window=3)
@example(count=2, at=[1], window=4)
def test_a_stream_scores_as_the_whole(count: int, at: list[int], window: int, head: DetectorHead) -> None:
    mine = replace(head, window=np.array(window))
    embeddings = frames(count, seed=count)
    blocks = np.split(embeddings, sorted(min(place, count) for place in at))
    together = np.concatenate(list(mine.score_blocks(blocks)))
    whole = mine.scores(embeddings)
    assert together.shape == whole.shape
    np.testing.assert_allclose(together, whole, atol=1e-6)


def test_no_stream_no_scores(head: DetectorHead) -> None:
    assert list(head.score_blocks([])) == []


def test_a_window_lasts_from_its_first_frame_to_the_end_of_its_last(head: DetectorHead) -> None:
    assert head.window_s == pytest.approx(2 * 0.48 + 0.96)
    rules = head.rules()
    assert (rules.onset, rules.offset, rules.window_s) == (0.4, 0.2, head.window_s)
    moved = head.rules(0.8)
    assert (moved.onset, moved.offset) == (0.8, pytest.approx(0.4))


@settings(max_examples=50, deadline=None)
@given(values=st.lists(st.floats(0, 1, width=32), min_size=1, max_size=30), threshold=st.floats(0, 1))
def test_some_episode_exactly_when_the_best_window_reaches_the_threshold(
    values: list[float], threshold: float, head: DetectorHead
) -> None:
    scores = np.array(values, np.float32)
    episodes = find_episodes(scores, head.rules(threshold))
    assert bool(episodes) == (float(scores.max()) >= threshold)


def sustained(scores: list[float], head: DetectorHead) -> np.ndarray:
    return head.evidence(np.array(scores, np.float32))


def test_faint_crying_that_goes_on_is_found_though_no_window_is_sure(head: DetectorHead) -> None:
    faint, fainter = 0.25, 0.05
    heard = sustained([faint] * (SUSTAINED + 3), head)
    assert (heard[: SUSTAINED - 1] == np.float32(faint)).all(), "too little was heard to judge together"
    assert (heard[SUSTAINED - 1 :] > float(head.threshold)).all()
    assert (sustained([fainter] * 99, head) < float(head.threshold)).all()


def test_a_short_faint_sound_gains_nothing(head: DetectorHead) -> None:
    heard = sustained([0.001] * SUSTAINED + [0.3] * 2 + [0.001] * SUSTAINED, head)
    assert heard.max() == np.float32(0.3)


def test_the_end_of_crying_is_not_put_off_by_what_was_heard_before(head: DetectorHead) -> None:
    heard = sustained([0.99] * SUSTAINED + [0.001] * SUSTAINED, head)
    assert (heard[:SUSTAINED] >= 0.99).all()
    np.testing.assert_allclose(heard[SUSTAINED:], 0.001, rtol=1e-6)


def test_without_windows_to_join_scores_are_what_they_are(head: DetectorHead) -> None:
    scores = np.array([0.2, 0.0, 1.0, 0.7], np.float32)
    np.testing.assert_array_equal(replace(head, sustained_windows=np.array(0)).evidence(scores), scores)


@settings(max_examples=60, deadline=None)
@given(values=st.lists(st.floats(0, 1, width=32), max_size=40), windows=st.integers(1, 8))
def test_evidence_is_that_of_the_last_windows_and_never_below_the_score(
    values: list[float], windows: int, head: DetectorHead
) -> None:
    mine = replace(head, sustained_windows=np.array(windows))
    scores = np.array(values, np.float32)
    heard = mine.evidence(scores)
    listener = Evidence(mine)
    assert [np.float32(listener.push(v)) for v in scores.tolist()] == heard.tolist()
    kept = np.clip(scores.astype(np.float64), 1e-6, 1 - 1e-6)
    logits = np.log(kept / (1 - kept))
    for i, value in enumerate(heard):
        assert scores[i] <= value <= 1
        if i >= windows - 1:
            line = np.log(0.4 / 0.6)
            mean = logits[i - windows + 1 : i + 1].mean()
            together = 1 / (1 + np.exp(-(line + SLOPE * (mean - line + GAIN))))
            if abs(mean - 1 - logits[i]) > 1e-5:  # else rounding decides
                counts = together if logits[i] > mean - 1 else 0
                assert value == pytest.approx(max(counts, scores[i]), abs=2e-5)
        else:
            assert value == scores[i]


def test_round_trip_through_a_file(head: DetectorHead) -> None:
    data = head.to_bytes()
    again = DetectorHead.from_bytes(data)
    np.testing.assert_array_equal(again.scores(frames(9)), head.scores(frames(9)))
    assert again.rules() == head.rules()
    scores = np.full(9, 0.3, np.float32)
    np.testing.assert_array_equal(again.evidence(scores), head.evidence(scores))
    assert again.to_bytes() == data


def test_pickles_are_refused_unopened(head: DetectorHead, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return open, (str(tmp_path / "sprung"), "w")  # type: ignore[return-value]

    with np.load(io.BytesIO(head.to_bytes())) as file:
        arrays = dict(file)
    buffer = io.BytesIO()
    np.savez(buffer, **{**arrays, "coefficients": np.array([Trap()], dtype=object)})
    (tmp_path / "sprung").unlink(missing_ok=True)
    with pytest.raises(ArtifactError, match="Train it again"):
        DetectorHead.from_bytes(buffer.getvalue())
    assert not (tmp_path / "sprung").exists()


def test_files_that_are_no_head(head: DetectorHead) -> None:
    data = head.to_bytes()
    incomplete = io.BytesIO()
    np.savez(incomplete, scaler_mean=head.scaler_mean)
    for broken in (b"", b"PK\x03\x04 but not a zip", data[: len(data) // 2], incomplete.getvalue()):
        with pytest.raises(ArtifactError, match="Train it again"):
            DetectorHead.from_bytes(broken)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("scaler_mean", (1024,)),
        ("scaler_scale", (1,)),
        ("pca_mean", (1024,)),
        ("pca_components", (12, 1024)),
        ("coefficients", (11,)),
        ("calibration", (3,)),
        ("threshold", (2,)),
        ("intercept", (12,)),
        ("coefficients", ()),
    ],
)
def test_arrays_that_do_not_fit_together(name: str, shape: tuple[int, ...], head: DetectorHead) -> None:
    with pytest.raises(ArtifactError, match="Train it again"):
        replace(head, **{name: np.ones(shape)})
    with pytest.raises(ArtifactError, match=name):
        replace(head, **{name: np.full(getattr(head, name).shape, "0.5")})


@pytest.mark.parametrize("name", ["student", "yamnet"])
def test_the_shipped_heads(name: str) -> None:
    head = load_head(name, get_settings())
    assert 0 < float(head.threshold) < 1
    assert float(head.calibration[0]) > 0, "a higher logit is a likelier cry"
    assert head.window_s == pytest.approx(2.4)


def test_a_head_of_another_student_is_refused(tmp_path: Path, head: DetectorHead) -> None:
    settings = get_settings(artifacts_dir=tmp_path)
    schema = {"embedder": "student", "embedder_sha256": "a" * 64}
    artifacts.save(
        tmp_path / "detector-student", files={HEAD_FILE: head.to_bytes()}, kind="detector", schema=schema,
        training={}, metrics={}, card="# A head",
    )  # fmt: skip
    assert load_head("student", settings, "a" * 64).threshold == head.threshold
    with pytest.raises(ArtifactError, match=r"another student network.*train detector --embedder student"):
        load_head("student", settings, "b" * 64)


def test_an_embedder_without_a_head(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="detector-student"):
        load_head("student", get_settings(artifacts_dir=tmp_path))

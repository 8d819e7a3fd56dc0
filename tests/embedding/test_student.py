"""The bundled student: shapes, the same answer however it is asked, and no TensorFlow anywhere near."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.audio import load
from pipeline.embedding.base import EMBEDDING_SIZE, frame_count
from pipeline.embedding.logmel import frames_of_log_mel
from pipeline.embedding.network import BATCH, LONGEST
from pipeline.embedding.student import MODEL_FILE, StudentEmbedder
from pipeline.embedding.yamnet import CRYING_CLASSES, YamnetEmbedder
from pipeline.errors import ArtifactError
from pipeline.settings import PROJECT_ROOT, get_settings

SHIPPED = PROJECT_ROOT / "artifacts" / "student"


@pytest.fixture(scope="module")
def student() -> StudentEmbedder:
    """The student the project ships."""
    return StudentEmbedder.bundled(get_settings())


@pytest.mark.parametrize("n", [400, 3_200, 15_600, 15_601, 112_000])
def test_one_embedding_per_frame_as_yamnet_gives(n: int, student: StudentEmbedder) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, n).astype(np.float32)
    given_frames = student.embed(samples)
    assert given_frames.shape == (frame_count(n), EMBEDDING_SIZE)
    assert given_frames.dtype == np.float32
    assert np.isfinite(given_frames).all()
    assert (given_frames >= 0).all(), "YAMNet's are outputs of a ReLU"


def test_silence_is_embedded_too(student: StudentEmbedder) -> None:
    assert np.isfinite(student.embed(np.zeros(32_000, np.float32))).all()


def test_same_sound_same_embedding_whatever_the_threads(student: StudentEmbedder, a_cry: Path) -> None:
    samples = load(a_cry).samples
    first = student.embed(samples)
    np.testing.assert_array_equal(student.embed(samples), first)
    single = StudentEmbedder((SHIPPED / MODEL_FILE).read_bytes(), threads=1)
    np.testing.assert_allclose(single.embed(samples), first, atol=1e-4)
    assert single.checksum == student.checksum


def test_it_means_what_its_teacher_means(
    student: StudentEmbedder,
    yamnet: YamnetEmbedder,
    yamnet_dir: Path,
    a_cry: Path,
    another_cry: Path,
    a_non_cry: Path,
) -> None:
    """Read with YAMNet's own last layer, its embeddings give about the class scores that YAMNet gives."""
    variables = tf_variables(yamnet_dir)
    weights, bias = variables["w/d_w"], variables["w/d_b"]
    sounds = [load(path).samples for path in (a_cry, another_cry, a_non_cry)]
    theirs = [yamnet.embed_and_score(samples)[1].mean(axis=0) for samples in sounds]
    ours = [(1 / (1 + np.exp(-(student.embed(s) @ weights + bias)))).mean(axis=0) for s in sounds]
    alike = np.array([[np.corrcoef(o, t)[0, 1] for t in theirs] for o in ours])
    assert alike.diagonal()[:2].min() > 0.95
    assert alike[2, 2] > 0.7
    assert alike[2, :2].max() < 0.5 > alike[:2, 2].max(), "a cry is no other sound"
    crying = np.array([[o[CRYING_CLASSES].max() for o in ours], [t[CRYING_CLASSES].max() for t in theirs]])
    assert np.abs(crying[0] - crying[1]).max() < 0.3


def tf_variables(folder: Path) -> dict[str, np.ndarray]:
    """The weights of a SavedModel, by name."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
    names = [name for name in reader.get_variable_to_shape_map() if name.endswith("VARIABLE_VALUE")]
    return {name.split("/.ATTRIBUTES")[0]: reader.get_tensor(name) for name in names}


@settings(max_examples=12, deadline=None)
@given(at=st.lists(st.integers(0, 112_000), max_size=6))
def test_blocks_give_what_the_whole_gives(at: list[int], student: StudentEmbedder, a_cry: Path) -> None:
    samples = load(a_cry).samples
    blocks = np.split(samples, sorted(place % len(samples) for place in at))
    together = np.concatenate(list(student.embed_blocks(blocks)))
    np.testing.assert_allclose(together, student.embed(samples), atol=1e-4)


def test_more_frames_than_one_run_takes(student: StudentEmbedder) -> None:
    samples = np.random.default_rng(1).normal(0, 0.05, 7_680 * (2 * LONGEST + 5)).astype(np.float32)
    many = student.embed(samples)
    assert len(many) > 2 * LONGEST
    later = frames_of_log_mel(samples)[48 * BATCH :]
    np.testing.assert_allclose(student.embed_columns(later), many[BATCH:], atol=1e-4)


def test_a_frame_is_a_matter_of_its_own_sound_alone(student: StudentEmbedder, a_cry: Path) -> None:
    samples = load(a_cry).samples[: 15_600 + 9 * 7_680]
    whole = student.embed(samples)
    assert len(whole) == 10
    alone = [student.embed(samples[7_680 * i : 7_680 * i + 15_600])[0] for i in range(len(whole))]
    np.testing.assert_allclose(whole, alone, atol=1e-4)


def test_it_fits_where_it_must() -> None:
    assert (SHIPPED / MODEL_FILE).stat().st_size <= 2_000_000
    assert (SHIPPED / "MODEL_CARD.md").read_text().startswith("# Student")


def test_bytes_that_are_no_network() -> None:
    whole = (SHIPPED / MODEL_FILE).read_bytes()
    for broken in (b"", b"not a network", whole[: len(whole) // 2]):
        with pytest.raises(ArtifactError, match="train student"):
            StudentEmbedder(broken, threads=1)


def test_a_network_of_another_shape() -> None:
    helper = pytest.importorskip("onnx").helper
    value = {name: helper.make_tensor_value_info(name, 1, ["n", 10]) for name in ("x", "y")}
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value["x"]], [value["y"]])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    with pytest.raises(ArtifactError, match="10 numbers per frame, not 1024"):
        StudentEmbedder(model.SerializeToString(), threads=1)


def test_an_altered_file_is_refused(tmp_path: Path) -> None:
    shutil.copytree(SHIPPED, tmp_path / "student")
    model = bytearray((SHIPPED / MODEL_FILE).read_bytes())
    model[len(model) // 2] ^= 1
    (tmp_path / "student" / MODEL_FILE).write_bytes(model)
    with pytest.raises(ArtifactError):
        StudentEmbedder.bundled(get_settings(artifacts_dir=tmp_path))


def test_no_tensorflow_is_imported(a_cry: Path) -> None:
    code = f"""
import sys
from pipeline.analysis import CryPipeline
heard = CryPipeline.load("student").analyze({str(a_cry)!r}, reasons="never")
assert heard.embedder == "student" and not heard.notices, heard.notices
assert not {{"tensorflow", "tensorflow_hub", "keras"}} & set(sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr

"""Reading YAMNet as it was published, with batch normalisations, and refusing what is no YAMNet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.embedding.network import open_session
from pipeline.embedding.yamnet_onnx import TOLERANCE, converted, largest_difference
from pipeline.errors import EmbedderError

tf = pytest.importorskip("tensorflow")
hub = pytest.importorskip("tensorflow_hub")

# Of the 13 separable layers: stride and bands out.
SEPARABLE = [(1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512), *[(1, 512)] * 5, (2, 1024), (1, 1024)]


class Published(tf.Module):  # type: ignore[misc]
    """YAMNet's recipe (TensorFlow Models, ``research/audioset/yamnet``) with made-up weights."""

    def __init__(self, flaw: str = "") -> None:
        super().__init__()
        self.flaw, self.rng, self.layers = flaw, np.random.default_rng(0), []
        self.add("conv", (3, 3, 1, 32), 9, 32)
        bands = 32
        for _, out in SEPARABLE:
            self.add("depthwise", (3, 3, bands, 1), 9, bands)
            self.add("pointwise", (1, 1, bands, out), bands, out)
            bands = out
        self.dense = tf.Variable(self.rng.normal(0, 0.05, (1024, 521)).astype(np.float32))
        self.bias = tf.Variable(self.rng.normal(0, 1, 521).astype(np.float32))
        self.mel = tf.signal.linear_to_mel_weight_matrix(64, 257, 16_000, 125.0, 7_500.0)

    def add(self, kind: str, shape: tuple[int, ...], summed: int, bands: int) -> None:
        """A convolution and its normalisation: no scale, a mean, a variance beside which epsilon matters."""
        spread = self.rng.uniform(0.02, 2, bands)
        kernel = self.rng.normal(0, (2 / summed) ** 0.5, shape)
        kernel *= spread[:, None] if kind == "depthwise" else spread
        numbers = (self.rng.normal(0, 0.1, bands), self.rng.normal(0, 0.1, bands) * spread, spread**2)
        self.layers.append((kind, *(tf.Variable(each.astype(np.float32)) for each in (kernel, *numbers))))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])  # type: ignore[untyped-decorator]
    def __call__(self, waveform: Any) -> Any:
        length = tf.maximum(tf.shape(waveform)[0], 15_600)
        hops = tf.cast(tf.math.ceil(tf.cast(length - 15_600, tf.float32) / 7_680), tf.int32)
        padded = tf.pad(waveform, [[0, 15_600 + hops * 7_680 - tf.shape(waveform)[0]]])
        log_mel = tf.math.log(tf.abs(tf.signal.stft(padded, 400, 160, 512)) @ self.mel + 0.001)
        scores, embeddings = self.network(tf.signal.frame(log_mel, 96, 48, axis=0))
        return scores, embeddings, log_mel

    @tf.function  # type: ignore[untyped-decorator]
    def network(self, patches: Any) -> Any:
        """A function called by a function, as Keras models are in SavedModels."""
        heard = tf.reshape(patches, [-1, 96, 64, 1])
        strides = iter([2, *(each for stride, _ in SEPARABLE for each in (stride, 1))])
        for kind, kernel, beta, mean, variance in self.layers:
            step = next(strides)
            convolve = tf.nn.depthwise_conv2d if kind == "depthwise" else tf.nn.conv2d
            heard = convolve(heard, kernel, [1, step, step, 1], "SAME")
            heard, _, _ = tf.compat.v1.nn.fused_batch_norm(
                heard, tf.ones_like(beta), beta, mean, variance, epsilon=1e-4, is_training=False
            )
            heard = tf.nn.leaky_relu(heard) if self.flaw == "leaky" else tf.nn.relu(heard)
        embeddings = tf.reduce_mean(heard, [1, 2])
        scores = tf.nn.sigmoid(tf.nn.bias_add(embeddings @ self.dense, self.bias))
        if self.flaw == "softmax":
            scores = tf.nn.softmax(embeddings @ self.dense)
        return scores, embeddings * 1.01 if self.flaw == "louder" else embeddings


def test_batch_normalisations_become_part_of_the_convolutions(tmp_path: Path) -> None:
    tf.saved_model.save(Published(), str(tmp_path))
    model = hub.load(str(tmp_path))
    network = converted(model)
    assert largest_difference(model, network) <= TOLERANCE
    [columns] = open_session(network).get_inputs()
    assert columns.shape == [1, "columns", 64]


@pytest.mark.parametrize(
    ("flaw", "why"), [("leaky", "no rectifier"), ("softmax", "Softmax"), ("louder", "answers otherwise")]
)
def test_what_is_no_yamnet_is_refused(flaw: str, why: str) -> None:
    with pytest.raises(EmbedderError, match=why) as caught:
        converted(Published(flaw))
    assert "CRY_YAMNET_HANDLE" in str(caught.value)

"""``cryresnet``: ResNet-18 on a mel picture of the cry.

8 kHz, 7 s cut or padded; mel spectrogram with 128 bands (FFT 1024, hop 256), in decibels, scaled to [0, 1],
resized to 224×224, three channels. With published ImageNet weights (option ``weights``) the network up to its
pooled features stays as it was and only the head learns; without, which is the default because the project
ships no such weights, all of it is trained through from random weights. The card says which.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import SettingsError
from pipeline.zoo import resnet18
from pipeline.zoo.base import Progress
from pipeline.zoo.deep import Lesson, Recipe, Taught, teach
from pipeline.zoo.deep_model import DeepModel, Material
from pipeline.zoo.examples import FrontEnd

SAMPLE_RATE = 8_000
SAMPLES = 7 * SAMPLE_RATE
FFT, HOP, BANDS = 1024, 256, 128
COLUMNS = 1 + SAMPLES // HOP
SIZE = 224
BATCH = 16
# Learning rates unless one is given: a head alone, and all of it, whose loss stays at chance at 1e-3.
FROZEN_RATE, WHOLE_RATE = 1e-3, 1e-4
GRID: dict[str, tuple[float, ...]] = {
    "rate": (1e-4, 1e-3, 1e-2),
    "width": (64, 128, 256, 512),
    "dropout": (0.0, 0.5, 0.8),
}
COARSE_GRID: dict[str, tuple[float, ...]] = {"rate": GRID["rate"], "width": (512,), "dropout": (0.0, 0.5)}
GRIDS: dict[str, dict[str, tuple[float, ...]]] = {"full": GRID, "coarse": COARSE_GRID}


def mel_picture(samples: NDArray[np.float32]) -> NDArray[np.float16]:
    """(n,) samples at 16 kHz to a (128, 219) float16 mel spectrogram in decibels, scaled to [0, 1].

    Decibels reach 80 below the loudest point; the softest point of a clip becomes 0 and its loudest 1. A clip
    without any difference (digital silence) becomes 0 throughout.
    """
    import librosa
    import soxr

    narrow = soxr.resample(np.asarray(samples, np.float32), 2 * SAMPLE_RATE, SAMPLE_RATE)[:SAMPLES]
    narrow = np.pad(narrow, (0, SAMPLES - len(narrow)))
    power = librosa.feature.melspectrogram(y=narrow, sr=SAMPLE_RATE, n_fft=FFT, hop_length=HOP, n_mels=BANDS)
    decibels = librosa.power_to_db(power, ref=np.max, top_db=80.0)
    low, high = float(decibels.min()), float(decibels.max())
    scaled = (decibels - low) / (high - low) if high > low else np.zeros_like(decibels)
    return np.asarray(scaled, np.float16)


class CryResNet(DeepModel):
    """ResNet-18 on a 224×224 mel picture of 7 s at 8 kHz; class-weighted cross-entropy, AdamW.

    Options: ``width`` (units before the last layer, 64 to 512), ``dropout``, ``rate`` (1e-3 for a head on a
    frozen trunk, else 1e-4), ``epochs``, ``patience``, ``weights`` (file with ImageNet weights in
    torchvision's naming; the trunk is then frozen),
    ``grid`` ("full", 36 settings of rate, width and dropout, or "coarse", 6; chosen by macro-F1 on the
    validation donors, which are inside the training part), ``copies`` (learn from augmented copies too),
    ``epoch_rows`` (an epoch is that many rows at most, drawn anew each time; all by default).
    """

    name = "cryresnet"
    recipe = "1"
    about = (
        "ResNet-18 on a 224×224 picture of a mel spectrogram (128 bands, 7 s at 8 kHz), with class-weighted "
        "cross-entropy and AdamW."
    )
    front_end = FrontEnd("mel128 1 8kHz 7s 1024/256 dB 0-1", mel_picture)

    def __init__(
        self,
        classes: Sequence[str],
        *,
        width: int = 512,
        dropout: float = 0.5,
        rate: float | None = None,
        epochs: int = 12,
        patience: int = 6,
        weights: str | Path | None = None,
        grid: str | None = None,
        copies: bool = False,
        epoch_rows: int | None = None,
    ) -> None:
        """Make an untrained model.

        Raises:
            SettingsError: an option that cannot be used.
        """
        rate = rate if rate is not None else FROZEN_RATE if weights is not None else WHOLE_RATE
        if not 64 <= width <= 512 or not 0 <= dropout < 1 or not 0 < rate < 1:
            raise SettingsError(
                f"cryresnet: width {width} must be 64 to 512, dropout {dropout} in [0, 1), "
                f"rate {rate} in (0, 1)."
            )
        if epochs < 1 or patience < 1 or (epoch_rows is not None and epoch_rows < BATCH):
            raise SettingsError(
                f"cryresnet: epochs and patience are at least 1, epoch_rows at least {BATCH}."
            )
        if grid is not None and grid not in GRIDS:
            raise SettingsError(f"cryresnet: there is no grid {grid!r}; choose from {', '.join(GRIDS)}.")
        options = {
            "width": width,
            "dropout": dropout,
            "rate": rate,
            "epochs": epochs,
            "patience": patience,
            "weights": None if weights is None else _named(weights),
            "grid": grid,
            "copies": copies,
            "epoch_rows": epoch_rows,
        }
        super().__init__(classes, options)
        self._weights = None if weights is None else Path(weights)

    def settings(self) -> list[dict[str, Any]]:
        """The settings of rate, width and dropout that a fit tries, one unless a grid is asked for."""
        if self.options["grid"] is None:
            return [{name: self.options[name] for name in GRID}]
        grid = GRIDS[self.options["grid"]]
        return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]

    def _recipe(self) -> Recipe:
        return Recipe(
            epochs=self.options["epochs"],
            batch=BATCH,
            patience=self.options["patience"],
            watch="macro_f1",
            weighted=True,
            rate=self.options["rate"],
            decay=0.01,
            rows=self.options["epoch_rows"],
        )

    def _inputs(self, kept: NDArray[Any], rng: np.random.Generator | None) -> NDArray[np.float32]:
        del rng  # no real-time augmentation in this recipe
        return pictures(kept.astype(np.float32))

    def _learn(
        self, material: Material, *, seed: int, work: Path, progress: Progress | None
    ) -> tuple[Any, Taught]:
        """Train every setting, keep the one with the best validation macro-F1 (then the lowest loss)."""
        trunk, facts = self._trunk()
        lesson = self._lesson(material, seed)
        if trunk is not None:
            features = _features(trunk, lesson, progress)
            lesson = replace(lesson, inputs=lambda rows, rng: features[rows])
        tried, best = [], None
        settings = self.settings()
        for k, setting in enumerate(settings):
            network = partial(_head, classes=len(self.classes), setting=setting, whole=trunk is None)
            which = f"{self.name}, setting {k + 1} of {len(settings)}" if len(settings) > 1 else self.name
            content = f"{lesson.content} {facts} {setting}"
            one = replace(lesson, name=which, network=network, content=content)
            recipe = replace(self._recipe(), rate=setting["rate"])
            taught = teach(one, recipe, seed=seed, work=work / f"setting-{k}", progress=progress)
            tried.append({**setting, **taught.at_best, "epochs": len(taught.history)})
            merit = (taught.at_best["val_macro_f1"], -taught.at_best["val_loss"])
            if best is None or merit > best[0]:
                best = merit, taught, setting
        assert best is not None  # there is at least one setting
        _, taught, setting = best
        self.facts = {**facts, "setting": setting} | ({"tried": tried} if len(tried) > 1 else {})
        return (taught.network if trunk is None else _joined(trunk, taught.network)), taught

    def _trunk(self) -> tuple[Any, dict[str, Any]]:
        """The frozen trunk, None when all is trained; and what to say about it."""
        path = self._weights
        if path is None:
            return None, {"trunk": "trained through from random weights; no ImageNet weights were given"}
        import keras

        weights, checksum = resnet18.read_weights(path)
        inputs = keras.Input((SIZE, SIZE), name="picture")
        trunk = keras.Model(inputs, resnet18.trunk(_channels(inputs)))
        resnet18.load_weights(trunk, weights, str(path))
        trunk.trainable = False
        return trunk, {"trunk": f"frozen, weights of {path.name} (SHA-256 {checksum})"}

    def _notes(self) -> list[str]:
        setting = ", ".join(f"{name} {value}" for name, value in self.facts.get("setting", {}).items())
        return [f"The trunk: {self.facts.get('trunk')}. Learned with {setting}.", *super()._notes()]


def _named(weights: str | Path) -> str:
    """A weights file by name and content: no paths of a machine in what is written down."""
    path = Path(weights).expanduser()
    if not path.is_file():
        return str(weights)
    return f"{path.name}#{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"


@lru_cache(maxsize=2)
def _stretch(n: int) -> NDArray[np.float32]:
    """(224, n) weights of a bilinear resize from n to 224 points, half-pixel centres, no smoothing."""
    where = np.clip((np.arange(SIZE) + 0.5) * n / SIZE - 0.5, 0, n - 1)
    low = np.floor(where).astype(np.int64)
    weights = np.zeros((SIZE, n), np.float32)
    weights[np.arange(SIZE), low] = 1 - (where - low)
    weights[np.arange(SIZE), np.minimum(low + 1, n - 1)] += (where - low).astype(np.float32)
    return weights


def pictures(mels: NDArray[np.float32]) -> NDArray[np.float32]:
    """(k, 128, 219) to (k, 224, 224), bilinear.

    Not a layer of the network: Keras' own Resizing takes itself to be in training unless told otherwise, and
    in an export pulls the batch normalisation behind it along.
    """
    return np.asarray(_stretch(BANDS) @ mels @ _stretch(COLUMNS).T, np.float32)


def _channels(picture: Any) -> Any:
    """(n, 224, 224) in [0, 1] to (n, 224, 224, 3), each channel scaled as ImageNet pictures are."""
    from keras import layers

    x = layers.Reshape((SIZE, SIZE, 1), name="one_channel")(picture)
    x = layers.Concatenate(name="three_channels")([x, x, x])
    scale = [1 / deviation for deviation in resnet18.IMAGENET_DEVIATION]
    offset = [-mean * s for mean, s in zip(resnet18.IMAGENET_MEAN, scale, strict=True)]
    return layers.Rescaling(scale, offset=offset, name="imagenet_scale")(x)


def _head(classes: int, setting: dict[str, Any], whole: bool) -> Any:
    """To (n, classes) logits: the head alone on (n, 512) features, or ``whole`` on (n, 224, 224)."""
    import keras
    from keras import layers

    if whole:
        inputs = keras.Input((SIZE, SIZE), name="picture")
        x = resnet18.trunk(_channels(inputs))
    else:
        x = inputs = keras.Input((resnet18.FEATURES,), name="features")
    x = layers.Dense(int(setting["width"]), name="head")(x)
    x = layers.ReLU(name="head.relu")(x)
    x = layers.Dropout(setting["dropout"], name="head.dropout")(x)
    return keras.Model(inputs, layers.Dense(classes, name="logits")(x))


def _joined(trunk: Any, head: Any) -> Any:
    import keras

    return keras.Model(trunk.inputs, head(trunk.outputs[0]))


def _features(trunk: Any, lesson: Lesson, progress: Progress | None) -> NDArray[np.float32]:
    """(rows, 512): a frozen trunk gives a clip the same features in every epoch, so they are made once."""
    n = len(lesson.y)
    parts = []
    for start in range(0, n, BATCH):
        rows = np.arange(start, min(start + BATCH, n))
        parts.append(np.asarray(trunk.predict_on_batch(lesson.inputs(rows, None)), np.float32))
        if progress:
            progress("features of the frozen trunk", int(rows[-1]) + 1, n)
    return np.concatenate(parts)


MODEL = CryResNet

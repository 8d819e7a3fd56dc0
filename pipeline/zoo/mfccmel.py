"""XGBoost and a support vector machine on 336 features: means and deviations of MFCC and log-mel bands."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import AudioError, DataError, SettingsError
from pipeline.zoo.classical import Classical
from pipeline.zoo.examples import FrontEnd

SAMPLE_RATE = 16_000
N_FFT, HOP = 400, 160  # 25 ms every 10 ms
N_MFCC, N_MEL = 40, 128

_FRAME_NAMES = (*(f"mfcc_{i:02d}" for i in range(N_MFCC)), *(f"logmel_{i:03d}" for i in range(N_MEL)))
FEATURE_NAMES: tuple[str, ...] = (
    *(f"{name}_mean" for name in _FRAME_NAMES),
    *(f"{name}_deviation" for name in _FRAME_NAMES),
)


def mfccmel336(samples: NDArray[np.floating]) -> NDArray[np.float64]:
    """The ``mfccmel336`` features of one sound: means over its frames, then standard deviations, of 40 MFCC
    and 128 log-mel bands, in the order of :data:`FEATURE_NAMES`.

    Frames of 400 samples every 160 (librosa, Hann window, centred), power, Slaney's mel bands in dB relative
    to 1, floored 80 dB below the loudest; the MFCC are the cosine transform of the same bands. Of 128 bands
    over 201 bins some low ones hold no bin: they are -100 dB, or that floor, in every sound.

    Args:
        samples: (n,) mono samples at 16 kHz in [-1, 1]; at least 400 (25 ms).

    Returns:
        (336,) float64, finite.

    Raises:
        AudioError: not one row of samples, shorter than one frame, or NaN or infinite samples.
    """
    sound = np.asarray(samples, dtype=np.float32)
    if sound.ndim != 1 or len(sound) < N_FFT:
        raise AudioError(
            f"mfccmel336 needs one row of at least {N_FFT} samples at 16 kHz; got an array of shape "
            f"{sound.shape}.",
            code="too-short" if sound.ndim == 1 else "not-audio",
        )
    if not np.isfinite(sound).all():
        raise AudioError("The sound holds NaN or infinite samples; record or export it again.", "non-finite")
    from librosa import power_to_db
    from librosa.feature import melspectrogram, mfcc

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Empty filters detected")  # said above
        mel = melspectrogram(y=sound, sr=SAMPLE_RATE, n_fft=N_FFT, hop_length=HOP, n_mels=N_MEL)
    bands = power_to_db(mel)
    frames = np.concatenate([mfcc(S=bands, sr=SAMPLE_RATE, n_mfcc=N_MFCC), bands]).astype(np.float64)
    return np.concatenate([frames.mean(axis=1), frames.std(axis=1)])


class _On336(Classical):
    recipe = "1"
    front_end = FrontEnd("mfccmel336 1", mfccmel336)
    features = len(FEATURE_NAMES)


class Xgb336(_On336):
    """Gradient-boosted trees, every class weighing the same.

    Args:
        classes: names of the classes.
        trees: boosting rounds; depth: of a tree; rate: shrinkage of each, in (0, 1].

    Raises:
        SettingsError: an option is out of range.
    """

    name = "xgb336"
    about = (
        "XGBoost on 336 features (means and deviations of 40 MFCC and 128 log-mel bands), examples weighted "
        "so that every class weighs the same."
    )

    def __init__(
        self, classes: Sequence[str], *, trees: int = 300, depth: int = 6, rate: float = 0.1
    ) -> None:
        super().__init__(classes)
        if trees < 1 or depth < 1 or not 0 < rate <= 1:
            raise SettingsError(
                f"xgb336 cannot have trees={trees}, depth={depth}, rate={rate}: the first two are at least "
                "1, the rate is above 0 and at most 1."
            )
        self.options = {"trees": trees, "depth": depth, "rate": rate}

    def fitted(self, x: NDArray[np.float64], y: NDArray[np.int64], groups: NDArray[Any], seed: int) -> Any:
        """Trees on class numbers without gaps, as XGBoost wants them; one thread, so that fits repeat."""
        from xgboost import XGBClassifier

        del groups
        present, compact, counts = np.unique(y, return_inverse=True, return_counts=True)
        trees = XGBClassifier(
            n_estimators=self.options["trees"],
            max_depth=self.options["depth"],
            learning_rate=self.options["rate"],
            tree_method="hist",
            random_state=seed,
            n_jobs=1,
        )
        trees.fit(x.astype(np.float32), compact, sample_weight=(len(y) / (len(present) * counts))[compact])
        return Renumbered(trees, present)


class Svm336(_On336):
    """Support vector machine with a radial kernel on standardised features; Platt's sigmoid on top.

    The sigmoid is fitted on decisions of folds that keep ``groups`` together, so it does not take memory of a
    donor for knowledge.

    Args:
        classes: names of the classes.
        cost: C of the machine, above 0.

    Raises:
        SettingsError: cost is not above 0.
    """

    name = "svm336"
    about = (
        "Standardised RBF support vector machine, classes balanced, on 336 features (means and deviations of "
        "40 MFCC and 128 log-mel bands); scores by Platt's sigmoid over cross-validated decisions."
    )
    FOLDS = 3

    def __init__(self, classes: Sequence[str], *, cost: float = 10.0) -> None:
        super().__init__(classes)
        if not cost > 0:
            raise SettingsError(f"svm336 cannot have cost={cost}: it is above 0.")
        self.options = {"cost": cost}

    def fitted(self, x: NDArray[np.float64], y: NDArray[np.int64], groups: NDArray[Any], seed: int) -> Any:
        """Scaler and machine inside the calibrator: each of its folds is scaled by itself."""
        from sklearn.calibration import CalibratedClassifierCV
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import SVC
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        machine = make_pipeline(
            StandardScaler(),
            SVC(C=self.options["cost"], class_weight="balanced", cache_size=500, random_state=seed),
        )
        calibrated = CalibratedClassifierCV(machine, cv=self._folds(y, groups, seed), ensemble=False)
        with threadpool_limits(1):
            calibrated.fit(x.astype(np.float32), y)
        calibrated.cv = self.FOLDS  # the rows of the folds are of no use later, and large
        return calibrated

    def _folds(
        self, y: NDArray[np.int64], groups: NDArray[Any], seed: int
    ) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Folds of the training data, groups kept together where each class has groups for every fold.

        Raises:
            DataError: a class with a single example.
        """
        from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

        present, counts = np.unique(y, return_counts=True)
        if counts.min() < 2:
            few = self.classes[int(present[counts.argmin()])]
            raise DataError(f"svm336 needs at least two examples of each class; '{few}' has one.")
        blank = np.zeros(len(y))
        apart = list(
            StratifiedGroupKFold(self.FOLDS, shuffle=True, random_state=seed).split(blank, y, groups)
            if len(set(groups.tolist())) >= self.FOLDS
            else []
        )
        if apart and all(len(np.unique(y[train])) == len(present) for train, _ in apart):
            return apart
        folds = min(self.FOLDS, int(counts.min()))
        return list(StratifiedKFold(folds, shuffle=True, random_state=seed).split(blank, y))


class Renumbered:
    """An estimator fitted on class numbers without gaps, with the true numbers as ``classes_``."""

    def __init__(self, estimator: Any, classes: NDArray[np.int64]) -> None:
        self.estimator = estimator
        self.classes_ = classes

    def predict_proba(self, x: NDArray[np.floating]) -> NDArray[np.float64]:
        """(n, classes_) float64; XGBoost's own float32 rows sum to 1 only nearly."""
        scores = np.asarray(self.estimator.predict_proba(x), dtype=np.float64)
        return scores / scores.sum(axis=1, keepdims=True)


MODELS: dict[str, type[_On336]] = {"xgb336": Xgb336, "svm336": Svm336}

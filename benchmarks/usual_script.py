"""The usual script: YAMNet from TensorFlow Hub, librosa, and an ensemble out of a joblib file.

    python benchmarks/usual_script.py FILE...

As it is found in notebooks and posts: load the whole file with librosa, hear it with YAMNet at once, take the
class "Baby cry, infant cry" for the detector, the 108 features call by call, and ask the ensemble for the
reason. It answers what ``python -m pipeline analyze`` answers: is it a cry, when, and chances of reasons.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import joblib
import librosa
import numpy as np
import tensorflow_hub as hub
from usual_features import usual_features

HANDLE = os.environ.get("CRY_YAMNET_HANDLE", "https://tfhub.dev/google/yamnet/1")
ENSEMBLE = Path(__file__).resolve().parent.parent / "artifacts" / "reasons"
BABY_CRY, HOP_S, THRESHOLD = 20, 0.48, 0.3


class UsualScript:
    """The models, loaded once."""

    def __init__(self) -> None:
        self.yamnet = hub.load(HANDLE)
        self.ensemble = joblib.load(ENSEMBLE / "model.joblib")
        manifest = json.loads((ENSEMBLE / "manifest.json").read_text("utf-8"))
        self.classes = manifest["schema"]["classes"]

    def __call__(self, path: str) -> dict:
        samples, _rate = librosa.load(path, sr=16_000)
        scores, _embeddings, _log_mel = self.yamnet(samples)
        cry = scores.numpy()[:, BABY_CRY]
        when = [round(float(i) * HOP_S, 2) for i in np.flatnonzero(cry >= THRESHOLD)]
        chances = self.ensemble.predict_proba(usual_features(samples, 108)[None, :])[0]
        return {
            "path": path,
            "is_cry": bool(cry.max() >= THRESHOLD),
            "cry_score": float(cry.max()),
            "crying_at_s": when,
            "reasons": {name: float(c) for name, c in zip(self.classes, chances, strict=True)},
        }


if __name__ == "__main__":
    script = UsualScript()
    for argument in sys.argv[1:]:
        print(json.dumps(script(argument)))

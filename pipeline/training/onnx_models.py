"""The shipped models as a folder of ONNX files with a manifest: what each takes and gives, and how near it
comes to its original."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import acoustics
from pipeline.errors import DataError
from pipeline.settings import Settings
from pipeline.training import onnx_export

MANIFEST = "manifest.json"
# Largest differences accepted between an original and its export, on calibrated values in [0, 1].
HEAD_TOLERANCE = 1e-5
VOTES_TOLERANCE = 1e-3
NOT_EXPORTED = {
    "log-mel front end": "a hundred lines of numpy (pipeline/embedding/logmel.py).",
    "evidence and episodes": "they remember what was heard before (pipeline/detection.py, episodes.py).",
    "acoustic features": "running medians, and filters that follow the sound's tuning, have no "
    "counterpart in ONNX (pipeline/acoustics.py).",
    "YAMNet": "not ours; TensorFlow Hub has it as a SavedModel.",
}

Progress = Callable[[str, int, int], None]


@dataclass
class Export:
    """One ONNX file.

    Attributes:
        name: of the file, without its ending.
        model: its bytes.
        about: what it takes and gives, JSON-able.
        compare: gives the largest difference from the original over waveforms; None where there is no
            original to compare with any more.
        tolerance: the largest accepted.
    """

    name: str
    model: bytes
    about: dict[str, Any]
    compare: Callable[[NDArray[np.float32]], float] | None = None
    tolerance: float = 0.0
    worst: float = field(default=0.0)


def shipped(settings: Settings) -> list[Export]:
    """The bundled embedder, the detector's head on it, and the reasons model.

    Raises:
        ArtifactError: a model is missing or altered.
    """
    from pipeline.artifacts import open_artifact
    from pipeline.detection import load_head
    from pipeline.embedding.student import MODEL_FILE, StudentEmbedder
    from pipeline.reasons import ReasonModel

    student = open_artifact("student", settings=settings, kind="student").read_bytes(MODEL_FILE)
    embedder = StudentEmbedder(student, settings.threads)
    head = load_head("student", settings, embedder.checksum)
    reasons = ReasonModel.load(settings=settings)
    head_onnx, reasons_onnx = onnx_export.head_to_onnx(head), onnx_export.reasons_to_onnx(reasons)

    def compare_head(samples: NDArray[np.float32]) -> float:
        embeddings = embedder.embed(samples)
        if len(embeddings) < int(head.window):
            return 0.0
        [given] = onnx_export.run(head_onnx, {"embeddings": embeddings})
        return float(np.abs(given - head.scores(embeddings)).max())

    def compare_reasons(samples: NDArray[np.float32]) -> float:
        features = acoustics.extract(samples, reasons.schema)
        wanted = reasons.classify_features(features, reasons.schema)
        given = onnx_export.run(reasons_onnx, {"features": features.astype(np.float32)[None]})
        both = zip(given, (wanted.scores, wanted.probabilities), strict=True)
        return max(float(np.abs(a[0] - list(b.values())).max()) for a, b in both)

    return [
        Export("student", student, {"patches": "(n, 96, 64) log-mel", "gives": "(n, 1024) embeddings"}),
        Export(
            "detector-student",
            head_onnx,
            {"embeddings": f"(n, 1024), n >= {int(head.window)}", "gives": "calibrated score of each window"},
            compare_head,
            HEAD_TOLERANCE,
        ),
        Export(
            "reasons",
            reasons_onnx,
            {
                "features": list(acoustics.feature_names(reasons.schema)),
                "schema": reasons.schema,
                "classes": list(reasons.classes),
                "gives": "scores, and calibrated probabilities",
            },
            compare_reasons,
            VOTES_TOLERANCE,
        ),
    ]


def compare(exports: Iterable[Export], data: Path, progress: Progress | None = None) -> int:
    """Compare exports with their originals over every recording below a folder; returns how many there were.

    Raises:
        DataError: no recordings there, or an export that says something else than its original.
    """
    from pipeline.audio import SUPPORTED_SUFFIXES, load

    paths = sorted(path for path in Path(data).rglob("*") if path.suffix.lower() in SUPPORTED_SUFFIXES)
    if not paths:
        raise DataError(f"{data} holds no recordings to compare on.")
    compared = [export for export in exports if export.compare is not None]
    for done, path in enumerate(paths, 1):
        samples = load(path).samples
        for export in compared:
            assert export.compare is not None
            export.worst = float(np.maximum(export.worst, export.compare(samples)))  # keeps what is no number
        if progress:
            progress("comparing", done, len(paths))
    wrong = [export for export in compared if not export.worst <= export.tolerance]
    if wrong:
        told = ", ".join(f"{e.name} by {e.worst:.2g} (allowed: {e.tolerance:g})" for e in wrong)
        raise DataError(f"Exports do not say what their originals say: {told}.")
    return len(paths)


def write(exports: Iterable[Export], folder: Path, recordings: int | None) -> list[Path]:
    """Write the files and their manifest; returns their paths.

    Args:
        recordings: how many they were compared on; None: they were not.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files, paths = {}, []
    for export in exports:
        path = folder / f"{export.name}.onnx"
        path.write_bytes(export.model)
        paths.append(path)
        parity = None
        if export.compare is not None and recordings is not None:
            parity = {"recordings": recordings, "worst": export.worst, "tolerance": export.tolerance}
        digest = hashlib.sha256(export.model).hexdigest()
        files[path.name] = {"sha256": digest, "bytes": len(export.model), **export.about, "parity": parity}
    manifest = {"files": files, "not_exported": NOT_EXPORTED}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
    return [*paths, folder / MANIFEST]

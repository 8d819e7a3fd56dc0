"""Students that never heard the sources they are judged on, and the embeddings students give to the bank.

The folds are dealt into two halves; one student is taught without each. A fold is then judged with the
student that did not hear it, so that the figures hold for sound new to the network as well as to the head.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.embedding.base import EMBEDDING_SIZE
from pipeline.embedding.logmel import PATCH_COLUMNS, PATCH_HOP_COLUMNS
from pipeline.training import student
from pipeline.training.bank import Bank, Entry
from pipeline.training.detector_recipe import UNSEEN_BACKGROUNDS, folds

if TYPE_CHECKING:
    from pipeline.embedding.student import StudentEmbedder
    from pipeline.evaluation.detection import Embeddings

EPOCHS = 4

Progress = Callable[[str, int, int], None]


def halves(fold_of: np.ndarray) -> tuple[set[int], set[int]]:
    """Folds dealt into two halves of about as many clips, largest first. ``fold_of``: (clips,), -1 none."""
    counts = Counter(int(fold) for fold in fold_of if fold >= 0)
    sides: tuple[set[int], set[int]] = (set(), set())
    sizes = [0, 0]
    for fold, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        smaller = int(sizes[1] < sizes[0])
        sides[smaller].add(fold)
        sizes[smaller] += count
    return sides


def embed_bank(bank: Bank, k: int, embedder: StudentEmbedder) -> np.ndarray:
    """(frames, 1024) float16 by a student for pass ``k``, kept beside the pass under the model's checksum."""
    path = bank.folder / str(k) / f"student-{embedder.checksum[:16]}.npy"
    if not path.is_file():
        heard = bank.open(k)
        result = np.empty((len(heard.embeddings), EMBEDDING_SIZE), np.float16)
        columns = np.asarray(heard.columns)
        for example in heard.examples:
            starts = example.column_start + PATCH_HOP_COLUMNS * np.arange(example.frames)
            inputs = columns[starts[:, None] + np.arange(PATCH_COLUMNS)].astype(np.float32)
            result[example.start : example.start + example.frames] = embedder.embed_patches(inputs)
        unfinished = path.with_suffix(".part.npy")
        np.save(unfinished, result)
        unfinished.replace(path)
    return np.load(path, mmap_mode="r")


def student_embeddings(
    bank: Bank, entries: Sequence[Entry], *, threads: int, cache: Path, seed: int, progress: Progress | None
) -> Embeddings:
    """For each fold the embeddings of a student taught without it; trains the two students when needed."""
    from pipeline.embedding.student import StudentEmbedder

    fold_of = folds(entries)
    backgrounds = np.array([e.source == UNSEEN_BACKGROUNDS for e in entries])
    embedders = []
    for half in halves(fold_of):
        key = hashlib.sha256(json.dumps([bank.folder.parent.name, sorted(half), EPOCHS, seed]).encode())
        path = cache / "students" / f"{key.hexdigest()[:16]}.onnx"
        if not path.is_file():
            banned = np.isin(fold_of, list(half)) | backgrounds
            data = student.distil(
                bank, banned=banned, epochs=EPOCHS, seed=seed, work=path.with_suffix(""), progress=progress
            )
            unfinished = path.with_suffix(".part")
            unfinished.write_bytes(data)
            unfinished.replace(path)
        embedders.append((half, StudentEmbedder(path.read_bytes(), threads)))
    opened: dict[tuple[Path, int, int], np.ndarray] = {}

    def of(bank: Bank, k: int, fold: int) -> np.ndarray:
        which = next(i for i, (half, _) in enumerate(embedders) if fold in half)
        key = (bank.folder, k, which)
        if key not in opened:
            opened[key] = embed_bank(bank, k, embedders[which][1])
        return opened[key]

    return of

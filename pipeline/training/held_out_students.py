"""Students that never heard the sources they are judged on, and the embeddings students give to the bank.

One student is taught without each fold, for as many rounds as the shipped one. A fold is then judged with the
student that did not hear it, so that the figures hold for sound new to the network as well as to the head.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.embedding.base import EMBEDDING_SIZE
from pipeline.embedding.logmel import columns_of
from pipeline.settings import Settings
from pipeline.training import student
from pipeline.training.bank import Bank, Entry
from pipeline.training.detector_recipe import folds, unseen
from pipeline.training.teacher_classes import teacher_classes

if TYPE_CHECKING:
    from pipeline.embedding.student import StudentEmbedder
    from pipeline.evaluation.detection import Embeddings

Progress = Callable[[str, int, int], None]


def embed_bank(bank: Bank, k: int, embedder: StudentEmbedder) -> np.ndarray:
    """(frames, 1024) float16 by a student for pass ``k``, kept beside the pass under the model's checksum."""
    path = bank.folder / str(k) / f"student-{embedder.checksum[:16]}.npy"
    if not path.is_file():
        heard = bank.open(k)
        result = np.empty((len(heard.embeddings), EMBEDDING_SIZE), np.float16)
        for example in heard.examples:
            inputs = heard.columns[example.column_start :][: columns_of(example.frames)].astype(np.float32)
            result[example.start : example.start + example.frames] = embedder.embed_columns(inputs)
        unfinished = path.with_suffix(".part.npy")
        np.save(unfinished, result)
        unfinished.replace(path)
    return np.load(path, mmap_mode="r")


def students_without_folds(
    bank: Bank,
    entries: Sequence[Entry],
    *,
    settings: Settings,
    cache: Path,
    seed: int,
    progress: Progress | None,
) -> list[StudentEmbedder]:
    """For each fold a student taught without it; those not kept in the cache yet are taught first."""
    from pipeline.embedding.student import StudentEmbedder

    students = []
    for fold in range(folds(entries).max() + 1):
        path = student_without(fold, bank, settings=settings, cache=cache, seed=seed, progress=progress)
        students.append(StudentEmbedder(path.read_bytes(), settings.threads))
    return students


def student_without(
    fold: int, bank: Bank, *, settings: Settings, cache: Path, seed: int, progress: Progress | None
) -> Path:
    """The file of the student that was taught without a fold, and is taught first where there is none."""
    banned = (folds(bank.entries) == fold) | unseen(bank.entries)
    without = np.flatnonzero(banned).tolist()
    recipe = [student.VERSION, student.EPOCHS, bank.passes, student.REMIX_PASSES, seed]
    name = json.dumps([bank.folder.parent.name, fold, without, recipe])
    path = cache / "students" / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.onnx"
    if not path.is_file():
        taught = student.distil(
            student.lessons(bank, settings, progress),
            teacher_classes(bank, settings),
            banned=banned,
            epochs=student.EPOCHS,
            seed=seed,
            work=path.with_suffix(""),
            progress=progress,
        )
        unfinished = path.with_suffix(".part")
        unfinished.write_bytes(taught.data)
        unfinished.replace(path)
        shutil.rmtree(path.with_suffix(""))
    return path


def student_embeddings(students: Sequence[StudentEmbedder]) -> Embeddings:
    """Embeddings of a bank by the student of the fold that is judged; opened once."""
    opened: dict[tuple[Path, int, int], np.ndarray] = {}

    def of(bank: Bank, k: int, fold: int) -> np.ndarray:
        key = (bank.folder, k, fold)
        if key not in opened:
            opened[key] = embed_bank(bank, k, students[fold])
        return opened[key]

    return of

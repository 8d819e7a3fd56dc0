"""Teaching the student: nothing of banned clips, ONNX that gives what the network gives, and going on after a
stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.embedding.student import StudentEmbedder
from pipeline.errors import DataError
from pipeline.training import held_out_students, student
from pipeline.training.detector_recipe import UNSEEN_BACKGROUNDS, folds

Make = Callable[..., Any]


@pytest.fixture(scope="module")
def bank(made_up_bank: Make) -> Any:
    """A bank small enough to learn in seconds."""
    return made_up_bank(per_source=4)


@pytest.fixture(scope="module", autouse=True)
def _short_lessons() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(student, "PATCHES_PER_EPOCH", 48)
        patch.setattr(student, "BATCH", 16)
        yield


def test_frames_of_banned_clips_are_not_gathered_nor_what_they_are_mixed_into(bank: Any) -> None:
    whole = student.Frames.gather(bank)
    assert len(whole.index) == 2 * 6 * len(bank.entries)
    banned = np.array([e.source == "esc50" for e in bank.entries])
    rest = student.Frames.gather(bank, banned)
    expected = {
        (k, e.start + frame)
        for k, heard in enumerate(bank)
        for e in heard.examples
        if not banned[e.entry] and not (e.partner >= 0 and banned[e.partner])
        for frame in range(e.frames)
    }
    assert {(int(k), int(frame)) for k, _, frame in rest.index} == expected
    with pytest.raises(DataError, match="No training audio"):
        student.Frames.gather(bank, np.ones(len(bank.entries), bool))


def test_a_batch_pairs_patches_with_their_own_targets(bank: Any) -> None:
    frames = student.Frames.gather(bank)
    rows = frames.index[[3, 100, -1]]
    inputs, (targets, scores) = frames.batch(rows)
    for i, (k, column, frame) in enumerate(rows):
        heard = bank.open(int(k))
        np.testing.assert_array_equal(inputs[i], heard.columns[column : column + 96].astype(np.float32))
        np.testing.assert_allclose(
            targets[i] * frames.deviation, heard.embeddings[frame].astype(np.float32), atol=1e-3
        )
        np.testing.assert_array_equal(scores[i], heard.scores[frame].astype(np.float32))


@pytest.fixture(scope="module")
def taught(bank: Any, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A network after two very short epochs, without a break."""
    work = tmp_path_factory.mktemp("work") / "students"
    data = student.distil(bank, epochs=2, seed=0, work=work)
    assert not work.exists(), "a finished run leaves no checkpoints"
    return data


def test_the_network_is_small_and_runs_without_its_teacher(taught: bytes, bank: Any) -> None:
    assert len(taught) <= 4_000_000
    embedder = StudentEmbedder(taught, threads=1)
    given = held_out_students.embed_bank(bank, 0, embedder)
    assert given.shape == bank.open(0).embeddings.shape
    first = bank.open(0).columns[:96].astype(np.float32)[None]
    np.testing.assert_allclose(given[0], embedder.embed_patches(first)[0], rtol=1e-2, atol=1e-2)
    kept = list((bank.folder / "0").glob("student-*.npy"))
    assert [p.name for p in kept] == [f"student-{embedder.checksum[:16]}.npy"]


def test_a_run_that_was_stopped_goes_on_to_the_same_network(taught: bytes, bank: Any, tmp_path: Path) -> None:
    def stop_in_the_second(what: str, done: int, total: int) -> None:
        if "epoch 2" in what:
            raise KeyboardInterrupt

    work = tmp_path / "work"
    with pytest.raises(KeyboardInterrupt):
        student.distil(bank, epochs=2, seed=0, work=work, progress=stop_in_the_second)
    assert (work / "network.keras").is_file()
    stages: list[str] = []
    data = student.distil(bank, epochs=2, seed=0, work=work, progress=lambda what, *_: stages.append(what))
    assert stages
    assert all("epoch 2" in stage for stage in stages), "the first epoch was kept"
    patches = bank.open(0).columns[: 96 * 4].reshape(4, 96, 64).astype(np.float32)
    ours, whole = (StudentEmbedder(d, threads=1).embed_patches(patches) for d in (data, taught))
    np.testing.assert_allclose(ours, whole, rtol=1e-2, atol=1e-2)


def test_no_fold_is_judged_by_a_student_that_heard_it(
    bank: Any, taught: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bans: list[np.ndarray] = []

    def note(bank: Any, *, banned: np.ndarray, **_: Any) -> bytes:
        bans.append(banned)
        return taught

    monkeypatch.setattr(student, "distil", note)
    (tmp_path / "students").mkdir()
    options: dict[str, Any] = {"threads": 1, "cache": tmp_path, "seed": 0, "progress": None}
    students = held_out_students.students_without_folds(bank, bank.entries, **options)
    embeddings = held_out_students.student_embeddings(students)
    fold_of = folds(bank.entries)
    for fold, banned in enumerate(bans):
        assert banned[fold_of == fold].all()
        assert embeddings(bank, 0, fold).shape == bank.open(0).embeddings.shape
    for banned in bans:
        assert all(banned[i] for i, e in enumerate(bank.entries) if e.source == UNSEEN_BACKGROUNDS)
        assert not banned.all()
    held_out_students.students_without_folds(bank, bank.entries, **options)
    assert len(bans) == fold_of.max() + 1, "students once taught are kept"


def test_agreement_is_the_cosine() -> None:
    wanted = np.eye(4, 1024, dtype=np.float32)
    assert student.agreement(wanted, 3 * wanted)["mean"] == pytest.approx(1)
    assert student.agreement(wanted, np.roll(wanted, 1, axis=1))["mean"] == pytest.approx(0)
    silent = student.agreement(np.vstack([wanted, np.zeros((1, 1024))]), np.ones((5, 1024)))
    assert np.isfinite(silent["mean"])

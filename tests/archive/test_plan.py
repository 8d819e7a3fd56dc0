"""What there is to do, and the key of each result."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.archive.ears import identify
from pipeline.archive.plan import Job, fingerprint, gather, hearing_settings, opened
from pipeline.cli import find_recordings
from pipeline.errors import AudioError, CryError
from pipeline.settings import Settings, get_settings

FILES = ("b/two.flac", "a/one.wav", "a/deep/three.OGG", "a/notes.txt", "a/.hidden.wav")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, name in enumerate(FILES):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * (number + 1))
    return tmp_path


def names(jobs: list[Job]) -> list[str]:
    return [job.name for job in jobs]


def test_folders_are_walked_and_every_recording_is_taken_once(folder: Path) -> None:
    jobs = gather([str(folder / "b"), str(folder), str(folder / "a" / "one.wav")], find_recordings)
    assert names(jobs) == ["two.flac", "a/one.wav", "a/deep/three.OGG"]
    assert all(os.path.isabs(job.path) for job in jobs)
    assert (jobs[0].size, jobs[0].mtime_ns) == (1, (folder / "b/two.flac").stat().st_mtime_ns)


def test_a_relative_path_is_the_same_recording(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert gather(["a/../b"], find_recordings) == gather([str(folder / "b")], find_recordings)


def test_globs(folder: Path) -> None:
    assert names(gather([f"{folder}/*/*.*a[cv]"], find_recordings)) == ["one.wav", "two.flac"]
    assert names(gather([f"{folder}/**/*.OGG"], find_recordings)) == ["three.OGG"]
    with pytest.raises(CryError, match=r"nowhere\*"):
        gather([f"{folder}/nowhere*"], find_recordings)


def test_a_file_whose_name_looks_like_a_glob_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "take[1].wav").write_bytes(b"x")
    assert names(gather([f"{tmp_path}/take[1].wav"], find_recordings)) == ["take[1].wav"]


def test_addresses_are_listed_and_opened(folder: Path) -> None:
    found = gather([f"file://{folder}"], find_recordings)
    assert names(found) == ["a/deep/three.OGG", "a/one.wav", "b/two.flac"]
    (deep,) = gather([f"file://{folder}/a/deep/*"], find_recordings)
    assert deep == replace(found[0], name=deep.name)
    assert abs(deep.mtime_ns - (folder / "a/deep/three.OGG").stat().st_mtime_ns) < 2000
    with opened(deep.path) as file:
        assert file.read() == b"xxx"  # type: ignore[union-attr]
    with pytest.raises(AudioError, match="gone"), opened(f"file://{folder}/gone.wav"):
        pass


def test_a_missing_file_is_left_to_the_analysis_and_nothing_at_all_is_an_error(tmp_path: Path) -> None:
    (missing,) = gather([str(tmp_path / "gone.wav")], find_recordings)
    assert (missing.size, missing.mtime_ns) == (0, 0)
    with pytest.raises(CryError, match="nothing to analyse"):
        gather([str(tmp_path)], find_recordings)


@given(
    path=st.text(),
    size=st.integers(0),
    mtime=st.integers(0),
    other=st.sampled_from(["path", "size", "mtime_ns"]),
)
def test_a_key_changes_with_all_that_it_is_made_of(path: str, size: int, mtime: int, other: str) -> None:
    job = Job(path, "name", size, mtime)
    changed: Any = {"path": path + "x", "size": size + 1, "mtime_ns": mtime + 1}[other]
    assert job.key("one") == replace(job, name="moved").key("one")
    assert len({job.key("one"), job.key("two"), replace(job, **{other: changed}).key("one")}) == 3


def test_the_fingerprint_changes_with_what_listens_and_with_nothing_else(settings: Settings) -> None:
    def of(settings: Settings, embedder: str = "student") -> str:
        return fingerprint(identify(settings, embedder))

    same = of(settings)
    assert same == of(settings) == of(settings.model_copy(update={"threads": 7}))
    others = [{"detection_threshold": 0.3}, {"reason_threshold": 0.3}, {"max_duration_s": 10.0}]
    found = {of(settings.model_copy(update=other)) for other in others}
    assert len({same, *found}) == 1 + len(others)


def test_the_fingerprint_changes_with_the_network(settings: Settings, yamnet_dir: Path) -> None:
    with_yamnet = settings.model_copy(update={"yamnet_handle": str(yamnet_dir)})
    about = identify(with_yamnet, "yamnet")
    assert "saved_model.pb" in about["embedder_files"]
    assert fingerprint(about) != fingerprint(identify(settings, "student"))


def test_workers_are_told_what_was_set_and_no_secrets(tmp_path: Path) -> None:
    settings = get_settings(embedder="student", detection_threshold=0.25, serve_token="secret", threads=5)
    told = hearing_settings(settings)
    assert get_settings(**told, threads=5) == settings.model_copy(update={"serve_token": None})
    assert "secret" not in str(told)
    assert "artifacts_dir" not in told, "another machine may have its models elsewhere"
    assert hearing_settings(get_settings(artifacts_dir=tmp_path))["artifacts_dir"] == str(tmp_path)

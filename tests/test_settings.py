"""Settings: file, then environment, then arguments; what cannot be used is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import SettingsError
from pipeline.settings import Settings, get_settings


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, so that no config.yml of the developer's is read."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_later_sources_win(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert get_settings().threads == 2
    (folder / "config.yml").write_text("threads: 3\nreason_threshold: 0.5\n")
    assert get_settings().threads == 3
    monkeypatch.setenv("CRY_THREADS", "4")
    assert get_settings().threads == 4
    assert get_settings(threads=5).threads == 5
    assert get_settings(threads=None).threads == 4, "None leaves it to the environment"
    assert get_settings().reason_threshold == 0.5
    monkeypatch.setenv("CRY_THREADS", "")
    assert get_settings().threads == 3, "an empty variable counts as not set"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("embedder", "nope"),
        ("threads", "0"),
        ("threads", "many"),
        ("detection_threshold", "1.5"),
        ("reason_threshold", "nan"),
        ("max_duration_s", "-1"),
    ],
)
def test_a_bad_value_is_named_wherever_it_came_from(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    with pytest.raises(SettingsError, match=f"'{name}' cannot be '{value}'") as told:
        get_settings(**{name: value})
    assert f"CRY_{name.upper()}" in str(told.value)
    (folder / "config.yml").write_text(f"{name}: {value}\n")
    with pytest.raises(SettingsError, match=f"'{name}' cannot be"):
        get_settings()
    (folder / "config.yml").unlink()
    monkeypatch.setenv(f"CRY_{name.upper()}", value)
    with pytest.raises(SettingsError, match=f"'{name}' cannot be '{value}'"):
        get_settings()


@pytest.mark.parametrize("text", [b"a: [1", b"- 1", b"just text", b"\xff\xfe", b"threads: 1\n threads: 2"])
def test_a_config_file_that_cannot_be_read_is_a_clear_error(folder: Path, text: bytes) -> None:
    (folder / "config.yml").write_bytes(text)
    with pytest.raises(SettingsError, match=r"config\.yml"):
        get_settings()


def test_a_misspelt_setting_is_not_passed_over(folder: Path) -> None:
    (folder / "config.yml").write_text("reason_treshold: 0.3\n")
    with pytest.raises(SettingsError, match="did you mean 'reason_threshold'"):
        get_settings()


def test_an_empty_config_file_sets_nothing(folder: Path) -> None:
    (folder / "config.yml").write_text("# nothing yet\n")
    assert get_settings() == get_settings(threads=2)


def test_every_setting_says_what_it_is() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.title] == []

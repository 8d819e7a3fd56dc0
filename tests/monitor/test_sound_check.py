"""The faintest cry that would be caught: what the check says is what the monitor does."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from listening import crylens, episodes

from pipeline.audio import SAMPLE_RATE
from pipeline.errors import AudioError, CryError
from pipeline.monitor import soundcheck
from pipeline.monitor.ears import Ears
from pipeline.monitor.source_files import FilesSource
from pipeline.settings import get_settings
from pipeline.synthesis import DEMOS

QUIET = (1e-3 * np.random.default_rng(5).standard_normal(31 * SAMPLE_RATE)).astype(np.float32)


@pytest.fixture(scope="module")
def ears() -> Ears:
    return Ears.load(get_settings(embedder="student"), reasons=False)


def test_what_the_check_says_is_what_the_monitor_does(tmp_path: Path) -> None:
    """At the faintest level found, the monitor stores an episode; a step below it, it does not."""
    room, cry, store = tmp_path / "room.wav", tmp_path / "cry.wav", tmp_path / "history.db"
    soundfile.write(room, QUIET, SAMPLE_RATE, subtype="FLOAT")
    sound = DEMOS["cry"].make(3).samples
    soundfile.write(cry, sound, SAMPLE_RATE, subtype="FLOAT")
    told = crylens(
        *("monitor", "sound-check", "--source", room, "--minutes", "0.5", "--cry", cry, "--format", "json")
    )
    found = json.loads(told.stdout)
    alone, noisy = found["backgrounds"]
    assert alone["level_dbfs"] == pytest.approx(-60, abs=0.5)
    assert noisy["level_dbfs"] == pytest.approx(-40, abs=1)
    # A sleep machine makes it deaf to cries that it catches without one.
    assert -70 < alone["all_caught_dbfs"] < noisy["all_caught_dbfs"] < -15
    assert alone["cries"][0]["above_db"] == pytest.approx(alone["all_caught_dbfs"] + 60, abs=0.5)
    for step_db, caught in ((0.0, True), (-3.0, False)):
        level = 10 ** ((alone["all_caught_dbfs"] + step_db) / 20) / np.sqrt(np.mean(sound**2))
        mixed = QUIET[: 13 * SAMPLE_RATE + len(sound)].copy()
        mixed[8 * SAMPLE_RATE :][: len(sound)] += level * sound
        soundfile.write(tmp_path / "mixed.wav", mixed, SAMPLE_RATE, subtype="FLOAT")
        crylens(
            *("monitor", "--source", tmp_path / "mixed.wav", "--speed", "max", "--no-reasons"),
            *("--store", store),
        )
        assert bool(episodes(store)) is caught
        store.unlink()


def test_it_is_said_in_words_when_no_cry_would_be_caught(ears: Ears) -> None:
    loud = (0.5 * np.random.default_rng(6).standard_normal(31 * SAMPLE_RATE)).astype(np.float32)
    cries = [DEMOS["cry"].make(seed) for seed in range(2)]
    check = soundcheck.sound_check(loud, ears, cries, white_noise=False)
    assert check.backgrounds[0].all_caught_dbfs is None
    assert "missed even when loud" in "\n".join(soundcheck.told(check))


def test_a_room_where_somebody_cries_is_refused(ears: Ears) -> None:
    cry = DEMOS["cry"].make(0)
    room = QUIET.copy()
    room[10 * SAMPLE_RATE :][: len(cry.samples)] += cry.samples
    with pytest.raises(CryError, match="In the room itself crying was heard, from 1"):
        soundcheck.sound_check(room, ears, [cry])


@pytest.mark.parametrize(
    ("samples", "words"), [(QUIET[: 20 * SAMPLE_RATE], "needs 30 s"), (0 * QUIET, "Is the microphone muted")]
)
def test_too_little_and_a_muted_microphone_are_said(samples: np.ndarray, words: str, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "room.wav", samples, SAMPLE_RATE)
    with pytest.raises(AudioError, match=words):
        soundcheck.hear(FilesSource(tmp_path / "room.wav", speed=None), 60.0, get_settings())


def test_of_a_long_recording_the_loudest_ten_seconds_are_the_cry(tmp_path: Path) -> None:
    cry = DEMOS["cry"].make(1).samples
    soundfile.write(tmp_path / "long.wav", np.concatenate([QUIET, cry, QUIET]), SAMPLE_RATE, subtype="FLOAT")
    taken = soundcheck.own_cry(tmp_path / "long.wav").samples
    assert len(taken) == 10 * SAMPLE_RATE
    assert float(np.sum(taken**2)) == pytest.approx(float(np.sum(cry**2)), rel=0.01)

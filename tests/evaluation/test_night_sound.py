"""Nights: what counts as crying, and that the sound is what the truth says, to the sample."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.errors import SettingsError
from pipeline.evaluation import night_material
from pipeline.evaluation.night import NOISY_SNR_DB, USUAL_SNR_DB, Programme, read_sounds
from pipeline.evaluation.night_crying import crying_stretches
from pipeline.evaluation.night_material import Material
from pipeline.evaluation.night_plan import NightOptions
from pipeline.evaluation.night_sound import Night, audible_rms, write_audio
from pipeline.evaluation.night_truth import Truth, read_rttm

RATE = 16_000
OPTIONS = NightOptions(420.0, "white_noise", snr_db=(10.0,), seed=3, episodes_per_hour=60, sounds_per_hour=60)


@pytest.fixture(scope="module")
def sounds(shared: Path) -> list[Material]:
    return read_sounds(shared / "data")[1]


def voice(pitch_hz: float, seconds: float) -> NDArray[np.float64]:
    """Harmonics up to 3.5 kHz, their pitch rising and falling a little, as loud as a cry near by."""
    t = np.arange(round(seconds * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(pitch_hz * (1 + 0.05 * np.sin(2 * np.pi * t))) / RATE
    return 0.1 * sum(np.sin(k * phase) / k for k in range(1, int(3500 / pitch_hz) + 1))


def test_crying_begins_and_ends_with_its_voice():
    clip = 0.003 * np.random.default_rng(0).standard_normal(8 * RATE)
    clip[2 * RATE : 3 * RATE] += voice(450, 1.0)
    clip[4 * RATE : 5 * RATE] += voice(380, 1.0)  # a breath later: one stretch
    (stretch,) = crying_stretches(clip)
    assert np.allclose(np.array(stretch) / RATE, (2.0, 5.0), atol=0.06)


@pytest.mark.parametrize(
    ("what", "clip"),
    [
        ("noise", 0.1 * np.random.default_rng(1).standard_normal(5 * RATE)),
        ("a man's voice", voice(120, 5.0)),
        ("one short cry", np.concatenate([np.zeros(3 * RATE), voice(450, 0.6), np.zeros(3 * RATE)])),
        ("laughter", np.tile(np.concatenate([voice(450, 0.2), np.zeros(RATE // 5)]), 20)),
        ("silence", np.zeros(5 * RATE)),
        ("a click", np.eye(1, 5 * RATE, 999)[0]),
    ],
)
def test_what_is_no_crying_is_left_out_of_nights(what: str, clip: NDArray[np.float64]):
    assert crying_stretches(clip) == [], what


def test_most_recorded_cries_count_and_other_sounds_and_voices_do_not(sounds: list[Material]):
    for material in sounds:
        cries = [bool(night_material.crying(s)) for clips in material.cries.values() for s in clips]
        assert np.mean(cries) > 0.6, material.sources
    labels = ("rain", "vacuum_cleaner", "washing_machine", "footsteps", "human_laugh", "baby_laugh")
    for label in labels:
        others = [s for material in sounds for s in material.others.get(label, ())]
        assert np.mean([bool(night_material.crying(s)) for s in others[:60]]) < 0.1, label
    speech = [s for material in sounds for s in material.others.get("speech", ())]
    assert not any(night_material.crying(s) for s in speech[::4]), "read speech is no crying"


def sound_of(material: Material, options: NightOptions) -> NDArray[np.float32]:
    return np.concatenate(list(Night(material, options).blocks()))


def test_the_same_seed_gives_the_same_night_however_it_is_cut(sounds: list[Material]):
    night = Night(sounds[1], OPTIONS)
    whole = np.concatenate(list(night.blocks()))
    again = Night(sounds[1], OPTIONS)
    assert np.array_equal(whole, np.concatenate(list(again.blocks(7.3))))
    assert again.key == night.key
    assert len(whole) == 420 * RATE
    other = Night(sounds[1], replace(OPTIONS, seed=4))
    assert other.key != night.key
    assert other.truth.episodes[0].start_s != night.truth.episodes[0].start_s


def test_what_the_night_adds_to_its_background_is_where_the_truth_says(sounds: list[Material]):
    options = replace(OPTIONS, sounds_per_hour=0)
    truth = Night(sounds[1], options).truth
    background = sound_of(sounds[1], replace(options, episodes_per_hour=0))
    added = sound_of(sounds[1], options) - background
    heard = np.zeros(len(added), bool)
    for e in truth.episodes:
        start, end = round(e.start_s * RATE), round(e.end_s * RATE)
        # Cut to voices at both edges: within a tenth of a second of them there is something to hear.
        inside = audible_rms(added[start:end])
        assert np.max(np.abs(added[start : start + RATE // 10])) > 0.1 * inside
        assert np.max(np.abs(added[end - RATE // 10 : end])) > 0.1 * inside
        heard[start : end + e.place.tail_samples] = True
    assert len(truth.episodes) >= 2
    assert np.max(np.abs(added[~heard])) == 0.0


def test_cries_are_as_loud_over_the_background_as_asked(sounds: list[Material]):
    options = replace(OPTIONS, sounds_per_hour=0, snr_db=(5.0, 15.0))
    truth = Night(sounds[1], options).truth
    background = sound_of(sounds[1], replace(options, episodes_per_hour=0))
    added = sound_of(sounds[1], options) - background
    for e in truth.episodes:
        span = slice(round(e.start_s * RATE), round(e.end_s * RATE))
        pieces = np.concatenate([added[round(a * RATE) : round(b * RATE)] for a, b in e.pieces])
        ratio = 20 * np.log10(audible_rms(pieces) / audible_rms(background[span]))
        assert ratio == pytest.approx(e.snr_db, abs=0.5)
    assert {e.snr_db for e in truth.episodes} == {5.0, 15.0}


def test_json_and_rttm_tell_the_same_truth(sounds: list[Material], tmp_path: Path):
    night = Night(sounds[2], replace(OPTIONS, duration_s=120.0, background="household"))
    path = write_audio(night, tmp_path)
    truth = Truth.from_json(path.with_suffix(".json").read_text())
    assert truth == night.truth
    told = read_rttm(path.with_suffix(".rttm").read_text().splitlines())
    assert [(e.start_s, e.end_s, e.donor, e.snr_db) for e in told] == [
        (e.start_s, e.end_s, e.donor, e.snr_db) for e in truth.episodes
    ]
    assert json.loads(path.with_suffix(".json").read_text())["sample_rate"] == RATE


def test_a_night_holds_no_source_of_another_fold(sounds: list[Material]):
    for material in sounds:
        truth = Night(material, replace(OPTIONS, duration_s=600.0)).truth
        assert {e.source for e in truth.episodes} <= set(material.sources)
        assert {s.source for s in truth.sounds} <= set(material.sources)


def test_hours_are_shared_and_ratios_are_those_usual_for_the_background(sounds: list[Material]):
    planned = Programme(hours=4.5, suite_minutes=0).nights(sounds)
    assert sum(o.duration_s for _, o in planned) == pytest.approx(4.5 * 3600)
    assert {o.background: o.snr_db for _, o in planned} == {**USUAL_SNR_DB, "white_noise": NOISY_SNR_DB}
    asked = Programme(hours=4.5, suite_minutes=0, snr_db=(3.0,)).nights(sounds)
    assert {o.snr_db for _, o in asked} == {(3.0,)}


@pytest.mark.parametrize(
    ("programme", "names"),
    [
        (Programme(hours=0), "0"),
        (Programme(hours=0.01), "60 s"),
        (Programme(backgrounds=("jungle",)), "jungle"),
        (Programme(snr_db=(99.0,)), "99"),
        (Programme(suite_minutes=-1), "-1"),
    ],
)
def test_programmes_that_cannot_be_are_refused(sounds: list[Material], programme: Programme, names: str):
    with pytest.raises(SettingsError, match=names):
        programme.nights(sounds)

"""melcnn4s hears a cry from a vacuum cleaner, along a recording as on the clip; and models of the zoo are
judged on sources they never heard."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.audio import load
from pipeline.embedding.base import frame_count, pad_to_frames
from pipeline.embedding.logmel import log_mel
from pipeline.errors import DataError, SettingsError
from pipeline.evaluation import played_bank, zoo_detection
from pipeline.training import bank as bank_module
from pipeline.training.data import Clip, read_manifest
from pipeline.zoo import melcnn4s, registry
from pipeline.zoo.base import Example
from pipeline.zoo.melcnn4s import MelCnn4s

KINDS = ("not_cry", "cry")


def apart(clips: list[Clip], count: int) -> list[Clip]:
    """The first clips, each of another group."""
    found: dict[str, Clip] = {}
    for clip in clips:
        found.setdefault(clip.group, clip)
    return list(found.values())[:count]


@pytest.fixture(scope="module")
def heard(shared: Path) -> dict[str, list[Clip]]:
    """Sixteen cries and sixteen vacuum cleaners of ESC-50, all of different recordings."""
    clips = [clip for clip in read_manifest(shared / "data") if clip.source == "esc50"]
    return {
        "cry": apart([clip for clip in clips if clip.kind == "cry"], 16),
        "not_cry": apart([clip for clip in clips if clip.label == "vacuum_cleaner"], 16),
    }


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def taught(heard: dict[str, list[Clip]], cache: Path, tmp_path_factory: pytest.TempPathFactory) -> MelCnn4s:
    """Taught on twelve of each."""
    clips = [clip for kind in KINDS for clip in heard[kind][:12]]
    model = MelCnn4s(epochs=20, patience=20)
    model.fit(
        [Example(clip) for clip in clips],
        np.array([KINDS.index(clip.kind) for clip in clips]),
        np.array([clip.group for clip in clips]),
        seed=0,
        work=tmp_path_factory.mktemp("work"),
        cache=cache,
    )
    return model


def test_it_tells_unheard_cries_from_unheard_vacuum_cleaners(
    taught: MelCnn4s, heard: dict[str, list[Clip]], cache: Path
) -> None:
    clips = heard["cry"][12:] + heard["not_cry"][12:]
    scores = taught.scores([Example(clip) for clip in clips], cache=cache)
    np.testing.assert_allclose(scores.sum(axis=1), 1)
    assert scores[:4, 1].min() > scores[4:, 1].max()
    assert taught.history[-1]["loss"] < taught.history[0]["loss"]


def test_recordings_are_split_80_10_10_and_the_test_part_is_told(taught: MelCnn4s) -> None:
    counts = taught.facts["recordings"]
    assert sum(counts.values()) == 24
    assert 17 <= counts["train"] <= 21
    assert counts["validation"] >= 2
    assert taught.facts["test"]["clips"] == counts["test"]
    assert taught.facts["pieces"]["train"] >= counts["train"]


def test_along_a_recording_it_says_what_it_says_of_the_clip(
    taught: MelCnn4s, heard: dict[str, list[Clip]], cache: Path
) -> None:
    clips = heard["cry"][12:] + heard["not_cry"][12:]
    scores = taught.scores([Example(clip) for clip in clips], cache=cache)
    for clip, (_, cry) in zip(clips, scores, strict=True):
        timeline = taught.timeline(load(clip.path).samples)
        assert (timeline.hop_s, timeline.window_s) == (0.96, 4.0)
        assert timeline.scores.max() == pytest.approx(cry, abs=1e-6)


def test_a_long_sound_is_heard_in_blocks_as_in_one(
    taught: MelCnn4s, heard: dict[str, list[Clip]], monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = np.concatenate([load(clip.path).samples for clip in heard["not_cry"][:3] + heard["cry"][:2]])
    sound = sound[: 16_000 * 23 + 777]
    whole = taught.timeline(sound)
    assert len(whole.scores) == 1 + int(np.ceil((len(sound) / 16_000 - 4.0) / 0.96))
    monkeypatch.setattr(melcnn4s, "BLOCK", 2)
    np.testing.assert_allclose(taught.timeline(sound).scores, whole.scores, atol=1e-4)
    # Windows wholly inside the cries at the end, and wholly inside the vacuum cleaners before.
    assert whole.scores[-4:-1].max() > whole.scores[:9].max()
    assert len(taught.timeline(sound[:1_000]).scores) == 1


def test_it_is_saved_and_loaded(taught: MelCnn4s, heard: dict[str, list[Clip]], tmp_path: Path) -> None:
    taught.save(tmp_path / "model")
    again = registry.load("melcnn4s", tmp_path / "model")
    samples = load(heard["cry"][0].path).samples
    np.testing.assert_array_equal(again.timeline(samples).scores, taught.timeline(samples).scores)  # type: ignore[attr-defined]
    assert again.facts["test"] == taught.facts["test"]  # type: ignore[attr-defined]


def test_other_classes_and_too_little_data_are_refused(heard: dict[str, list[Clip]], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="tells"):
        registry.create("melcnn4s", ("hungry", "tired"))
    clips = heard["cry"][:1] + heard["not_cry"][:1]
    with pytest.raises(DataError, match="too few"):
        MelCnn4s().fit(
            [Example(clip) for clip in clips],
            np.array([1, 0]),
            np.array(["a", "b"]),
            seed=0,
            work=tmp_path,
            cache=tmp_path,
        )


CUT = {
    ("esc50", "cry"): 5,
    ("esc50", "not_cry"): 7,
    ("giulbia", "cry"): 5,
    ("giulbia", "not_cry"): 7,
    ("speech_commands_noise", "not_cry"): 1,
}


@pytest.fixture(scope="module")
def small(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of three sources."""
    root = tmp_path_factory.mktemp("small")
    with (shared / "data" / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    chosen: list[dict[str, str]] = []
    for (source, kind), count in CUT.items():
        found = [r for r in rows if (r["source"], r["kind"]) == (source, kind) and "white" not in r["path"]]
        chosen += found[:: max(1, len(found) // count)][:count]
    for row in chosen:
        (root / row["path"]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(shared / "data" / row["path"], root / row["path"])
    with (root / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(chosen)
    return root


@pytest.fixture(autouse=True)
def _few_conditions() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bank_module, "SYNTHETIC_PER_KIND", 1)
        patch.setattr(bank_module.MixedBank, "CONDITIONS", (("background", 5.0), ("bands swapped", None)))
        yield


def test_a_model_is_judged_on_sources_it_never_heard(
    small: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lessons: list[set[str]] = []
    fit = MelCnn4s.fit

    def noted(self: MelCnn4s, examples: Any, *args: Any, **kwargs: Any) -> None:
        lessons.append({example.clip.source for example in examples})
        fit(self, examples, *args, **kwargs)

    monkeypatch.setattr(MelCnn4s, "fit", noted)
    options: dict[str, Any] = {"options": {"epochs": 1}, "draws": 20, "cache": cache, "command": "again"}
    out = tmp_path / "results" / "detection-melcnn4s.json"
    report = zoo_detection.evaluate_model("melcnn4s", small, out=out, **options)
    assert lessons == [{"giulbia"}, {"esc50"}], "neither the fold's source nor the test backgrounds teach"
    assert json.loads(out.read_text()) == report
    assert list(report["suites"]) == ["clean", "changed", "background, 5 dB", "bands swapped"]
    clean = report["suites"]["clean"]
    assert (clean["clips"], clean["cries"]) == (25, 10)
    each = clean["by_fold"]
    assert [row["sources"] for row in each][1] == ["giulbia"]
    for figure in zoo_detection.FIGURES + zoo_detection.AT_THRESHOLD:
        mean = np.mean([row[figure] for row in each])
        assert clean["ours"][figure]["value"] == pytest.approx(mean)
        assert clean["ours"][figure]["low"] <= mean <= clean["ours"][figure]["high"]
    assert report["folds"][0]["test"]["clips"] >= 1
    assert [row["epoch"] for row in report["training_curves"]] == [1]
    assert list(report["curves"]) == list(report["suites"])
    assert "sources left out" in zoo_detection.to_markdown(report)

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("heard again")

    monkeypatch.setattr(MelCnn4s, "fit", refuse)
    monkeypatch.setattr(MelCnn4s, "timeline", refuse)
    assert zoo_detection.evaluate_model("melcnn4s", small, **options) == report


def test_a_model_that_learns_nothing_is_judged_on_the_same_clips(small: Path, cache: Path) -> None:
    report = zoo_detection.evaluate_model("level", small, draws=20, cache=cache)
    assert report["suites"]["clean"]["clips"] == 25
    assert "training_curves" not in report
    with pytest.raises(SettingsError, match="tells reasons apart"):
        zoo_detection.evaluate_model("spectrocnn", small, cache=cache)


class Silent:
    """Stands in for YAMNet where only the sound matters."""

    def embed_and_score(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        frames = frame_count(len(samples))
        return np.zeros((frames, 1024), np.float32), np.zeros((frames, 521), np.float32)


@pytest.mark.parametrize("suite", ["changed", "mixed"])
def test_models_hear_what_the_bank_heard(small: Path, tmp_path: Path, suite: str) -> None:
    clips = read_manifest(small)
    mixing: dict[str, Any] = {"backgrounds": "speech_commands_noise"}
    if suite == "changed":
        bank: Any = bank_module.Bank(clips, cache_dir=tmp_path, passes=2)
        played: Any = played_bank.PlayedBank(clips, cache_dir=tmp_path, passes=2)
    else:
        bank = bank_module.MixedBank(clips, cache_dir=tmp_path, **mixing)
        played = played_bank.PlayedMixedBank(clips, cache_dir=tmp_path, **mixing)
    bank.build(Silent())
    heard = bank.open(1)
    every = np.ones(len(played.entries), bool)
    sounds = list(played.play(1, every))
    assert [i for i, _ in sounds] == [example.entry for example in heard.examples]
    for (_, samples), example in list(zip(sounds, heard.examples, strict=True))[::4]:
        columns = log_mel(pad_to_frames(samples))
        stop = example.column_start + len(columns)
        np.testing.assert_allclose(heard.columns[example.column_start : stop], columns, atol=0.01)

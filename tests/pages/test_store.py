"""The visit's store: one entry per sound, bounded, forgetting on request."""

from __future__ import annotations

import pytest

from pipeline.errors import AudioError
from pipeline.pages.store import MAX_SOUNDS, Outcome, Store


@pytest.fixture
def store() -> Store:
    return Store(max_sound_bytes=1000)


def test_the_same_bytes_are_one_sound(store: Store) -> None:
    first = store.add("a.wav", b"one", "upload")
    store.add("b.wav", b"two", "upload")
    assert store.add("again.wav", b"one", "upload") is first
    assert len(store.sounds) == 2
    assert store.chosen == first.key


def test_two_files_of_one_name_are_told_apart(store: Store) -> None:
    names = [store.add("a.wav", data, "upload").name for data in (b"1", b"2", b"3")]
    assert names == ["a.wav", "a.wav (2)", "a.wav (3)"]


def test_too_large_and_empty_are_refused_by_name(store: Store) -> None:
    with pytest.raises(AudioError, match=r"big\.wav.*at most") as large:
        store.add("big.wav", b"x" * 1001, "upload")
    assert large.value.code == "too-large"
    with pytest.raises(AudioError, match=r"none\.wav.*empty") as empty:
        store.add("none.wav", b"", "upload")
    assert empty.value.code == "empty"
    assert not store.sounds


def test_old_sounds_make_room_and_it_is_told(store: Store) -> None:
    for number in range(MAX_SOUNDS + 2):
        store.add(f"{number}.wav", b"%d" % number, "upload")
    assert len(store.sounds) == MAX_SOUNDS
    assert "0.wav" in store.messages[0]
    store.messages.clear()
    for number in range(3):
        store.add(f"large{number}.wav", b"%d" % number * 900, "upload")
    assert sum(len(sound.data) for sound in store.sounds.values()) <= 2000
    assert store.messages


def test_forgetting_takes_the_results_along(store: Store) -> None:
    kept, gone = store.add("a", b"1", "upload"), store.add("b", b"2", "upload")
    for sound in (kept, gone):
        store.outcomes[sound.key, "student"] = Outcome(problem="x")
    store.remove(gone.key)
    assert set(store.outcomes) == {(kept.key, "student")}
    assert store.chosen == kept.key
    store.clear()
    assert not store.sounds
    assert not store.outcomes
    assert store.chosen is None


def test_each_model_hears_each_sound_once(store: Store) -> None:
    sound = store.add("a", b"1", "upload")
    assert store.pending("student") == [sound]
    store.outcomes[sound.key, "student"] = Outcome(problem="x")
    assert store.pending("student") == []
    assert store.pending("yamnet") == [sound]

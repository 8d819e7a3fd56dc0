"""The window is chosen without the sources it is then judged on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pipeline.training import detector_choice, detector_recipe
from pipeline.training.detector_choice import choose

OPTIONS = (2, 3, 4)


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """What each group of heads was not allowed to hear."""
    bans: list[np.ndarray] = []
    fit = detector_recipe.fit_head

    def fit_and_note(passes: Any, entries: Any, banned: np.ndarray) -> Any:
        bans.append(banned)
        return fit(passes, entries, banned)

    monkeypatch.setattr(detector_recipe, "fit_head", fit_and_note)
    return bans


def test_the_judged_fold_has_no_say(
    made_up_bank: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = made_up_bank()
    fold_of = detector_recipe.folds(bank.entries)
    figures = {True: [0.2, 0.9, 0.5], False: [0.9, 0.2, 0.5]}  # the second option is best on fold 0 alone

    def made_up(*args: Any) -> float:
        head, fold = args[3], args[4]
        return figures[fold == 0][OPTIONS.index(head)]

    monkeypatch.setattr(detector_recipe, "fit_head", lambda passes, *_: passes[0].frames)
    monkeypatch.setattr(detector_choice, "_average_precision", made_up)
    chosen = choose(bank, bank.entries, detector_recipe.unseen(bank.entries), options=OPTIONS)
    assert len(chosen.by_fold) == fold_of.max() + 1
    assert chosen.by_fold[0] == OPTIONS[0], "fold 0 would have liked the second one, and was not asked"


def test_heads_of_a_choice_never_heard_what_it_is_for(
    made_up_bank: Callable[..., Any], table: list[np.ndarray]
) -> None:
    bank = made_up_bank()
    fold_of = detector_recipe.folds(bank.entries)
    folds = int(fold_of.max()) + 1
    chosen = choose(bank, bank.entries, detector_recipe.unseen(bank.entries), options=OPTIONS)
    pairs = [{f for f in range(folds) if banned[fold_of == f].all()} for banned in table]
    assert sorted(map(sorted, pairs)) == sorted(
        len(OPTIONS)
        * ([[f] for f in range(folds)] + [[a, b] for a in range(folds) for b in range(a + 1, folds)])
    ), "once for each window length, each fold and each pair of folds left out"
    assert chosen.final in OPTIONS
    assert all(0 <= value <= 1 for value in chosen.figures)
    again = choose(bank, bank.entries, detector_recipe.unseen(bank.entries), options=OPTIONS)
    assert (again, len(table)) == (chosen, len(pairs)), "kept beside the bank"


def test_a_single_option_needs_no_choice(made_up_bank: Callable[..., Any], table: list[np.ndarray]) -> None:
    bank = made_up_bank()
    chosen = choose(bank, bank.entries, detector_recipe.unseen(bank.entries), options=OPTIONS[:1])
    assert set(chosen.by_fold) == {chosen.final} == {OPTIONS[0]}
    assert table == []

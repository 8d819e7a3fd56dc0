"""Left-out sources that hold cries alone, as Donate-a-Cry does beside ESC-50."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from pipeline.errors import DataError
from pipeline.evaluation.detection import Scores, report_on, to_markdown


@pytest.fixture
def scores() -> Scores:
    """Fold 0 ("mixed") holds both; fold 1 ("cries") holds cries alone."""
    rng = np.random.default_rng(0)
    is_cry = np.concatenate([np.arange(60) % 2 == 0, np.ones(30, bool)])
    source = np.array(["mixed"] * 60 + ["cries"] * 30)
    logits = rng.normal(2.0 * is_cry)
    groups = np.array([f"g{i}" for i in range(90)])
    return Scores("clean", is_cry, logits, rng.normal(1.0 * is_cry), (source == "cries") * 1, source, groups)


def test_a_fold_of_cries_alone_is_left_out_of_the_means(scores: Scores) -> None:
    report = report_on([scores], draws=20)
    keep = scores.fold == 0
    alone = Scores("clean", *(getattr(scores, n)[keep] for n in list(vars(scores))[1:]))
    value = report["suites"]["clean"]["ours"]["auc"]["value"]
    assert value == report_on([alone], draws=20)["suites"]["clean"]["ours"]["auc"]["value"]
    assert math.isfinite(value)
    assert "nan" not in to_markdown(report)


def test_such_a_source_is_still_judged_by_itself(scores: Scores) -> None:
    row = report_on([scores], draws=5)["by_source"]["cries"]
    assert 0 < row["ours_recall"] < 1
    assert "ours_false_positives" not in row


def test_a_source_with_no_other_beside_it_gets_no_threshold(scores: Scores) -> None:
    alone = replace(scores, source=np.array(["home"] * 90), fold=np.zeros(90, int))
    row = report_on([alone], draws=5)["by_source"]["home"]
    assert row == {"cries": 60, "others": 30}
    assert "| home | 60 | 30 | – | – |" in to_markdown(report_on([alone], draws=5))


def test_nothing_to_judge_is_an_error(scores: Scores) -> None:
    one_each = replace(scores, fold=scores.is_cry * 1)
    with pytest.raises(DataError, match="both cries and other sounds"):
        report_on([one_each], draws=5)

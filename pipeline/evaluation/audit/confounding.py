"""Does a class come from a collection of its own? Then whatever marks the collection marks the class."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.audit.auc import deal

Ints = NDArray[np.int64]

STRONG = 0.3
"""Cramér's V from which class and source are called confounded (with p at most LEVEL)."""
LEVEL = 0.01


def contingency(y: Ints, source: Ints) -> Ints:
    """(classes, sources) counts."""
    width = int(source.max()) + 1
    return np.bincount(y * width + source, minlength=(int(y.max()) + 1) * width).reshape(-1, width)


def cramers_v(table: Ints) -> float:
    """Association of rows and columns of a table of counts, 0 (none) to 1, corrected for bias (Bergsma 2013).

    NaN when there are fewer than two rows or columns with anything in them.
    """
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0].astype(np.float64)
    rows, columns = table.shape
    n = table.sum()
    if min(rows, columns) < 2 or n < 2:
        return float("nan")
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True) / n
    phi = ((table - expected) ** 2 / expected).sum() / n
    phi = max(0.0, phi - (rows - 1) * (columns - 1) / (n - 1))
    least = min(rows - (rows - 1) ** 2 / (n - 1), columns - (columns - 1) ** 2 / (n - 1)) - 1
    return float(np.sqrt(phi / least)) if least > 0 else float("nan")


def confounding(
    y: Ints,
    classes: tuple[str, ...],
    source: Ints,
    sources: tuple[str, ...],
    groups: Ints,
    *,
    deals: int,
    seed: int,
) -> dict[str, Any]:
    """Class by source: table, Cramér's V and its p, classes in one source only, sources of one class only.

    Args:
        y, source, groups: (n,) int. Labels are dealt anew to whole groups for the p.
    """
    table = contingency(y, source)
    value = cramers_v(table)
    rng = np.random.default_rng(seed)
    dealt = np.array([cramers_v(contingency(deal(y, groups, rng), source)) for _ in range(deals)])
    p = float((1 + np.sum(dealt >= value - 1e-9)) / (1 + deals)) if np.isfinite(value) else None
    held = table > 0
    return {
        "classes": list(classes),
        "sources": list(sources),
        "table": table.tolist(),
        "cramers_v": value if np.isfinite(value) else None,
        "p": p,
        "deals": deals,
        "line": STRONG,
        "level": LEVEL,
        "one_source_only": {
            classes[k]: sources[int(row.argmax())] for k, row in enumerate(held) if row.sum() == 1
        },
        "one_class_only": {
            sources[j]: classes[int(column.argmax())] for j, column in enumerate(held.T) if column.sum() == 1
        },
        "alarm": bool(p is not None and p <= LEVEL and value >= STRONG),
    }

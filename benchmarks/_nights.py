"""What the benchmarks on nights share: a seed's nights with their judges, and tables in docs/nights.md."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline._cache import default_cache
from pipeline.evaluation import night
from pipeline.evaluation.night_hearing import Hearing
from pipeline.evaluation.night_judges import Judge, judges_of
from pipeline.evaluation.night_sound import Night
from pipeline.settings import get_settings
from pipeline.zoo.yamnet_class import shared_yamnet

DATA = Path("../shared/data")
DOCS = Path(__file__).parent.parent / "docs" / "nights.md"
SEEDS = (0, 1)


def judged_nights(model: str, seed: int) -> Iterator[tuple[Judge, Hearing]]:
    """A seed's nights, and the first one's suites, each with a judge that knows nothing of its sources."""
    settings, cache = get_settings(), default_cache()
    sources, sounds = night.read_sounds(DATA)
    options: dict[str, Any] = {"settings": settings, "cache": cache, "seed": 0, "progress": None}
    judges = judges_of(model, sounds, sources, heads="held-out", **options)
    programme = night.Programme(seed=seed, suite_minutes=0.0 if seed else 30.0)
    for its, plan in programme.nights(sounds):
        yield judges[its.fold], Hearing(Night(its, plan), cache, shared_yamnet)


def write_table(name: str, table: str) -> None:
    """Put a table between its marks in docs/nights.md."""
    first, last = f"<!-- {name} -->", f"<!-- /{name} -->"
    text = DOCS.read_text(encoding="utf-8")
    before, after = text.split(first)[0], text.split(last)[1]
    DOCS.write_text(f"{before}{first}\n{table}\n{last}{after}", encoding="utf-8")
    print(table)

"""Evidence of a whole set: every recording examined once, bad ones listed, progress told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.embedding.student import StudentEmbedder
from pipeline.errors import AudioError, DataError
from pipeline.evaluation.audit.dataset import AudioSet, Item
from pipeline.evaluation.audit.measure import Evidence, Traits, examine
from pipeline.settings import Settings

Progress = Callable[[str, int, int], None]
_AHEAD = 8  # files read ahead of the one whose turn it is


@dataclass(frozen=True, eq=False)
class Sounds:
    """The different sounds of a set; files that hold the same samples share one.

    Attributes:
        items: the usable recordings, in the set's order.
        traits: one per item.
        of: (items,) int, the sound of each item; -1 for digital silence, which has nothing to compare.
        evidence: one per sound.
        bad: (name, why) of everything that was skipped.
    """

    items: tuple[Item, ...]
    traits: tuple[Traits, ...]
    of: NDArray[np.int64]
    evidence: tuple[Evidence, ...]
    bad: tuple[tuple[str, str], ...]
    embedding: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.items)


def gather(found: AudioSet, *, cache: Path, settings: Settings, progress: Progress | None = None) -> Sounds:
    """Examine every recording of a set, two at a time where two threads are allowed.

    Raises:
        DataError: not one of them can be used.
        ArtifactError: the bundled student is missing or altered.
    """
    threads = max(1, settings.threads)
    student = StudentEmbedder.bundled(settings.model_copy(update={"threads": 1}))

    def one(item: Item) -> Evidence | str:
        try:
            return examine(item.path, item.name, student, cache, settings)
        except AudioError as error:
            return str(error).removeprefix(f"{item.name}: ")

    items: list[Item] = []
    evidence: list[Evidence] = []
    bad = list(found.bad)
    with ThreadPoolExecutor(threads) as pool:
        waiting: list[Future[Evidence | str]] = []
        queue = iter(found.items)
        for done, item in enumerate(found.items):
            while len(waiting) < _AHEAD + threads and (ahead := next(queue, None)) is not None:
                waiting.append(pool.submit(one, ahead))
            if progress is not None:
                progress(f"listening: {item.name}", done, len(found.items))
            result = waiting.pop(0).result()
            if isinstance(result, str):
                bad.append((item.name, result))
            else:
                items.append(item)
                evidence.append(result)
    if not items:
        raise DataError(
            f"{found.title}: none of {len(found.items)} recordings can be used. The first: {bad[-1][0]}: "
            f"{bad[-1][1]}",
            "data-missing",
        )
    return _distinct(items, evidence, bad)


def _distinct(items: Sequence[Item], evidence: Sequence[Evidence], bad: Sequence[tuple[str, str]]) -> Sounds:
    """Files with equal samples joined to one sound."""
    number: dict[str, int] = {}
    distinct: list[Evidence] = []
    of = np.empty(len(items), np.int64)
    for index, found in enumerate(evidence):
        digest = found.traits.digest
        if not digest:
            of[index] = -1
            continue
        if digest not in number:
            number[digest] = len(distinct)
            distinct.append(found)
        of[index] = number[digest]
    traits = tuple(found.traits for found in evidence)
    embedding = np.stack([found.embedding[0] for found in evidence])
    return Sounds(tuple(items), traits, of, tuple(distinct), tuple(bad), embedding)

"""What a role does with sound and with features, behind one interface: here, or by asking other roles.

An analysis has two halves, so that they can run in two places: hearing (detection, episodes, and the features
of the stretch that reasons are judged by) and judging those features. Put together they are what
``CryPipeline.analyze`` says, because the first half is ``CryPipeline.analyze``, with a reasons model that
takes the features down instead of judging them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from pipeline import __version__, acoustics
from pipeline.audio import SAMPLE_RATE, Waveform
from pipeline.errors import CryError
from pipeline.service.answers import Hearing
from pipeline.service.decoding import Decoders, Upload
from pipeline.service.features import describe
from pipeline.service.metrics import Metrics
from pipeline.service.problems import Problem, of_error
from pipeline.settings import Settings

# Features are means over what is given: over more than a minute they would say nothing of a cry.
MOST_DESCRIBED_S = 60.0

_T = TypeVar("_T")


class Engine(Protocol):
    """What the routes need. Methods raise :class:`Problem` or :class:`CryError`."""

    @property
    def spool(self) -> Path:
        """Where uploads lie while they are worked on."""
        ...

    async def start(self) -> None:
        """Get ready; what fails here ends the service."""
        ...

    async def stop(self) -> None:
        """Let go of everything."""
        ...

    async def about(self) -> dict[str, Any]:
        """Models and versions, for ``/ready``."""
        ...

    async def hear(self, upload: Upload, threshold: float | None, *, describe_always: bool) -> Hearing:
        """Detection and episodes, with features of the stretch in question if it is a cry, or always."""
        ...

    async def describe(self, upload: Upload, schema: str) -> dict[str, Any]:
        """Features of all of a (short) recording."""
        ...

    async def judge(self, features: list[float], schema: str, threshold: float | None) -> dict[str, Any]:
        """``ReasonResult.to_dict()`` of features."""
        ...


@dataclass(frozen=True)
class _Described:
    """Stands for a ``ReasonResult`` where features are wanted instead."""

    schema: str
    features: NDArray[np.float64]

    def with_threshold(self, _threshold: float) -> _Described:
        """Features know no threshold."""
        return self

    def to_dict(self) -> dict[str, Any]:
        """Schema and values, exact to the last bit when they come back from JSON."""
        return {"schema": self.schema, "features": self.features.tolist()}


class _Describer:
    """Stands for a ``ReasonModel``: takes down the features that it would have judged."""

    def __init__(self, schema: str) -> None:
        self._schema = schema

    def classify(self, waveform: Waveform, threshold: float | None = None) -> _Described:
        """The features of the stretch that the pipeline chose."""
        del threshold
        return _Described(self._schema, acoustics.extract(waveform, self._schema))


class LocalEngine:
    """Models in this process: those for hearing, for judging, or both."""

    def __init__(self, settings: Settings, metrics: Metrics, *, hears: bool, judges: bool) -> None:
        self.settings = settings
        self._hears, self._judges = hears, judges
        self.decoders = Decoders(settings, metrics)
        self._threads = ThreadPoolExecutor(settings.serve_workers, thread_name_prefix="inference")
        self._pipeline: Any = None
        self._reasons: Any = None
        self._schema = ""
        self._reason_names: list[str] = []
        self.head: Any = None

    async def start(self) -> None:
        """Load the models; start the decoders.

        Raises:
            CryError: a model cannot be had.
        """
        await self.run(self._load)
        if self._hears:
            await self.decoders.start()

    def _load(self) -> None:
        from pipeline.artifacts import open_artifact
        from pipeline.reasons import KIND, ReasonModel

        learned = open_artifact("reasons", settings=self.settings, kind=KIND).manifest["schema"]
        self._schema, self._reason_names = learned["name"], list(learned["classes"])
        if self._judges:
            self._reasons = ReasonModel.load(settings=self.settings)
        if self._hears:
            self._load_hearing()

    def _load_hearing(self) -> None:
        from pipeline.analysis import CryPipeline
        from pipeline.detection import load_head
        from pipeline.embedding import load_embedder

        embedder = load_embedder(None, self.settings)
        self.head = load_head(embedder.name, self.settings, getattr(embedder, "checksum", None))
        describer = cast(Any, _Describer(self._schema))
        self._pipeline = CryPipeline(embedder, self.head, describer, self.settings)
        # The first use of some libraries takes seconds: not at the first client's expense.
        noise = np.random.default_rng(0).normal(0, 0.1, 4 * SAMPLE_RATE).astype(np.float32)
        self._pipeline.analyze(Waveform(noise), reasons="always")

    async def stop(self) -> None:
        """Finish what runs, end the decoders."""
        await self.decoders.stop()
        self._threads.shutdown(wait=True, cancel_futures=True)

    @property
    def spool(self) -> Path:
        """See :class:`Engine`."""
        return self.decoders.folder

    @property
    def threshold(self) -> float:
        """Detection threshold where none is given."""
        return float(self._pipeline.default_threshold)

    @property
    def embedder(self) -> Any:
        """What listens."""
        return self._pipeline.embedder

    async def run(self, work: Callable[[], _T]) -> _T:
        """Work in one of the threads for it."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def about(self) -> dict[str, Any]:
        """Models and versions."""
        from pipeline.artifacts import library_versions

        found: dict[str, Any] = {"version": __version__, "libraries": library_versions()}
        if self._hears:
            found |= {
                "embedder": self._pipeline.embedder.name,
                "notice": self._pipeline.embedder.notice,
                "detection_threshold": self._pipeline.default_threshold,
            }
        return found | {"reasons": self._reason_names, "schema": self._schema}

    async def hear(self, upload: Upload, threshold: float | None, *, describe_always: bool) -> Hearing:
        """See :class:`Engine`."""
        async with self.decoders.decoded(upload) as sound:
            return await self.run(lambda: self._hear(sound, upload.name, threshold, describe_always))

    def _hear(self, sound: Waveform, name: str, threshold: float | None, describe_always: bool) -> Hearing:
        found = self._pipeline.analyze(
            sound, threshold, name=name, reasons="always" if describe_always else "if_cry"
        )
        # At threshold 0 everything is a cry, and shows what was taken down.
        described = (found.decide(0.0) if describe_always else found).reasons
        record = found.to_dict()
        # The decoder's warnings came with the sound; what was noticed twice is said once.
        record |= {"reasons": None, "warnings": list(dict.fromkeys(found.warnings))}
        windows = zip(found.window_times.tolist(), found.window_scores.tolist(), strict=True)
        return Hearing(record, list(windows), described.to_dict() if described else None, self._reason_names)

    async def describe(self, upload: Upload, schema: str) -> dict[str, Any]:
        """See :class:`Engine`."""
        async with self.decoders.decoded(upload, MOST_DESCRIBED_S) as sound:
            names, values = await self.run(lambda: describe(sound.samples, schema))
            return {
                "schema": schema,
                "features": values,
                "names": names,
                "sample_rate": SAMPLE_RATE,
                "duration_s": round(sound.duration_s, 3),
                "warnings": list(sound.warnings),
            }

    async def judge(self, features: list[float], schema: str, threshold: float | None) -> dict[str, Any]:
        """See :class:`Engine`."""

        def classify() -> dict[str, Any]:
            return dict(self._reasons.classify_features(np.array(features), schema, threshold).to_dict())

        try:
            return await self.run(classify)
        except CryError as error:
            raise self._better_told(of_error(error), schema) from error

    def _better_told(self, problem: Problem, schema: str) -> Problem:
        if problem.code != "features/schema-mismatch":
            return problem
        wanted = len(acoustics.feature_names(self._schema))
        return Problem(
            problem.code, f"The model takes {wanted} features of '{self._schema}'; '{schema}' was named."
        )

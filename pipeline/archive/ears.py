"""The worker process: tasks on standard input, one JSON object a line, each answered by one line.

The first line is what to hear with (``{"settings": {…}, "fingerprint": … | null}``). Tasks and answers:

| task | answer |
|---|---|
| ``{"do": "identify"}`` | ``{"identity": {…}, "notice": … | null}`` |
| ``{"do": "hear", "path", "size", "longest_s"}`` | ``{"record": {…}}``; of a longer one ``{"long": {…}}`` |
| ``{"do": "part", "path", "first", "count", "direct"}`` | ``{"part": {…}}``, window scores of a part |
| ``{"do": "join", "path", "parts"}`` | ``{"record": {…}}`` |

A recording that cannot be used is answered by ``{"error", "code"}``, models that cannot be had by
``{"fatal", "code"}``. Anything else that goes wrong ends the process: whoever started it sees that, and which
task it was. It ends as well when standard input does, so that no worker outlives who started it.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Mapping
from functools import cached_property
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TextIO

from pipeline.archive import plan
from pipeline.errors import CryError, SettingsError

if TYPE_CHECKING:
    from pipeline.analysis import CryPipeline
    from pipeline.settings import Settings

# A second of the tightest speech coding; a file of fewer bytes than its length would need is not looked into.
_FEWEST_BYTES_PER_S = 400


class Ears:
    """Answers tasks with one loaded pipeline."""

    def __init__(self, settings: Settings, fingerprint: str | None = None) -> None:
        """Load nothing yet.

        Args:
            fingerprint: of the models and settings that were expected; None takes any.
        """
        self._settings, self._fingerprint = settings, fingerprint

    @cached_property
    def pipeline(self) -> CryPipeline:
        """The pipeline, loaded on first use.

        Raises:
            CryError: it cannot be loaded, or other models were expected.
        """
        from pipeline.analysis import CryPipeline

        loaded = CryPipeline.load(self._settings.embedder, self._settings)
        if self._fingerprint is not None:
            found = plan.fingerprint(identify(self._settings, loaded.embedder.name))
            if found != self._fingerprint:
                raise SettingsError(
                    f"A worker has other models or settings ({found}) than this run began with "
                    f"({self._fingerprint}). Install the same CryLens and models wherever workers run."
                )
        return loaded

    def answer(self, task: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a task, as in the table above."""
        try:
            if task["do"] == "identify":
                return _identified(self._settings)
            pipeline = self.pipeline
        except CryError as error:
            return {"fatal": str(error), "code": error.code}
        begun = time.perf_counter()
        try:
            with plan.opened(task["path"]) as source:
                answer = _ANSWERS[task["do"]](pipeline, source, task, self._settings)
        except CryError as error:
            answer = {"error": str(error), "code": error.code}
        return {**answer, "took_s": round(time.perf_counter() - begun, 4)}


def _identified(settings: Settings) -> dict[str, Any]:
    """The identity, and a notice on the embedder where it is not what was expected."""
    from pipeline.embedding import load_embedder

    name: str = settings.embedder
    notice: str | None = None
    if name == "auto" or not _network_files(name, settings):  # or a YAMNet that is still to be fetched
        loaded = load_embedder(name, settings)
        name, notice = loaded.name, loaded.notice
    return {"identity": identify(settings, name), "notice": notice}


def identify(settings: Settings, embedder: str) -> dict[str, Any]:
    """Everything but the recording that a result follows from, as plain values.

    Args:
        embedder: "yamnet" or "student".

    Raises:
        ArtifactError: models that cannot be had.
    """
    from dataclasses import asdict

    from pipeline import __version__
    from pipeline.artifacts import open_artifact
    from pipeline.detection import load_head

    head = load_head(embedder, settings)
    reasons = open_artifact("reasons", settings=settings, kind="reasons").manifest
    detector = open_artifact(f"detector-{embedder}", settings=settings, kind="detector").manifest
    return {
        "crylens": __version__,
        "embedder": embedder,
        "embedder_files": _network_files(embedder, settings),
        "detector_files": _checksums(detector),
        "reasons_files": _checksums(reasons),
        "reason_names": list(reasons["schema"]["classes"]),
        "rules": asdict(head.rules(settings.detection_threshold)),
        "reason_threshold": settings.reason_threshold,
        "limits": {
            "min_duration_s": settings.min_duration_s,
            "max_duration_s": settings.max_duration_s,
            "max_bytes": settings.max_bytes,
        },
    }


def _checksums(manifest: Mapping[str, Any]) -> dict[str, str]:
    return {name: entry["sha256"] for name, entry in manifest["files"].items() if not name.endswith(".md")}


def _network_files(embedder: str, settings: Settings) -> dict[str, str]:
    """SHA-256 of each file of the embedder; none for a YAMNet that is still to be fetched."""
    import hashlib

    from pipeline.artifacts import open_artifact
    from pipeline.embedding import yamnet

    if embedder == "student":
        return _checksums(open_artifact("student", settings=settings, kind="student").manifest)
    folder = yamnet.saved_model_folder(settings.yamnet_handle)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def _hear(pipeline: CryPipeline, source: Any, task: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    from pipeline.archive import parts

    path, longest_s = task["path"], task["longest_s"]
    if longest_s is not None and task["size"] >= longest_s * _FEWEST_BYTES_PER_S:
        length = parts.measured(source, path, settings)
        if longest_s < length.seconds <= settings.max_duration_s:
            return {"long": {"seconds": length.seconds, "direct": length.direct}}
    return {"record": {**pipeline.analyze(source, name=path).to_dict(), "path": path}}


def _part(pipeline: CryPipeline, source: Any, task: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    from pipeline.archive import parts

    wanted = parts.Part(task["first"], task["count"])
    return {
        "part": parts.hear(
            pipeline, source, wanted, direct=task["direct"], name=task["path"], settings=settings
        )
    }


def _join(pipeline: CryPipeline, source: Any, task: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    from pipeline.archive import parts

    analysis = parts.joined(pipeline, source, task["parts"], name=task["path"])
    return {"record": {**analysis.to_dict(), "path": task["path"]}}


_ANSWERS = {"hear": _hear, "part": _part, "join": _join}


def main() -> None:
    """Answer tasks until standard input ends."""
    answers = _take_standard_output()
    lines: SimpleQueue[str] = SimpleQueue()
    threading.Thread(target=_read, args=(lines,), daemon=True).start()
    from pipeline.settings import get_settings

    config = json.loads(lines.get())
    ears = Ears(get_settings(**config["settings"], threads=1), config["fingerprint"])
    while True:
        answer = ears.answer(json.loads(lines.get()))
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _take_standard_output() -> TextIO:
    """Standard output for answers alone; what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def _read(lines: SimpleQueue[str]) -> None:
    """Hand lines over as they come; a thread of its own, to notice the end of input during a long task."""
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)


if __name__ == "__main__":
    main()

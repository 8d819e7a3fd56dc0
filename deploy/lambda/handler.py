"""AWS Lambda behind API Gateway: a recording in, the JSON of the service's ``/classify`` out.

ONNX Runtime runs the embedder and the reasons ensemble; everything else is CryLens' own code on NumPy, the
same that runs everywhere. There is no TensorFlow, no scikit-learn and no librosa in the package. It reads
every format that the service reads; FFmpeg (PyAV) is loaded when the first recording comes that needs it.

A recording is held to a size, a length and a time to decode, but no child process decodes it: a sandbox works
on one request at a time, so a file that kills its decoder takes its own request with it and no other.

The recording is the body itself (``Content-Type: audio/…``) or the part ``file`` of a form; API Gateway hands
both over in base64. ``top_k``, ``features``, ``detection_threshold`` and ``reason_threshold`` are those of
``/classify``.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import os
import signal
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import acoustics, audio
from pipeline.analysis import CryPipeline
from pipeline.artifacts import open_artifact
from pipeline.detection import load_head
from pipeline.embedding.student import StudentEmbedder
from pipeline.errors import CryError, SettingsError
from pipeline.reasons import CALIBRATION_FILE, KIND, Calibration, ReasonModel, trust_statement
from pipeline.service import kinds
from pipeline.service.answers import Hearing, classification
from pipeline.settings import Settings

MODELS = Path(os.environ.get("CRYLENS_MODELS") or Path(__file__).resolve().parent / "models")
# API Gateway passes on 10 MB at most, Lambda 6 MB: this is the limit on what the base64 stands for.
MOST_BYTES = 6 * 2**20
DECODE_S = 10.0  # of the 29 s that API Gateway waits for an answer
SETTINGS = Settings(
    artifacts_dir=MODELS,
    threads=os.cpu_count() or 1,
    max_duration_s=900.0,
    max_bytes=MOST_BYTES,
    embedder="student",
)
_HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}

log = logging.getLogger("crylens")
log.setLevel(logging.INFO)


class _Ensemble:
    """The reasons ensemble as ONNX, where a ``ReasonModel`` looks for a scikit-learn estimator."""

    def __init__(self, model: bytes, features: int, reasons: int, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.n_features_in_ = features
        self.classes_ = np.arange(reasons)

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        """(n, reasons) scores."""
        return self._session.run(["scores"], {"features": np.asarray(x, np.float32)})[0]


class _Noting:
    """A reasons model that keeps the features it judged last, for whoever asks for them."""

    def __init__(self, model: ReasonModel) -> None:
        self.model = model
        self.features: np.ndarray | None = None

    def classify(self, waveform: Any, threshold: float | None = None) -> Any:
        """As ``ReasonModel.classify``."""
        self.features = acoustics.extract(waveform, self.model.schema)
        return self.model.classify_features(self.features, self.model.schema, threshold)


def load() -> tuple[CryPipeline, _Noting]:
    """The models of the package, checksums verified."""
    artifact = open_artifact("reasons", settings=SETTINGS, kind=KIND)
    schema = artifact.manifest["schema"]
    stored = json.loads(artifact.read_bytes(CALIBRATION_FILE))
    names = tuple(schema["classes"])
    exported = json.loads((MODELS / "onnx" / "manifest.json").read_text())["files"]["reasons.onnx"]
    if exported["classes"] != list(names) or exported["features"] != schema["features"]:
        raise SettingsError(
            "The exported reasons model is not the one of the artifacts: build the package again."
        )
    model = (MODELS / "onnx" / "reasons.onnx").read_bytes()
    reasons = ReasonModel(
        classes=names,
        schema=schema["name"],
        estimator=_Ensemble(model, len(schema["features"]), len(names), SETTINGS.threads),
        calibration=Calibration.from_dict(stored["calibration"]),
        base_rate=stored["base_rate"],
        statement=trust_statement(stored["figures"]),
    )
    embedder = StudentEmbedder.bundled(SETTINGS)
    noting = _Noting(reasons)
    head = load_head("student", SETTINGS, embedder.checksum)
    return CryPipeline(embedder, head, noting, SETTINGS), noting  # type: ignore[arg-type]


PIPELINE, REASONS = load()


class _Overdue(Exception):  # noqa: N818 - an interruption, not an error
    """Decoding took too long."""


class _Refusal(Exception):  # noqa: N818 - an answer, not an error
    """What is wrong with a request."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer one event of API Gateway, REST (payload 1.0) or HTTP (payload 2.0)."""
    request_id = getattr(context, "aws_request_id", None) or uuid.uuid4().hex
    try:
        status, body, kind = 200, _answer(event), "application/json"
    except _Refusal as refusal:
        body = kinds.document(refusal.code, str(refusal), request_id=request_id)
    except CryError as error:
        body = kinds.document(*kinds.told(error), request_id=request_id)
    except Exception:
        log.exception("failed", extra={"request_id": request_id})
        body = kinds.document(kinds.INTERNAL, kinds.NOT_OURS_TO_TELL, request_id=request_id)
    if "code" in body and "status" in body:
        status, kind = body["status"], kinds.MEDIA_TYPE
    headers = {**_HEADERS, "Content-Type": kind, "X-Request-ID": request_id}
    return {
        "statusCode": status,
        "headers": headers,
        "body": json.dumps(body, ensure_ascii=False, allow_nan=False),
        "isBase64Encoded": False,
    }


def _answer(event: dict[str, Any]) -> dict[str, Any]:
    method, headers, query = _request(event)
    if method != "POST":
        raise _Refusal("request/method-not-allowed", "Send a recording with POST.")
    content, name = _recording(event, headers)
    top_k = _number(query, "top_k", int, 1, 100, 3)
    wants_features = str(query.get("features", "false")).lower() in ("1", "true", "yes", "on")
    thresholds = {
        key: _number(query, key, float, 0, 1, None) for key in ("detection_threshold", "reason_threshold")
    }
    sound = _decoded(content, name)
    REASONS.features = None
    found = PIPELINE.analyze(sound, **thresholds, reasons="always" if wants_features else "if_cry", name=name)
    # The decoder's warnings came with the sound; what was noticed twice is said once.
    record = found.to_dict() | {"warnings": list(dict.fromkeys(found.warnings))}
    described = None
    if REASONS.features is not None:
        described = {"schema": REASONS.model.schema, "features": REASONS.features.tolist()}
    names = acoustics.feature_names(REASONS.model.schema) if wants_features else None
    hearing = Hearing(record, [], described, list(REASONS.model.classes))
    reasons = found.reasons.to_dict() if found.reasons else None
    return classification(hearing, reasons, top_k=top_k, names=names)


def _decoded(content: bytes, name: str) -> audio.Waveform:
    """The sound of a recording, decoded within ``DECODE_S``.

    Raises:
        AudioError: it cannot be used.
        _Refusal: it takes too long to decode.
    """
    if content[:4] not in (b"RIFF", b"fLaC", b"OggS") or b"OpusHead" in content[:64]:
        import av  # noqa: F401 - the first time takes a moment, which is not the recording's fault
    began = time.monotonic()
    try:
        with _interrupted_after(DECODE_S):
            sound = audio.load(content, name=name, settings=SETTINGS)
    except _Overdue:
        sound = None
    # Looked at again: a decoder's callback may swallow the interruption and take it for the recording's end.
    if sound is None or time.monotonic() - began > DECODE_S:
        raise _Refusal("audio/decoding-stopped", f"Decoding it took more than {DECODE_S:g} s.")
    return sound


@contextmanager
def _interrupted_after(seconds: float) -> Iterator[None]:
    """Raise ``_Overdue`` in what runs in this (the main) thread once so many seconds have passed."""

    def interrupt(*_: object) -> None:
        raise _Overdue

    signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _request(event: dict[str, Any]) -> tuple[str, dict[str, str], dict[str, str]]:
    """Method, headers by lower-case name, and query of either kind of event."""
    http = event.get("requestContext", {}).get("http")
    method = http["method"] if http else event.get("httpMethod", "")
    headers = {key.lower(): str(value) for key, value in (event.get("headers") or {}).items()}
    return method, headers, dict(event.get("queryStringParameters") or {})


def _recording(event: dict[str, Any], headers: dict[str, str]) -> tuple[bytes, str]:
    body = event.get("body") or ""
    if event.get("isBase64Encoded"):
        try:
            content = base64.b64decode(body, validate=True)
        except (binascii.Error, ValueError) as error:
            raise _Refusal("request/malformed", "The body is not base64.") from error
    else:
        content = body.encode("utf-8", "surrogateescape")
    if len(content) > MOST_BYTES:
        raise _Refusal("audio/too-large", f"At most {MOST_BYTES:,} bytes are accepted.")
    kind = headers.get("content-type", "")
    if not kind.lower().startswith("multipart/form-data"):
        return content, "recording"
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + content)
    for part in message.iter_parts() if message.is_multipart() else ():
        if part.get_param("name", header="content-disposition") == "file":
            name = (part.get_filename() or "").replace("\\", "/").rpartition("/")[2]
            return bytes(part.get_payload(decode=True) or b""), name or "recording"
    raise _Refusal("request/invalid", "The form has no part named 'file'.")


def _number(query: dict[str, str], name: str, kind: Any, least: float, most: float, default: Any) -> Any:
    given = query.get(name)
    if given is None:
        return default
    try:
        value = kind(given)
    except ValueError:
        value = None
    if value is None or not least <= value <= most:
        raise _Refusal("request/invalid", f"query.{name}: a number from {least} to {most} is needed.")
    return value

"""Labelled sets with known leaks: two classes that differ in direction only, and what is planted on top.

A call is a row of harmonic sweeps over noise; "falling" calls are rising ones of other takes played
backwards, so spectrum, level, length and pauses say nothing of the class. Each donor has a voice (pitch,
formant, noise).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
import soxr

RATE = 16_000
SECONDS = 2.5
CLASSES = ("falling", "rising")


@dataclass(frozen=True, eq=False)
class Take:
    """One recording of a planted set, before it is written."""

    name: str
    label: str
    group: str
    split: str
    samples: np.ndarray
    rate: int = RATE
    source: str = "studio"


def call(donor: int, take: int, label: str, seconds: float = SECONDS) -> np.ndarray:
    """(n,) float32 at 16 kHz: sweeps in a donor's voice, no two takes alike, at a level of their own."""
    voice, rng = np.random.default_rng([7, donor]), np.random.default_rng([8, donor, take])
    pitch, formant, noise = voice.uniform(280, 520), voice.uniform(900, 2600), voice.uniform(0.01, 0.04)
    count = int(seconds * RATE)
    out = rng.normal(0, noise, count)
    at = rng.uniform(0.05, 0.25)
    while at < seconds - 0.15:
        length = min(rng.uniform(0.25, 0.6), seconds - at)
        time = np.arange(int(length * RATE)) / RATE
        height = pitch * rng.uniform(0.85, 1.2) * 2 ** (rng.uniform(0.5, 0.9) * time / length)
        phase = 2 * np.pi * np.cumsum(height) / RATE + rng.uniform(0, 6)
        tones = np.arange(1, 15)
        weight = np.exp(-(((tones * pitch - formant) / 900) ** 2)) + 0.15
        sweep = (np.sin(phase[:, None] * tones) * weight).sum(axis=1) * np.hanning(len(time)) ** 0.5
        start = int(at * RATE)
        out[start : start + len(sweep)] += rng.uniform(0.5, 1.0) * sweep
        at += length + rng.uniform(0.08, 0.3)
    if label == "falling":
        out = out[::-1]
    level = 0.08 * 10 ** (rng.uniform(-4, 4) / 20)
    return (level * out / np.sqrt(np.mean(out**2))).astype(np.float32)


def takes(donors: int = 16, each: int = 2, test_share: int = 4) -> list[Take]:
    """Half of the donors rise, half fall; every fourth donor is in the test part."""
    return [
        Take(
            f"{CLASSES[donor % 2]}/d{donor:02d}_{'abcdefgh'[take]}.wav",
            CLASSES[donor % 2],
            f"d{donor:02d}",
            "test" if donor // 2 % test_share == 0 else "train",
            call(donor, take, CLASSES[donor % 2]),
        )
        for donor in range(donors)
        for take in range(each)
    ]


def cries(folder: Path, count: int, seconds: float, each: int = 1) -> list[tuple[str, np.ndarray]]:
    """(donor, (n,) float32 samples at 16 kHz): cuts of one recording of each of so many donors."""
    from pipeline.audio import load
    from pipeline.training.data import donor_of

    donors: dict[str, Path] = {}
    for path in sorted(folder.glob("*.flac")):
        donors.setdefault(donor_of(path.name) or path.name, path)
    found = []
    for donor, path in list(donors.items())[:count]:
        samples = load(path).samples
        found += [(donor, samples[i : i + int(seconds * RATE)]) for i in _starts(len(samples), seconds, each)]
    return found


def _starts(length: int, seconds: float, each: int) -> list[int]:
    return np.linspace(0.2 * RATE, length - (seconds + 0.1) * RATE, each).astype(int).tolist()


def changed(found: Sequence[Take], label: str, change: Callable[[Take], Take]) -> list[Take]:
    """One class changed, the other left as it is: a label that can be told by the change."""
    return [change(take) if take.label == label else take for take in found]


def copied(take: Take, split: str, group: str, name: str, samples: np.ndarray, rate: int = RATE) -> Take:
    """Another file with (what was made of) the same audio."""
    return replace(take, name=name, split=split, group=group, samples=samples, rate=rate)


def coded(samples: np.ndarray, codec: str, container: str, rate: int, bit_rate: int) -> np.ndarray:
    """What is left of 16 kHz samples after a codec at a low rate, at 16 kHz again."""
    from pipeline.audio import load

    held = io.BytesIO()
    whole = av.AudioFrame.from_ndarray(
        (np.clip(samples, -1, 1) * 32767).astype(np.int16)[None], "s16", "mono"
    )
    whole.sample_rate = RATE
    with av.open(held, "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate)
        stream.layout, stream.bit_rate = "mono", bit_rate
        size = stream.codec_context.frame_size or 1024
        convert = av.AudioResampler(stream.format, "mono", rate, frame_size=size)
        for frame in [*convert.resample(whole), *convert.resample(None), None]:
            for packet in stream.encode(frame):
                out.mux(packet)
    return load(held.getvalue(), name="coded").samples


def noisy(samples: np.ndarray, snr_db: float) -> np.ndarray:
    """White noise added."""
    noise = np.random.default_rng(0).normal(0, np.std(samples) * 10 ** (-snr_db / 20), len(samples))
    return (samples + noise).astype(np.float32)


ALTERED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mp3": lambda x: coded(x, "libmp3lame", "mp3", RATE, 24_000),
    "opus": lambda x: coded(x, "libopus", "ogg", RATE, 16_000),
    "quiet": lambda x: x * np.float32(0.1),
    "trimmed": lambda x: x[int(1.03 * RATE) : int(3.5 * RATE)],
    "resampled": lambda x: soxr.resample(soxr.resample(x, RATE, 11_025), 11_025, RATE),
    "noise": lambda x: noisy(x, 15),
    "faster": lambda x: soxr.resample(x, 1.1 * RATE, RATE),
}


def write(root: Path, found: Iterable[Take], columns: Sequence[str] = ("path", "label")) -> Path:
    """The set as files with a ``manifest.csv`` of these columns (path, label, group, split, source)."""
    rows = []
    for take in found:
        target = root / take.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            soundfile.write(
                target, np.round(take.samples * 32767).clip(-32768, 32767).astype("<i2"), take.rate
            )
        values = {"path": take.name, **{name: getattr(take, name) for name in columns if name != "path"}}
        rows.append([values[name] for name in columns])
    with (root / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([list(columns), *rows])
    return root / "manifest.csv"


def check(report: dict[str, Any], id_: str) -> dict[str, Any]:
    """The check of that id; its absence is a failure that names what there is."""
    found = [one for one in report["checks"] if one["id"] == id_]
    assert found, f"no check {id_} among {[one['id'] for one in report['checks']]}"
    return found[0]


def by_severity(report: dict[str, Any], *severities: str) -> set[str]:
    """Ids of the checks with one of these severities."""
    return {one["id"] for one in report["checks"] if one["severity"] in severities}


def dumped(report: dict[str, Any]) -> str:
    """For messages of failing tests."""
    return json.dumps([[one["id"], one["severity"], one["finding"]] for one in report["checks"]], indent=1)

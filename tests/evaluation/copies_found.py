"""How many altered copies of real recordings the audit finds, as a Markdown table; quoted in docs/audit.md.

    python tests/evaluation/copies_found.py ../shared/data

Not a test: it takes some minutes. Copies are looked for among 600 recordings of all collections, by the
search that the audit uses; what differs is the alteration.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import planted
import soundfile
import soxr
from numpy.typing import NDArray

from pipeline._cache import default_cache
from pipeline.audio import load
from pipeline.errors import AudioError
from pipeline.evaluation.audit.confirm import confirmed
from pipeline.evaluation.audit.dataset import AudioSet, Item, read_set
from pipeline.evaluation.audit.gather import Sounds, gather
from pipeline.evaluation.audit.neighbours import same_audio
from pipeline.settings import get_settings

BASE, EACH = 600, 12


def pitched(samples: np.ndarray, semitones: int) -> np.ndarray:
    import librosa

    return librosa.effects.pitch_shift(samples, sr=planted.RATE, n_steps=semitones)


def stretched(samples: np.ndarray, rate: float) -> np.ndarray:
    import librosa

    return librosa.effects.time_stretch(samples, rate=rate)


def cut(samples: np.ndarray, seconds: float) -> np.ndarray:
    start = min(planted.RATE, max(0, len(samples) - int(seconds * planted.RATE)))
    return samples[start : start + int(seconds * planted.RATE)]


ALTERATIONS = {
    "MP3, 24 kbit/s, a third of the level": lambda x: planted.coded(
        0.3 * x, "libmp3lame", "mp3", 16_000, 24_000
    ),
    "Opus, 12 kbit/s": lambda x: planted.coded(x, "libopus", "ogg", 16_000, 12_000),
    "first half second cut, 8 kHz, Opus, 8 kbit/s": lambda x: planted.coded(
        0.2 * x[8123:], "libopus", "ogg", 8000, 8000
    ),
    "resampled to 11 025 Hz and back": lambda x: soxr.resample(
        soxr.resample(x, 16_000, 11_025), 11_025, 16_000
    ),
    "2 s cut out": lambda x: cut(x, 2.0),
    "1 s cut out": lambda x: cut(x, 1.0),
    "white noise at 10 dB": lambda x: planted.noisy(x, 10),
    "white noise at 0 dB": lambda x: planted.noisy(x, 0),
    "2 s cut out, white noise at 5 dB": lambda x: planted.noisy(cut(x, 2.0), 5),
    "pitch up two semitones": lambda x: pitched(x, 2),
    "pitch down two semitones": lambda x: pitched(x, -2),
    "slower, x0.9 (pitch kept)": lambda x: stretched(x, 0.9),
    "faster, x1.1 (pitch kept)": lambda x: stretched(x, 1.1),
    "played faster, x1.1 (pitch too)": lambda x: soxr.resample(x, 17_600, 16_000),
    "played slower, x0.9 (pitch too)": lambda x: soxr.resample(x, 14_400, 16_000),
}


def chosen(found: AudioSet) -> tuple[list[Item], list[Item]]:
    """600 recordings, and those of them to be altered: 12 of each collection, 2.5 to 40 s long."""
    rng = random.Random(0)
    sources: dict[str, list[Item]] = {}
    for item in found.items:
        sources.setdefault(item.source or "", []).append(item)
    altered = []
    for members in sources.values():
        rng.shuffle(members)
        altered += [item for item in members[:60] if 2.5 < seconds_of(item.path) < 40][:EACH]
    taken = {item.name for item in altered}
    rest = [item for item in found.items if item.name not in taken]
    return rng.sample(rest, BASE - len(altered)) + altered, altered


def seconds_of(path: Path) -> float:
    """Length; 0 of what cannot be used."""
    try:
        return len(load(path).samples) / planted.RATE
    except AudioError:
        return 0.0


def main(data: Path) -> None:
    base, altered = chosen(read_set(data, label="source", source="source"))
    with tempfile.TemporaryDirectory() as folder:
        made = []
        for number, item in enumerate(altered):
            samples = load(item.path).samples
            for kind, alter in enumerate(ALTERATIONS.values()):
                path = Path(folder) / f"{number}-{kind}.wav"
                soundfile.write(path, np.asarray(alter(samples)).clip(-1, 1), planted.RATE, subtype="PCM_16")
                made.append(replace(item, path=path, name=path.name))
        found = AudioSet("copies", (*base, *made))
        sounds = gather(found, cache=default_cache(), settings=get_settings())
        report(sounds, altered)


def report(sounds: Sounds, altered: list[Item]) -> None:
    """Look for the copies and print what was found."""
    names = [""] * len(sounds.evidence)
    for item, sound in zip(reversed(sounds.items), reversed(sounds.of.tolist()), strict=True):
        names[sound] = item.name
    is_made = np.array([name[0].isdigit() and name.endswith(".wav") and "/" not in name for name in names])

    def apart(i: int, others: NDArray[np.int64]) -> NDArray[np.bool_]:
        return is_made[others] != is_made[i]

    originals = {item.name: number for number, item in enumerate(altered)}
    right, wrong = Counter[int](), set()
    for match in confirmed(same_audio(sounds.evidence, apart), sounds, get_settings()):
        if is_made[match.first] == is_made[match.second]:
            continue
        first, second = names[match.first], names[match.second]
        plain, copy = (second, first) if is_made[match.first] else (first, second)
        number, kind = map(int, copy[:-4].split("-"))
        if originals.get(plain) == number:
            right[kind] += 1
        else:
            wrong.add((altered[number].name, plain))
    sys.stdout.write(f"| what was done to {len(altered)} recordings | copies found |\n|---|---|\n")
    for kind, name in enumerate(ALTERATIONS):
        sys.stdout.write(f"| {name} | {right[kind] / len(altered):.0%} |\n")
    sys.stdout.write(f"\nOther pairs of recordings taken for the same audio: {len(wrong)}\n")
    sys.stdout.writelines(f"- {one} and {other}\n" for one, other in sorted(wrong))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

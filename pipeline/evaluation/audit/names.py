"""What file names tell: the donor, and copies that augmentation tools and file managers make.

A name is weak evidence. ``Family.telling`` says whether a shared base is particular enough (a long number or
a date in it) that two files can hardly bear it by chance; the audit asks the sound about the others.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from pipeline.training.data import donor_of

_WORDS = (
    r"aug(?:ment(?:ed|ation)?)?|pitch(?:ed)?(?:[ _-]?shift(?:ed)?)?|(?:time[ _-]?)?stretch(?:ed)?|tempo|"
    r"speed|slow(?:ed|er)?|fast(?:er)?|"
    r"(?:(?:white|pink|brown|gauss(?:ian)?|bg|background|add(?:ed)?)[ _-]?)?nois[ey]|"
    r"gain|vol(?:ume)?|loud(?:er)?|quiet(?:er)?|reverb|echo|(?:time[ _-]?)?shift(?:ed)?|roll(?:ed)?|"
    r"mask(?:ed)?|spec[ _-]?aug(?:ment)?|flip(?:ped)?|revers(?:e|ed)|mix(?:ed|up)?|crop(?:ped)?|"
    r"copy|dup(?:licate)?|resampled?|filtered|lowpass|highpass|orig(?:inal)?"
)
# A value behind the word: "pitch+2", "stretch_0.9", "noise-10dB", "aug3"; before a name it must touch the
# word, or "noise_3_kitchen" would be taken for an altered "kitchen".
_NUMBER = r"[+\-]?\d+(?:[.,p]\d+)?(?:db|hz|khz|st|ms|s|x|%|semitones?|percent)?"
_SUFFIX = re.compile(rf"[ _.\-+(\[]+(?:{_WORDS})(?:[ _=-]?{_NUMBER})?[)\]]?$", re.IGNORECASE)
_PREFIX = re.compile(rf"^(?:{_WORDS})(?:{_NUMBER})?[ _.\-+]+", re.IGNORECASE)
_NUMBERED_COPY = re.compile(r" ?\(\d{1,3}\)$")
_TELLING = re.compile(r"\d{6,}|[0-9a-f]{8}", re.IGNORECASE)


@dataclass(frozen=True)
class Family:
    """Files whose names differ by augmentation affixes only.

    Attributes:
        base: the name they share, lower case.
        members: indices of the files.
        telling: whether the base is too particular to be shared by chance.
    """

    base: str
    members: tuple[int, ...]
    telling: bool


def stem_of(name: str) -> str:
    """File name without folder and last ending."""
    return PurePosixPath(name).stem


def base_of(name: str) -> str:
    """The file's stem without augmentation affixes, lower case: what its original would be called.

    >>> base_of("train/cry_12_pitch+2.wav"), base_of("aug1_cry_12_noise_10dB.wav"), base_of("noise_3.wav")
    ('cry_12', 'cry_12', 'noise_3')
    """
    stem = stem_of(name)
    while True:
        shorter = _NUMBERED_COPY.sub("", _SUFFIX.sub("", stem))
        if shorter == stem:
            shorter = _PREFIX.sub("", stem)
        # What is left must still be a name: "noise_3" is no augmented "3".
        if shorter == stem or not _is_name(shorter):
            return stem.lower()
        stem = shorter


def _is_name(text: str) -> bool:
    return len(text) >= 3 and any(character.isalnum() for character in text)


def donor(name: str) -> str | None:
    """Donor in a Donate-a-Cry file name, also when an augmentation prefix stands before it."""
    file = PurePosixPath(name).name
    return donor_of(file) or donor_of(base_of(name))


def families(names: Sequence[str], labels: Sequence[str]) -> list[Family]:
    """Groups of two or more files of one label whose names differ by augmentation affixes only.

    A file may be missing its original (``x_aug1`` and ``x_aug2`` are a family too), but at least one member
    must bear an affix: equal names in different folders are not taken for copies.
    """
    found: dict[tuple[str, str], list[int]] = defaultdict(list)
    changed: set[tuple[str, str]] = set()
    for index, (name, label) in enumerate(zip(names, labels, strict=True)):
        key = (label, base_of(name))
        found[key].append(index)
        if key[1] != stem_of(name).lower():
            changed.add(key)
    return [
        Family(key[1], tuple(members), bool(_TELLING.search(key[1])))
        for key, members in sorted(found.items())
        if key in changed and len(members) > 1
    ]

"""The requirement lists are complete locks: nothing unpinned, nothing missing, nothing unexplained."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
LISTS = ("lite", "", "train", "serve", "test")
SYSTEMS = [("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"), ("win32", "AMD64")]
PYTHONS = ["3.11", "3.12", "3.13"]
# tf-keras asks for "tensorflow"; tensorflow-cpu is that, under another name (docs/dependencies.md).
ANSWERED_BY_ANOTHER = {("tf-keras", "tensorflow")}


def file_of(name: str) -> Path:
    return ROOT / (f"requirements-{name}.txt" if name else "requirements.txt")


def lines_of(name: str) -> list[str]:
    """The lines of a list and of the lists it holds; one that several of those share counts once."""
    return list(dict.fromkeys(_all_lines_of(name)))


def _all_lines_of(name: str) -> Iterator[str]:
    for line in file_of(name).read_text().splitlines():
        if line.startswith("-r "):
            other = line.removeprefix("-r requirements").removesuffix(".txt")
            yield from _all_lines_of(other.removeprefix("-"))
        elif line.strip() and not line.startswith("#"):
            yield line


def environment(python: str, system: str, machine: str) -> dict[str, str]:
    names = {"linux": "Linux", "darwin": "Darwin", "win32": "Windows"}
    return {
        **default_environment(),
        "python_version": python,
        "python_full_version": f"{python}.4",
        "sys_platform": system,
        "platform_system": names[system],
        "platform_machine": machine,
        "os_name": "nt" if system == "win32" else "posix",
    }  # type: ignore[dict-item]


def pinned(name: str, where: dict[str, str]) -> dict[str, str]:
    requirements = [Requirement(line) for line in lines_of(name)]
    return {
        canonicalize_name(r.name): str(r.specifier).removeprefix("==")
        for r in requirements
        if r.marker is None or r.marker.evaluate(where)
    }


@pytest.mark.parametrize("name", LISTS)
def test_every_line_is_pinned_once(name: str) -> None:
    requirements = [Requirement(line) for line in lines_of(name)]
    assert [str(r) for r in requirements if not re.fullmatch(r"==[\w.]+", str(r.specifier))] == []
    for system, machine in SYSTEMS:
        where = environment("3.11", system, machine)
        names = [canonicalize_name(r.name) for r in requirements if not r.marker or r.marker.evaluate(where)]
        assert len(names) == len(set(names))


@cache
def needs_of(package: str) -> tuple[Requirement, ...]:
    """What an installed package asks for; nothing for one of another system, which cannot be read here."""
    try:
        needs = metadata.distribution(package).requires or []
    except metadata.PackageNotFoundError:
        return ()
    return tuple(need for need in map(Requirement, needs) if "extra" not in str(need.marker))


@pytest.mark.parametrize(("system", "machine"), SYSTEMS)
@pytest.mark.parametrize("python", PYTHONS)
def test_what_the_packages_need_is_in_the_list(python: str, system: str, machine: str) -> None:
    where = environment(python, system, machine)
    locks = {name: pinned(name, where) for name in LISTS}
    missing = set()
    for package in locks["test"]:
        for need in needs_of(package):
            if need.marker and not need.marker.evaluate(where):
                continue
            wanted = canonicalize_name(need.name)
            for locked in locks.values():
                version = locked.get(wanted)
                if package in locked and (version is None or version not in need.specifier):
                    missing.add((package, wanted))
    assert missing - ANSWERED_BY_ANOTHER == set()


def test_what_is_installed_is_what_is_pinned() -> None:
    import platform
    import sys

    where = environment(
        f"{sys.version_info.major}.{sys.version_info.minor}", sys.platform, platform.machine()
    )
    other = {}
    for package, version in pinned("test", where).items():
        installed = metadata.version(package)
        if installed != version:
            other[package] = (installed, version)
    assert other == {}, "pip install --no-deps -r requirements-test.txt"


def test_every_direct_dependency_is_explained() -> None:
    explained = (ROOT / "docs" / "dependencies.md").read_text()
    for name in LISTS:
        direct = file_of(name).read_text().split("# Used directly\n")[1].split("# Needed by those")[0]
        for line in direct.splitlines():
            if line.strip() and not line.startswith("#"):
                package = Requirement(line).name
                assert re.search(rf"\b{re.escape(package)}\b", explained), package

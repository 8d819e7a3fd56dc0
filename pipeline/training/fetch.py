"""Get the public recordings from their homes: resumable, checked, unpacked without trust.

What the checks can and cannot say: GitHub builds these archives when asked and does not promise the same
bytes twice, so no SHA-256 is written down here for them. A download is held to the length the server
announces (where it does), every file in it to its CRC, and its SHA-256 is recorded beside the recordings.
Whoever knows which archive they want passes its ``sha256`` and gets that one or an error. A broken download
is continued where the server names its archive by a strong ETag, and else begun anew: halves of two archives
are never joined.
"""

from __future__ import annotations

import csv
import hashlib
import http.client
import io
import json
import re
import shutil
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline.errors import DataError, SettingsError
from pipeline.training.data import LICENCES, Clip, donor_of, read_manifest, write_manifest

HOMES: Mapping[str, str] = {
    "donateacry": "https://github.com/gveres/donateacry-corpus/archive/refs/heads/master.zip",
    "esc50": "https://github.com/karolpiczak/ESC-50/archive/refs/heads/master.zip",
}
TIMEOUT_S = 30.0
ATTEMPTS = 4
MAX_ARCHIVE_BYTES = 4 * 2**30
MAX_MEMBERS = 50_000
MAX_MEMBER_BYTES = 200 * 2**20
MAX_UNPACKED_BYTES = 8 * 2**30
_CHUNK = 1 << 18
_CLEANED = "donateacry_corpus_cleaned_and_updated_data"

Progress = Callable[[str, int, int | None], None]  # (corpus, bytes so far, bytes in all or None)


@dataclass(frozen=True)
class Fetched:
    """One corpus on this disk.

    Attributes:
        name: corpus; folder: where its recordings are; clips: how many.
        sha256: of the archive it came from; fresh: False when it was here already.
    """

    name: str
    folder: Path
    clips: int
    sha256: str
    fresh: bool


def fetch(
    names: Iterable[str] = tuple(HOMES),
    dest: Path | str = "downloads",
    base_urls: Mapping[str, str] | None = None,
    progress: Progress | None = None,
    *,
    sha256: Mapping[str, str] | None = None,
    timeout_s: float = TIMEOUT_S,
) -> list[Fetched]:
    """Download and unpack corpora into ``dest/<name>/`` with one ``dest/manifest.csv`` for all.

    An interrupted download stays as ``<name>.zip.part`` and is continued by the next call. A corpus that is
    here already is not fetched again. ``data.prepare(dest, ...)`` takes it from there.

    Args:
        names: of ``HOMES`` ("donateacry", "esc50").
        dest: folder, made when missing.
        base_urls: corpus to archive address, in place of ``HOMES`` (a mirror).
        progress: called as progress(name, bytes so far, bytes in all or None).
        sha256: corpus to the hex digest its archive must have.
        timeout_s: longest wait for the server, in seconds.

    Raises:
        DataError: codes ``fetch-failed`` (no network, refused, not found, cut short), ``checksum-mismatch``,
            ``archive-unsafe``, ``data-invalid``.
        SettingsError: a name is unknown.
    """
    wanted = list(dict.fromkeys(names))
    homes = {**HOMES, **(base_urls or {})}
    for name in wanted:
        if name not in _UNPACKERS:
            raise SettingsError(f"There is no corpus {name!r}; known: {', '.join(_UNPACKERS)}.")
    folder = Path(dest).expanduser().resolve()
    folder.mkdir(parents=True, exist_ok=True)
    expected = {name: digest.lower() for name, digest in (sha256 or {}).items()}
    return [_fetch_one(name, homes[name], folder, expected.get(name), progress, timeout_s) for name in wanted]


def _fetch_one(
    name: str, url: str, dest: Path, expected: str | None, progress: Progress | None, timeout_s: float
) -> Fetched:
    record = dest / f"{name}.json"
    if record.is_file():
        known = json.loads(record.read_text(encoding="utf-8"))
        present = _rows(dest, name)
        if len(present) == known["clips"] and expected in (None, known["sha256"]):
            return Fetched(name, dest / name, known["clips"], known["sha256"], fresh=False)
    archive = _download(name, url, dest / f"{name}.zip.part", progress, timeout_s)
    digest = _sha256(archive)
    if expected is not None and digest != expected:
        archive.unlink()
        raise DataError(
            f"{name}: the archive from {url} has SHA-256 {digest}, not {expected}. It was removed.",
            "checksum-mismatch",
        )
    clips = _unpack(name, archive, dest)
    write_manifest(dest, {**_rows(dest, except_for=name), **clips})
    content = {"url": url, "sha256": digest, "bytes": archive.stat().st_size, "clips": len(clips)}
    record.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    archive.unlink()
    return Fetched(name, dest / name, len(clips), digest, fresh=True)


def _rows(dest: Path, name: str | None = None, except_for: str | None = None) -> dict[str, Clip]:
    if not (dest / "manifest.csv").is_file():
        return {}
    clips = {clip.path.relative_to(dest).as_posix(): clip for clip in read_manifest(dest)}
    return {
        path: clip
        for path, clip in clips.items()
        if (name is None or clip.source == name) and clip.source != except_for
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- download --------------------------------------------------------------------------------------------


def _download(name: str, url: str, part: Path, progress: Progress | None, timeout_s: float) -> Path:
    """The whole archive as ``part``; continues what is there, a few times over when the line breaks."""
    problem: Exception | None = None
    for _ in range(ATTEMPTS):
        before = part.stat().st_size if part.exists() else 0
        try:
            if _transfer(name, url, part, progress, timeout_s):
                return part
            problem = None  # the body ended early: ask for the rest
        except urllib.error.HTTPError as error:
            if error.code == 416:  # what is here is no part of what is there
                part.unlink(missing_ok=True)
                continue
            raise DataError(f"{name}: {url} answered {error.code} {error.reason}.", "fetch-failed") from error
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            problem = error
        if problem is not None and (part.stat().st_size if part.exists() else 0) == before:
            break  # no progress at all: no network, or nobody there
    have = part.stat().st_size if part.exists() else 0
    why = getattr(problem, "reason", None) or problem or "the transfer ended early"
    raise DataError(
        f"{name}: {url} could not be fetched ({why}). Check the network and try again; "
        f"{have:,} bytes are kept.",
        "fetch-failed",
    ) from problem


def _transfer(name: str, url: str, part: Path, progress: Progress | None, timeout_s: float) -> bool:
    """One request; True when the archive is complete."""
    tag_file = part.with_suffix(".etag")
    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "crylens", "Accept-Encoding": "identity"}
    tag = tag_file.read_text(encoding="utf-8") if have and tag_file.exists() else ""
    if have and tag:  # without a tag nobody can say whether both halves are of one archive
        headers |= {"Range": f"bytes={have}-", "If-Range": tag}
    if not url.startswith(("https://", "http://")):
        raise DataError(f"{name}: {url!r} is no web address.", "fetch-failed")
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout_s) as answer:
        resumed = answer.status == 206 and _range_start(answer.headers) == have
        if answer.status == 206 and not resumed:
            part.unlink(missing_ok=True)
            return False
        have = have if resumed else 0
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length and length.isdigit() else None
        _write_tag(tag_file, answer.headers)
        with part.open("ab" if resumed else "wb") as file:
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
                have += len(chunk)
                if have > MAX_ARCHIVE_BYTES:
                    raise DataError(
                        f"{name}: more than {MAX_ARCHIVE_BYTES:,} bytes were sent.", "archive-unsafe"
                    )
                if progress is not None:
                    progress(name, have, total)
    if total is not None and have < total:
        return False
    tag_file.unlink(missing_ok=True)
    return True


def _range_start(headers: http.client.HTTPMessage) -> int | None:
    found = re.match(r"bytes (\d+)-", headers.get("Content-Range", ""))
    return int(found[1]) if found else None


def _write_tag(tag_file: Path, headers: http.client.HTTPMessage) -> None:
    tag = headers.get("ETag", "")
    if tag and not tag.startswith("W/"):  # weak tags do not vouch for bytes
        tag_file.write_text(tag, encoding="utf-8")
    else:
        tag_file.unlink(missing_ok=True)


# --- unpack ----------------------------------------------------------------------------------------------


def _unpack(name: str, archive: Path, dest: Path) -> dict[str, Clip]:
    """Recordings of an archive into ``dest/<name>``; relative path to clip."""
    fresh = dest / f"{name}.unpacking"
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        with zipfile.ZipFile(archive) as pack:
            members = _safe_members(name, pack)
            clips = _UNPACKERS[name](pack, members, fresh)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        shutil.rmtree(fresh, ignore_errors=True)
        archive.unlink()
        raise DataError(
            f"{name}: the archive is damaged ({error}) and was removed; fetch it again.", "checksum-mismatch"
        ) from error
    except DataError:
        shutil.rmtree(fresh, ignore_errors=True)
        archive.unlink()
        raise
    if not clips:
        archive.unlink()
        raise DataError(f"{name}: the archive holds none of the recordings expected. It was removed.")
    final = dest / name
    shutil.rmtree(final, ignore_errors=True)
    fresh.replace(final)
    return {
        f"{name}/{path}": Clip(final / path, kind, label, name, group, LICENCES[name])
        for path, (kind, label, group) in clips.items()
    }


def _safe_members(name: str, pack: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Members of an archive whose names and announced sizes are sane."""
    members = [member for member in pack.infolist() if not member.is_dir()]
    if len(members) > MAX_MEMBERS or sum(member.file_size for member in members) > MAX_UNPACKED_BYTES:
        raise DataError(
            f"{name}: the archive unpacks to more than is sensible; it was removed.", "archive-unsafe"
        )
    for member in members:
        path = PurePosixPath(member.filename)
        if path.is_absolute() or ".." in path.parts or "\\" in member.filename or ":" in member.filename:
            raise DataError(
                f"{name}: the archive holds a file that leads out of its folder ({member.filename!r}); "
                "it was removed.",
                "archive-unsafe",
            )
    return members


def _read(pack: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """One member, its CRC checked, never more than announced or allowed."""
    if member.file_size > MAX_MEMBER_BYTES:
        raise DataError(f"{member.filename}: {member.file_size:,} bytes are too many.", "archive-unsafe")
    with pack.open(member) as file:
        content = file.read(member.file_size + 1)
    if len(content) != member.file_size:
        raise zipfile.BadZipFile(f"{member.filename} is not of the size announced")
    return content


_Rows = dict[str, tuple[str, str, str]]  # path in the corpus folder: kind, label, group


def _unpack_donateacry(pack: zipfile.ZipFile, members: list[zipfile.ZipInfo], folder: Path) -> _Rows:
    """The cleaned release: one folder per reason; the group is the donor."""
    rows: _Rows = {}
    for member in members:
        parts = PurePosixPath(member.filename).parts
        if len(parts) < 3 or parts[-3] != _CLEANED or not parts[-1].lower().endswith(".wav"):
            continue
        reason, file_name = parts[-2:]
        _write(folder / reason / file_name, _read(pack, member))
        rows[f"{reason}/{file_name}"] = ("cry", reason, donor_of(file_name) or Path(file_name).stem.lower())
    return rows


def _unpack_esc50(pack: zipfile.ZipFile, members: list[zipfile.ZipInfo], folder: Path) -> _Rows:
    """All 50 classes; the group is the original recording, from the corpus's own table."""
    by_name = {"/".join(PurePosixPath(member.filename).parts[-2:]): member for member in members}
    if "meta/esc50.csv" not in by_name:
        return {}
    table = _read(pack, by_name["meta/esc50.csv"]).decode("utf-8", "replace")
    rows: _Rows = {}
    for row in csv.DictReader(io.StringIO(table)):
        file_name, label = row.get("filename") or "", row.get("category") or ""
        member = by_name.get(f"audio/{file_name}")
        if member is None or not re.fullmatch(r"[\w-]+", label) or not row.get("src_file"):
            continue
        _write(folder / label / file_name, _read(pack, member))
        kind = "cry" if label == "crying_baby" else "not_cry"
        rows[f"{label}/{file_name}"] = (kind, label, row["src_file"])
    return rows


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


_UNPACKERS: Mapping[str, Callable[[zipfile.ZipFile, list[zipfile.ZipInfo], Path], _Rows]] = {
    "donateacry": _unpack_donateacry,
    "esc50": _unpack_esc50,
}

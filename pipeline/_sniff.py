"""What a sound file's own bytes tell: its kind, and whether its end is there.

Nothing is decoded here, and a few bytes of a stranger's header are believed for messages and warnings only.
"""

from __future__ import annotations

from typing import BinaryIO, Literal, TypeAlias

Reader: TypeAlias = Literal["sndfile", "ffmpeg", "nobody"]
# "sndfile": libsndfile first, then FFmpeg; "ffmpeg": FFmpeg only; "nobody": known to be no sound.
_LEADS: tuple[tuple[int, bytes, str, Reader], ...] = (  # offset, bytes, what it is, who may read it
    (0, b"RIFF", "a RIFF/WAV file", "sndfile"),
    (0, b"RIFX", "a RIFX/WAV file", "sndfile"),
    (0, b"RF64", "an RF64/WAV file", "sndfile"),
    (0, b"riff", "a Wave64 file", "sndfile"),
    (0, b"fLaC", "a FLAC file", "sndfile"),
    (0, b"OggS", "an Ogg file", "sndfile"),
    (0, b"ID3", "an MP3 file", "ffmpeg"),
    (0, b"FORM", "an AIFF file", "sndfile"),
    (0, b".snd", "an AU file", "sndfile"),
    (0, b"caff", "a CAF file", "sndfile"),
    (4, b"ftyp", "an MP4/M4A/3GP file", "ffmpeg"),
    (4, b"moov", "a QuickTime file", "ffmpeg"),
    (0, b"\x1aE\xdf\xa3", "a WebM/Matroska file", "ffmpeg"),
    (0, b"#!AMR", "an AMR file", "ffmpeg"),
    (0, b"%PDF", "a PDF document", "nobody"),
    (0, b"\x89PNG", "a PNG picture", "nobody"),
    (0, b"\xff\xd8\xff", "a JPEG picture", "nobody"),
    (0, b"GIF8", "a GIF picture", "nobody"),
    (0, b"PK\x03\x04", "a ZIP archive or office document", "nobody"),
    (0, b"\x1f\x8b", "a gzip archive", "nobody"),
    (0, b"\x7fELF", "a program", "nobody"),
    (0, b"#EXTM3U", "a playlist", "nobody"),
    (0, b"ffconcat", "a playlist", "nobody"),
)


def identify(head: bytes) -> tuple[str, Reader]:
    """Say what a file is from its first 64 bytes, and who may try to read it."""
    for offset, lead, what, reader in _LEADS:
        if head[offset : offset + len(lead)] == lead:
            return what, reader
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        return "an MPEG audio stream", "ffmpeg"
    if all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head):
        return "text", "nobody"
    return "nothing that looks like sound", "ffmpeg"


def length_is_written(file: BinaryIO, found: str) -> bool:
    """Whether FFmpeg's duration was written by the encoder; elsewhere it is a guess by size and bit rate."""
    if not found.startswith(("an MP3", "an MPEG")):
        return any(kind in found for kind in ("MP4", "QuickTime", "WebM", "FLAC"))
    file.seek(0)
    head = file.read(10)
    tag = 0
    if head[:3] == b"ID3" and len(head) == 10:  # its size is written in four bytes of seven bits
        tag = 10 + sum(byte << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
    file.seek(tag)
    first = file.read(400)
    return any(mark in first for mark in (b"Xing", b"Info", b"VBRI"))


def _caf_share(file: BinaryIO) -> float:
    """Share of the announced sound that a CAF file holds (FFmpeg does not tell when its end is missing)."""
    size = file.seek(0, 2)
    at = 8
    for _ in range(64):  # chunks: four letters, a 64-bit big-endian length, that many bytes
        file.seek(at)
        head = file.read(12)
        if len(head) < 12:
            break
        length = int.from_bytes(head[4:], "big", signed=True)
        if head[:4] == b"data":
            return min(1.0, (size - at - 12) / length) if length > 0 else 1.0  # -1: up to the end
        at += 12 + max(0, length)
    return 1.0


def _ogg_ended(file: BinaryIO) -> bool:
    """Whether an Ogg file ends with its end-of-stream page, whole."""
    size = file.seek(0, 2)
    file.seek(max(0, size - 66_000))  # a page is at most 65,307 bytes
    tail = file.read()
    page = tail[max(0, tail.rfind(b"OggS")) :]
    if len(page) < 27 or not page[5] & 4:
        return False
    lacing = page[27 : 27 + page[26]]
    return len(lacing) == page[26] and len(page) >= 27 + page[26] + sum(lacing)


def missing_end(file: BinaryIO, found: str) -> str | None:
    """Say what is missing at the end of a file that FFmpeg reads without a word about it, or None."""
    if found == "a CAF file" and (share := _caf_share(file)) < 1:
        return cut_to(share)
    if found == "an Ogg file" and not _ogg_ended(file):
        return "it ends without its end mark, probably cut short"
    return None


def cut_to(share: float) -> str:
    """Sentence for a file that holds this share (0 to 1) of its sound."""
    return f"it is cut short: {share:.0%} of the sound its header announces is there"

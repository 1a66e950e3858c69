"""Dropped files and ZIPs -> the pictures among them, and their bytes one at a time."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from pathlib import PurePosixPath
from typing import IO

from core.errors import PictureError
from core.media.file_types import NOT_PICTURES, kind_of

MAX_ZIP_BYTES = 500_000_000
"""Bytes of a ZIP."""

MAX_ENTRIES = 2_000
"""Files in a ZIP."""

MAX_UNPACKED = 1_000_000_000
"""Bytes that a ZIP may unpack to, twice MAX_ZIP_BYTES."""

MAX_RATIO = 100
"""How many times its own size a ZIP may unpack to. Pictures are already compressed: their ratio is about 1."""

MAX_NAME = 300
"""Characters of a file's name that are kept: file systems allow 255 bytes for one part of a path."""

_DIRECTORY_ENTRY = b"PK\x01\x02"  # begins each file's entry in a ZIP's directory (APPNOTE 6.3.10, 4.3.12)
_ENCRYPTED, _UTF8_NAME = 0x1, 0x800  # general purpose flags (4.4.4)
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # others are rare, and a file can make LZMA need any memory
_LITTER = {"__macosx", "thumbs.db", "desktop.ini"}
_UNPACK = "Unpack it, and drop the pictures themselves."


@dataclass(frozen=True)
class Upload:
    """A file as it was dropped: its bytes, or an open file."""

    name: str
    data: bytes | IO[bytes]

    @property
    def size(self) -> int:
        """Its bytes."""
        return len(self.data) if isinstance(self.data, bytes) else self.data.seek(0, io.SEEK_END)

    def open(self) -> IO[bytes]:
        """The file, at its start."""
        if isinstance(self.data, bytes):
            return io.BytesIO(self.data)
        self.data.seek(0)
        return self.data


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A picture among uploads: its path for display, the SHA-256 (32 bytes) of its bytes, and where it is.

    `upload` is the index of its upload, `entry` its index among the files of a ZIP, both from 0.
    """

    name: str
    key: bytes
    upload: int
    entry: int


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A skipped file, and a sentence that says why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Findings:
    """What uploads contain. `hidden` counts system files such as `.DS_Store`, which nobody means to index."""

    pictures: list[FoundFile] = field(default_factory=list)
    repeats: list[LeftOut] = field(default_factory=list)
    refused: list[LeftOut] = field(default_factory=list)
    hidden: int = 0


@dataclass(frozen=True)
class DroppedFile:
    """A file to be indexed: the SHA-256 of its bytes, its name, and the bytes."""

    key: bytes
    name: str
    data: bytes


@dataclass(frozen=True)
class _Entry:
    name: str
    size: int
    method: int
    read: Callable[[], bytes]


def find_pictures(uploads: Sequence[Upload], max_bytes: int) -> Findings:
    """Search uploads for pictures, one file in memory at a time; a file above `max_bytes` is refused unread.

    Raises nothing: whatever is wrong with a file or a whole ZIP becomes a sentence in the result.
    """
    pictures, repeats, refused = list[FoundFile](), list[LeftOut](), list[LeftOut]()
    hidden, first_names = 0, dict[bytes, str]()
    for number, upload in enumerate(uploads):
        try:
            entries = _entries(upload)
        except PictureError as error:
            refused.append(LeftOut(shown_name(upload.name), str(error)))
            continue
        for place, entry in enumerate(entries):
            if is_litter(entry.name):
                hidden += 1
                continue
            try:
                key = _identified(entry, max_bytes)
            except PictureError as error:
                refused.append(LeftOut(entry.name, str(error)))
                continue
            if key in first_names:
                repeats.append(LeftOut(entry.name, f"The same file as {first_names[key]}."))
                continue
            first_names[key] = entry.name
            pictures.append(FoundFile(entry.name, key, number, place))
    return Findings(pictures, repeats, refused, hidden)


def read_files(uploads: Sequence[Upload], pictures: Sequence[FoundFile]) -> Iterator[DroppedFile]:
    """The pictures that `find_pictures` found in the same uploads, read again, one in memory at a time."""
    for number, found in groupby(pictures, key=attrgetter("upload")):
        entries = _entries(uploads[number])
        for picture in found:
            yield DroppedFile(picture.key, picture.name, entries[picture.entry].read())


def shown_name(name: str) -> str:
    """A file's name for display and storage: printable, with / between folders, at most MAX_NAME characters."""
    return "".join(c if c.isprintable() else " " for c in name.replace("\\", "/"))[-MAX_NAME:].strip() or "Unnamed"


def base_name(name: str) -> str:
    """The last part of a file's name, without its folders."""
    return PurePosixPath(name).name or name


def _identified(entry: _Entry, max_bytes: int) -> bytes:
    """The SHA-256 of a file that may be a picture. Raises PictureError."""
    if entry.method not in _METHODS:
        raise PictureError("Its compression method is not supported. Unpack it, and drop the file itself.")
    if entry.size > max_bytes:
        raise PictureError(
            f"The file has {entry.size / 1e6:,.1f} MB, and MAX_FILE_MB allows {max_bytes / 1e6:,.4g}: make it smaller."
        )
    try:
        data = entry.read()
    except Exception:  # noqa: BLE001  a broken ZIP makes zipfile and zlib raise all sorts
        raise PictureError("It is damaged in the ZIP and cannot be unpacked.") from None
    kind = kind_of(data)
    if kind in NOT_PICTURES:
        raise PictureError(f"This is {NOT_PICTURES[kind]}")
    return hashlib.sha256(data).digest()


def _entries(upload: Upload) -> list[_Entry]:
    """The files in a ZIP, or the upload itself when it is no ZIP. Raises PictureError."""
    if not upload.name.lower().endswith(".zip"):
        return [_Entry(shown_name(upload.name), upload.size, zipfile.ZIP_STORED, lambda: upload.open().read())]
    if upload.size > MAX_ZIP_BYTES:
        raise PictureError(f"This ZIP is larger than {MAX_ZIP_BYTES // 1_000_000} MB. Split it.")
    too_many = PictureError(f"This ZIP has more than {MAX_ENTRIES:,} files, which is the limit. Split it.")
    if _count(upload.open(), _DIRECTORY_ENTRY) > 2 * MAX_ENTRIES:  # zipfile would make an object of each
        raise too_many
    try:
        archive = zipfile.ZipFile(upload.open())
    except Exception:  # noqa: BLE001  a broken ZIP makes zipfile raise all sorts
        raise PictureError("This ZIP cannot be read. Create it again, or drop the pictures themselves.") from None
    entries = [entry for entry in archive.infolist() if not entry.filename.endswith("/")]  # is_dir() needs a name
    if len(entries) > MAX_ENTRIES:
        raise too_many
    if any(entry.flag_bits & _ENCRYPTED for entry in entries):
        raise PictureError(f"This ZIP is protected by a password. {_UNPACK}")
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > MAX_UNPACKED:
        raise PictureError(f"This ZIP unpacks to more than {MAX_UNPACKED // 1_000_000_000} GB. Split it.")
    if unpacked > MAX_RATIO * upload.size:
        raise PictureError(f"This ZIP unpacks to more than {MAX_RATIO} times its size, unlike pictures. {_UNPACK}")
    return [
        _Entry(
            shown_name(f"{upload.name}/{_decoded(entry)}"),
            entry.file_size,
            entry.compress_type,
            lambda entry=entry: archive.read(entry),  # type: ignore[misc]
        )
        for entry in entries
    ]


def _count(file: IO[bytes], mark: bytes) -> int:
    """How often some bytes occur in a file, of which little is in memory at a time."""
    found, rest = 0, b""
    while chunk := file.read(1 << 18):
        found += (rest + chunk).count(mark)
        rest = chunk[-len(mark) + 1 :]
    return found


def _decoded(entry: zipfile.ZipInfo) -> str:
    """An entry's name. macOS writes UTF-8 without marking it, which zipfile decodes by the DOS code page."""
    if not entry.flag_bits & _UTF8_NAME:
        try:
            return entry.filename.encode("cp437").decode()
        except UnicodeError:
            pass
    return entry.filename


def is_litter(name: str) -> bool:
    """Whether a file is hidden or a system's own, such as `.DS_Store`, which nobody means to index."""
    return any(part.startswith(".") or part.lower() in _LITTER for part in PurePosixPath(name).parts)

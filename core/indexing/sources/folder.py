"""Folders of the server as sources: only below LIBRARY_DIRS, and along no link, not even one put there meanwhile.

Each folder is opened relative to the open folder above it, and never by its whole path (openat and O_NOFOLLOW, as in
POSIX.1-2008), so that nothing that is moved or replaced while it is read leads elsewhere.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote

from core.errors import PictureError, SourceError
from core.media.file_types import NOT_PICTURES, kind_of
from core.media.uploads import is_litter

MAX_DEPTH = 40
"""Folders within folders that are read."""

_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_FILE = os.O_RDONLY | _NO_LINK | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)  # a pipe would block


@dataclass(frozen=True)
class FolderFile:
    """A file in a folder: its path from there, its size in bytes, and when it was changed, in nanoseconds.

    `read` returns its bytes while the iteration stands at it. It raises PictureError for what is no picture, and
    OSError.
    """

    path: str
    size: int
    modified_ns: int
    read: Callable[[int], bytes]


def library_folder(text: str, library_dirs: Sequence[Path]) -> Path:
    """The folder that a text names, absolutely or from one of LIBRARY_DIRS, if it may be read. Raises SourceError."""
    if not {os.open, os.stat} <= os.supports_dir_fd or not _NO_LINK:
        raise SourceError("Folders can only be sources where Lookalike runs on Linux or macOS.")
    if not library_dirs:
        raise SourceError(
            "Folders of this server can be sources once the setting LIBRARY_DIRS names those that may be read."
        )
    for library in library_dirs:
        path = Path(os.path.normpath(library / text))
        if path.is_relative_to(library) and (Path(text).is_absolute() or path.is_dir()):
            return path
    raise SourceError(f"{text} is not a folder below {' or '.join(map(str, library_dirs))}, which LIBRARY_DIRS names.")


def path_key(folder: Path, path: str) -> bytes:
    """The SHA-256 (32 bytes) by which the file at that path in a folder is known."""
    return hashlib.sha256(f"file://{quote(os.fsencode(folder / path))}".encode()).digest()


def folder_files(folder: Path, library_dirs: Sequence[Path], on_problem: Callable[[str], None]) -> Iterator[FolderFile]:
    """The files in a folder and in those within, by name, without hidden ones and links.

    What cannot be read is told to `on_problem` in a sentence. Raises SourceError if it is the folder itself.
    """
    with ExitStack() as opened:
        yield from _files(_opened(folder, library_dirs, opened), "", on_problem)


def _opened(folder: Path, library_dirs: Sequence[Path], opened: ExitStack) -> int:
    """The open folder, which was reached step by step from the library folder that it is in."""
    library = next((library for library in library_dirs if folder.is_relative_to(library)), None)
    if library is None:
        raise SourceError(f"{folder} is no longer below a folder of LIBRARY_DIRS.")
    try:
        at = os.open(library, _FOLDER)
        opened.callback(os.close, at)
        for part in folder.relative_to(library).parts:
            at = os.open(part, _FOLDER | _NO_LINK, dir_fd=at)
            opened.callback(os.close, at)
    except OSError as error:
        raise SourceError(_sentence(str(folder), error)) from None
    return at


def _files(folder: int, path: str, on_problem: Callable[[str], None], depth: int = 0) -> Iterator[FolderFile]:
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if not is_litter(entry.name))
    except OSError as error:
        on_problem(_sentence(path or "The folder", error))
        return
    for name in names:
        inside = f"{path}{name}"
        try:
            facts = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if stat.S_ISREG(facts.st_mode):
                yield FolderFile(inside, facts.st_size, facts.st_mtime_ns, partial(_read, folder, name))
                continue
            if not stat.S_ISDIR(facts.st_mode):
                continue
            if depth == MAX_DEPTH:
                on_problem(f"{inside} is more than {MAX_DEPTH} folders deep, so it was not read.")
                continue
            within = os.open(name, _FOLDER | _NO_LINK, dir_fd=folder)
        except OSError as error:
            on_problem(_sentence(inside, error))
            continue
        try:
            yield from _files(within, f"{inside}/", on_problem, depth + 1)
        finally:
            os.close(within)


def _read(folder: int, name: str, max_bytes: int) -> bytes:
    """The bytes of a picture. Raises PictureError or OSError."""
    with open(os.open(name, _FILE, dir_fd=folder), "rb") as file:  # noqa: PTH123  Path opens no descriptor
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise PictureError("This is not a file any more.")
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise PictureError(f"The file has more than {max_bytes / 1e6:,.4g} MB, the limit that MAX_FILE_MB sets.")
    kind = kind_of(data)
    if kind in NOT_PICTURES:
        raise PictureError(f"This is {NOT_PICTURES[kind]}")
    return data


def _sentence(path: str, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{path} is not there."
    if isinstance(error, PermissionError):
        return f"{path} may not be read by the user that Lookalike runs as."
    if isinstance(error, NotADirectoryError) or error.errno == errno.ELOOP:
        return f"{path} is a link or not a folder, and links are not followed."
    return f"{path} cannot be read: {error.strerror}."

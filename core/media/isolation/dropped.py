"""Dropped files and ZIPs, searched and unpacked in a reader process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import IO

from core.errors import LookalikeError, PictureError, PictureTooLargeError
from core.media.isolation.channel import MAX_FILES
from core.media.isolation.pool import LISTS, Subject, call, stream
from core.media.uploads import DroppedFile, Findings, FoundFile, LeftOut, Upload
from core.media.uploads import find_pictures as find_here
from core.media.uploads import read_files as read_here
from core.settings import Settings

UPLOADS = Subject("What was dropped", PictureTooLargeError, PictureError)


def find_pictures(names: Sequence[str], files: Sequence[IO[bytes]], settings: Settings) -> Findings:
    """`core.media.uploads.find_pictures` of open files; also raises nothing."""
    try:
        arguments = {"names": list(names[:MAX_FILES]), "max_bytes": settings.max_file_bytes}
        found = call(__name__, "find_in", arguments, settings, LISTS, UPLOADS, files[:MAX_FILES])
    except LookalikeError as error:
        return Findings(refused=[LeftOut(name, str(error)) for name in names])
    assert isinstance(found, Findings)
    rest = [LeftOut(name, f"At most {MAX_FILES} files are taken at a time.") for name in names[MAX_FILES:]]
    found.refused.extend(rest)
    return found


def read_files(
    names: Sequence[str], files: Sequence[IO[bytes]], pictures: Sequence[FoundFile], settings: Settings
) -> Iterator[DroppedFile]:
    """`core.media.uploads.read_files` of the same files. Raises PictureError."""
    arguments = {"names": list(names[:MAX_FILES]), "pictures": list(pictures)}
    yield from stream(__name__, "read_from", arguments, settings, LISTS, UPLOADS, files[:MAX_FILES])


def find_in(names: Sequence[str], max_bytes: int, files: Sequence[IO[bytes]]) -> Findings:
    """What a reader process does for `find_pictures`."""
    return find_here([Upload(*both) for both in zip(names, files, strict=True)], max_bytes)


def read_from(names: Sequence[str], pictures: Sequence[FoundFile], files: Sequence[IO[bytes]]) -> Iterator[DroppedFile]:
    """What a reader process does for `read_files`."""
    return read_here([Upload(*both) for both in zip(names, files, strict=True)], pictures)

"""A table of pictures, read in a reader process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import IO

from core.collection.table_reader import TableRow, read_table_rows
from core.errors import TransferError
from core.media.isolation.pool import LISTS, Subject, stream
from core.settings import Settings

TABLE = Subject("This table", TransferError, TransferError)


def isolated_rows(settings: Settings, name: str, file: IO[bytes]) -> Iterator[list[TableRow]]:
    """`core.collection.table_reader.read_table_rows`; the position in `file` goes along. Raises TransferError."""
    for rows, at in stream(__name__, "positioned_rows", {"name": name}, settings, LISTS, TABLE, [file]):
        file.seek(at)
        yield rows


def positioned_rows(name: str, files: Sequence[IO[bytes]]) -> Iterator[tuple[list[TableRow], int]]:
    """What a reader process does: the rows, and how far the file is read, in bytes."""
    (file,) = files
    for rows in read_table_rows(name, file):
        with contextlib.suppress(ValueError):  # the last of a CSV come when it is closed
            at = file.tell()
        yield rows, at

"""The format of a backup: a ZIP with one member per table, and a manifest that lists them, written last."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from core.errors import TransferError

FORMAT = 1
"""Increased whenever an older Lookalike could misread a backup made by this one."""

MANIFEST = "manifest.json"

CHUNK = 1_000_000
"""Bytes that are read or written at a time."""

OnBackupProgress = Callable[[str, int, int], None]
"""Called with the current step, the bytes done, and the bytes in total as far as is known."""


class TablePart(BaseModel):
    """A table: its columns with their types, its number of rows, and the size and SHA-256 of its binary COPY."""

    name: str
    columns: dict[str, str]
    rows: int
    bytes: int
    sha256: str
    counters: dict[str, tuple[int, bool]]
    """For each column with a sequence: the last value, and whether that was used."""


class Manifest(BaseModel):
    """The contents of a backup. `migrations` are those of its database, in order."""

    kind: Literal["Lookalike backup"] = "Lookalike backup"
    format: int = FORMAT
    made_at: datetime
    postgres: int
    migrations: list[str]
    tables: list[TablePart]

    def rows(self, table: str) -> int:
        """How many rows a table has; 0 if it is not in the backup."""
        return next((part.rows for part in self.tables if part.name == table), 0)


class _Format(BaseModel):
    kind: Literal["Lookalike backup"]
    format: int


def member_name(table: str) -> str:
    """The name of a table's member in the ZIP."""
    return f"tables/{table}.copy"


def read_manifest(path: Path, archive: zipfile.ZipFile) -> Manifest:
    """The manifest of a backup. Raises TransferError."""
    try:
        with archive.open(MANIFEST) as file:
            text = file.read(50_000_000)
        header = _Format.model_validate_json(text)
        if header.format > FORMAT:
            raise made_by_newer(path)
        return Manifest.model_validate_json(text)
    except (KeyError, ValidationError):
        raise TransferError(f"{path.name} is not a Lookalike backup.") from None
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError):
        raise _damaged(path) from None


def open_backup(path: Path) -> zipfile.ZipFile:
    """A backup's ZIP. Raises TransferError."""
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, EOFError):
        raise TransferError(
            f"{path.name} is not a complete backup: its end is missing, or it is another kind of file. Copy it again."
        ) from None
    except OSError as error:
        raise TransferError(f"{path} cannot be read: {error.strerror}.") from None


def read_part(path: Path, archive: zipfile.ZipFile, part: TablePart) -> Iterator[bytes]:
    """A table's COPY in chunks; its size and SHA-256 are checked at the end. Raises TransferError."""
    digest, size = hashlib.sha256(), 0
    try:
        with archive.open(member_name(part.name)) as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
                size += len(chunk)
                yield chunk
    except (KeyError, OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError):
        raise _damaged(path) from None
    if (digest.hexdigest(), size) != (part.sha256, part.bytes):
        raise _damaged(path)


def made_by_newer(path: Path) -> TransferError:
    """The error for a backup that was made by a newer Lookalike."""
    return TransferError(f"{path.name} was made by a newer Lookalike. Update this one, then restore the backup.")


def _damaged(path: Path) -> TransferError:
    return TransferError(f"{path.name} is damaged, so nothing was restored. Copy it again, or use another backup.")

"""Everything known about one picture."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg import sql
from psycopg.rows import class_row, dict_row

from core.collection.store import URLS, picture_name
from core.database.connection import Database
from core.errors import NotFoundError


@dataclass(frozen=True)
class Origin:
    """An import that contains the picture: its id, its name, and when it was created."""

    id: int
    name: str
    created_at: datetime


@dataclass(frozen=True)
class PictureDetails:
    """A picture: its size in pixels and bytes, when it was indexed and, if so, removed.

    `phash` is its perceptual hash as a signed number; `urls` are oldest first, and `origins` are the imports that
    contain it, newest first.
    """

    id: UUID
    sha256: bytes
    phash: int
    width: int
    height: int
    bytes: int
    mime: str
    title: str
    tags: list[str]
    fields: dict[str, str]
    indexed_at: datetime
    removed_at: datetime | None
    urls: list[str]
    origins: list[Origin]

    @property
    def name(self) -> str:
        """The name to show: its title, else the file name in its URL."""
        return picture_name(self.title, self.urls[0] if self.urls else "")

    @property
    def phash_hex(self) -> str:
        """The 64-bit perceptual hash as 16 hexadecimal digits."""
        return f"{self.phash % 2**64:016x}"


def read_details(database: Database, picture: UUID) -> PictureDetails:
    """Everything known about a picture, removed or not. Raises NotFoundError or DatabaseError."""
    with database.connection() as connection:
        with connection.cursor(row_factory=class_row(Origin)) as cursor:
            origins = cursor.execute(
                """SELECT id, name, created_at FROM imports
                   WHERE id IN (SELECT import FROM items WHERE picture = %s) AND deleted_at IS NULL ORDER BY id DESC""",
                (picture,),
            ).fetchall()
        with connection.cursor(row_factory=dict_row) as cursor:
            query = sql.SQL(
                """SELECT sha256, phash, width, height, bytes, mime, title, tags, fields, indexed_at, removed_at,
                          {} AS urls
                   FROM pictures p WHERE id = %s"""
            ).format(sql.SQL(URLS))
            row = cursor.execute(query, (picture,)).fetchone()
    if row is None:
        raise NotFoundError("This picture is gone: somebody has deleted it permanently.")
    return PictureDetails(id=picture, **row, origins=origins)

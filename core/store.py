"""Pictures, their thumbnails and their embeddings in Postgres: every statement about them is here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from pgvector import HalfVector
from psycopg import Connection, sql
from psycopg.rows import class_row

from core.database import Database
from core.errors import NotFoundError
from core.picture import Picture

Vector = NDArray[np.float32]


@dataclass(frozen=True)
class Model:
    """A model that has embedded pictures; `dim` is the length of its embeddings."""

    id: int
    name: str
    dim: int
    threshold: float | None

    @property
    def table(self) -> sql.Identifier:
        """The table of this model's embeddings."""
        return sql.Identifier(f"embeddings_{self.id}")


@dataclass(frozen=True)
class Match:
    """A picture and its similarity (cosine, -1 to 1) to a query."""

    id: UUID
    url: str
    title: str
    width: int
    height: int
    similarity: float


@dataclass(frozen=True)
class NewPicture:
    """A picture about to be stored, with the address it came from and its unit-length embedding."""

    key: bytes
    url: str
    picture: Picture
    embedding: Vector

    @property
    def id(self) -> UUID:
        """The picture's id, see `picture_id`."""
        return picture_id(self.picture.sha256)


def picture_id(sha256: bytes) -> UUID:
    """The id of the picture whose file has this SHA-256 (32 bytes): its first 128 bits."""
    return UUID(bytes=sha256[:16])


class Store:
    """The collection. Methods that take a connection join its transaction; the others make their own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def use_model(self, name: str, dim: int) -> Model:
        """The model of that name, registered and given its table of embeddings when it is new."""
        with self._database.connection() as connection:
            connection.execute(
                "INSERT INTO models (name, dim) VALUES (%s, %s) ON CONFLICT (name) DO NOTHING", (name, dim)
            )
            with connection.cursor(row_factory=class_row(Model)) as cursor:
                cursor.execute("SELECT id, name, dim, threshold FROM models WHERE name = %s FOR UPDATE", (name,))
                model = cursor.fetchone()
            assert model is not None
            connection.execute(
                sql.SQL(
                    """CREATE TABLE IF NOT EXISTS {} (
                           picture uuid PRIMARY KEY REFERENCES pictures ON DELETE CASCADE,
                           embedding halfvec({}) NOT NULL
                       )"""
                ).format(model.table, sql.Literal(model.dim))
            )
            return model

    def count(self) -> int:
        """How many pictures the collection holds; removed ones do not count."""
        with self._database.connection() as connection:
            row = connection.execute("SELECT count(*) FROM pictures WHERE removed_at IS NULL").fetchone()
            return int(row[0]) if row else 0

    def embedded(self, connection: Connection, model: Model, ids: Iterable[UUID]) -> set[UUID]:
        """Those of the pictures that are in the collection and already have an embedding of this model."""
        query = sql.SQL(
            "SELECT picture FROM {} JOIN pictures ON id = picture WHERE picture = ANY(%s) AND removed_at IS NULL"
        ).format(model.table)
        return {row[0] for row in connection.execute(query, (list(ids),))}

    def first_urls(self, connection: Connection, ids: Iterable[UUID]) -> dict[UUID, str]:
        """The first address of each of these pictures."""
        rows = connection.execute(
            "SELECT DISTINCT ON (picture) picture, url FROM sources WHERE picture = ANY(%s) ORDER BY picture, added_at",
            (list(ids),),
        )
        return dict(rows.fetchall())

    def add(self, connection: Connection, model: Model, pictures: Sequence[NewPicture]) -> None:
        """Store pictures with thumbnail, address and embedding; those already there stay, removed ones return.

        Rows go in by id order, so that two workers never wait for each other in a circle.
        """
        ordered = sorted(pictures, key=lambda new: new.id)
        with connection.cursor() as cursor:
            cursor.executemany(
                """INSERT INTO pictures (id, sha256, phash, width, height, bytes, mime)
                   VALUES (%s, %s, %s, %s, %s, %s, %s)
                   ON CONFLICT (id) DO UPDATE SET removed_at = NULL WHERE pictures.removed_at IS NOT NULL""",
                [(n.id, p.sha256, p.phash, p.width, p.height, p.size, p.mime) for n in ordered for p in [n.picture]],
            )
            cursor.executemany(
                "INSERT INTO thumbnails (picture, mime, image) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                [(n.id, n.picture.thumbnail_mime, n.picture.thumbnail) for n in ordered],
            )
            cursor.executemany(
                sql.SQL("INSERT INTO {} (picture, embedding) VALUES (%s, %s::halfvec) ON CONFLICT DO NOTHING").format(
                    model.table
                ),
                [(n.id, HalfVector(n.embedding)) for n in ordered],
            )
        self.add_sources(connection, [(n.key, n.url, n.id) for n in ordered])

    def add_sources(self, connection: Connection, sources: Sequence[tuple[bytes, str, UUID]]) -> None:
        """Remember addresses of pictures, each as (identity key, URL, picture). The newest picture of a key counts."""
        with connection.cursor() as cursor:
            cursor.executemany(
                """INSERT INTO sources (key, url, picture) VALUES (%s, %s, %s)
                   ON CONFLICT (key) DO UPDATE SET url = excluded.url, picture = excluded.picture
                   WHERE sources.picture <> excluded.picture""",
                sorted(sources),
            )

    def nearest(self, model: Model, vector: Vector, limit: int) -> list[Match]:
        """The `limit` pictures most similar to a unit vector of shape (dim,), best first; the scan is exact.

        The inner query orders by the distance alone: a second sort key or a bound on the distance would keep
        Postgres from using an index.
        """
        query = sql.SQL(
            """WITH nearest AS MATERIALIZED (
                   SELECT picture, embedding <=> %(vector)s::halfvec AS distance FROM {} AS e
                   WHERE NOT EXISTS (
                       SELECT FROM pictures WHERE id = e.picture AND removed_at IS NOT NULL)
                   ORDER BY distance LIMIT %(limit)s
               )
               SELECT p.id, coalesce(s.url, '') AS url, p.title, p.width, p.height,
                      (1 - distance)::float8 AS similarity
               FROM nearest JOIN pictures p ON p.id = nearest.picture
               LEFT JOIN LATERAL (
                   SELECT url FROM sources WHERE sources.picture = p.id ORDER BY added_at LIMIT 1) s ON true
               ORDER BY distance, p.id"""
        ).format(model.table)
        with (
            self._database.connection() as connection,
            connection.cursor(row_factory=class_row(Match)) as cursor,
        ):
            cursor.execute(query, {"vector": HalfVector(vector), "limit": limit})
            return cursor.fetchall()

    def thumbnail(self, picture: UUID) -> tuple[str, bytes]:
        """The MIME type and bytes of a picture's thumbnail. Raises NotFoundError."""
        with self._database.connection() as connection:
            row = connection.execute("SELECT mime, image FROM thumbnails WHERE picture = %s", (picture,)).fetchone()
        if row is None:
            raise NotFoundError("There is no picture with that id.")
        return row[0], row[1]

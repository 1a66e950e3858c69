"""Pictures, their thumbnails and their embeddings in Postgres; searches are in `core.search.nearest`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, LiteralString
from urllib.parse import unquote, urlsplit
from uuid import UUID

import numpy as np
from pgvector import HalfVector
from psycopg import Connection, sql
from psycopg.rows import class_row

from core.database.connection import Database
from core.database.embedding_tables import Model, Purpose, Vector, make_embeddings
from core.errors import NotFoundError
from core.media.decode import Picture
from core.media.uploads import DroppedFile, base_name

RECOUNT_FROM = 10_000
"""Number of pictures from which the count is cached: among 100,000 it takes 10 ms, and every search shows it."""

RECOUNT_FACTOR = 20
"""A cached count is kept for this many times as long as it took, so that counting takes at most 5 % of the time."""

MAX_FILE_NAME = 200
"""Characters stored of the file name in a picture's URL, by which it is sorted when it has no title."""

URLS: LiteralString = "ARRAY(SELECT url FROM sources WHERE sources.picture = p.id ORDER BY added_at, url)"
"""The URLs of the picture `p`, oldest first."""

NEWEST_URL: LiteralString = (
    "coalesce((SELECT url FROM sources WHERE sources.picture = p.id "
    "ORDER BY starts_with(url, '/'), added_at DESC, url LIMIT 1), '')"
)
"""Of the URLs of the picture `p` the one that was fetched last, by which it is shown and named, since signed URLs
expire; '' if it has none."""


@dataclass(frozen=True)
class Match:
    """A picture and its similarity (cosine, -1 to 1) to a query.

    `url` is the URL that was fetched last; that of a dropped file is a path on this server, see `file_path`.
    """

    id: UUID
    url: str
    title: str
    width: int
    height: int
    similarity: float


@dataclass(frozen=True)
class KeptFile:
    """A stored file: its MIME type, one of `core.media.decode.MIMES`, its name, and its bytes."""

    mime: str
    name: str
    data: bytes


@dataclass(frozen=True)
class FilePicture:
    """What is known about a picture's file without having it: `size` in bytes, `phash` as a signed 64-bit number,
    and the thumbnail, a JPEG."""

    thumbnail_mime: ClassVar[str] = "image/jpeg"

    sha256: bytes
    phash: int
    width: int
    height: int
    size: int
    mime: str
    indexed_at: datetime
    thumbnail: bytes

    @property
    def id(self) -> UUID:
        """The picture's id."""
        return picture_id(self.sha256)


@dataclass(frozen=True)
class NewPicture:
    """A picture to store, with the URL it came from, that URL's key, and its unit-length embedding.

    `url` is "" if none is known, `embedding` None if it is made later, and `indexed_at` None for now.
    """

    key: bytes
    url: str
    picture: Picture | FilePicture
    embedding: Vector | None
    title: str = ""
    indexed_at: datetime | None = None

    @property
    def id(self) -> UUID:
        """The picture's id, see `picture_id`."""
        return picture_id(self.picture.sha256)


def picture_id(sha256: bytes) -> UUID:
    """The id of the picture whose file has this SHA-256 (32 bytes): its first 128 bits."""
    return UUID(bytes=sha256[:16])


def picture_name(title: str, url: str) -> str:
    """A picture's name: its title, else the file name in its URL."""
    return title or base_name(unquote(urlsplit(url).path).strip("/")) or "Untitled picture"


def insert_pictures(
    connection: Connection[Any], model: Model | None, pictures: Sequence[NewPicture]
) -> tuple[set[UUID], set[UUID]]:
    """Store pictures, each once, with their thumbnails and embeddings; storing their URLs is left to the caller.

    Pictures already in the collection stay as they are, and removed ones are restored. Returns the ids of those that
    were not in the collection, and of those that had no embedding of this model and have one now. Rows are inserted
    in id order, so that two workers never deadlock. Raises psycopg.Error.
    """
    ordered = sorted(pictures, key=lambda new: new.id)
    ids, files = [new.id for new in ordered], [new.picture for new in ordered]
    added = connection.execute(
        """INSERT INTO pictures (id, sha256, phash, width, height, bytes, mime, title, name, indexed_at)
           SELECT id, sha256, phash, width, height, bytes, mime, title, name, coalesce(indexed_at, now())
           FROM unnest(%s::uuid[], %s::bytea[], %s::bigint[], %s::integer[], %s::integer[], %s::bigint[], %s::text[],
                       %s::text[], %s::text[], %s::timestamptz[])
                AS new (id, sha256, phash, width, height, bytes, mime, title, name, indexed_at)
           ON CONFLICT (id) DO UPDATE SET removed_at = NULL WHERE pictures.removed_at IS NOT NULL
           RETURNING id""",
        (
            ids,
            [file.sha256 for file in files],
            [file.phash for file in files],
            [file.width for file in files],
            [file.height for file in files],
            [file.size for file in files],
            [file.mime for file in files],
            [new.title for new in ordered],
            [picture_name("", new.url)[:MAX_FILE_NAME] if new.url else "" for new in ordered],
            [new.indexed_at for new in ordered],
        ),
    ).fetchall()
    connection.execute(
        """INSERT INTO thumbnails (picture, mime, image) SELECT * FROM unnest(%s::uuid[], %s::text[], %b::bytea[])
           ON CONFLICT DO NOTHING""",
        (ids, [file.thumbnail_mime for file in files], [file.thumbnail for file in files]),
    )
    connection.execute("INSERT INTO unpaired SELECT unnest(%s::uuid[]) ON CONFLICT DO NOTHING", (ids,))
    vectors = {new.id: new.embedding for new in ordered if new.embedding is not None}
    embedded = insert_embeddings(connection, model, vectors) if model is not None else set()
    return {id for (id,) in added}, embedded


def insert_embeddings(connection: Connection[Any], model: Model, embeddings: Mapping[UUID, Vector]) -> set[UUID]:
    """Store unit-length embeddings of shape (dim,) for those of these stored pictures that lack one of this model.

    Returns the ids of those that lacked it. Raises psycopg.Error.
    """
    ids = sorted(embeddings)
    if not ids:
        return set()
    query = sql.SQL(
        """INSERT INTO {} (picture, embedding)
           SELECT id, embedding FROM unnest(%s::uuid[], %b::halfvec[]) AS new (id, embedding) JOIN pictures USING (id)
           ORDER BY id ON CONFLICT DO NOTHING RETURNING picture"""
    ).format(model.table)
    vectors = [HalfVector(embeddings[id]) for id in ids]
    return {id for (id,) in connection.execute(query, (ids, vectors)).fetchall()}


def _lacks(model: Model) -> sql.Composed:
    """The condition that a row of `pictures` is in the collection and lacks an embedding that can be made."""
    return sql.SQL(
        """removed_at IS NULL AND NOT EXISTS (SELECT FROM {} WHERE picture = pictures.id)
           AND NOT EXISTS (SELECT FROM thumbnails AS t WHERE t.picture = pictures.id AND damaged)"""
    ).format(model.table)


def count_pictures(connection: Connection[Any]) -> int:
    """How many pictures the collection holds; removed ones do not count. Raises psycopg.Error."""
    ((count,),) = connection.execute("SELECT count(*) FROM pictures WHERE removed_at IS NULL").fetchall()
    return int(count)


class Store:
    """The collection. Methods that take a connection join its transaction and raise psycopg.Error; the others open
    one of their own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counted = 0.0, 0

    def use_model(self, name: str, dim: int, setting: str = "", purpose: Purpose = "content") -> Model:
        """The model of that name; a new one is registered and its table of embeddings created.

        `setting` is the CLIP_MODEL or COPY_MODEL that it was loaded from; "" leaves the stored one unchanged. Raises
        DatabaseError.
        """
        with self._database.connection() as connection:
            connection.execute(
                """INSERT INTO models (name, dim, setting, purpose) VALUES (%s, %s, %s, %s)
                   ON CONFLICT (name) DO UPDATE SET setting = excluded.setting
                   WHERE excluded.setting NOT IN ('', models.setting)""",
                (name, dim, setting, purpose),
            )
            with connection.cursor(row_factory=class_row(Model)) as cursor:
                cursor.execute("SELECT id, name, dim, setting, purpose FROM models WHERE name = %s FOR UPDATE", (name,))
                model = cursor.fetchone()
            assert model is not None
            make_embeddings(connection, model)
            return model

    def models(self, purpose: Purpose = "content") -> list[Model]:
        """All models that were ever used for this purpose, the oldest first. Raises DatabaseError."""
        with self._database.connection() as connection, connection.cursor(row_factory=class_row(Model)) as cursor:
            cursor.execute(
                "SELECT id, name, dim, setting, purpose FROM models WHERE purpose = %s ORDER BY id", (purpose,)
            )
            return cursor.fetchall()

    def missing(self, model: Model) -> int:
        """How many pictures lack an embedding of this model that can be made. Raises DatabaseError."""
        query = sql.SQL("SELECT count(*) FROM pictures WHERE {}").format(_lacks(model))
        with self._database.connection() as connection:
            row = connection.execute(query).fetchone()
            return int(row[0]) if row else 0

    def without_embedding(self, model: Model, after: UUID, limit: int) -> list[tuple[UUID, bytes]]:
        """The first `limit` pictures after that id that lack an embedding of this model, with their thumbnails, by id.

        Raises DatabaseError.
        """
        query = sql.SQL(
            """SELECT id, image FROM pictures JOIN thumbnails ON picture = id
               WHERE id > %s AND {} ORDER BY id LIMIT %s"""
        ).format(_lacks(model))
        with self._database.connection() as connection:
            return connection.execute(query, (after, limit), binary=True).fetchall()

    def embed(self, model: Model, embeddings: Mapping[UUID, Vector]) -> int:
        """Store unit-length embeddings of shape (dim,) for pictures that lack one of this model.

        Returns how many were stored. Raises DatabaseError.
        """
        with self._database.connection() as connection:
            stored = insert_embeddings(connection, model, embeddings)
            if model.purpose == "copy":  # by which copies can be found that were not before
                connection.execute(
                    "INSERT INTO unpaired SELECT unnest(%s::uuid[]) ON CONFLICT DO NOTHING", (sorted(stored),)
                )
            return len(stored)

    def mark_damaged(self, pictures: Sequence[UUID]) -> None:
        """Record that the thumbnails of these pictures cannot be read. Raises DatabaseError."""
        with self._database.connection() as connection:
            connection.execute("UPDATE thumbnails SET damaged = true WHERE picture = ANY(%s)", (list(pictures),))

    def embedding(self, model: Model, picture: UUID) -> Vector | None:
        """A picture's embedding of this model, of shape (dim,); None if it has none or is not in the collection.

        Raises DatabaseError.
        """
        query = sql.SQL(
            "SELECT embedding FROM {} JOIN pictures ON id = picture WHERE id = %s AND removed_at IS NULL"
        ).format(model.table)
        with self._database.connection() as connection:
            row = connection.execute(query, (picture,)).fetchone()
        return row[0].to_numpy().astype(np.float32) if row else None

    def copies_of(self, pictures: Iterable[UUID]) -> dict[UUID, list[UUID]]:
        """For each of these pictures that has copies in the collection, these copies, the nearest first: proved ones
        that no curator has said to be no duplicates, and those of the same stack. Raises DatabaseError."""
        found = dict[UUID, list[UUID]]()
        with self._database.connection() as connection:
            rows = connection.execute(
                """WITH near AS (
                       SELECT picture, other, distance FROM copies c
                       WHERE (picture = ANY(%(ids)s) OR other = ANY(%(ids)s)) AND NOT EXISTS (
                           SELECT FROM settled_pairs s WHERE s.picture = c.picture AND s.other = c.other)
                       UNION ALL
                       SELECT picture, other, coalesce(distance, 64)
                       FROM settled_pairs LEFT JOIN copies USING (picture, other)
                       WHERE stacked AND (picture = ANY(%(ids)s) OR other = ANY(%(ids)s)))
                   SELECT pair.picture, other
                   FROM (SELECT * FROM near UNION ALL SELECT other, picture, distance FROM near) pair (picture, other)
                   JOIN pictures ON id = other AND removed_at IS NULL
                   WHERE pair.picture = ANY(%(ids)s) ORDER BY distance, other""",
                {"ids": list(pictures)},
            )
            for picture, other in rows:
                found.setdefault(picture, []).append(other)
        return found

    def count(self) -> int:
        """How many pictures the collection holds; removed ones do not count.

        From RECOUNT_FROM pictures on the count is cached, for RECOUNT_FACTOR times as long as it took. Raises
        DatabaseError.
        """
        begun = time.monotonic()
        fresh_until, count = self._counted
        if begun < fresh_until:
            return count
        with self._database.connection() as connection:
            count = count_pictures(connection)
        counted = time.monotonic()
        self._counted = (counted + RECOUNT_FACTOR * (counted - begun) if count >= RECOUNT_FROM else 0.0), count
        return count

    def embedded(self, connection: Connection, model: Model, ids: Iterable[UUID]) -> set[UUID]:
        """Which of the pictures are in the collection and already have an embedding of this model. Raises
        psycopg.Error."""
        query = sql.SQL(
            "SELECT picture FROM {} JOIN pictures ON id = picture WHERE picture = ANY(%s) AND removed_at IS NULL"
        ).format(model.table)
        return {row[0] for row in connection.execute(query, (list(ids),))}

    def first_names(self, connection: Connection, ids: Iterable[UUID]) -> dict[UUID, str]:
        """The first URL of each of these pictures, or the name of the file it was dropped as. Raises
        psycopg.Error."""
        rows = connection.execute(
            """SELECT DISTINCT ON (picture) picture,
                      CASE WHEN starts_with(url, '/') THEN coalesce(f.name, url) ELSE url END
               FROM sources JOIN pictures p ON p.id = picture LEFT JOIN files f ON f.key = sha256
               WHERE picture = ANY(%s) ORDER BY picture, added_at""",
            (list(ids),),
        )
        return dict(rows.fetchall())

    def name(self, picture: UUID) -> str:
        """A picture's name: its title, else the file name in its URL. Raises NotFoundError or DatabaseError."""
        with self._database.connection() as connection:
            row = connection.execute(
                sql.SQL("SELECT title, {} FROM pictures p WHERE id = %s").format(sql.SQL(NEWEST_URL)), (picture,)
            ).fetchone()
        if row is None:
            raise NotFoundError("There is no picture with that id.")
        return picture_name(*row)

    def add(self, connection: Connection, model: Model, pictures: Sequence[NewPicture]) -> set[UUID]:
        """Store pictures with thumbnail, URL and embedding; existing ones stay, removed ones are restored.

        Returns the ids of those that were not in the collection or had no embedding of this model. Raises
        psycopg.Error.
        """
        added, embedded = insert_pictures(connection, model, pictures)
        self.add_sources(connection, [(new.key, new.url, new.id) for new in pictures])
        return added | embedded

    def add_sources(self, connection: Connection, sources: Sequence[tuple[bytes, str, UUID]]) -> None:
        """Record URLs of pictures, each as (key, URL, picture), as fetched now. A key leads to the latest picture given
        for it.

        Raises psycopg.Error.
        """
        latest = {key: (key, url, picture) for key, url, picture in sources}
        keys, urls, pictures = zip(*sorted(latest.values()), strict=True) if latest else ((), (), ())
        connection.execute(
            """INSERT INTO sources (key, url, picture) SELECT * FROM unnest(%s::bytea[], %s::text[], %s::uuid[])
               ON CONFLICT (key) DO UPDATE
               SET url = excluded.url, picture = excluded.picture, added_at = excluded.added_at""",
            (list(keys), list(urls), list(pictures)),
        )

    def thumbnail(self, picture: UUID) -> tuple[str, bytes]:
        """The MIME type and bytes of a picture's thumbnail. Raises NotFoundError or DatabaseError."""
        with self._database.connection() as connection:
            row = connection.execute("SELECT mime, image FROM thumbnails WHERE picture = %s", (picture,)).fetchone()
        if row is None:
            raise NotFoundError("There is no picture with that id.")
        return row[0], row[1]

    def thumbnails(self, pictures: Sequence[UUID]) -> dict[UUID, bytes]:
        """The thumbnails, JPEGs, of those of these pictures that have one that can be read. Raises DatabaseError."""
        with self._database.connection() as connection:
            rows = connection.execute(
                "SELECT picture, image FROM thumbnails WHERE picture = ANY(%s) AND NOT damaged",
                (list(pictures),),
                binary=True,
            )
            return dict(rows.fetchall())

    def keep_files(self, connection: Connection, files: Iterable[DroppedFile]) -> list[tuple[bytes, str]]:
        """Store the bytes of dropped files, one at a time; returns their (key, name) pairs. Raises psycopg.Error."""
        kept = list[tuple[bytes, str]]()
        for file in files:
            connection.execute(
                "INSERT INTO files (key, name, data) VALUES (%s, %s, %b) ON CONFLICT DO NOTHING",
                (file.key, file.name, file.data),
            )
            kept.append((file.key, file.name))
        return kept

    def file_bytes(self, key: bytes) -> bytes:
        """The bytes of a dropped file, by their SHA-256. Raises NotFoundError or DatabaseError."""
        with self._database.connection() as connection:
            row = connection.execute("SELECT data FROM files WHERE key = %s", (key,), binary=True).fetchone()
        if row is None:
            raise NotFoundError("This file is no longer stored. Drop it again.")
        return bytes(row[0])

    def file(self, picture: UUID) -> KeptFile:
        """The file that a picture was dropped as. Raises NotFoundError or DatabaseError."""
        with (
            self._database.connection() as connection,
            connection.cursor(binary=True, row_factory=class_row(KeptFile)) as cursor,
        ):
            cursor.execute(
                "SELECT mime, files.name, data FROM pictures JOIN files ON key = sha256 WHERE id = %s",
                (picture,),
            )
            found = cursor.fetchone()
        if found is None:
            raise NotFoundError("There is no file with that id.")
        return found

"""The collection -> a table in a file, a batch of pictures in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from psycopg import sql

from core.collection.table_export import Format, Row, write
from core.database.connection import Database
from core.collection.store import Model

BATCH = 500
"""Pictures that are written at once: 10 MB with thumbnails and embeddings."""


def export(
    database: Database, model: Model | None, kind: Format, *, thumbnails: bool = True, embeddings: bool = True
) -> Iterator[bytes]:
    """The collection as a file, a batch of pictures at a time, by their ids; removed ones are not in it.

    With `embeddings`, those of this model. Each batch is a transaction of its own, so that a slow reader holds up
    nobody; what changes meanwhile may be in it or not.
    """
    with_embeddings = model if embeddings else None
    dim = with_embeddings.dim if with_embeddings else 0
    return write(kind, _batches(database, with_embeddings, thumbnails), thumbnails=thumbnails, embeddings=dim)


def _batches(database: Database, model: Model | None, thumbnails: bool) -> Iterator[list[Row]]:
    query = sql.SQL(
        """SELECT p.id, ARRAY(SELECT url FROM sources WHERE picture = p.id ORDER BY added_at, url), p.title, p.tags,
                  p.fields, p.width, p.height, p.bytes, p.mime, p.sha256, p.phash, p.indexed_at, {}, {}, {}
           FROM pictures p {} {} WHERE p.removed_at IS NULL AND p.id > %(after)s ORDER BY p.id LIMIT %(limit)s"""
    ).format(
        sql.SQL("t.image" if thumbnails else "NULL"),
        sql.SQL("CASE WHEN e.picture IS NULL THEN '' ELSE {} END").format(model.name) if model else sql.SQL("''"),
        sql.SQL("e.embedding" if model else "NULL"),
        sql.SQL("LEFT JOIN thumbnails t ON t.picture = p.id" if thumbnails else ""),
        sql.SQL("LEFT JOIN {} e ON e.picture = p.id").format(model.table) if model else sql.SQL(""),
    )
    after = UUID(int=0)
    while True:
        with database.connection() as connection:
            found = connection.execute(query, {"after": after, "limit": BATCH}, binary=True).fetchall()
        if not found:
            return
        yield [Row(*told[:-1], told[-1] and told[-1].to_numpy()) for told in found]  # type: ignore[call-arg]
        after = found[-1][0]

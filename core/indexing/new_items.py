"""What is written when an import begins or grows: its items, and what is known of them already."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from core.collection.metadata import NO_METADATA, Metadata, add_item_metadata
from core.indexing.known_pictures import IN_BIN


@dataclass(frozen=True)
class NewItem:
    """A URL with its host, or a stored file with its name, and without a host, to be indexed.

    `key` is that of the URL, or the SHA-256 of the file, unless that is `file`. `changed` is set if there may be
    another picture by now than the one that the key leads to.
    """

    key: bytes
    url: str
    host: str = ""
    metadata: Metadata = NO_METADATA
    file: bytes | None = None
    changed: bool = False


def new_import(connection: Connection[Any], name: str, *, restores: bool = False) -> int:
    """Record an import without items; returns its id. Raises psycopg.Error."""
    row = connection.execute(
        "INSERT INTO imports (name, restores) VALUES (%s, %s) RETURNING id", (name, restores)
    ).fetchone()
    assert row is not None
    return int(row[0])


def add_items(connection: Connection[Any], import_id: int, items: Iterable[NewItem]) -> None:
    """Add items to an import, each key once; those whose pictures are in the collection, or in the bin, have that
    status from the start, unless they changed. Raises psycopg.Error."""
    unique = dict[bytes, NewItem]()
    for item in items:
        unique.setdefault(item.key, item)
    ((first, restores),) = connection.execute(
        """SELECT (SELECT coalesce(max(position) + 1, 0) FROM items WHERE import = id), restores
           FROM imports WHERE id = %s""",
        (import_id,),
    ).fetchall()
    with (
        connection.cursor() as cursor,
        cursor.copy("COPY items (import, key, position, url, host, title, fields, file) FROM STDIN") as copy,
    ):
        for position, item in enumerate(unique.values(), first):
            fields = json.dumps(dict(item.metadata.fields), ensure_ascii=False)
            copy.write_row((import_id, item.key, position, item.url, item.host, item.metadata.title, fields, item.file))
    unchanged = """FROM sources s JOIN pictures p ON p.id = s.picture
                   WHERE import = %(import)s AND items.key = s.key AND items.status = 'waiting'
                         AND items.position >= %(first)s AND items.key <> ALL(%(changed)s)
                         AND (items.file IS NULL OR items.file = p.sha256)"""
    values = {
        "import": import_id,
        "first": first,
        "in_bin": IN_BIN,
        "changed": [item.key for item in unique.values() if item.changed],
    }
    there = connection.execute(
        f"""UPDATE items SET status = 'already_there', picture = s.picture, finished_at = now() {unchanged}
                  AND p.removed_at IS NULL RETURNING items.picture""",  # noqa: S608
        values,
    ).fetchall()
    if any(item.metadata != NO_METADATA for item in unique.values()):
        add_item_metadata(connection, import_id, [row[0] for row in there])
    if not restores:
        connection.execute(
            f"""UPDATE items SET status = 'already_there', picture = s.picture, reason = %(in_bin)s, finished_at = now()
                {unchanged}
                AND p.removed_at IS NOT NULL AND s.picture NOT IN (SELECT picture FROM placeholders)""",  # noqa: S608
            values,
        )

"""URLs that lead to another picture than before: the new picture takes over what was known of the old one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from psycopg import Connection

from core.collection.metadata import add_metadata


def pictures_of(connection: Connection[Any], keys: Collection[bytes]) -> dict[bytes, UUID]:
    """The pictures in the collection that URLs with these keys lead to. Raises psycopg.Error."""
    return dict(
        connection.execute(
            """SELECT key, picture FROM sources JOIN pictures ON id = picture AND removed_at IS NULL
               WHERE key = ANY(%s)""",
            (list(keys),),
        ).fetchall()
    )


def replace_pictures(connection: Connection[Any], replaced: Mapping[UUID, UUID]) -> None:
    """Put the old pictures to which no URL leads any more in the bin, and give their title, tags and fields to the new
    ones; by old and new id. A new one to which other URLs lead, too, may be a placeholder, and replaces none. Raises
    psycopg.Error."""
    if not replaced:
        return
    gone = connection.execute(
        """UPDATE pictures SET removed_at = now() WHERE id = ANY(ARRAY(
               SELECT id FROM pictures JOIN unnest(%s::uuid[], %s::uuid[]) AS r(old, new) ON id = old
               WHERE removed_at IS NULL AND NOT EXISTS (SELECT FROM sources WHERE picture = old)
                     AND (SELECT count(*) FROM sources WHERE picture = new) = 1
               ORDER BY id FOR NO KEY UPDATE OF pictures))
           RETURNING id, title, tags, fields""",
        (list(replaced), list(replaced.values())),
    ).fetchall()
    if gone:
        add_metadata(connection, [(replaced[id], title, tags, fields) for id, title, tags, fields in gone])

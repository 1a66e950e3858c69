"""Pictures that an import recognises by their bytes: placeholders, and those that are in the bin."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row

from core.collection.metadata import add_item_metadata
from core.database.connection import Database
from core.database.job_queue import index_job, nudge
from core.errors import NotFoundError

MANY_URLS = 5
"""URLs of one import that give the same bytes, from which that is told: two or three may be mirrors."""

PLACEHOLDER = "The site sends a placeholder instead of this picture."
"""The reason of items that led to a placeholder."""

IN_BIN = "This picture is in the bin."
"""The reason of items whose pictures were left in the bin; their status is "already_there"."""


@dataclass(frozen=True)
class SamePicture:
    """How many URLs of an import gave one and the same picture, and the first of them."""

    picture: UUID
    count: int
    example: str


class KnownPictures:
    """What curators said of pictures that imports meet again."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def same_pictures(self, import_id: int) -> list[SamePicture]:
        """The pictures that at least MANY_URLS URLs of an import gave, the most frequent first: some sites answer with
        one placeholder for all. Raises DatabaseError."""
        with (
            self._database.connection() as connection,
            connection.cursor(row_factory=class_row(SamePicture)) as cursor,
        ):
            cursor.execute(
                """SELECT picture, count(*) AS count, (array_agg(url ORDER BY position))[1] AS example
                   FROM items WHERE import = %s AND status IN ('indexed', 'already_there') AND host <> ''
                         AND picture IS NOT NULL
                   GROUP BY picture HAVING count(*) >= %s ORDER BY count DESC, picture""",
                (import_id, MANY_URLS),
            )
            return cursor.fetchall()

    def mark_placeholder(self, picture: UUID) -> int:
        """Call a picture a placeholder: it goes to the bin, the items of all imports whose URLs led to it count as
        failed, and so will those of later ones that give the same bytes. Returns how many items there are.
        `unmark_placeholder` undoes it. Raises NotFoundError or DatabaseError."""
        with self._database.connection() as connection:
            if not connection.execute("SELECT id FROM pictures WHERE id = %s FOR NO KEY UPDATE", (picture,)).fetchone():
                raise NotFoundError("There is no picture with that id.")
            connection.execute("INSERT INTO placeholders (picture) VALUES (%s) ON CONFLICT DO NOTHING", (picture,))
            connection.execute(
                "UPDATE pictures SET removed_at = now() WHERE id = %s AND removed_at IS NULL", (picture,)
            )
            return connection.execute(
                """UPDATE items SET status = 'failed', reason = %(reason)s WHERE (import, key) IN (
                       SELECT import, key FROM items
                       WHERE picture = %(picture)s AND host <> '' AND status IN ('indexed', 'already_there')
                       ORDER BY key FOR UPDATE)""",
                {"picture": picture, "reason": PLACEHOLDER},
            ).rowcount

    def unmark_placeholder(self, picture: UUID) -> int:
        """Undo `mark_placeholder`: the picture comes back, and the items count as before; if it was deleted
        permanently, they are fetched. Returns how many. Raises NotFoundError or DatabaseError."""
        with self._database.connection() as connection:
            if not connection.execute("DELETE FROM placeholders WHERE picture = %s", (picture,)).rowcount:
                raise NotFoundError("This picture was not called a placeholder.")
            return _count_again(connection, [picture])

    def unmark_placeholders(self, import_id: int) -> int:
        """Undo it for all placeholders of an import. Returns how many items count as before, those of other imports
        included. Raises DatabaseError."""
        with self._database.connection() as connection:
            rows = connection.execute(
                """DELETE FROM placeholders WHERE picture IN (
                       SELECT picture FROM items WHERE import = %s AND status = 'failed' AND reason = %s)
                   RETURNING picture""",
                (import_id, PLACEHOLDER),
            ).fetchall()
            return _count_again(connection, [picture for (picture,) in rows])

    def in_bin(self, keys: Collection[bytes]) -> set[bytes]:
        """Those of these keys of URLs or files that lead to pictures in the bin; placeholders do not count. Raises
        DatabaseError."""
        with self._database.connection() as connection:
            rows = connection.execute(
                """SELECT key FROM sources JOIN pictures ON id = picture AND removed_at IS NOT NULL
                   WHERE key = ANY(%(keys)s) AND id NOT IN (SELECT picture FROM placeholders)
                   UNION SELECT sha256 FROM pictures
                   WHERE id = ANY(%(ids)s) AND sha256 = ANY(%(keys)s) AND removed_at IS NOT NULL
                         AND id NOT IN (SELECT picture FROM placeholders)""",
                {"keys": list(keys), "ids": [UUID(bytes=key[:16]) for key in keys]},
            )
            return {row[0] for row in rows}

    def restore_from_bin(self, import_id: int) -> int:
        """Restore the pictures of an import that it left in the bin; those that were deleted permanently meanwhile are
        fetched. Returns how many items there are. Raises DatabaseError."""
        with self._database.connection() as connection:
            connection.execute("UPDATE imports SET restores = true WHERE id = %s", (import_id,))
            rows = connection.execute(
                """UPDATE pictures SET removed_at = NULL WHERE id = ANY(ARRAY(
                       SELECT id FROM pictures
                       WHERE removed_at IS NOT NULL AND id IN (
                           SELECT picture FROM items
                           WHERE import = %s AND status = 'already_there' AND reason = %s)
                       ORDER BY id FOR NO KEY UPDATE))
                   RETURNING id""",
                (import_id, IN_BIN),
            ).fetchall()
            count = connection.execute(
                """UPDATE items SET reason = NULL, status = CASE WHEN there THEN 'already_there' ELSE 'waiting' END,
                          next_try_at = now()
                   FROM (SELECT key, EXISTS (SELECT FROM pictures WHERE id = picture) AS there
                         FROM items WHERE import = %(import)s AND status = 'already_there' AND reason = %(reason)s
                         ORDER BY key FOR UPDATE) left_out
                   WHERE import = %(import)s AND items.key = left_out.key""",
                {"import": import_id, "reason": IN_BIN},
            ).rowcount
            add_item_metadata(connection, import_id, [row[0] for row in rows])
            nudge(connection, index_job(import_id))
            return count


def recognised(connection: Connection[Any], pictures: Collection[UUID]) -> dict[UUID, str]:
    """Those of these pictures that are placeholders or in the bin, each with its reason. Raises psycopg.Error."""
    return dict(
        connection.execute(
            """SELECT picture, %s FROM placeholders WHERE picture = ANY(%s)
               UNION ALL SELECT id, %s FROM pictures
               WHERE id = ANY(%s) AND removed_at IS NOT NULL AND id NOT IN (SELECT picture FROM placeholders)""",
            (PLACEHOLDER, list(pictures), IN_BIN, list(pictures)),
        ).fetchall()
    )


def _count_again(connection: Connection[Any], pictures: list[UUID]) -> int:
    """Restore former placeholders; the item that was done first has indexed the picture."""
    connection.execute(
        """UPDATE pictures SET removed_at = NULL WHERE id = ANY(ARRAY(
               SELECT id FROM pictures WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE))""",
        (pictures,),
    )
    return connection.execute(
        """UPDATE items SET reason = NULL, next_try_at = now(),
                  status = CASE WHEN NOT there THEN 'waiting' WHEN first THEN 'indexed' ELSE 'already_there' END
           FROM (SELECT import, key, EXISTS (SELECT FROM pictures WHERE id = picture) AS there,
                        (import, key) = (SELECT import, key FROM items i WHERE i.picture = items.picture
                                         ORDER BY import, finished_at, position LIMIT 1) AS first
                 FROM items WHERE picture = ANY(%(pictures)s) AND status = 'failed' AND reason = %(reason)s
                 ORDER BY import, key FOR UPDATE) was
           WHERE items.import = was.import AND items.key = was.key""",
        {"pictures": pictures, "reason": PLACEHOLDER},
    ).rowcount

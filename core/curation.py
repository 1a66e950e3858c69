"""What a curator does to pictures of the collection: tag and untag, remove and restore."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Any, LiteralString
from uuid import UUID

from psycopg import Connection

from core.database import Database
from core.errors import TagError

MAX_TAG = 50
"""Characters of a tag."""

_TAGGING = 7_426_001
"""The advisory lock of whoever tags: two spellings of one new tag must not slip in side by side."""


def checked_tag(text: str) -> str:
    """A tag as it is kept: trimmed, white space folded, letters composed (Unicode NFC). Raises TagError."""
    tag = unicodedata.normalize("NFC", " ".join(text.split()))
    kinds = {unicodedata.category(character) for character in tag}
    if not any(kind[0] in "LNPS" for kind in kinds):
        raise TagError("The tag is empty. Type a word or two.")
    if kinds & {"Cc", "Cs"}:
        raise TagError("The tag holds characters that cannot be shown. Type it anew.")
    if len(tag) > MAX_TAG:
        raise TagError(f"The tag has {len(tag):,} characters, and at most {MAX_TAG} are kept. Shorten it.")
    return tag


class Curation:
    """Changes to many pictures at once, removed ones too; ids that no picture has are ignored.

    Every method returns, in order, the ids of the pictures that it changed: given to its opposite, they undo it.
    Rows are locked in the order of their ids, so that no two curators ever wait for each other in a circle.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def tag(self, ids: Iterable[UUID], tag: str) -> list[UUID]:
        """Give pictures a tag, in the spelling that it has in the collection; upper and lower case are one.

        Returns those that did not have it: `untag` undoes it. Raises TagError.
        """
        tag = checked_tag(tag)
        with self._database.connection() as connection:
            lock_tagging(connection)
            spelled = _spelling(connection, tag)
            return _change(connection, ids, "tags = tags || %(tag)s::text", "NOT tags @> ARRAY[%(tag)s::text]", spelled)

    def untag(self, ids: Iterable[UUID], tag: str) -> list[UUID]:
        """Take a tag off pictures. Returns those that had it: `tag` undoes it. Raises TagError."""
        tag = checked_tag(tag)
        with self._database.connection() as connection:
            spelled = _spelling(connection, tag)
            return _change(
                connection, ids, "tags = array_remove(tags, %(tag)s)", "tags @> ARRAY[%(tag)s::text]", spelled
            )

    def tags(self) -> list[tuple[str, int]]:
        """The tags of the collection, each with its number of pictures, the commonest first."""
        with self._database.connection() as connection:
            return connection.execute(
                """SELECT tag, count(*) FROM pictures, unnest(tags) AS tag WHERE removed_at IS NULL
                   GROUP BY tag ORDER BY count(*) DESC, tag"""
            ).fetchall()

    def remove(self, ids: Iterable[UUID]) -> list[UUID]:
        """Take pictures out of the collection: no search finds them any more. Returns those that were in it:
        `restore` undoes it."""
        with self._database.connection() as connection:
            return _change(connection, ids, "removed_at = now()", "removed_at IS NULL")

    def restore(self, ids: Iterable[UUID]) -> list[UUID]:
        """Bring removed pictures back. Returns those that were removed: `remove` undoes it."""
        with self._database.connection() as connection:
            return _change(connection, ids, "removed_at = NULL", "removed_at IS NOT NULL")


def lock_tagging(connection: Connection[Any]) -> None:
    """Keep others who tag waiting until the transaction ends."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_TAGGING,))


def spellings(connection: Connection[Any]) -> dict[str, str]:
    """The tags as they are written in the collection, by their folded case."""
    known = connection.execute("SELECT DISTINCT unnest(tags) FROM pictures WHERE tags <> '{}'").fetchall()
    return {spelled.casefold(): spelled for (spelled,) in known}


def _spelling(connection: Connection[Any], tag: str) -> str:
    """A tag as it is written in the collection, else as it is. Postgres's own lower() may know only A to Z."""
    return spellings(connection).get(tag.casefold(), tag)


def _change(
    connection: Connection[Any],
    ids: Iterable[UUID],
    assignment: LiteralString,
    condition: LiteralString,
    tag: str | None = None,
) -> list[UUID]:
    """Change the pictures that meet a condition once they are locked; returns their ids, in order."""
    rows = connection.execute(
        f"SELECT id FROM pictures WHERE id = ANY(%(ids)s) AND {condition} ORDER BY id FOR NO KEY UPDATE",  # noqa: S608
        {"ids": list(ids), "tag": tag},
    )
    changed = [row[0] for row in rows]
    connection.execute(
        f"UPDATE pictures SET {assignment} WHERE id = ANY(%(changed)s)",  # noqa: S608
        {"changed": changed, "tag": tag},
    )
    return changed

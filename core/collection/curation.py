"""What a curator does to pictures of the collection: tag and untag, name, remove and restore, delete for good."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

from psycopg import Connection, sql

from core.collection.filters import Filter, conditions
from core.collection.metadata import MAX_TITLE, readable
from core.database.connection import Database
from core.errors import NotFoundError, TagError

MAX_TAG = 50
"""Characters of a tag."""

DELETED_AT_ONCE = 500
"""Pictures deleted in one transaction."""

_TAGGING = 7_426_001
"""The advisory lock of whoever tags: two spellings of one new tag must not slip in side by side."""

Chosen = Iterable[UUID] | Filter
"""Pictures by their ids, or all that a filter keeps when it comes to it."""


@dataclass(frozen=True)
class Renaming:
    """A tag that got another name: the pictures that had but the old one, and those that had both. Ids in order."""

    old: str
    new: str
    renamed: list[UUID]
    merged: list[UUID]


@dataclass(frozen=True)
class Deletable:
    """How many removed pictures may be deleted for good, and when the last of them was removed."""

    count: int
    until: datetime | None


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


def checked_title(text: str) -> str:
    """A title as it is kept: in one line, letters composed, cut at MAX_TITLE characters; "" is none."""
    return readable(unicodedata.normalize("NFC", " ".join(text.split())), MAX_TITLE)


class Curation:
    """Changes to many pictures at once, removed ones too where ids name them; ids that no picture has are ignored.

    Methods that change pictures return, in order, the ids of those that they changed: given to its opposite, they
    undo it. So of two curators who do the same at the same moment, one does it, and the other learns that it was done.
    Rows are locked in the order of their ids, so that no two ever wait for each other in a circle.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def tag(self, chosen: Chosen, tag: str) -> list[UUID]:
        """Give pictures a tag, in the spelling that it has in the collection; upper and lower case are one.

        Returns those that did not have it: `untag` undoes it. Raises TagError.
        """
        tag = checked_tag(tag)
        with self._database.connection() as connection:
            lock_tagging(connection)
            spelled = _spelling(connection, tag)
            return _change(connection, chosen, "tags = tags || %(tag)s::text", f"NOT {_HAS_TAG}", spelled)

    def untag(self, chosen: Chosen, tag: str) -> list[UUID]:
        """Take a tag off pictures. Returns those that had it: `tag` undoes it. Raises TagError."""
        tag = checked_tag(tag)
        with self._database.connection() as connection:
            spelled = _spelling(connection, tag)
            return _change(connection, chosen, "tags = array_remove(tags, %(tag)s)", _HAS_TAG, spelled)

    def tags(self) -> list[tuple[str, int]]:
        """The tags of the collection, each with its number of pictures, the commonest first."""
        with self._database.connection() as connection:
            return connection.execute(
                """SELECT tag, count(*) FROM pictures, unnest(tags) AS tag WHERE removed_at IS NULL
                   GROUP BY tag ORDER BY count(*) DESC, tag"""
            ).fetchall()

    def rename_tag(self, old: str, new: str) -> Renaming:
        """Give a tag another name wherever it is, in the bin too; where both were, one is left.

        An existing spelling of the new name wins, unless it is one of the old name. `undo_renaming` undoes it.
        Raises TagError.
        """
        old, new = checked_tag(old), checked_tag(new)
        with self._database.connection() as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_TAGGING,))
            old = _spelling(connection, old)
            new = new if new.casefold() == old.casefold() else _spelling(connection, new)
            if new == old:
                raise TagError(f"The tag is called {old} already.")
            everywhere = [id for (id,) in connection.execute("SELECT id FROM pictures WHERE tags @> ARRAY[%s]", (old,))]
            merged = _change(connection, everywhere, "tags = array_remove(tags, %(tag)s)", _HAS_BOTH, old, new)
            renamed = _change(
                connection, everywhere, "tags = array_replace(tags, %(tag)s, %(new)s)", _HAS_TAG, old, new
            )
            return Renaming(old, new, renamed, merged)

    def undo_renaming(self, done: Renaming) -> list[UUID]:
        """Give a renamed tag its old name back. Returns the pictures that still had the new one."""
        with self._database.connection() as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_TAGGING,))
            names = done.old, done.new
            apart = _change(connection, done.merged, "tags = tags || %(tag)s::text", _HAS_NEW, *names)
            back = _change(connection, done.renamed, "tags = array_replace(tags, %(new)s, %(tag)s)", _HAS_NEW, *names)
            return sorted([*apart, *back])

    def retitle(self, picture: UUID, title: str, instead_of: str | None = None) -> str | None:
        """Give a picture a title, "" for none; with `instead_of` only while it still has that one.

        Returns the former title, which undoes it; None when nothing changed. Raises NotFoundError.
        """
        title = checked_title(title)
        with self._database.connection() as connection:
            row = connection.execute(
                "SELECT title FROM pictures WHERE id = %s FOR NO KEY UPDATE", (picture,)
            ).fetchone()
            if row is None:
                raise NotFoundError("This picture is gone: somebody has deleted it for good.")
            if row[0] == title or instead_of not in (None, row[0]):
                return None
            connection.execute("UPDATE pictures SET title = %s WHERE id = %s", (title, picture))
            return str(row[0])

    def remove(self, chosen: Chosen) -> list[UUID]:
        """Take pictures out of the collection: no search finds them any more. Returns those that were in it:
        `restore` undoes it."""
        with self._database.connection() as connection:
            return _change(connection, chosen, "removed_at = now()", "removed_at IS NULL")

    def restore(self, chosen: Chosen) -> list[UUID]:
        """Bring removed pictures back. Returns those that were removed: `remove` undoes it."""
        with self._database.connection() as connection:
            return _change(connection, chosen, "removed_at = NULL", "removed_at IS NOT NULL")

    def deletable(self, chosen: Chosen) -> Deletable:
        """Those of the pictures that are removed, for `delete` and for whoever must say yes to it."""
        kept, values = _kept(chosen)
        query = sql.SQL("SELECT count(*), max(removed_at) FROM pictures p WHERE {} AND removed_at IS NOT NULL")
        with self._database.connection() as connection:
            ((count, until),) = connection.execute(query.format(kept), values).fetchall()
        return Deletable(count, until)

    def delete(
        self, chosen: Chosen, until: datetime | None, hear: Callable[[int, int], object] = lambda done, total: None
    ) -> int:
        """Delete removed pictures for good: thumbnails, addresses, kept files, embeddings, all but what their imports
        tell of them. Nothing undoes it. Returns how many.

        What was restored meanwhile, or removed after `until`, stays: nobody said yes to that. It goes by transactions
        of DELETED_AT_ONCE, so that nobody waits for the whole; `hear` is told how many of how many are done.
        """
        kept, values = _kept(chosen)
        query = sql.SQL("SELECT id FROM pictures p WHERE {} AND removed_at <= %(until)s ORDER BY id").format(kept)
        with self._database.connection() as connection:
            ids = [row[0] for row in connection.execute(query, {**values, "until": until})]
        deleted = 0
        for start in range(0, len(ids), DELETED_AT_ONCE):
            with self._database.connection() as connection:
                deleted += _delete(connection, ids[start : start + DELETED_AT_ONCE], until)
            hear(min(len(ids), start + DELETED_AT_ONCE), len(ids))
        return deleted


_HAS_TAG: LiteralString = "tags @> ARRAY[%(tag)s::text]"
_HAS_BOTH: LiteralString = "tags @> ARRAY[%(tag)s::text, %(new)s]"
_HAS_NEW: LiteralString = "tags @> ARRAY[%(new)s::text] AND NOT tags @> ARRAY[%(tag)s::text]"


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


def _kept(chosen: Chosen) -> tuple[sql.Composable, Mapping[str, Any]]:
    """The condition that a row `p` of pictures is one of the chosen, and the values for that."""
    if isinstance(chosen, Filter):
        return conditions(chosen)
    return sql.SQL("p.id = ANY(%(ids)s)"), {"ids": list(chosen)}


def _change(
    connection: Connection[Any],
    chosen: Chosen,
    assignment: LiteralString,
    condition: LiteralString,
    tag: str | None = None,
    new: str | None = None,
) -> list[UUID]:
    """Change the pictures that meet a condition once they are locked; returns their ids, in order."""
    kept, values = _kept(chosen)
    values = {**values, "tag": tag, "new": new}
    query = sql.SQL("SELECT id FROM pictures p WHERE {} AND {} ORDER BY id FOR NO KEY UPDATE OF p")
    rows = connection.execute(query.format(kept, sql.SQL(condition)), values)
    changed = [row[0] for row in rows]
    connection.execute(
        f"UPDATE pictures SET {assignment} WHERE id = ANY(%(changed)s)",  # noqa: S608
        {"changed": changed, "tag": tag, "new": new},
    )
    return changed


def _delete(connection: Connection[Any], ids: list[UUID], until: datetime | None) -> int:
    """Delete those of the pictures that are still removed, and the files that they were dropped as.

    The bytes of a file stay while an item waits to be made a picture of them.
    """
    rows = connection.execute(
        "SELECT id, sha256 FROM pictures WHERE id = ANY(%s) AND removed_at <= %s ORDER BY id FOR UPDATE", (ids, until)
    ).fetchall()
    connection.execute(
        """DELETE FROM files WHERE key = ANY(%s)
           AND NOT EXISTS (SELECT FROM items WHERE items.key = files.key AND status = 'waiting')""",
        ([sha256 for _, sha256 in rows],),
    )
    return connection.execute("DELETE FROM pictures WHERE id = ANY(%s)", ([id for id, _ in rows],)).rowcount

"""What a curator does to pictures: tag and untag, retitle, remove and restore, delete permanently."""

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
"""Longest tag, in characters."""

DELETED_AT_ONCE = 500
"""Pictures deleted in one transaction, which then holds its locks for about 0.4 s (measured with 10 kB thumbnails,
512 dimensions and two busy cores). Larger ones save little: 2,000 take 1.5 s."""

_TAGGING = 7_426_001
"""The advisory lock held while tagging, so that two spellings of one new tag cannot be added at the same time."""

Chosen = Iterable[UUID] | Filter
"""Pictures by id, or all that a filter keeps at the time of the change."""


@dataclass(frozen=True)
class Renaming:
    """A renamed tag: the pictures that had only the old name, and those that had both. Ids in order."""

    old: str
    new: str
    renamed: list[UUID]
    merged: list[UUID]


@dataclass(frozen=True)
class Deletable:
    """How many removed pictures can be deleted permanently, and when the last of them was removed."""

    count: int
    until: datetime | None


def checked_tag(text: str) -> str:
    """A tag as it is stored: trimmed, white space collapsed, in Unicode NFC. Raises TagError."""
    tag = unicodedata.normalize("NFC", " ".join(text.split()))
    kinds = {unicodedata.category(character) for character in tag}
    if not any(kind[0] in "LNPS" for kind in kinds):
        raise TagError("The tag is empty. Type a word or two.")
    if kinds & {"Cc", "Cs"}:
        raise TagError("The tag contains characters that cannot be displayed. Type it again.")
    if len(tag) > MAX_TAG:
        raise TagError(f"The tag has {len(tag):,} characters; the limit is {MAX_TAG}. Shorten it.")
    return tag


def checked_title(text: str) -> str:
    """A title as it is stored: on one line, in Unicode NFC, cut at MAX_TITLE characters; "" is none."""
    return readable(unicodedata.normalize("NFC", " ".join(text.split())), MAX_TITLE)


class Curation:
    """Changes to many pictures at once, including removed ones if they are given by id; unknown ids are ignored.

    Methods that change pictures return the ids of those they changed, in order; passing these to the opposite method
    undoes the change. If two curators do the same thing at the same time, only one of them gets the ids. Rows are
    locked in id order, so that no two transactions deadlock.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def tag(self, chosen: Chosen, tag: str) -> list[UUID]:
        """Add a tag to pictures, in the spelling that the collection already uses; case does not matter.

        Returns the pictures that did not have it: `untag` undoes it. Raises TagError or DatabaseError.
        """
        tag = checked_tag(tag)
        with self._database.connection() as connection:
            lock_tagging(connection)
            spelled = _spelling(connection, tag)
            return _change(connection, chosen, "tags = tags || %(tag)s::text", f"NOT {_HAS_TAG}", spelled)

    def untag(self, chosen: Chosen, tag: str) -> list[UUID]:
        """Remove a tag from pictures. Returns those that had it: `tag` undoes it. Raises TagError or DatabaseError."""
        tag = checked_tag(tag)
        with self._database.connection() as connection:
            spelled = _spelling(connection, tag)
            return _change(connection, chosen, "tags = array_remove(tags, %(tag)s)", _HAS_TAG, spelled)

    def tags(self) -> list[tuple[str, int]]:
        """The tags in the collection with their numbers of pictures, the most common first. Raises DatabaseError."""
        with self._database.connection() as connection:
            return connection.execute(
                """SELECT tag, count(*) FROM pictures, unnest(tags) AS tag WHERE removed_at IS NULL
                   GROUP BY tag ORDER BY count(*) DESC, tag"""
            ).fetchall()

    def rename_tag(self, old: str, new: str) -> Renaming:
        """Rename a tag everywhere, including on removed pictures; pictures that had both names keep one.

        An existing spelling of the new name wins, unless it is a spelling of the old one. `undo_renaming` undoes it.
        Raises TagError or DatabaseError.
        """
        old, new = checked_tag(old), checked_tag(new)
        with self._database.connection() as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_TAGGING,))
            old = _spelling(connection, old)
            new = new if new.casefold() == old.casefold() else _spelling(connection, new)
            if new == old:
                raise TagError(f"The tag is already called {old}.")
            everywhere = [id for (id,) in connection.execute("SELECT id FROM pictures WHERE tags @> ARRAY[%s]", (old,))]
            merged = _change(connection, everywhere, "tags = array_remove(tags, %(tag)s)", _HAS_BOTH, old, new)
            renamed = _change(
                connection, everywhere, "tags = array_replace(tags, %(tag)s, %(new)s)", _HAS_TAG, old, new
            )
            return Renaming(old, new, renamed, merged)

    def undo_renaming(self, done: Renaming) -> list[UUID]:
        """Restore a tag's old name. Returns the pictures that still had the new one. Raises DatabaseError."""
        with self._database.connection() as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_TAGGING,))
            names = done.old, done.new
            apart = _change(connection, done.merged, "tags = tags || %(tag)s::text", _HAS_NEW, *names)
            back = _change(connection, done.renamed, "tags = array_replace(tags, %(new)s, %(tag)s)", _HAS_NEW, *names)
            return sorted([*apart, *back])

    def retitle(self, picture: UUID, title: str, instead_of: str | None = None) -> str | None:
        """Set a picture's title, "" for none; with `instead_of`, only if that is still its title.

        Returns the previous title, which undoes it, or None if nothing changed. Raises NotFoundError or DatabaseError.
        """
        title = checked_title(title)
        with self._database.connection() as connection:
            row = connection.execute(
                "SELECT title FROM pictures WHERE id = %s FOR NO KEY UPDATE", (picture,)
            ).fetchone()
            if row is None:
                raise NotFoundError("This picture is gone: somebody has deleted it permanently.")
            if row[0] == title or instead_of not in (None, row[0]):
                return None
            connection.execute("UPDATE pictures SET title = %s WHERE id = %s", (title, picture))
            return str(row[0])

    def remove(self, chosen: Chosen) -> list[UUID]:
        """Remove pictures from the collection: searches no longer find them. Returns those that were in it: `restore`
        undoes it. Raises DatabaseError."""
        with self._database.connection() as connection:
            return _change(connection, chosen, "removed_at = now()", "removed_at IS NULL")

    def restore(self, chosen: Chosen) -> list[UUID]:
        """Restore removed pictures. Returns those that were removed: `remove` undoes it. Raises DatabaseError."""
        with self._database.connection() as connection:
            return _change(connection, chosen, "removed_at = NULL", "removed_at IS NOT NULL")

    def deletable(self, chosen: Chosen) -> Deletable:
        """How many of the pictures are removed, to be confirmed before `delete`. Raises DatabaseError."""
        kept, values = _kept(chosen)
        query = sql.SQL("SELECT count(*), max(removed_at) FROM pictures p WHERE {} AND removed_at IS NOT NULL")
        with self._database.connection() as connection:
            ((count, until),) = connection.execute(query.format(kept), values).fetchall()
        return Deletable(count, until)

    def delete(
        self,
        chosen: Chosen,
        until: datetime | None,
        on_progress: Callable[[int, int], object] = lambda done, total: None,
    ) -> int:
        """Delete removed pictures permanently: thumbnails, URLs, stored files and embeddings, everything except the
        entries in their imports. It cannot be undone. Returns how many were deleted.

        Pictures restored meanwhile or removed after `until` stay, since nobody confirmed their deletion. Each
        transaction deletes DELETED_AT_ONCE pictures; `on_progress` gets the number done and the total. Raises
        DatabaseError.
        """
        kept, values = _kept(chosen)
        query = sql.SQL("SELECT id FROM pictures p WHERE {} AND removed_at <= %(until)s ORDER BY id").format(kept)
        with self._database.connection() as connection:
            ids = [row[0] for row in connection.execute(query, {**values, "until": until})]
        deleted = 0
        for start in range(0, len(ids), DELETED_AT_ONCE):
            with self._database.connection() as connection:
                deleted += _delete(connection, ids[start : start + DELETED_AT_ONCE], until)
            on_progress(min(len(ids), start + DELETED_AT_ONCE), len(ids))
        return deleted


_HAS_TAG: LiteralString = "tags @> ARRAY[%(tag)s::text]"
_HAS_BOTH: LiteralString = "tags @> ARRAY[%(tag)s::text, %(new)s]"
_HAS_NEW: LiteralString = "tags @> ARRAY[%(new)s::text] AND NOT tags @> ARRAY[%(tag)s::text]"


def lock_tagging(connection: Connection[Any]) -> None:
    """Make other transactions that tag wait until this one ends. Raises psycopg.Error."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_TAGGING,))


def spellings(connection: Connection[Any]) -> dict[str, str]:
    """The tags as the collection spells them, by their case-folded form. Raises psycopg.Error."""
    known = connection.execute("SELECT DISTINCT unnest(tags) FROM pictures WHERE tags <> '{}'").fetchall()
    return {spelled.casefold(): spelled for (spelled,) in known}


def _spelling(connection: Connection[Any], tag: str) -> str:
    """A tag as the collection spells it, else unchanged. Not in SQL: lower() in Postgres may know only A to Z."""
    return spellings(connection).get(tag.casefold(), tag)


def _kept(chosen: Chosen) -> tuple[sql.Composable, Mapping[str, Any]]:
    """The condition that the picture `p` is one of the chosen, and its parameters."""
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
    """Lock the pictures that meet a condition and change them; returns their ids, in order."""
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
    """Delete those pictures that are still removed, and the files they were dropped as.

    A file's bytes stay while an item that needs them is waiting to be indexed.
    """
    rows = connection.execute(
        "SELECT id, sha256 FROM pictures WHERE id = ANY(%s) AND removed_at <= %s ORDER BY id FOR UPDATE", (ids, until)
    ).fetchall()
    connection.execute(
        """DELETE FROM files WHERE key = ANY(%s)
           AND NOT EXISTS (SELECT FROM items WHERE items.key = files.key AND status = 'waiting')
           AND NOT EXISTS (SELECT FROM items WHERE items.file = files.key AND status = 'waiting')""",
        ([sha256 for _, sha256 in rows],),
    )
    return connection.execute("DELETE FROM pictures WHERE id = ANY(%s)", ([id for id, _ in rows],)).rowcount

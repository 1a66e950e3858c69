"""The removal of duplicates: their tags and details can go to the picture that stays."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.types.json import Jsonb

from core.collection.curation import lock_tagging
from core.database.connection import Database
from core.duplicates.star_grouping import Group


@dataclass(frozen=True)
class Description:
    """A picture's title, tags and fields."""

    title: str
    tags: list[str]
    fields: dict[str, str]


@dataclass(frozen=True)
class Removal:
    """What a removal did: the ids of the removed pictures, in order, and of each picture that was given tags or details
    the description before and after."""

    pictures: list[UUID]
    described: Mapping[UUID, tuple[Description, Description]]


def remove_duplicates(database: Database, groups: Collection[Group], *, merge: bool = False) -> Removal:
    """Remove the members of these groups from the collection, but no keeper.

    With `merge`, a keeper is given the tags of what goes, and its title and fields where it has none. Concurrent
    changes are respected: a group is left alone when its keeper is no longer in the collection, and a member when the
    pair of it and the keeper was settled. Raises DatabaseError.
    """
    keepers = {group.keeper for group in groups}
    keeper_of = {
        member.picture: group.keeper for group in groups for member in group.members if member.picture not in keepers
    }
    with database.connection() as connection:
        if merge:
            lock_tagging(connection)
        connection.execute(
            "SELECT FROM pictures WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE", ([*keepers, *keeper_of],)
        )
        rows = connection.execute(
            """UPDATE pictures p SET removed_at = now() FROM unnest(%s::uuid[], %s::uuid[]) AS member (id, keeper)
               WHERE p.id = member.id AND p.removed_at IS NULL
               AND EXISTS (SELECT FROM pictures k WHERE k.id = keeper AND k.removed_at IS NULL)
               AND NOT EXISTS (SELECT FROM settled_pairs WHERE picture = least(member.id, keeper)
                               AND other = greatest(member.id, keeper))
               RETURNING p.id""",
            (list(keeper_of), list(keeper_of.values())),
        )
        removed = sorted(row[0] for row in rows)
        return Removal(removed, _merge(connection, removed, keeper_of) if merge else {})


def undo_removal(database: Database, done: Removal) -> list[UUID]:
    """Restore what was removed, and the descriptions of what stayed unless somebody has changed them since.

    Returns the ids of the restored pictures. Raises DatabaseError.
    """
    with database.connection() as connection:
        lock_tagging(connection)
        connection.execute(
            "SELECT FROM pictures WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE",
            ([*done.pictures, *done.described],),
        )
        now = _descriptions(connection, done.described)
        _describe(connection, {id: before for id, (before, after) in done.described.items() if now.get(id) == after})
        rows = connection.execute(
            "UPDATE pictures SET removed_at = NULL WHERE id = ANY(%s) AND removed_at IS NOT NULL RETURNING id",
            (done.pictures,),
        )
        return sorted(row[0] for row in rows)


def _merge(
    connection: Connection[Any], removed: Collection[UUID], keeper_of: Mapping[UUID, UUID]
) -> dict[UUID, tuple[Description, Description]]:
    """Give what stays the descriptions of what goes."""
    known = _descriptions(connection, [*removed, *{keeper_of[id] for id in removed}])
    merged = dict[UUID, Description]()
    for id in removed:
        keeper = keeper_of[id]
        merged[keeper] = _merged(merged.get(keeper, known[keeper]), known[id])
    changed = {id: after for id, after in merged.items() if after != known[id]}
    _describe(connection, changed)
    return {id: (known[id], after) for id, after in changed.items()}


def _merged(stays: Description, goes: Description) -> Description:
    tags = [*stays.tags, *(tag for tag in goes.tags if tag not in stays.tags)]
    return Description(stays.title or goes.title, tags, {**goes.fields, **stays.fields})


def _descriptions(connection: Connection[Any], ids: Collection[UUID]) -> dict[UUID, Description]:
    rows = connection.execute("SELECT id, title, tags, fields FROM pictures WHERE id = ANY(%s)", (list(ids),))
    return {id: Description(title, tags, fields) for id, title, tags, fields in rows}


def _describe(connection: Connection[Any], descriptions: Mapping[UUID, Description]) -> None:
    described = descriptions.values()
    connection.execute(
        """UPDATE pictures SET title = given.title, fields = given.fields,
                               tags = ARRAY(SELECT jsonb_array_elements_text(given.tags))
           FROM unnest(%s::uuid[], %s::text[], %s::jsonb[], %s::jsonb[]) AS given (id, title, tags, fields)
           WHERE pictures.id = given.id""",
        (
            list(descriptions),
            [each.title for each in described],
            [Jsonb(each.tags) for each in described],
            [Jsonb(each.fields) for each in described],
        ),
    )

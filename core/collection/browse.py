"""The collection, a page at a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Any, Literal, LiteralString
from uuid import UUID

from psycopg import Connection, sql
from psycopg.rows import class_row

from core.collection.filters import Filter, conditions
from core.collection.store import NEWEST_URL
from core.database.connection import Database

Order = Literal["newest", "oldest", "name", "name_back", "largest", "smallest", "removed"]
"""What comes first; the largest have the most pixels, and `removed` starts with the most recently removed."""

_KEYS: dict[Order, tuple[LiteralString, bool]] = {
    "newest": ("p.indexed_at", True),
    "oldest": ("p.indexed_at", False),
    "name": ("p.name_key", False),
    "name_back": ("p.name_key", True),
    "largest": ("p.width::bigint * p.height", True),
    "smallest": ("p.width::bigint * p.height", False),
    "removed": ("p.removed_at", True),
}
"""What each order sorts by, and whether it is descending. Ties are broken by id."""


@dataclass(frozen=True)
class Entry:
    """A picture on a page. `url` is its newest URL, and `key` the value by which the page is sorted."""

    id: UUID
    url: str
    title: str
    width: int
    height: int
    removed_at: datetime | None
    key: Any


@dataclass(frozen=True)
class Page:
    """One page of the `total` pictures that a filter keeps: the `number`-th of `count` pages, from 1.

    If pictures are added or removed meanwhile, a page reached from its neighbour continues exactly where that one
    ended: nothing is skipped or shown twice.
    """

    where: Filter
    order: Order
    size: int
    number: int
    total: int
    entries: list[Entry]

    @property
    def count(self) -> int:
        """How many pages there are, at least one."""
        return page_count(self.total, self.size)

    @property
    def first(self) -> int:
        """The number of the first picture of this page, from 1."""
        return (self.number - 1) * self.size + 1


def page_count(total: int, size: int) -> int:
    """How many pages of `size` pictures it takes to show `total`, at least one."""
    return max(1, ceil(total / size))


class Browser:
    """Reads pages. With 100,000 pictures one takes a few milliseconds, see `bench.browse`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def count(self, where: Filter) -> int:
        """How many pictures a filter keeps. Raises DatabaseError."""
        with self._database.connection() as connection:
            return _count(connection, where)

    def page(self, where: Filter, order: Order, size: int, number: int, near: Page | None = None) -> Page:
        """The `number`-th page of `size` pictures, or the last one if there are fewer pages.

        If `near` is the same page or a neighbour, the pictures are found from its ends instead of by counting up to
        them. Raises DatabaseError.
        """
        with self._database.connection() as connection:
            total = _count(connection, where)
            number = max(1, min(number, page_count(total, size)))
            entries = list[Entry]()
            if near and number > 1 and near.entries and (near.where, near.order, near.size) == (where, order, size):
                entries = _beside(connection, near, number)
            entries = entries or _jump(connection, where, order, size, number, total)
        return Page(where, order, size, number, total, entries)

    def entries(self, ids: list[UUID]) -> list[Entry]:
        """These pictures, in this order; those that do not exist are left out. Raises DatabaseError."""
        query = _ENTRIES.format(key=sql.SQL("NULL"), kept=sql.SQL("p.id = ANY(%(ids)s)"), rest=sql.SQL(""))
        with self._database.connection() as connection, connection.cursor(row_factory=class_row(Entry)) as cursor:
            known = {entry.id: entry for entry in cursor.execute(query, {"ids": ids})}
        return [known[id] for id in ids if id in known]


def _count(connection: Connection[Any], where: Filter) -> int:
    kept, values = conditions(where)
    ((total,),) = connection.execute(
        sql.SQL("SELECT count(*) FROM pictures p WHERE {}").format(kept), values
    ).fetchall()
    return int(total)


def _beside(connection: Connection[Any], near: Page, number: int) -> list[Entry]:
    """The page that starts where `near` does, follows it or precedes it; [] if it is another page, or not full."""
    if number == near.number:
        return _read(connection, near.where, near.order, near.size, start=near.entries[0], including=True)
    if number == near.number + 1:
        return _read(connection, near.where, near.order, near.size, start=near.entries[-1])
    if number == near.number - 1:
        found = _read(connection, near.where, near.order, near.size, start=near.entries[0], backwards=True)
        return found if len(found) == near.size else []
    return []


def _jump(connection: Connection[Any], where: Filter, order: Order, size: int, number: int, total: int) -> list[Entry]:
    """A page by its number, counted from the nearer end."""
    before = (number - 1) * size
    after = total - before - size
    if after < before:
        return _read(connection, where, order, min(size, total - before), skip=max(0, after), backwards=True)
    return _read(connection, where, order, size, skip=before)


def _read(
    connection: Connection[Any],
    where: Filter,
    order: Order,
    limit: int,
    *,
    start: Entry | None = None,
    including: bool = False,
    backwards: bool = False,
    skip: int = 0,
) -> list[Entry]:
    """Up to `limit` pictures after `start`, or before it if `backwards`, `including` it or not; in page order."""
    kept, values = conditions(where)
    key, descending = _KEYS[order]
    descending ^= backwards
    beyond: sql.Composable = sql.SQL("")
    if start is not None:
        sign: LiteralString = ("<" if descending else ">") + ("=" if including else "")
        beyond = sql.SQL("AND ({}, p.id) {} (%(start)s, %(start_id)s)").format(sql.SQL(key), sql.SQL(sign))
        values = {**values, "start": start.key, "start_id": start.id}
    direction = sql.SQL("DESC" if descending else "ASC")
    query = _ENTRIES.format(
        key=sql.SQL(key),
        kept=sql.SQL("{} {}").format(kept, beyond),
        rest=sql.SQL("ORDER BY {key} {way}, p.id {way} LIMIT %(limit)s OFFSET %(skip)s").format(
            key=sql.SQL(key), way=direction
        ),
    )
    with connection.cursor(row_factory=class_row(Entry)) as cursor:
        found = cursor.execute(query, {**values, "limit": limit, "skip": skip}).fetchall()
    return found[::-1] if backwards else found


_ENTRIES = sql.SQL(
    f"""WITH entries AS MATERIALIZED (
           SELECT p.id, title, width, height, removed_at, {{key}} AS key FROM pictures p WHERE {{kept}} {{rest}})
       SELECT id, {NEWEST_URL} AS url, title, width, height, removed_at, key FROM entries p"""  # noqa: S608
)

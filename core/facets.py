"""What a search can keep to: tags, an import, a domain, days; and which of them the collection has."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

from psycopg import Connection, sql
from psycopg.rows import class_row

MOST = 200
"""Facets of one kind that are listed, those with most pictures first: more do not fit a menu."""

SHARED = 500
"""Random pictures that tell what share of the collection a filter keeps, within 0.02."""


@dataclass(frozen=True)
class Filter:
    """What a search keeps to; empty, it keeps to nothing.

    A picture must have all the `tags`, be one of the import's, have an address on that domain or a subdomain of it,
    and have been indexed between the two days, both included, as this machine's time zone has them.
    """

    tags: tuple[str, ...] = ()
    import_id: int | None = None
    domain: str = ""
    since: date | None = None
    until: date | None = None


@dataclass(frozen=True)
class Facet:
    """A tag, an import or a domain, and how many pictures of the collection have it. `id` is 0 but for imports."""

    id: int
    name: str
    count: int


@dataclass(frozen=True)
class Facets:
    """Up to MOST of each kind, those with most pictures first."""

    tags: list[Facet]
    imports: list[Facet]
    domains: list[Facet]


def read_facets(connection: Connection[Any]) -> Facets:
    """Count the pictures of each facet; removed ones do not count."""
    with connection.cursor(row_factory=class_row(Facet)) as cursor:

        def read(statement: bytes) -> list[Facet]:
            return cursor.execute(statement, (MOST,)).fetchall()

        return Facets(read(TAGS), read(IMPORTS), read(DOMAINS))


TAGS = b"""
    SELECT 0 AS id, tag AS name, count(*) FROM pictures, unnest(tags) AS tag
    WHERE removed_at IS NULL AND tags <> '{}' GROUP BY tag ORDER BY count DESC, name LIMIT %s"""

IMPORTS = b"""
    SELECT imports.id, name, count FROM imports JOIN (
        SELECT import AS id, count(DISTINCT picture) FROM items JOIN pictures p ON p.id = picture AND removed_at IS NULL
        GROUP BY import) counted USING (id)
    WHERE deleted_at IS NULL ORDER BY count DESC, id DESC LIMIT %s"""

DOMAINS = b"""
    SELECT 0 AS id, host AS name, count(DISTINCT picture)
    FROM sources JOIN pictures p ON p.id = picture AND removed_at IS NULL
    WHERE host <> '' GROUP BY host ORDER BY count DESC, name LIMIT %s"""


def kept_share(connection: Connection[Any], where: Filter) -> float:
    """About what share of the collection a filter keeps."""
    kept, values = conditions(where)
    query = sql.SQL(
        """SELECT count(*) FILTER (WHERE {})::float8 / greatest(count(*), 1)
           FROM (SELECT * FROM pictures WHERE id >= %(start)s ORDER BY id LIMIT %(count)s) p"""
    ).format(kept)
    ((share,),) = connection.execute(query, {**values, "start": uuid.uuid4(), "count": SHARED}).fetchall()
    return float(share)


def conditions(where: Filter) -> tuple[sql.Composed, Mapping[str, Any]]:
    """What a row `p` of pictures must meet to be kept, and the values for that."""
    parts, values = ["p.removed_at IS NULL"], dict[str, Any]()
    if where.tags:
        parts.append("p.tags @> %(tags)s::text[]")
        values["tags"] = list(where.tags)
    if where.import_id is not None:
        parts.append("EXISTS (SELECT FROM items WHERE items.picture = p.id AND import = %(import)s)")
        values["import"] = where.import_id
    if where.domain:
        parts.append(
            """EXISTS (SELECT FROM sources WHERE sources.picture = p.id
                       AND (host = %(domain)s OR right(host, length(%(domain)s) + 1) = '.' || %(domain)s))"""
        )
        values["domain"] = where.domain.lower()
    if where.since is not None:
        parts.append("p.indexed_at >= %(since)s")
        values["since"] = _at(where.since, time.min)
    if where.until is not None:
        parts.append("p.indexed_at <= %(until)s")
        values["until"] = _at(where.until, time.max)
    return sql.SQL(" AND ").join(map(sql.SQL, parts)), values


def _at(day: date, moment: time) -> datetime:
    """That moment of a day in this machine's time zone; days so far off that none is known there are brought nearer."""
    day = min(max(day, date(1971, 1, 1)), date(9000, 1, 1))
    return datetime.combine(day, moment).astimezone()

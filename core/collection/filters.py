"""What a search can be restricted to: tags, an import, a domain, dates, sizes, fields; and the options on offer."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any, LiteralString

from psycopg import Connection, sql
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

MAX_OPTIONS = 200
"""Most options of one kind that are listed, those with the most pictures first; a menu fits no more."""

SHARE_SAMPLE = 500
"""Random pictures from which a filter's share of the collection is estimated: one standard error is at most 0.02."""


ON_DOMAIN: LiteralString = """EXISTS (
    SELECT FROM sources WHERE sources.picture = p.id
    AND (host = %(domain)s OR right(host, length(%(domain)s) + 1) = '.' || %(domain)s))"""
"""The condition that the picture `p` has a URL on a domain or one of its subdomains; `domain` is in lower case."""


@dataclass(frozen=True)
class Filter:
    """What a search is restricted to; an empty filter keeps the whole collection.

    A picture must have all the `tags`, belong to the import, have a URL on the domain or one of its subdomains, and
    have been indexed from `since` to `until`, inclusive, in this machine's time zone. Its shorter side and its area
    must be within the bounds, inclusive, in pixels, and its `fields` must have these values. `untagged` keeps only
    pictures without a tag, `removed` only removed ones.
    """

    tags: tuple[str, ...] = ()
    import_id: int | None = None
    domain: str = ""
    since: date | None = None
    until: date | None = None
    min_side: int | None = None
    max_side: int | None = None
    min_area: int | None = None
    max_area: int | None = None
    fields: tuple[tuple[str, str], ...] = ()
    untagged: bool = False
    removed: bool = False


@dataclass(frozen=True)
class FilterOption:
    """A tag, an import, a domain, or a field's name or value, and how many pictures in the collection have it.

    `id` is 0 except for imports.
    """

    id: int
    name: str
    count: int


@dataclass(frozen=True)
class FilterOptions:
    """Up to MAX_OPTIONS of each kind, those with the most pictures first."""

    tags: list[FilterOption]
    imports: list[FilterOption]
    domains: list[FilterOption]
    fields: list[FilterOption]


def read_filter_options(connection: Connection[Any]) -> FilterOptions:
    """The options of each kind with their counts; removed pictures do not count. Raises psycopg.Error."""
    with connection.cursor(row_factory=class_row(FilterOption)) as cursor:

        def read(statement: bytes) -> list[FilterOption]:
            return cursor.execute(statement, (MAX_OPTIONS,)).fetchall()

        return FilterOptions(read(TAGS), read(IMPORTS), read(DOMAINS), read(FIELDS))


def read_field_values(connection: Connection[Any], field: str) -> list[FilterOption]:
    """A field's values with their counts, the MAX_OPTIONS most common first. Raises psycopg.Error."""
    with connection.cursor(row_factory=class_row(FilterOption)) as cursor:
        return cursor.execute(VALUES, {"field": field, "most": MAX_OPTIONS}).fetchall()


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

FIELDS = b"""
    SELECT 0 AS id, field AS name, count(*) FROM pictures, jsonb_object_keys(fields) AS field
    WHERE removed_at IS NULL AND fields <> '{}' GROUP BY field ORDER BY count DESC, name LIMIT %s"""

VALUES = b"""
    SELECT 0 AS id, fields ->> %(field)s AS name, count(*) FROM pictures
    WHERE removed_at IS NULL AND fields ? %(field)s GROUP BY 2 ORDER BY count DESC, name LIMIT %(most)s"""


def kept_share(connection: Connection[Any], where: Filter) -> float:
    """Estimate the share of the collection that a filter keeps (0 to 1). Raises psycopg.Error."""
    kept, values = conditions(where)
    query = sql.SQL(
        """SELECT count(*) FILTER (WHERE {})::float8 / greatest(count(*), 1)
           FROM (SELECT * FROM pictures WHERE id >= %(start)s ORDER BY id LIMIT %(count)s) p"""
    ).format(kept)
    ((share,),) = connection.execute(query, {**values, "start": uuid.uuid4(), "count": SHARE_SAMPLE}).fetchall()
    return float(share)


def conditions(where: Filter) -> tuple[sql.Composed, Mapping[str, Any]]:
    """The condition that the filter keeps the picture `p`, and its parameters."""
    parts = ["p.removed_at IS NOT NULL" if where.removed else "p.removed_at IS NULL"]
    values = dict[str, Any]()
    if where.tags:
        parts.append("p.tags @> %(tags)s::text[]")
        values["tags"] = list(where.tags)
    if where.import_id is not None:
        parts.append("EXISTS (SELECT FROM items WHERE items.picture = p.id AND import = %(import)s)")
        values["import"] = where.import_id
    if where.domain:
        parts.append(ON_DOMAIN)
        values["domain"] = where.domain.lower()
    if where.since is not None:
        parts.append("p.indexed_at >= %(since)s")
        values["since"] = _at(where.since, time.min)
    if where.until is not None:
        parts.append("p.indexed_at <= %(until)s")
        values["until"] = _at(where.until, time.max)
    for bound, condition in _BOUNDS.items():
        if (pixels := getattr(where, bound)) is not None:
            parts.append(condition)
            values[bound] = pixels
    if where.fields:
        parts.append("p.fields @> %(fields)s")
        values["fields"] = Jsonb(dict(where.fields))
    if where.untagged:
        parts.append("p.tags = '{}'")
    return sql.SQL(" AND ").join(map(sql.SQL, parts)), values


_BOUNDS: dict[str, LiteralString] = {
    "min_side": "least(p.width, p.height) >= %(min_side)s",
    "max_side": "least(p.width, p.height) <= %(max_side)s",
    "min_area": "p.width::bigint * p.height >= %(min_area)s",
    "max_area": "p.width::bigint * p.height <= %(max_area)s",
}


def _at(day: date, moment: time) -> datetime:
    """That time of a day in this machine's time zone; days too distant for the conversion are clamped."""
    day = min(max(day, date(1971, 1, 1)), date(9000, 1, 1))
    return datetime.combine(day, moment).astimezone()

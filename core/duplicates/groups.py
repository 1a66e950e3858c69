"""Groups of duplicates: a picture to keep, and its copies or look-alikes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, LiteralString
from uuid import UUID

from psycopg import Connection, sql
from psycopg.rows import class_row

from core.collection.filters import ON_DOMAIN
from core.collection.store import URLS
from core.database.connection import Database
from core.database.embedding_tables import Model
from core.duplicates.star_grouping import Group, stars
from core.verification.proof import Proof
from core.verification.relation import WHOLE

MOST_PAIRS = 200_000
"""Pairs that are grouped at a time, the most similar first: some 100 MB. The others follow when these are dealt
with."""


RESOLUTION = 0.5
"""The share of a part's pixels from which its whole shows it in much the same resolution: as a rule a whole has all of
them, but outlines are a few percent off, and some crops are enlarged a little; a page that shows it at half its size
has a quarter."""


@dataclass(frozen=True)
class KeepRule:
    """Which picture of a group to keep: the largest, the oldest, one with tags, or one from a domain.

    A crop comes after its whole, however large it is. Further ties are broken by size in pixels, then by bytes, then by
    the earlier time of indexing.
    """

    keep: Literal["largest", "oldest", "tagged", "domain"] = "largest"
    domain: str = ""


@dataclass(frozen=True)
class PictureFacts:
    """What curators compare duplicates by. `urls` are all its URLs, oldest first, and `sites` their hosts; `size` is in
    bytes; `kept` is True when the file itself is stored here."""

    id: UUID
    title: str
    width: int
    height: int
    size: int
    mime: str
    tags: list[str]
    indexed_at: datetime
    urls: list[str]
    sites: list[str]
    kept: bool


_SIZE: LiteralString = "p.id = ANY(%(parts)s), p.width::bigint * p.height DESC, p.bytes DESC, p.indexed_at, p.id"

_ORDERS: dict[str, LiteralString] = {
    "largest": _SIZE,
    "oldest": "p.indexed_at, " + _SIZE,
    "tagged": "cardinality(p.tags) = 0, " + _SIZE,
    "domain": f"NOT {ON_DOMAIN}, {_SIZE}",
}

_COPIES = sql.SQL("SELECT picture, other, 1 - distance / 64.0::float8 AS similarity FROM copies")
_LOOKALIKES = sql.SQL(
    """SELECT picture, other, similarity FROM lookalikes l WHERE model = %(model)s AND similarity >= %(threshold)s
       AND NOT EXISTS (SELECT FROM copies c WHERE c.picture = l.picture AND c.other = l.other)"""
)


class Duplicates:
    """Groups of duplicates, and what curators compare them by. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def copies(self, rule: KeepRule, chosen: Sequence[UUID] = ()) -> list[Group]:
        """Groups of copies, see `stars`. The pictures `chosen` are kept whatever the rule. Raises DatabaseError."""
        return self._groups(_COPIES, {}, rule, chosen)

    def lookalikes(self, model: Model, threshold: float, rule: KeepRule, chosen: Sequence[UUID] = ()) -> list[Group]:
        """Groups of look-alikes from the last comparison, at or above a threshold (a cosine), without copies. Raises
        DatabaseError."""
        return self._groups(_LOOKALIKES, {"model": model.id, "threshold": threshold}, rule, chosen)

    def version(self) -> tuple[Any, ...]:
        """A value that changes when the groups may have changed, to cache them by. Raises DatabaseError."""
        with self._database.connection() as connection:
            row = connection.execute(
                """SELECT (SELECT count(*) FROM pictures WHERE removed_at IS NULL), (SELECT count(*) FROM copies),
                          (SELECT count(*) FROM settled_pairs), (SELECT max(settled_at) FROM settled_pairs),
                          (SELECT max(removed_at) FROM pictures WHERE removed_at IS NOT NULL),
                          (SELECT max(made_at) FROM comparisons)"""
            ).fetchone()
        return row or ()

    def unpaired(self) -> int:
        """How many pictures have not been checked for copies yet. Raises DatabaseError."""
        with self._database.connection() as connection:
            ((count,),) = connection.execute("SELECT count(*) FROM unpaired").fetchall()
            return int(count)

    def facts(self, pictures: Collection[UUID]) -> dict[UUID, PictureFacts]:
        """The details of those of these pictures that are in the collection. Raises DatabaseError."""
        with (
            self._database.connection() as connection,
            connection.cursor(row_factory=class_row(PictureFacts)) as cursor,
        ):
            cursor.execute(
                sql.SQL(
                    """SELECT id, title, width, height, bytes AS size, mime, tags, indexed_at, {} AS urls,
                              ARRAY(SELECT DISTINCT host FROM sources
                                    WHERE picture = id AND host IS NOT NULL ORDER BY host) AS sites,
                              EXISTS (SELECT FROM files WHERE key = sha256) AS kept
                       FROM pictures p WHERE id = ANY(%s) AND removed_at IS NULL"""
                ).format(sql.SQL(URLS)),
                (list(pictures),),
            )
            return {facts.id: facts for facts in cursor}

    def proofs(self, groups: Collection[Group]) -> dict[UUID, Proof]:
        """For each member of these groups, the proof that it is the same picture as the keeper, which comes second in
        it. Raises DatabaseError."""
        pairs = [(member.picture, group.keeper) for group in groups for member in group.members]
        with self._database.connection() as connection:
            rows = connection.execute(
                """SELECT member, keeper, proof FROM unnest(%s::uuid[], %s::uuid[]) AS pair (member, keeper)
                   JOIN copies ON picture = least(member, keeper) AND other = greatest(member, keeper)
                   WHERE proof IS NOT NULL""",
                ([member for member, _ in pairs], [keeper for _, keeper in pairs]),
            ).fetchall()
        proofs = {(member, keeper): Proof(**proof) for member, keeper, proof in rows}
        return {member: proof if member < keeper else proof.swapped for (member, keeper), proof in proofs.items()}

    def size(self, pictures: Collection[UUID]) -> int:
        """The total size of these pictures' files in bytes. Raises DatabaseError."""
        with self._database.connection() as connection:
            query = "SELECT coalesce(sum(bytes), 0)::bigint FROM pictures WHERE id = ANY(%s)"
            ((size,),) = connection.execute(query, (list(pictures),)).fetchall()
            return int(size)

    def _groups(
        self, source: sql.SQL, values: Mapping[str, Any], rule: KeepRule, chosen: Sequence[UUID]
    ) -> list[Group]:
        with self._database.connection() as connection:
            pairs = _pairs(connection, source, values)
            found = {picture for one, other, _ in pairs for picture in (one, other)}
            query = sql.SQL("SELECT id FROM pictures p WHERE id = ANY(%(ids)s) ORDER BY {}")
            ranked = connection.execute(
                query.format(sql.SQL(_ORDERS[rule.keep])),
                {"ids": list(found), "parts": _parts(connection, found), "domain": rule.domain.lower()},
                binary=True,
            ).fetchall()
        return stars([*(id for id in chosen if id in found), *(row[0] for row in ranked)], pairs)


def _parts(connection: Connection[Any], pictures: Collection[UUID]) -> list[UUID]:
    """Those of these pictures that are a part of a copy which shows them in much the same resolution, as a whole shows
    its crop, but a page that the picture was pasted into does not."""
    rows = connection.execute(
        """SELECT DISTINCT part FROM copies
           CROSS JOIN LATERAL (
               VALUES (picture, other, (proof->>'first_share')::float8, (proof->>'second_share')::float8),
                      (other, picture, (proof->>'second_share')::float8, (proof->>'first_share')::float8)
           ) AS pair (part, whole, part_share, whole_share)
           JOIN pictures p ON p.id = part JOIN pictures w ON w.id = whole AND w.removed_at IS NULL
           WHERE picture = ANY(%(ids)s) AND other = ANY(%(ids)s) AND part_share >= %(whole)s AND whole_share < %(whole)s
                 AND whole_share * w.width * w.height >= %(resolution)s * p.width * p.height""",
        {"ids": list(pictures), "whole": WHOLE, "resolution": RESOLUTION},
    )
    return [part for (part,) in rows]


def _pairs(connection: Connection[Any], source: sql.SQL, values: Mapping[str, Any]) -> list[tuple[UUID, UUID, float]]:
    """The most similar pairs of pictures in the collection that are not settled."""
    query = sql.SQL(
        """SELECT picture, other, similarity FROM ({}) pair
           JOIN pictures a ON a.id = picture AND a.removed_at IS NULL
           JOIN pictures b ON b.id = other AND b.removed_at IS NULL
           WHERE NOT EXISTS (SELECT FROM settled_pairs n WHERE n.picture = pair.picture AND n.other = pair.other)
           ORDER BY similarity DESC, picture, other LIMIT %(most)s"""
    ).format(source)
    return connection.execute(query, {**values, "most": MOST_PAIRS}, binary=True).fetchall()

"""Pairs that a curator has settled: pictures that are no duplicates of each other, or that stay together as a stack."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString
from uuid import UUID

from psycopg import sql
from psycopg.rows import class_row

from core.database.connection import Database
from core.duplicates.star_grouping import Pair


@dataclass(frozen=True)
class SettledPair:
    """Two pictures of one stack if `stacked`, else no duplicates of each other."""

    picture: UUID
    other: UUID
    stacked: bool
    settled_at: datetime


class SettledPairs:
    """The pairs that are in no group of duplicates any more. Thread-safe.

    Stacked ones still count as copies of each other, so a search shows them as one. Pairs have the lower id first.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def settle(self, pairs: Iterable[Pair], *, stacked: bool = False) -> list[Pair]:
        """Settle these pairs, as `stacked` or as no duplicates; what was settled before stays as it is.

        Returns the newly settled ones: `unsettle` undoes it. Permanently deleted pictures are skipped. Raises
        DatabaseError.
        """
        return self._change(
            """INSERT INTO settled_pairs (picture, other, stacked)
               SELECT pair.*, %s FROM unnest(%s::uuid[], %s::uuid[]) AS pair (one, two)
               JOIN pictures a ON a.id = one JOIN pictures b ON b.id = two ORDER BY one, two
               ON CONFLICT DO NOTHING RETURNING picture, other""",
            pairs,
            [stacked],
        )

    def unsettle(self, pairs: Iterable[Pair]) -> list[Pair]:
        """Let these pairs be grouped again. Returns those that were settled. Raises DatabaseError."""
        return self._change(
            """DELETE FROM settled_pairs n USING (
                   SELECT picture, other FROM settled_pairs
                   JOIN unnest(%s::uuid[], %s::uuid[]) AS pair (one, two) ON picture = one AND other = two
                   ORDER BY picture, other FOR UPDATE OF settled_pairs) pair
               WHERE n.picture = pair.picture AND n.other = pair.other RETURNING n.picture, n.other""",
            pairs,
        )

    def latest(self, limit: int) -> tuple[int, list[SettledPair]]:
        """The number of settled pairs, and the latest `limit` of them, without removed pictures. Raises
        DatabaseError."""
        with (
            self._database.connection() as connection,
            connection.cursor(row_factory=class_row(SettledPair)) as cursor,
        ):
            joined = sql.SQL(
                """FROM settled_pairs n JOIN pictures a ON a.id = picture AND a.removed_at IS NULL
                   JOIN pictures b ON b.id = other AND b.removed_at IS NULL"""
            )
            ((count,),) = connection.execute(sql.SQL("SELECT count(*) {}").format(joined)).fetchall()
            query = sql.SQL(
                "SELECT picture, other, stacked, settled_at {} ORDER BY settled_at DESC, picture, other LIMIT %s"
            )
            return int(count), cursor.execute(query.format(joined), (limit,)).fetchall()

    def _change(self, statement: LiteralString, pairs: Iterable[Pair], values: Iterable[object] = ()) -> list[Pair]:
        ordered = sorted(set(pairs))
        with self._database.connection() as connection:
            rows = connection.execute(statement, (*values, [one for one, _ in ordered], [two for _, two in ordered]))
            return sorted(rows.fetchall())

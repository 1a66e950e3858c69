"""Verdicts of people on matches, right or wrong, and recent searches, from which more matches are proposed."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from psycopg.rows import class_row

from core.database.connection import Database
from core.database.embedding_tables import Model
from core.errors import NotFoundError, QueryError
from core.search.query_parts import Kind, Part, read_parts, write_parts
from core.search.query_vector import Query


@dataclass(frozen=True)
class JudgedQuery:
    """A stored query; `label` is its text on screen, "" for a picture of the collection that nobody searched with."""

    key: str
    kind: Kind
    label: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Verdict:
    """An answer to "is this match right?". `right` is None if it withdraws an earlier one."""

    query: JudgedQuery
    picture: UUID
    similarity: float
    right: bool | None


@dataclass(frozen=True)
class StoredVerdict:
    """The latest verdict on a pair, which is the one that counts. `disputed`: there is an opposite one, too."""

    key: str
    label: str
    parts: str
    picture: UUID
    similarity: float
    right: bool
    disputed: bool
    at: datetime


class ImportedVerdicts(NamedTuple):
    """How many verdicts are new, already known, or about pictures that are not in the collection (`unknown`)."""

    new: int
    known: int
    unknown: int


def query_key(parts: Sequence[Part]) -> str:
    """Identifies a query, whoever searches with it. Raises QueryError.

    A single picture is identified by its id, which is derived from its SHA-256, whether or not it is in the
    collection; text alone by its words, ignoring case and spacing; anything else by a hash of its sorted parts.
    """
    if len(parts) == 1 and not parts[0].crop and parts[0].weight > 0:
        return _source(parts[0])
    parts_text = sorted(f"{_source(part)} {part.weight:g} {part.crop or ''}" for part in parts)
    return f"composed:{hashlib.sha256(chr(10).join(parts_text).encode()).hexdigest()[:32]}"


def _source(part: Part) -> str:
    if part.words is not None:
        return f"words:{' '.join(unicodedata.normalize('NFKC', part.words).casefold().split())}"
    if part.url is not None:
        return f"url:{part.url}"
    if part.file is not None:
        raise QueryError("A file that was sent with an API call is not stored, so its matches cannot be judged.")
    return f"picture:{part.picture or part.upload}"


def judged_query(query: Query) -> JudgedQuery:
    """A query in the form in which it is stored. Raises QueryError."""
    return JudgedQuery(query_key(query.parts), query.kind, query.label, query.parts)


class Verdicts:
    """The verdicts and the recent queries. Nothing is overwritten: the latest verdict of a pair counts."""

    def __init__(self, database: Database, kept: timedelta) -> None:
        """`kept` is how long a query is stored after its last search if none of its matches was judged."""
        self._database = database
        self._kept = kept

    def remember(self, query: JudgedQuery) -> None:
        """Record a search made just now, and delete old ones. Raises DatabaseError."""
        with self._database.connection() as connection:
            connection.execute(
                """DELETE FROM queries WHERE key = ANY(ARRAY(
                       SELECT key FROM queries
                       WHERE asked_at < now() - %s AND NOT EXISTS (SELECT FROM verdicts WHERE query = key)
                       ORDER BY key FOR UPDATE SKIP LOCKED))""",
                (self._kept,),
            )
            connection.execute(
                """INSERT INTO queries (key, kind, label, parts) VALUES (%s, %s, %s, %s)
                   ON CONFLICT (key) DO UPDATE
                   SET label = excluded.label, parts = excluded.parts, asked_at = excluded.asked_at""",
                (query.key, query.kind, query.label[:500], write_parts(query.parts)),
            )

    def recent(self, kind: Kind, limit: int) -> list[JudgedQuery]:
        """Recent searches, the latest first. Raises DatabaseError."""
        with self._database.connection() as connection:
            rows = connection.execute(
                """SELECT key, label, parts FROM queries WHERE kind = %s AND asked_at >= now() - %s
                   ORDER BY asked_at DESC, key LIMIT %s""",
                (kind, self._kept, limit),
            ).fetchall()
        return [JudgedQuery(key, kind, label, read_parts(parts)) for key, label, parts in rows]

    def judge(self, model: Model, verdict: Verdict) -> None:
        """Store a verdict given just now. Raises NotFoundError if its picture was deleted, or DatabaseError."""
        if self.add(model, [verdict], [None]).unknown:
            raise NotFoundError("This picture is no longer in the collection, so the verdict was not saved.")

    def add(self, model: Model, verdicts: Sequence[Verdict], at: Sequence[datetime | None]) -> ImportedVerdicts:
        """Store verdicts with their times, which are capped at now; None is now. Known ones are ignored.

        Raises DatabaseError.
        """
        queries = {verdict.query.key: verdict.query for verdict in verdicts}
        ordered = [queries[key] for key in sorted(queries)]
        with self._database.connection() as connection:
            rows = connection.execute(
                "SELECT id FROM pictures WHERE id = ANY(%s) ORDER BY id FOR KEY SHARE",
                (list({verdict.picture for verdict in verdicts}),),
            )
            existing = {row[0] for row in rows}
            connection.execute(
                """INSERT INTO queries (key, kind, label, parts)
                   SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[]) ON CONFLICT DO NOTHING""",
                (
                    [query.key for query in ordered],
                    [query.kind for query in ordered],
                    [query.label[:500] for query in ordered],
                    [write_parts(query.parts) for query in ordered],
                ),
            )
            new = connection.execute(
                """INSERT INTO verdicts (query, picture, model, similarity, is_right, at)
                   SELECT query, picture, %s, similarity, is_right, least(coalesce(at, now()), now())
                   FROM unnest(%s::text[], %s::uuid[], %s::float8[], %s::boolean[], %s::timestamptz[])
                        AS new (query, picture, similarity, is_right, at)
                   WHERE picture = ANY(%s) ORDER BY query, picture, at ON CONFLICT DO NOTHING""",
                (
                    model.id,
                    [verdict.query.key for verdict in verdicts],
                    [verdict.picture for verdict in verdicts],
                    [verdict.similarity for verdict in verdicts],
                    [verdict.right for verdict in verdicts],
                    list(at),
                    list(existing),
                ),
            ).rowcount
        unknown = sum(verdict.picture not in existing for verdict in verdicts)
        return ImportedVerdicts(new, len(verdicts) - new - unknown, unknown)

    def of_query(self, model: Model, key: str) -> dict[UUID, bool]:
        """The latest verdicts on a query's matches, by picture. Raises DatabaseError."""
        with self._database.connection() as connection:
            rows = connection.execute(
                """SELECT DISTINCT ON (picture) picture, is_right FROM verdicts
                   WHERE query = %s AND model = %s ORDER BY picture, at DESC""",
                (key, model.id),
            )
            return {picture: right for picture, right in rows if right is not None}

    def read(self, model: Model, kind: Kind) -> list[StoredVerdict]:
        """The verdicts that count for a model and a kind of query, the oldest first. Raises DatabaseError."""
        with (
            self._database.connection() as connection,
            connection.cursor(row_factory=class_row(StoredVerdict)) as cursor,
        ):
            # Only verdicts given since the last withdrawal can dispute a pair.
            return cursor.execute(
                """WITH turns AS (
                       SELECT *, count(*) FILTER (WHERE is_right IS NULL) OVER later AS taken_back,
                              row_number() OVER later AS place
                       FROM verdicts WHERE model = %s
                       WINDOW later AS (PARTITION BY query, picture ORDER BY at DESC)),
                   pairs AS (
                       SELECT query, picture, bool_or(is_right) <> bool_and(is_right) AS disputed
                       FROM turns WHERE taken_back = 0 GROUP BY query, picture)
                   SELECT key, label, parts, picture, similarity, is_right AS right, disputed, at
                   FROM turns JOIN pairs USING (query, picture) JOIN queries ON key = query
                   WHERE place = 1 AND taken_back = 0 AND kind = %s ORDER BY at, key, picture""",
                (model.id, kind),
            ).fetchall()

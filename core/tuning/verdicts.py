"""What people said of matches: right or not; and what was searched for, so that more can be asked."""

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
    """A query as it is remembered; `label` is its line, "" for a picture of the collection that nobody searched."""

    key: str
    kind: Kind
    label: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Verdict:
    """An answer to "is this match right?". `right` is None when it takes an earlier one back."""

    query: JudgedQuery
    picture: UUID
    similarity: float
    right: bool | None


@dataclass(frozen=True)
class StoredVerdict:
    """The verdict on a pair that counts: the latest. `disputed` says that the pair has one of the other kind, too."""

    key: str
    label: str
    parts: str
    picture: UUID
    similarity: float
    right: bool
    disputed: bool
    at: datetime


class ImportedVerdicts(NamedTuple):
    """How many verdicts are new, were known already, or are about pictures that are not here."""

    new: int
    known: int
    strange: int


def query_key(parts: Sequence[Part]) -> str:
    """What tells a query again, whoever asks it.

    A picture alone is known by its id, which is made of its SHA-256, be it in the collection or not; words alone by
    their letters, whatever the case and the spaces; anything composed by a hash of its parts in order of their text.
    """
    if len(parts) == 1 and not parts[0].crop and parts[0].weight > 0:
        return _source(parts[0])
    told = sorted(f"{_source(part)} {part.weight:g} {part.crop or ''}" for part in parts)
    return f"composed:{hashlib.sha256(chr(10).join(told).encode()).hexdigest()[:32]}"


def _source(part: Part) -> str:
    if part.words is not None:
        return f"words:{' '.join(unicodedata.normalize('NFKC', part.words).casefold().split())}"
    if part.url is not None:
        return f"url:{part.url}"
    if part.file is not None:
        raise QueryError("A file that came with a call is not kept, so its matches cannot be judged.")
    return f"picture:{part.picture or part.upload}"


def judged_query(query: Query) -> JudgedQuery:
    """A query to remember. Raises QueryError."""
    return JudgedQuery(query_key(query.parts), query.kind, query.label, query.parts)


class Verdicts:
    """The verdicts and the recent queries. Nothing is overwritten: the latest verdict of a pair counts."""

    def __init__(self, database: Database, kept: timedelta) -> None:
        """`kept` is how long a query stays after it was last asked, when none of its matches was judged."""
        self._database = database
        self._kept = kept

    def remember(self, query: JudgedQuery) -> None:
        """Note that this was searched for just now, and forget what was long ago."""
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
        """What was searched for last, the latest first."""
        with self._database.connection() as connection:
            rows = connection.execute(
                """SELECT key, label, parts FROM queries WHERE kind = %s AND asked_at >= now() - %s
                   ORDER BY asked_at DESC, key LIMIT %s""",
                (kind, self._kept, limit),
            ).fetchall()
        return [JudgedQuery(key, kind, label, read_parts(parts)) for key, label, parts in rows]

    def judge(self, model: Model, verdict: Verdict) -> None:
        """Keep a verdict given just now. Raises NotFoundError when its picture is gone for good."""
        if self.take(model, [verdict], [None]).strange:
            raise NotFoundError("This picture is not in the collection any more, so the verdict was not kept.")

    def take(self, model: Model, verdicts: Sequence[Verdict], at: Sequence[datetime | None]) -> ImportedVerdicts:
        """Keep verdicts, each given at its time, but no later than now; None is now. What is known already stays."""
        queries = {verdict.query.key: verdict.query for verdict in verdicts}
        ordered = [queries[key] for key in sorted(queries)]
        with self._database.connection() as connection:
            rows = connection.execute(
                "SELECT id FROM pictures WHERE id = ANY(%s) ORDER BY id FOR KEY SHARE",
                (list({verdict.picture for verdict in verdicts}),),
            )
            here = {row[0] for row in rows}
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
                        AS told (query, picture, similarity, is_right, at)
                   WHERE picture = ANY(%s) ORDER BY query, picture, at ON CONFLICT DO NOTHING""",
                (
                    model.id,
                    [verdict.query.key for verdict in verdicts],
                    [verdict.picture for verdict in verdicts],
                    [verdict.similarity for verdict in verdicts],
                    [verdict.right for verdict in verdicts],
                    list(at),
                    list(here),
                ),
            ).rowcount
        strange = sum(verdict.picture not in here for verdict in verdicts)
        return ImportedVerdicts(new, len(verdicts) - new - strange, strange)

    def of_query(self, model: Model, key: str) -> dict[UUID, bool]:
        """The verdicts that count of a query's matches."""
        with self._database.connection() as connection:
            rows = connection.execute(
                """SELECT DISTINCT ON (picture) picture, is_right FROM verdicts
                   WHERE query = %s AND model = %s ORDER BY picture, at DESC""",
                (key, model.id),
            )
            return {picture: right for picture, right in rows if right is not None}

    def read(self, model: Model, kind: Kind) -> list[StoredVerdict]:
        """The verdicts of a model and a kind of query that count, the oldest first."""
        with (
            self._database.connection() as connection,
            connection.cursor(row_factory=class_row(StoredVerdict)) as cursor,
        ):
            # A pair that was taken back begins anew: only what was said since then can dispute it.
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

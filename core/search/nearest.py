"""The pictures nearest to a vector: all SQL that compares embeddings."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID

import numpy as np
from cachetools import LRUCache
from pgvector import HalfVector
from psycopg import Connection, sql
from psycopg.rows import class_row, scalar_row

from core.collection.filters import (
    Filter,
    FilterOption,
    FilterOptions,
    conditions,
    kept_share,
    read_field_values,
    read_filter_options,
)
from core.collection.store import NEWEST_URL, RECOUNT_FACTOR, Match, count_pictures
from core.database.connection import Database
from core.database.embedding_tables import Model, Vector
from core.search.hnsw_index import Hnsw, IndexLimits, prepare
from core.search.match_evidence import Calibration, calibrate

SAMPLE = 2_000
"""Embeddings in the random sample: 4 MB at 512 dimensions, and enough to estimate the nearest one in a thousand."""

SAMPLE_SECONDS = 600.0
"""How long a sample is kept while the collection keeps its size, because its pictures may still change."""

COUNT_SECONDS = 0.005
"""Counts that take no longer than this are not cached."""

SAMPLES = 8
"""Samples kept, one for each model and filter: at most 32 MB at 512 dimensions."""

GROWTH = 0.1
"""Relative change in the number of pictures after which a sample is renewed: a tenth hardly changes its
distribution."""


@dataclass(frozen=True)
class Found:
    """The matches of a search, best first. `approximate` is True when the index was used, whose recall by the last
    probe is `recall`; else the matches are exact and `recall` is None."""

    matches: list[Match]
    approximate: bool
    recall: float | None


@dataclass(frozen=True)
class Sample:
    """Random pictures of the `total` that a search compares, and their embeddings of shape (n, dim). `taken` is when,
    on the clock of `time.monotonic`."""

    ids: list[UUID]
    vectors: Vector
    total: int
    taken: float

    @cached_property
    def calibration(self) -> Calibration | None:
        """What searches find by chance, see `core.search.match_evidence`; computed once, in about 0.1 s."""
        return calibrate(self.vectors, self.total)

    @cached_property
    def places(self) -> dict[UUID, int]:
        """The row of each picture."""
        return {id: row for row, id in enumerate(self.ids)}

    def others(self, vector: Vector, ids: Collection[UUID]) -> Vector:
        """The similarities of a unit vector of shape (dim,) to all pictures but `ids`, of shape (at most n,)."""
        rows = [self.places[id] for id in set(ids) if id in self.places]
        return np.delete(self.vectors @ vector, rows)


class Nearest:
    """Searches the collection. Thread-safe.

    `index` is the search index, built and probed by calls of its `look`.
    """

    def __init__(self, database: Database, thresholds: IndexLimits | None = None) -> None:
        self.index = Hnsw(database, self, thresholds or IndexLimits())
        self._database = database
        self._samples = LRUCache[tuple[int, Filter], Sample](SAMPLES)
        self._counts = LRUCache[Filter, tuple[float, int]](SAMPLES)
        self._facets: tuple[float, int, FilterOptions] | None = None
        self._lock = threading.Lock()

    def search(
        self,
        model: Model,
        vector: Vector,
        limit: int,
        *,
        where: Filter | None = None,
        exact: bool = False,
        leave_out: Collection[UUID] = (),
    ) -> Found:
        """The `limit` pictures most similar to a unit vector of shape (dim,), fewer only when there are no more.

        Found by a scan unless the index is known to be good enough (see `IndexLimits`) and faster. `exact` forces the
        scan. Raises DatabaseError.
        """
        where = where or Filter()
        if not exact and self.index.choose(model, limit):
            found = self._ask_index(model, vector, limit, where, leave_out)
            if found:
                return found
        with self._database.connection() as connection:
            return Found(_matches(connection, model, vector, limit, where, leave_out, scans=True), False, None)

    def compare(self, model: Model, vector: Vector, pictures: Collection[UUID]) -> list[Match]:
        """The similarities of a unit vector of shape (dim,) to those of these pictures that are in the collection and
        have an embedding, best first. Raises DatabaseError."""
        if not pictures:
            return []
        query = sql.SQL(
            """SELECT p.id, {} AS url, p.title, p.width, p.height,
                      (1 - (embedding <=> %s::halfvec))::float8 AS similarity
               FROM {} e JOIN pictures p ON p.id = e.picture
               WHERE p.id = ANY(%s) AND removed_at IS NULL ORDER BY similarity DESC, p.id"""
        ).format(sql.SQL(NEWEST_URL), model.table)
        with self._database.connection() as connection, connection.cursor(row_factory=class_row(Match)) as cursor:
            return cursor.execute(query, (HalfVector(vector), list(pictures))).fetchall()

    def sample(self, model: Model, pictures: int, where: Filter | None = None) -> Sample:
        """Up to SAMPLE random pictures of those that pass a filter, which are `pictures` in number.

        They are kept in memory until that number has changed by GROWTH, or for SAMPLE_SECONDS. Raises DatabaseError.
        """
        where = where or Filter()
        with self._lock:
            now = time.monotonic()
            sample = self._samples.get((model.id, where))
            if (
                sample is None
                or now > sample.taken + SAMPLE_SECONDS
                or abs(pictures - sample.total) > GROWTH * sample.total
            ):
                ids, vectors = self.members(model, SAMPLE, where)
                sample = self._samples[model.id, where] = Sample(ids, vectors, pictures, now)
            return sample

    def count(self, where: Filter) -> int:
        """How many pictures pass a filter. A count is cached for RECOUNT_FACTOR times as long as it took. Raises
        DatabaseError."""
        begun = time.monotonic()
        with self._lock:
            fresh_until, count = self._counts.get(where, (0.0, 0))
        if begun < fresh_until:
            return count
        kept, values = conditions(where)
        query = sql.SQL("SELECT count(*) FROM pictures p WHERE {}").format(kept)
        with self._database.connection() as connection:
            ((count,),) = connection.execute(query, values).fetchall()
        counted = time.monotonic()
        if counted - begun > COUNT_SECONDS:
            with self._lock:
                self._counts[where] = counted + RECOUNT_FACTOR * (counted - begun), int(count)
        return int(count)

    def kept(self, where: Filter, ids: Collection[UUID]) -> set[UUID]:
        """Those of the pictures that pass a filter. Raises DatabaseError."""
        if not ids:
            return set()
        kept, values = conditions(where)
        query = sql.SQL("SELECT id FROM pictures p WHERE {} AND id = ANY(%(ids)s)").format(kept)
        with self._database.connection() as connection:
            return {row[0] for row in connection.execute(query, {**values, "ids": list(ids)})}

    def facets(self) -> FilterOptions:
        """What a search can filter by. Counted again when the collection has changed size, or after RECOUNT_FACTOR
        times as long as the last count took. Raises DatabaseError."""
        with self._lock, self._database.connection() as connection:
            now = time.monotonic()
            pictures = count_pictures(connection)
            if self._facets is None or now > self._facets[0] or pictures != self._facets[1]:
                facets = read_filter_options(connection)
                found = time.monotonic()
                self._facets = found + RECOUNT_FACTOR * (found - now), pictures, facets
            return self._facets[2]

    def values(self, field: str) -> list[FilterOption]:
        """The values of a field that a search can filter by, see `core.collection.filters`. Raises DatabaseError."""
        with self._database.connection() as connection:
            return read_field_values(connection, field)

    def similarities(self, model: Model, vector: Vector, limit: int, candidates: int | None = None) -> list[float]:
        """The similarities of the `limit` best matches of a unit vector of shape (dim,), best first.

        Found by the index with `candidates` as hnsw.ef_search, or by a scan when it is None. Raises DatabaseError.
        """
        inner, values = _inner(model, vector, limit, Filter(), (), scans=candidates is None)
        with self._database.connection() as connection:
            if candidates is not None:
                prepare(connection, candidates)
            with connection.cursor(row_factory=scalar_row) as cursor:
                distances = cursor.execute(sql.SQL("SELECT distance FROM ({}) found").format(inner), values)
                return sorted((1 - distance for distance in distances), reverse=True)

    def random(self, model: Model, count: int) -> Vector:
        """The embeddings of `count` random pictures, fewer when there are fewer, of shape (n, dim). Raises
        DatabaseError."""
        return self.members(model, count)[1]

    def members(self, model: Model, count: int, where: Filter | None = None) -> tuple[list[UUID], Vector]:
        """`count` random pictures, fewer when there are fewer, and their embeddings, of shape (n, dim).

        Picture ids are hashes, so those that follow a random id are a random sample, found through the primary key.
        Raises DatabaseError.
        """
        where = where or Filter()
        kept, values = conditions(where)
        if where == Filter():
            chosen = sql.SQL("e WHERE (SELECT {} FROM pictures p WHERE p.id = e.picture)").format(kept)
        else:  # joined, because few pictures may pass a filter
            chosen = sql.SQL("e JOIN pictures p ON p.id = e.picture WHERE {}").format(kept)
        part = sql.SQL("SELECT picture, embedding FROM {} {} AND picture {} %(start)s ORDER BY picture LIMIT %(count)s")
        query = sql.SQL("({}) UNION ALL ({}) LIMIT %(count)s").format(
            *(part.format(model.table, chosen, sql.SQL(side)) for side in (">=", "<"))
        )
        values = {**values, "start": uuid.uuid4(), "count": count}
        with self._database.connection() as connection:
            rows = connection.execute(query, values, binary=True).fetchall()
        vectors = [row[1].to_numpy() for row in rows]
        return [row[0] for row in rows], np.array(vectors, np.float32).reshape(len(vectors), model.dim)

    def _ask_index(
        self, model: Model, vector: Vector, limit: int, where: Filter, leave_out: Collection[UUID]
    ) -> Found | None:
        """What the index finds; None when it is better not used, or finds too few.

        For a filter that one picture in three passes, it must find three times as many, so the probe of that many
        matches decides.
        """
        with self._database.connection() as connection:
            share = kept_share(connection, where) if where != Filter() else 1.0
            asked = self.index.choose(model, (limit + len(leave_out)) / share) if share else None
            if asked is None:
                return None
            prepare(connection, asked.candidates)
            matches = _matches(connection, model, vector, limit, where, leave_out, scans=False)
        return Found(matches, True, asked.recall) if len(matches) == limit else None


def _matches(
    connection: Connection[Any],
    model: Model,
    vector: Vector,
    limit: int,
    where: Filter,
    leave_out: Collection[UUID],
    *,
    scans: bool,
) -> list[Match]:
    inner, values = _inner(model, vector, limit, where, leave_out, scans=scans)
    # Plus zero, because an iterative index scan returns its rows only nearly in order, and Postgres trusts that order.
    query = sql.SQL(
        """WITH found AS MATERIALIZED ({})
           SELECT p.id, {} AS url, p.title, p.width, p.height, (1 - distance)::float8 AS similarity
           FROM found JOIN pictures p ON p.id = found.picture ORDER BY distance + 0, p.id"""
    ).format(inner, sql.SQL(NEWEST_URL))
    with connection.cursor(row_factory=class_row(Match)) as cursor:
        return cursor.execute(query, values).fetchall()


def _inner(
    model: Model, vector: Vector, limit: int, where: Filter, leave_out: Collection[UUID], *, scans: bool
) -> tuple[sql.Composed, dict[str, Any]]:
    """The query for the `picture` and `distance` of the nearest, and its parameters.

    It orders by the distance alone, because with a second key or a bound on the distance no index would be used; for a
    scan it adds zero to prevent that. For the index, the filter is a scalar subquery, which Postgres evaluates row by
    row in the index's order instead of joining.
    """
    kept, values = conditions(where)
    if not scans:
        chosen = sql.SQL("{} e WHERE (SELECT {} FROM pictures p WHERE p.id = e.picture)").format(model.table, kept)
    elif where == Filter():
        chosen = sql.SQL(
            "{} e WHERE NOT EXISTS (SELECT FROM pictures WHERE id = e.picture AND removed_at IS NOT NULL)"
        ).format(model.table)
    else:
        chosen = sql.SQL("{} e JOIN pictures p ON p.id = e.picture WHERE {}").format(model.table, kept)
    left = sql.SQL("AND e.picture <> ALL(%(leave_out)s)" if leave_out else "")
    query = sql.SQL(
        """SELECT picture, (embedding <=> %(vector)s::halfvec) {} AS distance FROM {} {}
           ORDER BY distance LIMIT %(limit)s"""
    ).format(sql.SQL("+ 0" if scans else ""), chosen, left)
    return query, {**values, "vector": HalfVector(vector), "limit": limit, "leave_out": list(leave_out)}

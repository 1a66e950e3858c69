"""The search index: everything about HNSW, from its DDL and settings to whether it is worth using.

An embeddings table has at most one, built in the background once a scan of the table is slow. A search uses it only
while it is valid and, by the last probe, finds enough of what a scan finds, in less time.
"""

from __future__ import annotations

import logging
import math
import statistics
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import psycopg
from psycopg import Connection, errors, sql

from core.database.connection import Database, numbers, read_versions
from core.database.embedding_tables import Model, Vector

logger = logging.getLogger(__name__)

PROBES = 20
"""Pictures of the collection that a probe searches for: at a million pictures, their scans take some six seconds."""

GROWTH = 0.1
"""Relative change in the number of embeddings after which a probe is out of date."""

AIMS = {20: 0.995, 100: 0.97, 300: 0.97, 1000: 0.97}
"""For each number of matches, the recall at which a probe stops. The promised recall is 0.98 at 20 and 0.95 at 100, but
the mean of 20 queries may err by 0.01, and pictures of the collection are easier to find than new ones."""

CANDIDATES = (200, 400, 800, 1000)
"""Values of hnsw.ef_search that a probe tries; pgvector allows at most 1000."""

LINKS, BUILD_CANDIDATES = 16, 64
"""m and ef_construction, pgvector's defaults. At 1,000,000 embeddings with CLIP's spread and ef_search 800, recall at
100 is 0.96 in 83 ms, where a scan takes 300 ms."""

RECALL_MARGIN = (0, 8, 4)
"""The first version of pgvector whose vacuum does not damage HNSW indexes (pgvector's CHANGELOG, 0.8.3 and 0.8.4)."""

LOCK_TIMEOUT = "2s"
"""How long dropping a broken index may wait for the table: imports wait behind it, no longer than for one of their own
batches."""

REST_SECONDS = 3600.0
"""How long to wait after a failed build: most fail after minutes, for lack of memory or disk space."""


@dataclass(frozen=True)
class IndexLimits:
    """When an index is built, and when it is used.

    None is built below `fewest_rows` embeddings, because 100,000 are scanned in about 40 ms on two cores, nor while a
    scan takes at most `slow_seconds`, because an index takes memory and slows imports. It is used while its recall is
    at least `least_recall` and it takes at most the share `most_cost` of the time of a scan: saving less is not worth
    a missing match.
    """

    fewest_rows: int = 100_001
    slow_seconds: float = 0.1
    least_recall: float = 0.95
    most_cost: float = 0.7


class Searcher(Protocol):
    """Searches a table of embeddings, by a scan and by its index."""

    def similarities(self, model: Model, vector: Vector, limit: int, candidates: int | None = None) -> list[float]:
        """The similarities of the `limit` best matches of a unit vector of shape (dim,), best first.

        Found by the index with `candidates` as hnsw.ef_search, or by a scan when it is None. Raises DatabaseError.
        """

    def random(self, model: Model, count: int) -> Vector:
        """The embeddings of `count` random pictures, fewer when there are fewer, of shape (n, dim). Raises
        DatabaseError."""


@dataclass(frozen=True)
class Measured:
    """The index at `limit` matches with ef_search at `candidates`: mean recall, and the seconds of the fastest search,
    because other load on the machine only adds to them."""

    limit: int
    candidates: int
    recall: float
    seconds: float


@dataclass(frozen=True)
class Probe:
    """Measurements of a table of `rows` embeddings: the fastest scan, and its index if there is a valid one."""

    rows: int
    scan_seconds: float
    indexed: tuple[Measured, ...]

    def choose(self, reach: float, thresholds: IndexLimits) -> Measured | None:
        """How to use the index for `reach` matches; None when a scan is the better choice."""
        for measured in self.indexed:
            if measured.limit >= reach:
                good = measured.recall >= thresholds.least_recall
                return measured if good and measured.seconds <= thresholds.most_cost * self.scan_seconds else None
        return None


def name(model: Model) -> str:
    """The name of the index of a model's embeddings."""
    return f"embeddings_{model.id}_hnsw"


def prepare(connection: Connection[Any], candidates: int) -> None:
    """Make the rest of the transaction use the index. Its iterative scan finds enough matches for most filters. Raises
    psycopg.Error."""
    connection.execute(
        """SELECT set_config('hnsw.ef_search', %s, true), set_config('hnsw.iterative_scan', 'relaxed_order', true),
                  set_config('enable_seqscan', 'off', true)""",
        (str(candidates),),
    )


class Hnsw:
    """Builds the indexes, probes them, and decides when to use them. Thread-safe."""

    def __init__(self, database: Database, searcher: Searcher, thresholds: IndexLimits) -> None:
        self._database = database
        self._searcher = searcher
        self._thresholds = thresholds
        self._probes = dict[int, Probe]()
        self._wanting = set[int]()
        self._rest_until = 0.0
        self._closed = threading.Event()
        self._building: Connection[Any] | None = None

    def choose(self, model: Model, reach: float) -> Measured | None:
        """How to use the index for `reach` matches; None when a scan is the better choice. Opens no connection."""
        probe = self._probes.get(model.id)
        return probe.choose(reach, self._thresholds) if probe else None

    def probe(self, model: Model) -> Probe | None:
        """The last probe of a model's table; None when the table is too small."""
        return self._probes.get(model.id)

    def is_wanting(self, model: Model) -> bool:
        """Whether `look` last found that an index should be built, or a broken one dropped. Opens no connection."""
        return model.id in self._wanting and time.monotonic() > self._rest_until

    def look(self, model: Model, *, builds: bool = False) -> None:
        """Probe the table if it has changed since the last call and, with `builds`, build a missing index.

        Building takes minutes for a large collection. Imports continue meanwhile, and `close` aborts it. Raises
        DatabaseError.
        """
        self._wanting.discard(model.id)
        rows, valid = self._state(model)
        if rows < self._thresholds.fewest_rows:
            self._probes.pop(model.id, None)
            return
        probe = self._probes.get(model.id)
        if probe is None or bool(probe.indexed) != bool(valid) or abs(rows - probe.rows) > GROWTH * probe.rows:
            probe = self._measure(model, rows, indexed=bool(valid))
        is_slow = probe.scan_seconds > self._thresholds.slow_seconds
        if valid or not (valid is False or is_slow) or self._closed.is_set():
            return
        if not builds:
            self._wanting.add(model.id)
            return
        if valid is False and not self._drop_broken(model):
            return
        if is_slow and time.monotonic() > self._rest_until and self._build(model):
            self._measure(model, rows, indexed=True)

    def close(self) -> None:
        """Stop what `look` does in other threads, now and from now on. A build that has only just started may need a
        second call."""
        self._closed.set()
        building = self._building
        if building is not None:
            with suppress(psycopg.Error):
                building.cancel_safe(timeout=5)

    def _state(self, model: Model) -> tuple[int, bool | None]:
        """The number of embeddings, and whether their index is valid; None when there is no index."""
        with self._database.connection() as connection:
            ((rows,),) = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(model.table)).fetchall()
            return rows, _is_valid(connection, model)

    def _measure(self, model: Model, rows: int, *, indexed: bool) -> Probe:
        """Search for random pictures by a scan and, when there is one, by the index."""
        queries = list(self._searcher.random(model, PROBES))
        most = min(max(AIMS), rows)
        truth, scan_seconds = self._timed(model, queries, most, None)
        results = list[Measured]()
        for limit, aim in AIMS.items() if indexed else ():
            tried = list[Measured]()
            for candidates in CANDIDATES:
                if candidates >= min(2 * limit, CANDIDATES[-1]):
                    found, seconds = self._timed(model, queries, limit, candidates)
                    recalls = [_recall(mine, true[:limit]) for mine, true in zip(found, truth, strict=False)]
                    tried.append(Measured(limit, candidates, statistics.mean(recalls or [0.0]), seconds))
                    if tried[-1].recall >= aim:
                        break
            results.append(tried[-1])
        probe = Probe(rows, scan_seconds, tuple(results))
        if not self._closed.is_set():
            self._probes[model.id] = probe
            logger.info("search index: %s", probe)
        return probe

    def _timed(
        self, model: Model, queries: list[Vector], limit: int, candidates: int | None
    ) -> tuple[list[list[float]], float]:
        """The similarities found for each query, and the shortest time in seconds; fewer queries after `close`."""
        found, least = list[list[float]](), math.inf
        for query in queries:
            if self._closed.is_set():
                break
            begun = time.perf_counter()
            found.append(self._searcher.similarities(model, query, limit, candidates))
            least = min(least, time.perf_counter() - begun)
        return found, least

    def _drop_broken(self, model: Model) -> bool:
        """Drop the remains of an aborted build; False while that build is still running or the table is locked.

        A build holds the lock requested here, so nobody else is building while we hold it.
        """
        try:
            with self._database.connection() as connection:
                connection.execute("SELECT set_config('lock_timeout', %s, true)", (LOCK_TIMEOUT,))
                connection.execute(sql.SQL("LOCK TABLE {} IN SHARE UPDATE EXCLUSIVE MODE NOWAIT").format(model.table))
                if _is_valid(connection, model) is False:
                    connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name(model))))
                return True
        except errors.LockNotAvailable:
            return False

    def _build(self, model: Model) -> bool:
        """Build the index; returns whether there is a valid one now.

        A second builder waits for the first at the table's lock, and then has nothing to do.
        """
        begun = time.monotonic()
        try:
            with self._database.connect() as connection:
                version = read_versions(connection).vector
                if numbers(version) < RECALL_MARGIN:
                    logger.warning(
                        "pgvector %s can damage the search index on vacuum; update it to %s or later",
                        version,
                        ".".join(map(str, RECALL_MARGIN)),
                    )
                self._building = connection
                if self._closed.is_set():
                    return False
                connection.execute(
                    sql.SQL(
                        """CREATE INDEX CONCURRENTLY IF NOT EXISTS {} ON {} USING hnsw (embedding halfvec_cosine_ops)
                           WITH (m = {}, ef_construction = {})"""
                    ).format(sql.Identifier(name(model)), model.table, LINKS, BUILD_CANDIDATES)
                )
                logger.info("search index: built in %.0f s", time.monotonic() - begun)
                return _is_valid(connection, model) is True
        except psycopg.Error as error:
            if not self._closed.is_set():
                self._rest_until = time.monotonic() + REST_SECONDS
                logger.warning("search index: the build failed, so searches remain exact: %s", error)
                self._drop_broken(model)
            return False
        finally:
            self._building = None


def _is_valid(connection: Connection[Any], model: Model) -> bool | None:
    """Whether the index can be used, rather than being unfinished or broken; None when there is none."""
    row = connection.execute(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", (name(model),)
    ).fetchone()
    return row[0] if row else None


def _recall(found: list[float], true: list[float]) -> float:
    """The share of the true matches that were found; equally similar pictures count as the same."""
    return sum(similarity >= true[-1] for similarity in found) / len(true) if true else 1.0

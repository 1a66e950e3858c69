"""The search index: everything about HNSW, from its DDL and settings to whether it is worth asking.

An embeddings table has at most one, made in the background once a scan of the table is slow. A search may ask it only
while it is valid and, by the last probe, finds enough of what the scan finds, in less time.
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
"""Pictures of the collection that a probe searches for: at a million, their scans take some six seconds."""

GROWTH = 0.1
"""The change in the number of embeddings, as a share, after which a probe says too little."""

AIMS = {20: 0.995, 100: 0.97, 300: 0.97, 1000: 0.97}
"""For each number of matches the recall at which a probe looks no further. Promised are 0.98 of 20 and 0.95 of 100: the
mean of 20 queries may err by 0.01, and pictures of the collection are easier to search for than new ones."""

CANDIDATES = (200, 400, 800, 1000)
"""Values of hnsw.ef_search that a probe tries; pgvector takes no more than 1000."""

LINKS, BUILD_CANDIDATES = 16, 64
"""m and ef_construction, pgvector's defaults. At 1,000,000 embeddings with CLIP's spread and ef_search 800 they find
0.96 of 100 matches in 83 ms, where the scan takes 300."""

RECALL_MARGIN = (0, 8, 4)
"""The first pgvector whose vacuum leaves no HNSW index damaged (pgvector's CHANGELOG, 0.8.3 and 0.8.4)."""

LOCK_TIMEOUT = "2s"
"""How long the removal of a broken index may wait for a table: every import waits behind it, no longer than a batch of
its own may take."""

REST_SECONDS = 3600.0
"""How long after a build that failed another is tried: most fail for want of memory or disk, and take minutes to."""


@dataclass(frozen=True)
class IndexLimits:
    """When an index is made, and when it is asked.

    With fewer than `fewest_rows` embeddings none is made: 100,000 are scanned in about 40 ms on two cores. Nor while
    the scan takes no longer than `slow_seconds`, for it costs memory and slows imports. It is asked while it finds the
    share `least_recall` of the true matches in no more than the share `most_cost` of the scan's time: to save less is
    not worth a match that is missing.
    """

    fewest_rows: int = 100_001
    slow_seconds: float = 0.1
    least_recall: float = 0.95
    most_cost: float = 0.7


class Searcher(Protocol):
    """Who can search a table of embeddings, by a scan and by its index."""

    def similarities(self, model: Model, vector: Vector, limit: int, candidates: int | None = None) -> list[float]:
        """The similarities of the `limit` matches of a unit vector of shape (dim,), best first.

        By the index with that hnsw.ef_search when `candidates` are given, else by a scan.
        """

    def random(self, model: Model, count: int) -> Vector:
        """The embeddings of `count` random pictures, fewer when there are fewer, of shape (n, dim)."""


@dataclass(frozen=True)
class Measured:
    """What the index gave for `limit` matches with ef_search at `candidates`: mean recall, and the
    seconds of the quickest search, for whatever else the machine does only adds to them."""

    limit: int
    candidates: int
    recall: float
    seconds: float


@dataclass(frozen=True)
class Probe:
    """What was measured on a table of so many embeddings: the quickest scan, and its valid index if there is one."""

    rows: int
    scan_seconds: float
    indexed: tuple[Measured, ...]

    def choose(self, reach: float, thresholds: IndexLimits) -> Measured | None:
        """How to ask the index for `reach` matches; None when a scan is the better choice."""
        for measured in self.indexed:
            if measured.limit >= reach:
                good = measured.recall >= thresholds.least_recall
                return measured if good and measured.seconds <= thresholds.most_cost * self.scan_seconds else None
        return None


def name(model: Model) -> str:
    """The index of a model's embeddings."""
    return f"embeddings_{model.id}_hnsw"


def prepare(connection: Connection[Any], candidates: int) -> None:
    """Let the rest of the transaction ask the index; with an iterative scan, filters do not starve it so soon."""
    connection.execute(
        """SELECT set_config('hnsw.ef_search', %s, true), set_config('hnsw.iterative_scan', 'relaxed_order', true),
                  set_config('enable_seqscan', 'off', true)""",
        (str(candidates),),
    )


class Hnsw:
    """Makes the indexes, probes them, and says when to ask them. Threads may share this object."""

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
        """How to ask the index for `reach` matches; None when a scan is the better choice. Asks no database."""
        probe = self._probes.get(model.id)
        return probe.choose(reach, self._thresholds) if probe else None

    def probe(self, model: Model) -> Probe | None:
        """The last probe of a model's table; None when it is too small for any."""
        return self._probes.get(model.id)

    def is_wanting(self, model: Model) -> bool:
        """Whether the last look found that an index should be made, or a broken one removed. Asks no database."""
        return model.id in self._wanting and time.monotonic() > self._rest_until

    def look(self, model: Model, *, builds: bool = False) -> None:
        """Probe what has changed since the last look, and if asked for, make the index that is missing.

        To build takes minutes for a large collection. Imports go on meanwhile, and `close` ends it. Raises
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
        """End what `look` does in other threads, now and from now on. A build that has only just begun may need to be
        told again."""
        self._closed.set()
        building = self._building
        if building is not None:
            with suppress(psycopg.Error):
                building.cancel_safe(timeout=5)

    def _state(self, model: Model) -> tuple[int, bool | None]:
        """How many embeddings there are, and whether their index is valid; None when there is none."""
        with self._database.connection() as connection:
            ((rows,),) = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(model.table)).fetchall()
            return rows, _is_valid(connection, model)

    def _measure(self, model: Model, rows: int, *, indexed: bool) -> Probe:
        """Search for random pictures by the scan and, when there is one, by the index."""
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
        """The similarities found for each query, and the least seconds; fewer queries once `close` was called."""
        found, least = list[list[float]](), math.inf
        for query in queries:
            if self._closed.is_set():
                break
            begun = time.perf_counter()
            found.append(self._searcher.similarities(model, query, limit, candidates))
            least = min(least, time.perf_counter() - begun)
        return found, least

    def _drop_broken(self, model: Model) -> bool:
        """Remove what a build that broke off has left; False when that build is still under way, or the table busy.

        A build holds the lock that is asked for here, so whoever has it knows that nobody else builds.
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
        """Make the index; whether there is a valid one now.

        A second builder waits for the first at the table's lock, and then finds nothing to do.
        """
        begun = time.monotonic()
        try:
            with self._database.connect() as connection:
                version = read_versions(connection).vector
                if numbers(version) < RECALL_MARGIN:
                    logger.warning(
                        "pgvector %s can damage the search index when it vacuums it; update it to %s or later",
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
                logger.info("search index: made in %.0f s", time.monotonic() - begun)
                return _is_valid(connection, model) is True
        except psycopg.Error as error:
            if not self._closed.is_set():
                self._rest_until = time.monotonic() + REST_SECONDS
                logger.warning("search index: it could not be made, so searches stay exact: %s", error)
                self._drop_broken(model)
            return False
        finally:
            self._building = None


def _is_valid(connection: Connection[Any], model: Model) -> bool | None:
    """Whether the index may be asked, or is unfinished or broken; None when there is none."""
    row = connection.execute(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", (name(model),)
    ).fetchone()
    return row[0] if row else None


def _recall(found: list[float], true: list[float]) -> float:
    """The share of the true matches that were found; of equally similar pictures any will do."""
    return sum(similarity >= true[-1] for similarity in found) / len(true) if true else 1.0

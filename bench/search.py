"""How fast the nearest pictures are found, and how many of the true ones, in collections with CLIP's spread."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import numpy as np

from bench.parts import folder
from bench.report import Report
from bench.support.collection import fill, spread_like_clip
from core.collection.store import Store
from core.database.connection import Database
from core.database.embedding_tables import Model, Vector
from core.search.nearest import Nearest
from core.settings import Settings

SIZES = (10_000, 100_000)
LIMITS = (20, 100)
QUERIES = 60

SLOWEST = 60.0
"""Milliseconds that 19 of 20 searches among 100,000 pictures may take at most."""

OF_NUMPY = 4.0
"""How many times as long as a scan of the same vectors with numpy they may take."""

REST = 0.1
"""Seconds after a scan with numpy: the threads of its BLAS go on spinning for some 25 ms, on the cores of the next."""

T = TypeVar("T")

CHUNK = 100_000
"""Pictures stored at a time."""


def run(report: Report) -> None:
    """Collections that are scanned."""
    for size in SIZES:
        measure(report, size)


def measure(report: Report, size: int) -> None:
    """Fill a collection of that size, let upkeep make what it would make, and search."""
    vectors = spread_like_clip(size + QUERIES)
    # Stored with half precision, the cosine is that of the rounded vectors: numpy compares the same.
    for start in range(0, len(vectors), CHUNK):
        part = vectors[start : start + CHUNK]
        part[:] = part.astype(np.float16)
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    vectors, queries = vectors[:size], vectors[size:]
    with folder() as path:
        database = Database(Settings(_env_file=None, data_dir=path))
        database.open()
        try:
            model = Store(database).use_model("bench/spread", vectors.shape[1])
            for start in range(0, size, CHUNK):
                fill(database, model, vectors[start : start + CHUNK])
            with database.connect() as connection:
                connection.execute("VACUUM ANALYZE")
            nearest = Nearest(database)
            begun = time.perf_counter()
            nearest.index.look(model, builds=True)
            report.note(f"{size:,} pictures: the first look at the index", time.perf_counter() - begun, "s")
            for limit in LIMITS:
                _searches(report, nearest, model, vectors, queries, limit)
        finally:
            database.close()


def _searches(report: Report, nearest: Nearest, model: Model, vectors: Vector, queries: Vector, limit: int) -> None:
    size = len(vectors)
    row = f"{size:,} pictures, {limit} matches"
    numpy, scan, chosen = list[float](), list[float](), list[float]()
    recalls, asked = list[float](), 0
    for query in queries:  # each in turn, so that whatever else the machine does weighs on all
        seconds, true = timed(partial(_by_numpy, vectors, query, limit))
        numpy.append(seconds)
        time.sleep(REST)
        scan.append(timed(partial(nearest.search, model, query, limit, exact=True))[0])
        seconds, found = timed(partial(nearest.search, model, query, limit))
        chosen.append(seconds)
        asked += found.approximate
        recalls.append(sum(match.similarity >= float(true[-1]) - 1e-6 for match in found.matches) / limit)
    for name, times in (("numpy", numpy), ("scan", scan), ("search", chosen)):
        report.note(f"{row}: {name}, p50", statistics.median(times), "ms")
        report.note(f"{row}: {name}, p95", _p95(times), "ms")
    report.note(f"{row}: searches that asked the index", 100 * asked / len(queries), "%")
    report.note(f"{row}: recall, worst", min(recalls), "")
    if size <= SIZES[-1]:
        report.at_least(f"{row}: recall, mean", statistics.mean(recalls), 1.0, "")
        report.at_most(f"{row}: search, p95", _p95(chosen), SLOWEST, "ms")
        report.at_most(f"{row}: search, of a numpy scan, p95", _p95(chosen) / _p95(numpy), OF_NUMPY)
    else:
        report.at_least(f"{row}: recall, mean", statistics.mean(recalls), 0.98 if limit == 20 else 0.95, "")
        report.at_most(f"{row}: search, of the exact scan, p95", _p95(chosen) / _p95(scan), 1 / 3)


def _by_numpy(vectors: Vector, query: Vector, limit: int) -> Vector:
    """The similarities of the true matches, best first."""
    similarities = vectors @ query
    return np.sort(np.partition(similarities, -limit)[-limit:])[::-1]


def timed(action: Callable[[], T]) -> tuple[float, T]:
    """How many milliseconds it takes, and what it returns."""
    begun = time.perf_counter()
    result = action()
    return (time.perf_counter() - begun) * 1e3, result


def _p95(times: Sequence[float]) -> float:
    return float(np.percentile(times, 95))

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import numpy as np
import psycopg
import pytest
from psycopg import sql

from bench.support.collection import fill, unit_vectors
from bench.support.data import MODEL_SETTING
from bench.support.host import short_folder
from core.background.follower import Follower
from core.background.tasks import Tasks
from core.background.worker import Worker
from core.collection.filters import Filter
from core.collection.store import Store
from core.database.connection import Database, numbers
from core.database.embedded_server import INDEX_MB, EmbeddedPostgres
from core.database.embedding_tables import Model, Purpose, Vector
from core.duplicates.comparison_job import Comparisons
from core.embedding.active_models import ActiveModels
from core.embedding.copy_encoder import load_copy_encoder
from core.embedding.loader import EncoderLoader
from core.indexing.pipeline import Indexer
from core.indexing.sources.reader import SourceReader
from core.media.fetcher import Fetcher
from core.search.hnsw_index import RECALL_MARGIN, IndexLimits, Measured, Probe, name
from core.search.nearest import Nearest
from core.search.query_images import QueryImages
from core.settings import Settings
from core.verification.verifier import Verifier
from tests.support.copy_models import write_onnx

DIM = 16
ROWS = 6_000
EAGER = IndexLimits(fewest_rows=1_000, slow_seconds=0.0, most_cost=1_000.0)
"""An index for any table, asked whatever it takes: tables as small as these are scanned as fast."""

QUERIES = unit_vectors(10, DIM, seed=9)


@pytest.fixture(scope="module")
def full(module_settings: Settings) -> Iterator[Database]:
    """A database of 6,000 pictures without an index; every second one is tagged `half`, five are tagged `rare`."""
    database = Database(module_settings)
    database.open()
    model = Store(database).use_model("test/indexed", DIM)
    tags = [["half"] if number % 2 else ["rare"] if number % 1_200 == 0 else [] for number in range(ROWS)]
    fill(database, model, unit_vectors(ROWS, DIM), tags=tags)
    with database.connect() as connection:
        connection.execute("VACUUM ANALYZE")
    yield database
    database.close()


@pytest.fixture
def model(full: Database) -> Iterator[Model]:
    """The model of those pictures; its index goes after the test."""
    model = Store(full).use_model("test/indexed", DIM)
    yield model
    with full.connection() as connection:
        connection.execute(sql.SQL("DROP INDEX IF EXISTS {}").format(sql.Identifier(name(model))))


def is_valid(database: Database, model: Model) -> bool | None:
    with database.connection() as connection:
        row = connection.execute(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", (name(model),)
        ).fetchone()
        return row[0] if row else None


def wait_for_a_build(database: Database) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with database.connection() as connection:
            query = "SELECT count(*) FROM pg_stat_progress_create_index WHERE tuples_done > 50"
            if connection.execute(query).fetchall()[0][0]:
                return
    raise AssertionError("nobody builds")


def recall(nearest: Nearest, model: Model, limit: int, where: Filter | None = None) -> float:
    """Of `limit` matches, the share that the scan finds, too, over all queries."""
    shares = []
    for query in QUERIES:
        found = nearest.search(model, query, limit, where=where)
        true = nearest.search(model, query, limit, where=where, exact=True)
        assert (found.approximate, true.approximate) == (True, False)
        assert len(found.matches) == limit
        similarities = [match.similarity for match in found.matches]
        assert similarities == sorted(similarities, reverse=True)
        shares.append(len({match.id for match in found.matches} & {match.id for match in true.matches}) / limit)
    return float(np.mean(shares))


@pytest.mark.pooled
def test_a_slow_scan_gets_an_index_that_is_asked_when_it_is_good(full: Database, model: Model) -> None:
    nearest = Nearest(full, EAGER)
    assert not nearest.search(model, QUERIES[0], 20).approximate
    nearest.index.look(model, builds=True)
    assert is_valid(full, model)
    probe = nearest.index.probe(model)
    assert probe is not None
    assert probe.rows == ROWS
    measured = probe.choose(100, EAGER)
    assert measured is not None
    assert nearest.search(model, QUERIES[0], 100).recall == measured.recall
    assert recall(nearest, model, 20) >= 0.95
    assert recall(nearest, model, 100) == pytest.approx(measured.recall, abs=0.05)

    others = Nearest(full, EAGER)
    others.index.look(model, builds=False)
    assert others.search(model, QUERIES[0], 20).approximate, "an index that another process made"

    demanding = Nearest(full, replace(EAGER, least_recall=1.01))
    demanding.index.look(model, builds=False)
    assert not demanding.search(model, QUERIES[0], 20).approximate


@pytest.mark.pooled
def test_filters_never_make_a_search_short(full: Database, model: Model) -> None:
    nearest = Nearest(full, EAGER)
    nearest.index.look(model, builds=True)
    assert recall(nearest, model, 20, Filter(tags=("half",))) >= 0.95
    rare = nearest.search(model, QUERIES[0], 20, where=Filter(tags=("rare",)))
    assert (len(rare.matches), rare.approximate) == (5, False)
    assert nearest.search(model, QUERIES[0], 20, where=Filter(tags=("nobody",))).matches == []
    best = [match.id for match in nearest.search(model, QUERIES[0], 20, exact=True).matches]
    left = nearest.search(model, QUERIES[0], 19, leave_out=best[:1])
    assert left.approximate
    assert best[0] not in {match.id for match in left.matches}


def test_removed_pictures_are_not_found_by_the_index(full: Database, model: Model) -> None:
    nearest = Nearest(full, EAGER)
    nearest.index.look(model, builds=True)
    best = nearest.search(model, QUERIES[0], 5).matches
    with full.connection() as connection:
        connection.execute("UPDATE pictures SET removed_at = now() WHERE id = %s", (best[0].id,))
    found = nearest.search(model, QUERIES[0], 5)
    with full.connection() as connection:
        connection.execute("UPDATE pictures SET removed_at = NULL")
    assert found.approximate
    assert [match.id for match in found.matches][:4] == [match.id for match in best[1:]]


@pytest.mark.parametrize(
    "thresholds",
    [IndexLimits(fewest_rows=ROWS + 1, slow_seconds=0.0), IndexLimits(fewest_rows=1_000, slow_seconds=60.0)],
)
def test_there_is_no_index_while_the_scan_is_quick_enough(
    full: Database, model: Model, thresholds: IndexLimits
) -> None:
    nearest = Nearest(full, thresholds)
    nearest.index.look(model, builds=True)
    assert is_valid(full, model) is None
    assert not nearest.search(model, QUERIES[0], 20).approximate


@pytest.mark.pooled
def test_a_build_that_breaks_off_is_made_again(full: Database, model: Model) -> None:
    stopped = Nearest(full, EAGER)
    thread = threading.Thread(target=stopped.index.look, args=(model,), kwargs={"builds": True})
    thread.start()
    wait_for_a_build(full)
    begun = time.monotonic()
    while thread.is_alive():
        stopped.index.close()
        thread.join(0.1)
    assert time.monotonic() - begun < 5
    assert is_valid(full, model) is False

    nearest = Nearest(full, EAGER)
    with full.connection() as connection:
        connection.execute(sql.SQL("LOCK TABLE {} IN SHARE UPDATE EXCLUSIVE MODE").format(model.table))
        nearest.index.look(model, builds=True)  # as if another process were building
    assert is_valid(full, model) is False
    assert not nearest.search(model, QUERIES[0], 20).approximate
    nearest.index.look(model, builds=True)
    assert is_valid(full, model)
    assert nearest.search(model, QUERIES[0], 20).approximate


@pytest.mark.pooled
def test_an_import_goes_on_while_the_index_is_made(database: Database) -> None:
    model = Store(database).use_model("test/grows", DIM)
    fill(database, model, unit_vectors(10_000, DIM))
    nearest = Nearest(database, EAGER)
    thread = threading.Thread(target=nearest.index.look, args=(model,), kwargs={"builds": True})
    thread.start()
    wait_for_a_build(database)
    added = list[tuple[Vector, UUID]]()
    slowest = 0.0
    while thread.is_alive() and len(added) < 100:
        vectors = unit_vectors(20, DIM, seed=100 + len(added))
        begun = time.monotonic()
        added += zip(vectors, fill(database, model, vectors), strict=True)
        slowest = max(slowest, time.monotonic() - begun)
    building = is_valid(database, model) is False
    thread.join()
    assert building, "the import waited for the index"
    assert slowest < 2
    assert nearest.index.probe(model)
    for vector, id in added[::20]:
        found = nearest.search(model, vector, 20)
        assert found.approximate
        assert found.matches[0].id == id


def test_a_probe_is_repeated_when_the_table_has_grown(database: Database) -> None:
    model = Store(database).use_model("test/grows", DIM)
    fill(database, model, unit_vectors(2_000, DIM))
    nearest = Nearest(database, IndexLimits(fewest_rows=1_000, slow_seconds=60.0))
    nearest.index.look(model, builds=True)
    probe = nearest.index.probe(model)
    fill(database, model, unit_vectors(150, DIM, seed=1))
    nearest.index.look(model, builds=True)
    assert nearest.index.probe(model) is probe
    fill(database, model, unit_vectors(100, DIM, seed=2))
    nearest.index.look(model, builds=True)
    probe = nearest.index.probe(model)
    assert probe is not None
    assert probe.rows == 2_250
    with database.connection() as connection:
        connection.execute("TRUNCATE pictures CASCADE")
    nearest.index.look(model, builds=True)
    assert nearest.index.probe(model) is None


def test_a_starved_index_leaves_the_search_to_the_scan(database: Database) -> None:
    """So many pictures without the tag lie nearer that the iterative scan gives up before it meets one that has it."""
    with database.connect() as connection:
        connection.execute(
            sql.SQL("ALTER DATABASE {} SET hnsw.max_scan_tuples = 500").format(sql.Identifier(connection.info.dbname))
        )
    database.close()
    database.open()
    model = Store(database).use_model("test/starved", DIM)
    near = np.abs(unit_vectors(5_000, DIM))
    fill(database, model, near)
    fill(database, model, -near[:500], tags=[["far"]])
    nearest = Nearest(database, EAGER)
    nearest.index.look(model, builds=True)
    query = np.full(DIM, DIM**-0.5, np.float32)
    assert nearest.search(model, query, 20).approximate
    found = nearest.search(model, query, 20, where=Filter(tags=("far",)))
    assert (len(found.matches), found.approximate) == (20, False)
    assert found.matches[0].similarity < 0


def test_the_index_is_chosen_by_what_was_measured() -> None:
    good, slow, poor = Measured(20, 200, 0.99, 0.01), Measured(100, 800, 0.99, 0.3), Measured(1000, 1000, 0.9, 0.05)
    normal, lenient = IndexLimits(), IndexLimits(least_recall=0.85)
    probe = Probe(1_000_000, 0.2, (good, slow, poor))
    assert [probe.choose(reach, normal) for reach in (1, 20, 20.5, 100, 101, 1000, 1001)] == [good, good, *5 * [None]]
    assert probe.choose(500, lenient) == poor
    assert Probe(1_000_000, 0.4, (good, slow, poor)).choose(50, normal) is None, "it saves too little"
    assert Probe(1_000_000, 0.5, (good, slow, poor)).choose(50, normal) == slow
    assert Probe(1_000_000, 0.2, ()).choose(1, lenient) is None


@pytest.mark.parametrize(("version", "mended"), [("0.8.0", False), ("0.8.3", False), ("0.8.4", True), ("0.10.0", True)])
def test_old_versions_of_pgvector_are_told_from_mended_ones(version: str, mended: bool) -> None:
    assert (numbers(version) >= RECALL_MARGIN) is mended


def test_a_worker_makes_the_indexes_for_the_models_that_searches_use(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    store, nearest, path = Store(database), Nearest(database, EAGER), str(write_onnx(tmp_path / "copy.onnx"))
    loader, copy_loader = EncoderLoader(MODEL_SETTING), EncoderLoader(path, load_copy_encoder)
    used = list[Model]()
    loaders: dict[Purpose, EncoderLoader] = {"content": loader, "copy": copy_loader}
    for purpose, each in loaders.items():
        each.start()
        encoder = each.get(60)
        used.append(store.use_model(encoder.name, encoder.dim, each.state.model, purpose))
        fill(database, used[-1], unit_vectors(1_500, encoder.dim))
    models, copy_models = ActiveModels(store, loader), ActiveModels(store, copy_loader, purpose="copy")
    fetcher = Fetcher(settings)
    indexer = Indexer(settings, database, store, fetcher)
    images = QueryImages(database, timedelta(days=1))
    verifier = Verifier(store)
    reader = SourceReader(settings, database, store, fetcher)
    tasks = Tasks(
        database, store, models, indexer, reader, Comparisons(database), nearest, images, verifier, copy_models
    )
    worker, follower = Worker(database, tasks), Follower(models, nearest, copy_models)
    worker.start()
    follower.start()
    deadline = time.monotonic() + 60
    while not all(nearest.search(model, unit_vectors(1, model.dim)[0], 20).approximate for model in used):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    worker.stop()
    follower.stop()
    indexer.close()
    fetcher.close()
    for active, each in ((models, loader), (copy_models, copy_loader)):
        active.close()
        each.close()
    assert all(is_valid(database, model) for model in used)
    assert not [thread for thread in threading.enumerate() if thread.name in ("worker", "follower")]


def test_our_own_server_has_memory_for_the_index() -> None:
    with short_folder() as folder:
        server = EmbeddedPostgres(folder)
        try:
            with psycopg.connect(server.start()) as connection:
                settings = """SELECT pg_size_bytes(current_setting('maintenance_work_mem')),
                                     current_setting('max_parallel_maintenance_workers')"""
                assert connection.execute(settings).fetchone() == (INDEX_MB << 20, "0")
                assert INDEX_MB >= 1024
        finally:
            server.stop()

"""An import that app, worker and database die under, again and again."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from bench.support.app import App
from bench.support.data import many_files
from bench.support.webserver import WebServer
from core.indexing.item_loader import MAX_ATTEMPTS
from core.indexing.pipeline import BATCH
from tests.support.haste import SHORT_LEASES
from tests.support.worker import WorkerProcess

GOOD, REPEATED, GONE = 300, 30, 20
ITEMS = GOOD + REPEATED + GONE
VICTIMS = ["app", "worker", "database", "database"]
CONSTANTS: dict[str, object] = {**SHORT_LEASES, "core.indexing.pipeline.WINDOW": 2 * BATCH}
"""Fewer items at a time in one hand, in proportion to how few there are: else most would be lost twice, and then done
one by one."""

FINISH_SECONDS = 300

ORPHANS = """
    SELECT (SELECT count(*) FROM pictures p WHERE NOT EXISTS (SELECT FROM {embeddings} WHERE picture = p.id)),
           (SELECT count(*) FROM pictures p WHERE NOT EXISTS (SELECT FROM thumbnails WHERE picture = p.id)),
           (SELECT count(*) FROM pictures p WHERE NOT EXISTS (SELECT FROM sources WHERE picture = p.id)),
           (SELECT count(*) FROM {embeddings} e WHERE NOT EXISTS (SELECT FROM pictures WHERE id = e.picture)),
           (SELECT count(*) FROM thumbnails t WHERE NOT EXISTS (SELECT FROM pictures WHERE id = t.picture)),
           (SELECT count(*) FROM sources s WHERE NOT EXISTS (SELECT FROM pictures WHERE id = s.picture)),
           (SELECT count(*) FROM items i WHERE status IN ('indexed', 'already_there')
               AND NOT EXISTS (SELECT FROM sources WHERE key = i.key AND picture = i.picture))"""
"""Rows that belong to nothing, of every kind there is."""


class Onlooker:
    """Reads the embedded database of an app, and helps nobody: it starts no server and holds no connection."""

    def __init__(self, app: App) -> None:
        pgdata = next(app.folder.joinpath("data").rglob("postmaster.pid")).parent
        self._url = f"postgresql://postgres@/postgres?host={pgdata}&connect_timeout=2"

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """The answer. Raises psycopg.OperationalError while the server is away."""
        with psycopg.connect(self._url) as connection:
            return connection.execute(query.encode()).fetchall()

    def finished(self) -> int:
        """How many items have a final state, as far as can be seen now."""
        with contextlib.suppress(psycopg.OperationalError):
            return int(self.rows("SELECT count(*) FROM items WHERE status <> 'waiting'")[0][0])
        return 0


@contextmanager
def a_site() -> Iterator[tuple[WebServer, list[str]]]:
    """A site, and the addresses of ITEMS pictures there: some have the same bytes as others, some are gone."""
    files = many_files(GOOD)
    pages = {f"/{number}.jpg": file for number, file in enumerate(files)}
    pages |= {f"/again-{number}.jpg": file for number, file in enumerate(files[:REPEATED])}
    with WebServer(pages) as site:
        yield site, [site.url(path) for path in [*pages, *(f"/gone-{number}.jpg" for number in range(GONE))]]


def worker_of(app: App) -> WorkerProcess:
    return WorkerProcess(app.folder, "worker", constants=CONSTANTS)


def test_kill_9_again_and_again_loses_nothing_and_repeats_nothing() -> None:
    chance = random.Random(3)
    victims = chance.sample(VICTIMS, len(VICTIMS))
    moments = sorted(chance.sample(range(ITEMS * 2 // 3), len(VICTIMS)))
    with a_site() as (site, urls), App(constants=CONSTANTS) as app, worker_of(app) as worker:
        chance.shuffle(urls)
        import_id = app.post("/api/upsert", json={"images": urls})["import"]
        onlooker = Onlooker(app)
        deadline = time.monotonic() + FINISH_SECONDS

        def wait_for(finished: int) -> None:
            while (now := onlooker.finished()) < finished:
                assert time.monotonic() < deadline, f"{now} of {finished}\n{app.read_log()}\n{worker.read_log()}"
                time.sleep(0.02)

        for victim, moment in zip(victims, moments, strict=True):
            wait_for(moment)
            time.sleep(chance.uniform(0, 0.3))
            assert onlooker.finished() < ITEMS, "too late to be a test"
            if victim == "app":
                app.kill()
                app.launch()
            elif victim == "worker":
                worker.kill()
                worker.start()
            else:
                app.postgres().kill()
        wait_for(ITEMS)

        counts = dict(onlooker.rows(f"SELECT status, count(*) FROM items WHERE import = {import_id} GROUP BY status"))
        assert counts == {"indexed": GOOD, "already_there": REPEATED, "failed": GONE}
        assert onlooker.rows("SELECT count(*), count(DISTINCT sha256) FROM pictures") == [(GOOD, GOOD)]
        assert onlooker.rows("SELECT count(*) FROM sources") == [(GOOD + REPEATED,)]
        tables = onlooker.rows("SELECT 'embeddings_' || id FROM models")
        assert len(tables) == 2  # of what a picture shows, and of which one it is
        for (table,) in tables:
            assert set(onlooker.rows(ORPHANS.format(embeddings=table))[0]) == {0}
        [(least, most)] = onlooker.rows("SELECT min(attempts), max(attempts) FROM items")
        assert 1 <= least <= most <= MAX_ATTEMPTS
        assert set(onlooker.rows("SELECT DISTINCT reason FROM items WHERE status = 'failed'")) == {
            (f"{site.host} answered 404: the picture is not there any more.",)
        }
        assert max(site.hits.values()) <= 1 + len(VICTIMS)

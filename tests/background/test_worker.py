"""Workers as processes of their own: stopped, killed and bereft of their database."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.support.collection import fill, unit_vectors
from bench.support.data import many_files
from bench.support.host import short_folder
from bench.support.webserver import Visit, WebServer
from core.background.worker import IMPORTS_POLL_SECONDS
from core.collection.store import Store
from core.database.connection import Database
from core.database.embedded_server import EmbeddedPostgres
from core.database.job_queue import SILENCE, count_processes
from core.duplicates.comparison_job import Comparisons
from core.duplicates.groups import Duplicates, KeepRule
from core.duplicates.near_copies import has_unpaired
from core.engine import Engine
from core.indexing.claims import GIVEN_UP, GIVEN_UP_REASON, Claims
from core.indexing.imports import Imports
from core.indexing.item_loader import PER_HOST
from core.indexing.pipeline import LEASE
from core.media.urls import key_of
from core.settings import Settings
from tests.support.haste import HASTE, SHORT_LEASES
from tests.support.worker import WorkerProcess

FILES = many_files(150)

SMALL_WINDOW: dict[str, object] = {**HASTE, "core.indexing.pipeline.WINDOW": 32}
"""A worker then takes 64 items at once, in two runs, so that some are left for the other."""

PATIENCE = 90.0


def wait_until(true: Callable[[], object], *workers: WorkerProcess, seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "\n".join(worker.read_log() for worker in workers)
        time.sleep(0.05)


def workers_there(database: Database) -> int:
    """How many processes' workers are registered in the queue."""
    with database.connection() as connection:
        return count_processes(connection)


def submit(ledger: Imports, urls: list[str]) -> int:
    return ledger.submit("test", [(key_of(url), url) for url in urls]).id


def agent(visit: Visit) -> str:
    return visit.headers["User-Agent"]


class Site(WebServer):
    """Serves the files as /0.jpg, /1.jpg, …; `before` is called before each answer."""

    def __init__(self, before: Callable[[Visit], object]) -> None:
        def page(file: bytes) -> Callable[[Visit], None]:
            def answer(visit: Visit) -> None:
                before(visit)
                visit.answer(file)

            return answer

        super().__init__({f"/{number}.jpg": page(file) for number, file in enumerate(FILES)})

    @property
    def urls(self) -> list[str]:
        return [self.url(path) for path in self.pages]


@pytest.fixture
def ledger(database: Database) -> Imports:
    return Imports(database)


@pytest.fixture
def start(settings: Settings, tmp_path: Path) -> Iterator[Callable[..., WorkerProcess]]:
    """Starts workers for the database of the settings."""
    assert settings.postgres_url is not None
    url, started = settings.postgres_url.get_secret_value(), list[WorkerProcess]()

    def start(name: str, constants: Mapping[str, object] = HASTE, *, afresh: bool = False) -> WorkerProcess:
        environment = {"POSTGRES_URL": url, "COPY_MODEL": "off"}
        started.append(WorkerProcess(tmp_path, name, afresh=afresh, constants=constants, **environment))
        started[-1].start()
        return started[-1]

    yield start
    for worker in started:
        worker.kill()


Start = Callable[..., WorkerProcess]


@pytest.mark.pooled(only=True)
def test_two_workers_share_an_import_and_never_do_an_item_twice(
    database: Database, ledger: Imports, start: Start
) -> None:
    seen, both = set[str](), threading.Event()
    lock, at_once, most = threading.Lock(), 0, 0

    def until_both_came(visit: Visit) -> None:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        seen.add(agent(visit))
        if len(seen) == 2:
            both.set()
        both.wait(5)  # less than the silence that a fetch bears
        time.sleep(0.02)
        with lock:
            at_once -= 1

    workers = [start(name, SMALL_WINDOW) for name in ("one", "two")]
    with Site(until_both_came) as site:
        wait_until(lambda: all("2 processes share the limit" in worker.read_log() for worker in workers), *workers)
        import_id = submit(ledger, site.urls)
        wait_until(lambda: ledger.read(import_id).done, *workers)
        assert ledger.read(import_id).indexed == len(FILES)
        assert set(site.hits.values()) == {1}
        assert len(seen) == 2
        assert most == PER_HOST
        wait_until(lambda: not has_unpaired(database), *workers)
    for worker in workers:
        worker.tell_to_stop()
    assert [worker.wait(15) for worker in workers] == [0, 0]
    assert workers_there(database) == 0
    with database.connection() as connection:
        left = connection.execute(
            """SELECT count(*) FILTER (WHERE status <> 'todo'), (SELECT count(*) FROM procrastinate_events) - count(*)
               FROM procrastinate_jobs"""
        ).fetchone()
    assert left == (0, 0), "jobs that nobody has taken yet may wait, finished ones leave nothing"


def test_a_worker_told_to_stop_gives_the_rest_back_and_leaves(
    database: Database, ledger: Imports, start: Start
) -> None:
    stuck = threading.Event()

    def last_ones_hang(visit: Visit) -> None:
        if visit.server.site.hits.total() > 60:
            stuck.set()
            visit.server.site.closing.wait(PATIENCE)

    worker = start("one", {}, afresh=True)
    with Site(last_ones_hang) as site:
        urls = site.urls
        import_id = submit(ledger, urls)
        wait_until(stuck.is_set, worker)
        wait_until(lambda: ledger.read(import_id).indexed > 0, worker)
        worker.tell_to_stop()
        assert worker.wait(10) == 0, worker.read_log()
    entry = ledger.read(import_id)
    assert entry.indexed > 0
    assert entry.failed == 0
    assert len(Claims(database).claim(import_id, len(urls), LEASE)) == entry.waiting == len(urls) - entry.indexed
    assert "Traceback" not in worker.read_log()


def test_a_killed_workers_items_are_picked_up_by_another(ledger: Imports, start: Start) -> None:
    holding, killed = threading.Event(), threading.Event()

    def the_first_hangs(visit: Visit) -> None:
        if "(+first)" in agent(visit):
            holding.set()
            killed.wait(PATIENCE)
        holding.wait(5)

    with Site(the_first_hangs) as site:
        first = start("first", SHORT_LEASES)
        urls = site.urls
        import_id = submit(ledger, urls)
        wait_until(holding.is_set, first)
        second = start("second", SHORT_LEASES)
        first.kill()
        killed.set()
        wait_until(lambda: ledger.read(import_id).done, second)
    assert ledger.read(import_id).indexed == len(urls)


def test_an_item_that_kills_its_worker_every_time_is_given_up_and_the_others_are_not(
    database: Database, ledger: Imports, start: Start
) -> None:
    killed = threading.Semaphore(0)
    poison = "/7.jpg"

    def kills(visit: Visit) -> None:
        if visit.path == poison:
            worker.kill()
            killed.release()

    with Site(kills) as site:
        urls = site.urls[:40]
        import_id = submit(ledger, urls)
        for _ in range(GIVEN_UP):
            worker = start("one")
            assert killed.acquire(timeout=PATIENCE), worker.read_log()
            with database.connection() as connection:  # as if the lease had run out meanwhile
                connection.execute("UPDATE items SET next_try_at = now() WHERE status = 'waiting'")
        worker = start("one")
        wait_until(lambda: ledger.read(import_id).done, worker)
        assert site.hits[poison] == GIVEN_UP
    assert [(failure.url, failure.reason) for failure in ledger.failures(import_id)] == [
        (site.url(poison), GIVEN_UP_REASON)
    ]
    assert ledger.read(import_id).indexed == len(urls) - 1
    assert ledger.retry_failed(import_id) == 1
    assert len(Claims(database).claim(import_id, 1, LEASE)) == 1


def test_a_worker_goes_on_when_its_database_is_back(tmp_path: Path) -> None:
    calm, stopped = threading.Event(), threading.Event()

    def waits_in_the_middle(visit: Visit) -> None:
        if visit.server.site.hits.total() > 30:
            calm.set()
            stopped.wait(PATIENCE)

    with short_folder() as folder, Site(waits_in_the_middle) as site:
        server = EmbeddedPostgres(folder)
        database = Database(Settings(_env_file=None, postgres_url=server.start()))
        database.open()
        ledger = Imports(database)
        with WorkerProcess(
            tmp_path, "one", constants=SHORT_LEASES, POSTGRES_URL=server.conninfo, COPY_MODEL="off"
        ) as worker:
            urls = site.urls[:64]
            import_id = submit(ledger, urls)
            wait_until(calm.is_set, worker)
            server.stop()
            stopped.set()
            wait_until(lambda: "restarting" in worker.read_log(), worker)
            server.start()
            wait_until(lambda: ledger.read(import_id).done, worker)
            assert ledger.read(import_id).indexed == len(urls)
            worker.tell_to_stop()
            assert worker.wait(15) == 0
        database.close()
        server.stop()


def test_a_process_without_workers_works_on_nothing(settings: Settings, database: Database, ledger: Imports) -> None:
    engine = Engine(settings.model_copy(update={"workers": 0}))
    engine.start()
    engine.wait_until_ready(60)
    try:
        with WebServer({"/0.jpg": FILES[0]}) as site:
            entry = engine.imports.submit("nobody works on it", [(key_of(site.url("/0.jpg")), site.url("/0.jpg"))])
            time.sleep(2 * IMPORTS_POLL_SECONDS)
            assert site.hits.total() == 0
        assert engine.imports.read(entry.id).waiting == 1
        assert workers_there(database) == 0
        assert "worker" not in {thread.name for thread in threading.enumerate()}
    finally:
        engine.close()


def test_an_engine_closed_while_it_starts_leaves_no_worker_behind(settings: Settings) -> None:
    engine = Engine(settings)
    engine.start()
    engine.close()
    assert engine.worker is None or engine.worker.state == "stopped"
    assert "worker" not in {thread.name for thread in threading.enumerate()}


def test_a_comparison_is_made_by_one_worker_and_by_another_when_that_dies(database: Database, start: Start) -> None:
    model = Store(database).use_model("test/sixteen", 16)
    vectors = unit_vectors(50, 16)
    ids = fill(database, model, np.concatenate([vectors, vectors[:1]]))
    comparisons = Comparisons(database)
    first = start("first")
    with database.connect() as connection, connection.transaction():
        connection.execute("LOCK TABLE lookalikes")  # so that it lasts: what is found goes there
        comparisons.ask(model, 0.99)
        wait_until(lambda: comparisons.read(model).running, first)
        second = start("second")
        wait_until(lambda: "2 processes share the limit" in second.read_log(), second)
        with database.connection() as looking:
            at_it = looking.execute(
                "SELECT task_name FROM procrastinate_jobs WHERE task_name = 'compare' AND status = 'doing'"
            ).fetchall()
        assert len(at_it) == 1, "the second passes by"
        first.kill()
    with database.connection() as connection:  # as if nothing had been heard of the first for so long
        connection.execute(
            """UPDATE procrastinate_workers SET last_heartbeat = now() - %s
               WHERE id IN (SELECT worker_id FROM procrastinate_jobs WHERE task_name = 'compare')""",
            (SILENCE,),
        )
    wait_until(lambda: comparisons.read(model).made_at, second)
    [group] = Duplicates(database).lookalikes(model, 0.99, KeepRule())
    assert set(group.pictures) == {ids[0], ids[50]}


@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        ("PORT", "many", "These settings are invalid. PORT: "),
        ("POSTGRES_URL", "postgresql://me:p@ss:w@host/x", "POSTGRES_URL cannot be read;"),
        ("CLIP_MODEL", "local-dir:/nowhere", "there is no folder /nowhere: correct the path."),
    ],
)
def test_a_worker_that_cannot_work_says_why_and_ends(tmp_path: Path, setting: str, value: str, sentence: str) -> None:
    environment: dict[str, Any] = {setting: value}
    with WorkerProcess(tmp_path, "one", **environment) as worker:
        assert worker.wait(PATIENCE) == 1
        assert sentence in worker.read_log()
        assert "Traceback" not in worker.read_log()

"""One embedded Postgres for the whole run, and in it a fresh database for each test that asks."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import huggingface_hub
import psycopg
import pytest
from psycopg import sql
from starlette.applications import Starlette
from starlette.testclient import TestClient

from bench.support.data import MODEL
from bench.support.fakehub import FakeHub
from bench.support.host import free_port, short_folder
from bench.support.launch import fork_from_now_on
from core.api.routes import routes
from core.database.connection import Database
from core.database.embedded_server import EmbeddedPostgres
from core.database.migrations import migrate
from core.engine import Engine
from core.settings import Settings
from tests.support.databases import database_url, settings_for, temporary_database
from tests.support.pgbouncer import pgbouncer, pooled_url

TEMPLATE = "migrated"

LONGEST = [
    *("test_search", "test_worker", "test_match_gallery", "test_outage", "test_app", "test_chaos"),
    *("test_reembedding", "test_crop", "test_crash", "test_tune", "test_imports", "test_copy_backfill"),
    *("test_collection", "test_accessibility", "test_duplicates", "test_picture_grid"),
]
"""Files that take half a minute and more, the longest first, so that no worker of pytest-xdist is left alone with one
at the end; those that mostly wait (for leases, for kills) take turns with those that keep a browser busy."""

if "PYTEST_XDIST_WORKER" in os.environ:  # several models at once on few cores: threads that wait must not spin
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

fork_from_now_on()

Way = Callable[[str], str]
"""What a test makes of a database's URL before it uses it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by what it uses, and put the longest files first."""
    for item in items:
        for mark in _marks(item):
            item.add_marker(mark)
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


def _marks(item: pytest.Item) -> Iterator[str]:
    """`browser`, `database` and `slow`, from a test's folder, its fixtures and what its file imports."""
    fixtures = getattr(item, "fixturenames", ())
    used = set(vars(getattr(item, "module", None) or object))
    processes = bool(used & {"App", "WorkerProcess"})
    if item.path.parent.name == "browser":
        yield "browser"
    if "postgres" in fixtures or "EmbeddedPostgres" in used or processes:
        yield "database"
    if processes or "make_vit_b_32" in used:
        yield "slow"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests marked `pooled` run twice: on the server itself, and through a pooler. Slow ones, `pooled(only=True)`, run
    through the pooler: whatever works there works on the server."""
    mark = metafunc.definition.get_closest_marker("pooled")
    if mark is not None and "way" in metafunc.fixturenames:
        ways = ["pooled"] if mark.kwargs.get("only") else ["direct", "pooled"]
        metafunc.parametrize("way", ways, indirect=True, scope="module")


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """A running server."""
    with short_folder() as folder:
        server = EmbeddedPostgres(folder)
        server.start()
        yield server
        server.stop()


@pytest.fixture(scope="session")
def template(postgres: EmbeddedPostgres) -> str:
    """The name of a migrated, empty database to copy from."""
    with psycopg.connect(postgres.conninfo, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
    with psycopg.connect(database_url(postgres, TEMPLATE), autocommit=True) as connection:
        migrate(connection)
    return TEMPLATE


@pytest.fixture(scope="session")
def pooler(postgres: EmbeddedPostgres) -> Iterator[int]:
    """The port of a PgBouncer as strict as a managed service's: transactions only, two connections, TLS."""
    port = free_port()
    with pgbouncer(postgres, port, pool_size=2, secure=True):
        yield port


@pytest.fixture(scope="module")
def way(request: pytest.FixtureRequest) -> Way:
    """The way to the databases of `settings` and `module_settings`: direct, but for tests marked `pooled`."""
    if getattr(request, "param", "direct") == "direct":
        return lambda url: url
    port = request.getfixturevalue("pooler")
    return lambda url: pooled_url(url, port, "require")


@pytest.fixture
def empty_database(postgres: EmbeddedPostgres) -> Iterator[str]:
    """The URL of a database with nothing in it."""
    with temporary_database(postgres, "template1") as url:
        yield url


@pytest.fixture
def settings(postgres: EmbeddedPostgres, template: str, way: Way, tmp_path: Path) -> Iterator[Settings]:
    """Settings for a fresh, migrated database of the session's server."""
    with temporary_database(postgres, template) as url:
        yield settings_for(way(url), tmp_path)


@pytest.fixture(scope="module")
def module_settings(
    postgres: EmbeddedPostgres, template: str, way: Way, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Settings]:
    """The same, for a database that all tests of a module share."""
    with temporary_database(postgres, template) as url:
        yield settings_for(way(url), tmp_path_factory.mktemp("data"))


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    """That database, open."""
    database = Database(settings)
    database.open()
    yield database
    database.close()


@pytest.fixture
def use_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Points the library to a hub and an empty cache, as HF_ENDPOINT and HF_HOME do before it is imported."""

    def use(url: str, cache: Path = tmp_path / "hub") -> Path:
        constants = huggingface_hub.constants
        monkeypatch.setattr(constants, "ENDPOINT", url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
        return cache

    yield use
    huggingface_hub.close_session()


@pytest.fixture
def hub(use_hub: Callable[[str], Path]) -> Iterator[FakeHub]:
    """A model hub that has test/small, and nothing of it in the cache."""
    with FakeHub({"test/small": MODEL}) as hub:
        use_hub(hub.url)
        yield hub


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address where nobody answers: the port is taken and not listened on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture(scope="module")
def engine(module_settings: Settings) -> Iterator[Engine]:
    """The engine on `module_settings`, ready."""
    made = Engine(module_settings)
    made.start()
    made.wait_until_ready(60)
    yield made
    made.close()


@pytest.fixture(scope="module")
def client(engine: Engine) -> TestClient:
    """The API of that engine."""
    return client_of(engine)


def client_of(engine: Engine) -> TestClient:
    """The API of an engine, as a caller meets it."""
    return TestClient(Starlette(routes=routes(lambda: engine, engine.settings)), raise_server_exceptions=False)

"""The database: opening, pooling, healing, migrating, and its sentences when something is wrong."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest
from pgvector import HalfVector
from procrastinate.schema import SchemaManager

import core.database.connection
import core.database.migrations
from bench.support.host import free_port, short_folder
from core.database.connection import Database, Versions
from core.database.embedded_server import EmbeddedPostgres
from core.database.migrations import SCHEMA, migrate
from core.errors import DatabaseError
from core.settings import Settings
from tests.support.databases import database_url
from tests.support.pgbouncer import pgbouncer, pooled_url


def at(url: str | None, data_dir: Path = Path("unused")) -> Database:
    return Database(Settings(_env_file=None, postgres_url=url, data_dir=data_dir))


def failure(url: str) -> str:
    """What opening that URL says."""
    database = at(url)
    with pytest.raises(DatabaseError) as caught:
        database.open()
    assert not database.is_open
    seen: BaseException | None = caught.value
    while seen is not None and not seen.__suppress_context__:
        seen = seen.__cause__ or seen.__context__
        assert "s3cret" not in str(seen)
    assert "s3cret" not in str(caught.value)
    return str(caught.value)


def value(database: Database, statement: str) -> object:
    with database.connection() as connection:
        row = connection.execute(statement.encode()).fetchone()
        assert row is not None
        return row[0]


def test_opens_with_the_extension_and_every_table(database: Database) -> None:
    assert database.is_open
    assert not database.embedded
    assert value(database, "SELECT '[3,4]'::halfvec(2) <=> '[3,4]'::halfvec(2)") == 0
    assert value(database, "SELECT to_regclass('pictures')::text") == "pictures"
    assert value(database, "SELECT count(*) FROM procrastinate_jobs") == 0
    assert value(database, "SELECT current_setting('application_name')") == "lookalike"
    database.check()


def test_a_block_is_one_transaction(database: Database) -> None:
    with database.connection() as connection:
        connection.execute("CREATE TABLE kept (n integer)")
    with pytest.raises(KeyboardInterrupt), database.connection() as connection:
        connection.execute("INSERT INTO kept VALUES (1)")
        raise KeyboardInterrupt
    assert value(database, "SELECT count(*) FROM kept") == 0


def test_errors_of_statements_pass_as_they_are(database: Database) -> None:
    with pytest.raises(psycopg.errors.UndefinedTable), database.connection() as connection:
        connection.execute("SELECT * FROM nothing")
    with pytest.raises(psycopg.errors.QueryCanceled), database.connection() as connection:
        connection.execute("SET LOCAL statement_timeout = 10")
        connection.execute("SELECT pg_sleep(10)")


def test_closed_and_opened_again(settings: Settings) -> None:
    database = Database(settings)
    with pytest.raises(DatabaseError, match="not open"):
        database.check()
    for _ in range(2):
        database.open()
        database.open()
        database.check()
        database.close()
        assert not database.is_open


def test_a_connection_cut_in_a_block_is_a_sentence_and_the_next_block_works(database: Database) -> None:
    with pytest.raises(DatabaseError, match="connection to the database was lost"), database.connection() as one:
        pid = one.info.backend_pid
        with database.connection() as other:
            other.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,))
        one.execute("SELECT 1")
    database.check()


def test_idle_connections_that_were_cut_are_never_lent(database: Database, postgres: EmbeddedPostgres) -> None:
    database.check()
    with psycopg.connect(postgres.conninfo) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s",
            (psycopg.conninfo.conninfo_to_dict(database.conninfo)["dbname"],),
        )
    database.check()


def test_a_busy_pool_is_waited_for_and_then_a_sentence(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core.database.connection, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(core.database.connection, "POOL_SECONDS", 0.3)
    with ThreadPoolExecutor(10) as threads:
        ready, release = threading.Barrier(11), threading.Event()

        def hold() -> None:
            with database.connection():
                ready.wait()
                release.wait()

        holds = [threads.submit(hold) for _ in range(10)]
        ready.wait(timeout=30)
        with pytest.raises(DatabaseError, match="too busy"):
            database.check()
        release.set()
        for one in holds:
            one.result()
    database.check()


# --- the embedded server


def kill_server(data_dir: Path) -> None:
    """Kill the server as the kernel would, and wait until its children have followed it."""
    server = psutil.Process(int((data_dir / "postgres" / "postmaster.pid").read_text().split()[0]))
    family = [server, *server.children()]
    server.kill()
    psutil.wait_procs(family, timeout=10)


def test_a_dead_embedded_server_heals_within_a_block() -> None:
    with short_folder() as folder:
        database = at(None, folder)
        database.open()
        assert database.embedded
        with database.connection() as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
        kill_server(folder)
        assert value(database, "SELECT n FROM kept") == 1
        database.close()


def test_an_app_that_just_exits_leaves_no_server_and_no_noise() -> None:
    script = """
        import sys
        from pathlib import Path
        from core.database.connection import Database
        from core.settings import Settings
        database = Database(Settings(_env_file=None, postgres_url=None, data_dir=Path(sys.argv[1])))
        database.open()
        database.check()
        """
    with short_folder() as folder:
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script), str(folder)],
            cwd=Path(__file__).resolve().parents[2],
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        assert not (folder / "postgres" / "postmaster.pid").exists()
        assert (folder / "postgres" / "PG_VERSION").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a small disk")
def test_a_full_disk_is_a_sentence_and_costs_no_row() -> None:
    with short_folder() as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300m,mode=755", "none", str(folder)], check=True)
        try:
            database = at(None, folder)
            database.open()
            with database.connection() as connection:
                connection.execute("CREATE TABLE kept AS SELECT 1 AS n, '' AS filler")
                connection.execute("SELECT pg_switch_wal()")
            ballast = folder / "ballast"
            ballast.write_bytes(bytes(shutil.disk_usage(folder).free - 4_000_000))
            rows = 1
            with pytest.raises(DatabaseError, match="disk of the database is full; free some space"):
                for _ in range(100):
                    with database.connection() as connection:
                        connection.execute("INSERT INTO kept SELECT 1, repeat('x', 1000) FROM generate_series(1, 1000)")
                    rows += 1000
            kill_server(folder)
            with pytest.raises(DatabaseError, match="MB free, but the database needs 200 MB to start"):
                database.check()
            ballast.unlink()
            assert value(database, "SELECT count(*) FROM kept") == rows
            database.close()
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


# --- a database that cannot be reached


def test_nothing_listens() -> None:
    port = free_port()
    said = failure(f"postgresql://me:s3cret@127.0.0.1:{port}/x")
    assert said.startswith(f"No database answers at 127.0.0.1:{port};")


def test_an_unknown_host() -> None:
    assert failure("postgres://me:s3cret@nowhere.invalid/x").startswith(
        "The database's host nowhere.invalid is unknown;"
    )


def test_a_silent_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(core.database.connection.CONNECTION, "connect_timeout", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert "did not answer in time" in failure(f"postgresql://me:s3cret@127.0.0.1:{silent.getsockname()[1]}/x")


def test_an_unknown_database_and_an_unknown_user(postgres: EmbeddedPostgres) -> None:
    assert "has no database called nothing;" in failure(database_url(postgres, "nothing"))
    nobody = database_url(postgres, "postgres").replace("postgres@", "nobody:s3cret@")
    assert "has no user called nobody;" in failure(nobody)


def test_a_wrong_password(postgres: EmbeddedPostgres) -> None:
    rules = postgres.pgdata / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text("local all guarded scram-sha-256\n" + before)
    with psycopg.connect(postgres.conninfo, autocommit=True) as admin:
        admin.execute("CREATE ROLE guarded LOGIN PASSWORD 'right'")
        admin.execute("SELECT pg_reload_conf()")
        url = database_url(postgres, "postgres")
        try:
            with suppress(psycopg.OperationalError):
                while True:  # until the server has read its rules again
                    psycopg.connect(url.replace("postgres@", "guarded@", 1)).close()
            wrong = failure(url.replace("postgres@", "guarded:s3cret@", 1))
            missing = failure(url.replace("postgres@", "guarded@", 1))
        finally:
            rules.write_text(before)
            admin.execute("DROP ROLE guarded")
            admin.execute("SELECT pg_reload_conf()")
    assert "refused the user name or the password" in wrong
    assert missing == wrong


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:s3cret@s3cret@host/x",
        "postgresql://me:s3cret/s3cret@host/x",
        "postgresql://me:a:s3cret/@host/x",
        "postgresql://me:%zs3cret@host/x",
        "postgresql://me:s3cret@host:54x32/x",
    ],
)
def test_a_mistyped_url_is_not_repeated(url: str) -> None:
    assert failure(url).startswith("POSTGRES_URL cannot be read;")


def test_an_unknown_parameter_is_named() -> None:
    assert "has the parameter pgbouncer," in failure("postgresql://me:s3cret@host/x?pgbouncer=true")


def test_open_works_when_the_database_is_up_at_last(postgres: EmbeddedPostgres, empty_database: str) -> None:
    port = free_port()
    database = at(pooled_url(empty_database, port))
    with pytest.raises(DatabaseError, match="No database answers"):
        database.open()
    with pgbouncer(postgres, port):
        database.open()
        database.check()
        database.close()


def test_a_database_that_goes_away_and_comes_back(
    postgres: EmbeddedPostgres, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core.database.connection, "PATIENCE_SECONDS", 0.5)
    assert settings.postgres_url is not None
    port = free_port()
    database = at(pooled_url(settings.postgres_url.get_secret_value(), port))
    with pgbouncer(postgres, port):
        database.open()
        database.check()
    with pytest.raises(DatabaseError, match="No database answers at 127"):
        database.check()
    with pgbouncer(postgres, port):
        database.check()
        database.close()


# --- migrations


def test_migrations_are_applied_once(empty_database: str) -> None:
    with psycopg.connect(empty_database, autocommit=True) as connection:
        applied = migrate(connection)
        assert [name for name in applied if "/" not in name] == sorted(path.stem for path in SCHEMA.glob("*.sql"))
        assert "procrastinate/00.00.00_01_initial" in applied
        assert migrate(connection) == []


def test_migrations_from_two_threads_at_once(empty_database: str) -> None:
    databases = [at(empty_database) for _ in range(2)]
    with ThreadPoolExecutor(2) as threads:
        for one in [threads.submit(database.open) for database in databases]:
            one.result()
    for database in databases:
        database.check()
        database.close()


def test_a_new_migration_file_is_applied_alone(
    empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core.database.migrations, "SCHEMA", tmp_path)
    (tmp_path / "001_first.sql").write_text("CREATE TABLE first (n integer); INSERT INTO first VALUES (1);")
    with psycopg.connect(empty_database, autocommit=True) as connection:
        assert "001_first" in migrate(connection)
        (tmp_path / "002_second.sql").write_text("ALTER TABLE first ADD m text DEFAULT '100 % {}';")
        assert migrate(connection) == ["002_second"]
        assert connection.execute("SELECT * FROM first").fetchall() == [(1, "100 % {}")]


def test_a_failing_migration_changes_nothing(
    empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core.database.migrations, "SCHEMA", tmp_path)
    (tmp_path / "001_wrong.sql").write_text("CREATE TABLE first (n integer); SELECT nonsense;")
    assert failure(empty_database).startswith("The tables could not be brought up to date: ")
    with psycopg.connect(empty_database) as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)
    (tmp_path / "001_wrong.sql").write_text("CREATE TABLE first (n integer);")
    database = at(empty_database)
    database.open()
    database.close()


def test_a_new_migration_of_the_queue_is_applied_alone(
    empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(empty_database, autocommit=True) as connection:
        migrate(connection)
        shipped = Path(SchemaManager.get_migrations_path())
        for path in shipped.glob("*.sql"):
            (tmp_path / path.name).write_bytes(path.read_bytes())
        (tmp_path / "99.00.00_01_new.sql").write_text("ALTER TABLE procrastinate_jobs ADD new text;")
        monkeypatch.setattr(SchemaManager, "get_migrations_path", lambda: str(tmp_path))
        assert migrate(connection) == ["procrastinate/99.00.00_01_new"]


def test_the_queue_of_another_program_is_left_alone(empty_database: str) -> None:
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute(SchemaManager.get_schema().encode())
    assert failure(empty_database).startswith("Another program keeps its job queue")


def test_a_user_who_may_not_add_the_extension(postgres: EmbeddedPostgres, empty_database: str) -> None:
    with psycopg.connect(empty_database, autocommit=True) as admin:
        admin.execute("CREATE ROLE modest LOGIN")
        as_modest = empty_database.replace("postgres@", "modest@", 1)
        try:
            assert "ask the database's owner to run CREATE EXTENSION vector" in failure(as_modest)
            admin.execute("CREATE EXTENSION vector")
            assert "may not create tables" in failure(as_modest)
            admin.execute("GRANT CREATE ON SCHEMA public TO modest")
            database = at(as_modest)
            database.open()
            database.check()
            database.close()
            admin.execute("ALTER ROLE modest SET default_transaction_read_only = on")
            admin.execute("DROP TABLE schema_migrations")
            assert "read-only" in failure(as_modest)
        finally:
            admin.execute("DROP OWNED BY modest")
            admin.execute("DROP ROLE modest")


@pytest.mark.parametrize(
    ("versions", "sentence"),
    [
        (Versions(140012, "0.8.0", "0.8.0"), "runs Postgres 14, but Lookalike needs 15 or later"),
        (Versions(150000, None, None), "has no pgvector; install it there"),
        (Versions(180000, None, "0.7.4"), "has pgvector 0.7.4, but Lookalike needs 0.8.0 or later"),
        (Versions(180000, "0.7.4", "0.7.4"), "has pgvector 0.7.4, but Lookalike needs 0.8.0 or later"),
        (Versions(180000, "0.7.4", "0.8.5"), "run ALTER EXTENSION vector UPDATE"),
    ],
)
def test_a_server_too_old_is_refused(
    empty_database: str, monkeypatch: pytest.MonkeyPatch, versions: Versions, sentence: str
) -> None:
    """The old server is pretended, for there is none here: only what it says of itself is replaced."""
    monkeypatch.setattr(core.database.connection, "read_versions", lambda connection: versions)
    assert sentence in failure(empty_database)


@pytest.mark.parametrize("vector", ["0.8.0", "0.8.5", "0.10", "1.0.0"])
def test_newer_servers_are_taken(vector: str) -> None:
    core.database.connection.check_versions(Versions(150000, vector, "0.7.0"))
    core.database.connection.check_versions(Versions(150000, None, vector))


# --- behind a pooler


def test_everything_works_through_pgbouncer(postgres: EmbeddedPostgres, empty_database: str) -> None:
    port = free_port()
    with pgbouncer(postgres, port, pool_size=2):
        database = at(pooled_url(empty_database, port))
        others = [at(pooled_url(empty_database, port)) for _ in range(2)]
        with ThreadPoolExecutor(8) as threads:
            for opening in [threads.submit(one.open) for one in (database, *others)]:
                opening.result()
            with database.connection() as connection:
                connection.execute("CREATE TABLE sums (thread integer, n integer, v halfvec(2))")

            def work(thread: int) -> list[int]:
                answers = []
                for n in range(50):
                    with database.connection() as connection:
                        connection.execute("INSERT INTO sums VALUES (%s, %s, %s)", (thread, n, HalfVector([thread, n])))
                        row = connection.execute("SELECT %s::int * 1000 + %s::int", (thread, n)).fetchone()
                        assert row is not None
                        answers.append(row[0])
                return answers

            answers = list(threads.map(work, range(8)))
        assert answers == [[thread * 1000 + n for n in range(50)] for thread in range(8)]
        assert value(database, "SELECT count(DISTINCT v::text) FROM sums") == 400
        for one in (database, *others):
            one.close()


def test_the_pooler_of_the_pooled_tests_insists_on_tls(pooler: int, empty_database: str) -> None:
    with psycopg.connect(pooled_url(empty_database, pooler, "require")) as connection:
        assert connection.pgconn.ssl_in_use
    with pytest.raises(psycopg.OperationalError, match="SSL required"):
        psycopg.connect(pooled_url(empty_database, pooler, "disable"))


def test_pgbouncers_own_refusals_are_sentences(postgres: EmbeddedPostgres) -> None:
    port = free_port()
    with pgbouncer(postgres, port):
        assert "has no database called nothing;" in failure(f"postgresql://me@127.0.0.1:{port}/nothing")

"""The connection pool to Postgres: yours, set by POSTGRES_URL, or the embedded one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import psycopg
from pgvector.psycopg import register_vector
from psycopg import Connection, errors
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from core.database.embedded_server import EmbeddedPostgres
from core.database.error_messages import check_url, outage, refusal
from core.database.migrations import migrate
from core.errors import DatabaseError
from core.settings import Settings

MIN_SERVER = 15
"""Oldest major version of Postgres."""

MIN_VECTOR = (0, 8, 0)
"""Oldest pgvector: the first with iterative index scans."""

CONNECT_SECONDS = 10
"""How long one connection attempt may take; a suspended serverless database wakes within a second or two."""

POOL_SECONDS = 30.0
"""How long a caller waits for a connection if all are busy."""

PATIENCE_SECONDS = 1.0
"""How long a caller waits for a connection before the database itself is checked."""

APPLICATION, WORKER_APPLICATION = "lookalike", "lookalike worker"
"""The application names of a running app's connections, and of its worker's."""

CONNECTION: dict[str, Any] = {
    # Behind a pooler in transaction mode, prepared statements can return another client's rows.
    "prepare_threshold": None,
    "connect_timeout": CONNECT_SECONDS,
    "application_name": APPLICATION,
}


class Versions(NamedTuple):
    """The versions of a server, as `major * 10000 + minor`, and of pgvector, installed and available."""

    server: int
    vector: str | None
    available_vector: str | None


class Database:
    """The database in the settings. Threads may share it; `open` it first."""

    def __init__(self, settings: Settings, name: str = APPLICATION) -> None:
        """`name` is the application name of its connections."""
        self.settings = settings
        url = settings.postgres_url
        self._embedded = None if url else EmbeddedPostgres(settings.data_dir)
        self._conninfo = self._embedded.conninfo if self._embedded else url.get_secret_value() if url else ""
        self._connection = {**CONNECTION, "application_name": name}
        self._pool: ConnectionPool[Connection[Any]] | None = None
        self._lock = threading.Lock()

    @property
    def conninfo(self) -> str:
        """The libpq connection string with its password; never show it."""
        return self._conninfo

    @property
    def embedded(self) -> bool:
        """Whether the server is the embedded one."""
        return self._embedded is not None

    @property
    def is_open(self) -> bool:
        """Whether `connection` may be used."""
        return self._pool is not None

    @property
    def pool(self) -> ConnectionPool[Connection[Any]]:
        """The pool itself, for libraries that want one. Raises DatabaseError if the database is not open."""
        pool = self._pool
        if pool is None:
            raise DatabaseError("The database is not open yet; wait a moment and try again.")
        return pool

    def open(self) -> None:
        """Start or reach the server, check it, migrate its tables and open the pool. Harmless if already open.

        Raises DatabaseError; call it again once the cause is fixed.
        """
        with self._lock:
            if self._pool is not None:
                return
            if self._embedded:
                self._embedded.start()
            with self.connect() as connection:
                self._prepare(connection)
            pool = ConnectionPool(
                self._conninfo,
                kwargs=self._connection,
                configure=register_vector,
                check=ConnectionPool.check_connection,
                min_size=0,
                max_size=10,
                max_idle=120.0,
                # The pool's own retries back off for minutes, and would still sleep when the database is back.
                reconnect_timeout=1.0,
                open=False,
            )
            pool.open()
            self._pool = pool

    def close(self) -> None:
        """Close the pool and leave the embedded server. The database can be opened again."""
        with self._lock:
            if self._pool is not None:
                self._pool.close()
                self._pool = None
            if self._embedded:
                self._embedded.stop()

    @contextmanager
    def connection(self) -> Iterator[Connection[Any]]:
        """A connection for the block, which is one transaction: committed at its end, rolled back if it raises.

        Raises DatabaseError if the database is unreachable, too busy or out of disk space; an embedded server that
        died is restarted first. Other errors of statements (psycopg.Error) are passed on.
        """
        pool = self.pool
        connection = self._acquire(pool)
        try:
            with connection:
                yield connection
        except psycopg.OperationalError as error:
            if failure := outage(error):
                raise failure from error
            raise
        finally:
            pool.putconn(connection)

    def check(self) -> None:
        """Check that the database answers. Raises DatabaseError."""
        with self.connection() as connection:
            connection.execute("SELECT 1")

    def _acquire(self, pool: ConnectionPool[Connection[Any]]) -> Connection[Any]:
        try:
            try:
                return pool.getconn(timeout=PATIENCE_SECONDS)
            except PoolTimeout:
                if self._embedded:
                    self._embedded.ensure_running()
                self.connect().close()
            return pool.getconn(timeout=POOL_SECONDS)
        except PoolClosed:
            raise DatabaseError("The database has been closed; restart Lookalike.") from None
        except PoolTimeout:
            raise DatabaseError(
                f"The database is too busy: no connection was free for {POOL_SECONDS:.0f} s; try again in a minute."
            ) from None

    def connect(self) -> Connection[Any]:
        """A connection outside the pool, in autocommit mode. Raises DatabaseError with the reason if it fails."""
        check_url(self._conninfo)
        try:
            return psycopg.connect(self._conninfo, autocommit=True, **self._connection)
        except psycopg.Error as error:
            # From None: libpq's message may hold parts of a mistyped URL.
            raise refusal(error, self._conninfo) from None

    def _prepare(self, connection: Connection[Any]) -> None:
        """Refuse a server that is too old, and migrate its tables. Raises DatabaseError."""
        try:
            check_versions(read_versions(connection))
            migrate(connection)
        except errors.InsufficientPrivilege as error:
            if "extension" in str(error):
                raise DatabaseError(
                    "This database user may not create the extension pgvector; "
                    "ask the database's owner to run CREATE EXTENSION vector."
                ) from error
            raise DatabaseError(
                "This database user may not create tables; ask the database's owner to run "
                "GRANT CREATE ON SCHEMA public for it, or give Lookalike a database of its own."
            ) from error
        except errors.ReadOnlySqlTransaction as error:
            raise DatabaseError(
                "This database is read-only, most likely a replica; set POSTGRES_URL to the primary server."
            ) from error
        except psycopg.Error as error:
            failure = outage(error) if isinstance(error, psycopg.OperationalError) else None
            raise failure or DatabaseError(f"The tables could not be brought up to date: {error}") from error


def read_versions(connection: Connection[Any]) -> Versions:
    """Read the versions of a server. Raises psycopg.Error."""
    row = connection.execute(
        "SELECT (SELECT extversion FROM pg_extension WHERE extname = 'vector'),"
        " (SELECT default_version FROM pg_available_extensions WHERE name = 'vector')"
    ).fetchone()
    vector, available = row or (None, None)
    return Versions(connection.info.server_version, vector, available)


def check_versions(versions: Versions) -> None:
    """Raise DatabaseError, with a remedy, if a server or its pgvector is too old."""
    need = ".".join(map(str, MIN_VECTOR))
    if versions.server < MIN_SERVER * 10000:
        raise DatabaseError(
            f"The server runs Postgres {versions.server // 10000}, but Lookalike needs {MIN_SERVER} or later; "
            "upgrade it, or set POSTGRES_URL to a newer one."
        )
    if versions.vector is None and versions.available_vector is None:
        raise DatabaseError(
            f"The server has no pgvector; install it there ({need} or later), or use a Postgres that includes it."
        )
    if numbers(versions.vector or versions.available_vector) >= MIN_VECTOR:
        return
    if numbers(versions.available_vector) >= MIN_VECTOR:
        raise DatabaseError(
            f"The database uses pgvector {versions.vector}, but Lookalike needs {need} or later; "
            "ask the database's owner to run ALTER EXTENSION vector UPDATE."
        )
    raise DatabaseError(
        f"The server has pgvector {versions.vector or versions.available_vector}, but Lookalike needs {need} or "
        "later; upgrade it there, or set POSTGRES_URL to a server that has it."
    )


def numbers(version: str | None) -> tuple[int, ...]:
    """The numbers of a version such as "0.8.5"; (0,) for None."""
    return tuple(int(part) for part in (version or "0").split(".") if part.isdigit())

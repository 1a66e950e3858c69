"""Migrations: the numbered SQL files in `core/database/schema`, and the job queue's own."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from procrastinate.schema import SchemaManager
from psycopg import Connection

from core.errors import DatabaseError

SCHEMA = Path(__file__).parent / "schema"

LOCK = 0x4C4F4F4B
"""The advisory lock held while migrating: the letters LOOK."""


def migrate(connection: Connection[Any]) -> list[str]:
    """Migrate the database in one transaction; returns the names of the applied migrations.

    Creates the extension `vector`, applies each `NNN_name.sql` once, in order, then the job queue's schema. Concurrent
    runs wait for each other, even through a transaction pooler. Raises psycopg.Error or DatabaseError, in which case
    nothing has changed.
    """
    with connection.transaction():
        lock_migrations(connection)
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations"
            " (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        done = set(applied_migrations(connection))
        applied = _apply(connection, own_migrations(), done)
        return applied + _apply_queue(connection, done)


def own_migrations() -> dict[str, Path]:
    """The SQL files in `core/database/schema` by name, in the order in which they are applied."""
    return _files(SCHEMA, "")


def applied_migrations(connection: Connection[Any]) -> list[str]:
    """The names of a database's migrations, including the job queue's, in order. Raises psycopg.Error."""
    return [name for (name,) in connection.execute("SELECT name FROM schema_migrations ORDER BY name")]


def is_newer(migrations: Iterable[str]) -> bool:
    """Whether there are migrations that this Lookalike does not know; the job queue's do not count."""
    known = own_migrations()
    return any(name not in known and not name.startswith("procrastinate/") for name in migrations)


def lock_migrations(connection: Connection[Any]) -> None:
    """Make apps that start on this database wait until the transaction ends. Raises psycopg.Error."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))


def reapply(connection: Connection[Any], names: Iterable[str]) -> None:
    """Apply our migrations of these names to a database whose collection was dropped. Raises psycopg.Error."""
    files = own_migrations()
    connection.execute("DELETE FROM schema_migrations WHERE name = ANY(%s)", (list(files),))
    _apply(connection, {name: files[name] for name in names}, set())


def apply_missing(connection: Connection[Any]) -> None:
    """Apply those of our migrations that a database lacks. Raises psycopg.Error."""
    _apply(connection, own_migrations(), set(applied_migrations(connection)))


def _files(folder: Path, prefix: str) -> dict[str, Path]:
    return {prefix + path.stem: path for path in sorted(folder.glob("[0-9]*.sql"))}


def _apply(connection: Connection[Any], files: dict[str, Path], done: set[str]) -> list[str]:
    new = [name for name in files if name not in done]
    for name in new:
        connection.execute(files[name].read_bytes())
    _record(connection, new)
    return new


def _apply_queue(connection: Connection[Any], done: set[str]) -> list[str]:
    """Procrastinate ships one file for a database without its schema, and migrations for one that has it."""
    files = _files(Path(SchemaManager.get_migrations_path()), "procrastinate/")
    if done & files.keys():
        return _apply(connection, files, done)
    (exists,) = connection.execute("SELECT to_regclass('procrastinate_jobs') IS NOT NULL").fetchall()[0]
    if exists:
        raise DatabaseError(
            "Another program keeps its job queue (procrastinate) in this database; "
            "give Lookalike a database of its own."
        )
    connection.execute(SchemaManager.get_schema().encode())
    _record(connection, list(files))
    return list(files)


def _record(connection: Connection[Any], names: list[str]) -> None:
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO schema_migrations (name) VALUES (%s)", [(name,) for name in names])

"""A backup -> a collection, all or nothing."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import psycopg
from psycopg import Connection, errors, sql

from core.database.backup import lift_timeouts, refuse_newer
from core.database.backup_format import (
    Manifest,
    OnBackupProgress,
    TablePart,
    made_by_newer,
    open_backup,
    read_manifest,
    read_part,
)
from core.database.catalog import copy_columns, drop_tables, read_tables
from core.database.connection import APPLICATION, WORKER_APPLICATION, Database
from core.database.embedding_tables import Model, make_embeddings
from core.database.job_queue import SILENCE
from core.database.migrations import (
    applied_migrations,
    apply_missing,
    is_newer,
    lock_migrations,
    own_migrations,
    reapply,
)
from core.errors import TransferError

LOCK_TIMEOUT = "10s"
"""How long a restore waits for a table that is in use."""


def restore(database: Database, path: Path, progress: OnBackupProgress, *, replace: bool = False) -> Manifest:
    """Fill an empty collection from a backup; with `replace`, the contents of a full one are deleted.

    The whole file is read and checked first. Then, in one transaction, the tables are created as they were at the time
    of the backup, filled, and migrated: if anything fails, the database is unchanged. Upkeep builds the search indexes
    later. Raises TransferError or DatabaseError.
    """
    with open_backup(path) as archive:
        manifest = read_manifest(path, archive)
        _check(path, manifest)
        total, done = sum(part.bytes for part in manifest.tables), 0
        for part in manifest.tables:
            for chunk in read_part(path, archive, part):
                done += len(chunk)
                progress("checking", done, total)
        try:
            with database.connection() as connection:
                _refuse_target(connection, replace=replace)
                _load(connection, path, archive, manifest, progress)
        except errors.LockNotAvailable:
            raise _in_use() from None
        except psycopg.DataError as error:
            raise _not_ours(path) from error
        except psycopg.IntegrityError as error:
            raise _not_ours(path) from error
    return manifest


def _check(path: Path, manifest: Manifest) -> None:
    """Raise TransferError for a backup that does not fit this Lookalike."""
    if is_newer(manifest.migrations):
        raise made_by_newer(path)
    if not own_migrations().keys() & set(manifest.migrations):
        raise _not_ours(path)


def _refuse_target(connection: Connection[Any], *, replace: bool) -> None:
    """Keep other apps from starting; raise TransferError if the database is in use, newer, or not empty."""
    lift_timeouts(connection)
    connection.execute("SELECT set_config('lock_timeout', %s, true)", (LOCK_TIMEOUT,))
    lock_migrations(connection)
    refuse_newer(applied_migrations(connection))
    (busy,) = connection.execute(
        """SELECT EXISTS (SELECT FROM procrastinate_workers WHERE last_heartbeat > now() - %(silence)s::interval)
               OR EXISTS (SELECT FROM pg_stat_activity
                          WHERE datname = current_database() AND pid <> pg_backend_pid()
                                AND application_name = ANY(%(names)s)
                                AND (state <> 'idle' OR state_change > now() - %(silence)s::interval))""",
        {"silence": SILENCE, "names": [APPLICATION, WORKER_APPLICATION]},
    ).fetchall()[0]
    if busy:
        raise _in_use()
    pictures, imports = connection.execute(
        "SELECT (SELECT count(*) FROM pictures), (SELECT count(*) FROM imports)"
    ).fetchall()[0]
    if (pictures or imports) and not replace:
        raise TransferError(
            f"The collection is not empty: it holds {pictures:,} pictures, including removed ones, and {imports:,} "
            "imports. Back it up, then add --replace, which deletes everything in it."
        )


def _load(
    connection: Connection[Any], path: Path, archive: zipfile.ZipFile, manifest: Manifest, progress: OnBackupProgress
) -> None:
    drop_tables(connection)
    known = own_migrations()
    reapply(connection, [name for name in known if name in manifest.migrations])
    tables = [table.name for table in read_tables(connection)]
    if not {part.name for part in manifest.tables} >= set(tables):
        raise _not_ours(path)
    # Migrations may have inserted rows that are also in the backup.
    connection.execute(sql.SQL("TRUNCATE {}").format(sql.SQL(", ").join(map(sql.Identifier, tables))))
    for part in manifest.tables:
        _load_table(connection, path, archive, part, progress)
    apply_missing(connection)
    tables = [table.name for table in read_tables(connection)]
    connection.execute(sql.SQL("ANALYZE {}").format(sql.SQL(", ").join(map(sql.Identifier, tables))))


def _load_table(
    connection: Connection[Any], path: Path, archive: zipfile.ZipFile, part: TablePart, progress: OnBackupProgress
) -> None:
    tables = {table.name: table for table in read_tables(connection)}
    if part.name not in tables and part.name.startswith("embeddings_"):
        for id, name, dim in connection.execute("SELECT id, name, dim FROM models").fetchall():
            if part.name == f"embeddings_{id}":
                make_embeddings(connection, Model(id, name, dim, ""))
        tables = {table.name: table for table in read_tables(connection)}
    table = tables.get(part.name)
    if table is None or table.columns != part.columns or not table.counters.keys() >= part.counters.keys():
        raise _not_ours(path)
    done = 0
    with connection.cursor() as cursor:
        with cursor.copy(
            sql.SQL("COPY {} FROM STDIN (FORMAT BINARY)").format(copy_columns(part.name, part.columns))
        ) as copy:
            for chunk in read_part(path, archive, part):
                copy.write(chunk)
                done += len(chunk)
                progress(part.name, done, part.bytes)
        if cursor.rowcount != part.rows:
            raise _not_ours(path)
    for column, (last, called) in part.counters.items():
        connection.execute("SELECT setval(%s::regclass, %s, %s)", (table.counters[column], last, called))


def _in_use() -> TransferError:
    return TransferError(
        "Lookalike is using this database, or was until just now. Stop it, and try again in half a minute."
    )


def _not_ours(path: Path) -> TransferError:
    return TransferError(
        f"The contents of {path.name} do not match the Lookalike version that made it, so nothing was restored."
    )

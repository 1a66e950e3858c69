"""The whole collection -> one file: a consistent snapshot of every table."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from psycopg import Connection, sql

from core.database.backup_format import CHUNK, MANIFEST, Manifest, OnBackupProgress, TablePart, member_name
from core.database.catalog import TableSchema, copy_columns, read_tables
from core.database.connection import Database
from core.database.migrations import applied_migrations, is_newer
from core.errors import TransferError


def back_up(database: Database, path: Path, progress: OnBackupProgress) -> Manifest:
    """Write everything to a new file; the collection can be used meanwhile.

    One read-only transaction gives a consistent snapshot of all tables and locks no rows. Tables are streamed, about
    CHUNK bytes at a time. The file appears only once it is complete. Raises TransferError or DatabaseError.
    """
    with new_file(path) as file, database.connection() as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        lift_timeouts(connection)
        migrations = applied_migrations(connection)
        refuse_newer(migrations)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            tables = read_tables(connection)
            manifest = Manifest(
                made_at=datetime.now(UTC),
                postgres=connection.info.server_version,
                migrations=migrations,
                tables=[_write_table(connection, table, archive, progress) for table in tables],
            )
            archive.writestr(MANIFEST, manifest.model_dump_json(indent=1))
    return manifest


def lift_timeouts(connection: Connection[Any]) -> None:
    """Lift the server's time limits for the rest of the transaction. Raises psycopg.Error."""
    connection.execute(
        """SELECT set_config('statement_timeout', '0', true),
                  set_config('idle_in_transaction_session_timeout', '0', true)"""
    )


def refuse_newer(migrations: list[str]) -> None:
    """Raise TransferError if a database has migrations that this Lookalike does not know."""
    if is_newer(migrations):
        raise TransferError("This database was made by a newer Lookalike. Update this one first.")


@contextmanager
def new_file(path: Path) -> Iterator[IO[bytes]]:
    """A file to write that appears at `path` if the block succeeds, and leaves no trace if it fails.

    Raises TransferError if `path` exists already or cannot be written.
    """
    if path.exists():
        raise TransferError(f"{path} already exists. Choose another name, or move the file.")
    temporary: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise TransferError(f"The disk is full, so {path.name} was not written. Free some space.") from error
        raise TransferError(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink()


def _write_table(
    connection: Connection[Any], table: TableSchema, archive: zipfile.ZipFile, progress: OnBackupProgress
) -> TablePart:
    expected = connection.execute("SELECT pg_table_size(quote_ident(%s)::regclass)", (table.name,)).fetchall()[0][0]
    digest, size = hashlib.sha256(), 0
    query = sql.SQL("COPY {} TO STDOUT (FORMAT BINARY)").format(copy_columns(table.name, table.columns))
    with connection.cursor() as cursor, archive.open(member_name(table.name), "w", force_zip64=True) as member:
        with cursor.copy(query) as copy:
            for chunk in _joined(copy):
                digest.update(chunk)
                member.write(chunk)
                size += len(chunk)
                progress(table.name, size, max(size, expected))
        rows = cursor.rowcount
    sequences = {
        column: connection.execute(
            sql.SQL("SELECT last_value, is_called FROM {}").format(sql.SQL(sequence))
        ).fetchall()[0]
        for column, sequence in table.counters.items()
    }
    progress(table.name, size, size)
    return TablePart(
        name=table.name, columns=table.columns, rows=rows, bytes=size, sha256=digest.hexdigest(), counters=sequences
    )


def _joined(rows: Any) -> Iterator[bytes]:
    """The rows of a COPY in chunks of about CHUNK bytes."""
    chunk = bytearray()
    for row in rows:
        chunk += row
        if len(chunk) >= CHUNK:
            yield bytes(chunk)
            chunk.clear()
    yield bytes(chunk)

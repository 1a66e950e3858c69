"""The tables of a collection: the migrations say which are ours, and the database's catalog what they look like."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

from psycopg import Connection, sql

from core.database.migrations import own_migrations

_CREATED = re.compile(rb"^CREATE (?:OR REPLACE )?(TABLE|FUNCTION) (?:IF NOT EXISTS )?(\w+)", re.MULTILINE)
_HERE = "relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())"


@dataclass(frozen=True)
class TableSchema:
    """A table of the collection.

    `columns` are names and types, without generated columns; `counters` are the sequences that number the rows, by
    column.
    """

    name: str
    columns: dict[str, str]
    counters: dict[str, str]

    @property
    def is_embeddings(self) -> bool:
        """Whether it is a table of embeddings, which is created when a model is first used, not by a migration."""
        return re.fullmatch(r"embeddings_\d+", self.name) is not None


def copy_columns(table: str, columns: Iterable[str]) -> sql.Composed:
    """A table and its columns in this order, in COPY's syntax."""
    return sql.SQL("{} ({})").format(sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns)))


def read_tables(connection: Connection[Any]) -> list[TableSchema]:
    """The tables of the collection, each after those that it references.

    Other programs' tables, the job queue's, and the list of migrations are left out. Raises psycopg.Error.
    """
    names = _created(b"TABLE")
    if _exists(connection, "models"):
        names += [f"embeddings_{id}" for (id,) in connection.execute("SELECT id FROM models")]
    tables = dict[str, TableSchema]()
    rows = connection.execute(
        f"""SELECT relname, attname, format_type(atttypid, atttypmod),
                   CASE WHEN attidentity <> '' OR atthasdef
                        THEN pg_get_serial_sequence(quote_ident(relname), attname) END
            FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
            WHERE {_HERE} AND relkind IN ('r', 'p') AND relname = ANY(%s)
                  AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
            ORDER BY relname, attnum""",  # noqa: S608
        (names,),
    ).fetchall()
    for name, column, kind, counter in rows:
        table = tables.setdefault(name, TableSchema(name, {}, {}))
        table.columns[column] = kind
        if counter:
            table.counters[column] = counter
    order = {name: {"models"} if table.is_embeddings else set[str]() for name, table in tables.items()}
    for name, other in _references(connection):
        if name in tables and other in tables and name != other:
            order[name].add(other)
    return [tables[name] for name in TopologicalSorter(order).static_order()]


def drop_tables(connection: Connection[Any]) -> None:
    """Drop the collection's tables and functions. The job queue stays. Raises psycopg.Error."""
    for table in read_tables(connection):
        connection.execute(sql.SQL("DROP TABLE {} CASCADE").format(sql.Identifier(table.name)))
    for function in _created(b"FUNCTION"):
        connection.execute(sql.SQL("DROP FUNCTION IF EXISTS {} CASCADE").format(sql.Identifier(function)))


def _created(kind: bytes) -> list[str]:
    files = [path.read_bytes() for path in own_migrations().values()]
    return [name.decode() for file in files for found, name in _CREATED.findall(file) if found == kind]


def _exists(connection: Connection[Any], name: str) -> bool:
    return connection.execute("SELECT to_regclass(quote_ident(%s)) IS NOT NULL", (name,)).fetchall()[0][0] is True


def _references(connection: Connection[Any]) -> list[tuple[str, str]]:
    """Foreign keys, each as (table, referenced table)."""
    return connection.execute(
        f"""SELECT pg_class.relname, other.relname
            FROM pg_constraint JOIN pg_class ON pg_class.oid = conrelid JOIN pg_class other ON other.oid = confrelid
            WHERE contype = 'f' AND pg_class.{_HERE}"""  # noqa: S608
    ).fetchall()

"""A collection's file -> pictures of this collection, without fetching or embedding what the file brings along."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import IO, Any

from psycopg import Connection

from core.collection.collection_cells import ReadRow
from core.collection.table_reader import read
from core.database.connection import Database
from core.errors import TransferError
from core.collection.store import Model, make_embeddings
from core.collection.table_import import Batch, Taken

Notice = Callable[[int], object]
"""Told now and then how many rows are done."""


def take(database: Database, model: Model | None, name: str, file: IO[bytes], notice: Notice = lambda _: None) -> Taken:
    """Read a file of a collection into this one, a batch a transaction, as an import of that name.

    A row with the facts of its file and a thumbnail is a picture at once, and found by its embedding when that is of
    this model; else the embedding is made in the background, from the thumbnail. Of any other row with an address the
    items go through the import, and tags, title and fields wait with them. Pictures that are there already keep what
    they have and gain what they lack. Without a `model`, the first one that the file names becomes the collection's.
    Raises TransferError when it is no such file, or DatabaseError; what was read by then stays.
    """
    taken = Taken()
    for rows in read(name, file):
        with database.connection() as connection:
            if model is None:
                model = _adopted(connection, rows)
            Batch(connection, model, name, rows, taken).take()
        notice(taken.rows)
    if not taken.rows:
        raise TransferError(f"{name} has no pictures in it.")
    return taken


def _adopted(connection: Connection[Any], rows: Sequence[ReadRow]) -> Model | None:
    """The model of the first embedding, made known to a collection that has none."""
    first = next((row for row in rows if row.model and row.embedding is not None), None)
    if first is None or first.embedding is None:
        return None
    known = connection.execute(
        """INSERT INTO models (name, dim) VALUES (%s, %s)
           ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id, name, dim, setting""",
        (first.model, len(first.embedding)),
    ).fetchall()
    model = Model(*known[0])
    make_embeddings(connection, model)
    return model

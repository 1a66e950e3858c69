"""The collection -> a table, as CSV or Parquet: one row per picture, written in batches.

In CSV, a cell that a spreadsheet would read as a formula gets a leading ', which the import removes. A cell with
several URLs or tags has one per line.
"""

from __future__ import annotations

import io
import json
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC
from typing import Any, Literal
from uuid import UUID

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from psycopg import sql

from core.collection.spreadsheets import to_csv
from core.collection.store import URLS
from core.database.connection import Database
from core.database.embedding_tables import Model

Format = Literal["csv", "parquet"]
FORMATS: tuple[Format, ...] = ("csv", "parquet")

BASE_COLUMNS = [
    *("id", "urls", "title", "tags", "fields", "width", "height", "bytes", "mime", "sha256", "phash", "indexed_at")
]
"""Columns of every file."""

THUMBNAIL_COLUMN = "thumbnail"
EMBEDDING_COLUMNS = ["model", "embedding"]


def write(kind: Format, batches: Iterable[pd.DataFrame], columns: list[str], dim: int) -> Iterator[bytes]:
    """The file in chunks, one per batch.

    A batch has one row per picture and these columns, with plain Python values, so that nothing is rounded: `urls`
    start with the one that is shown, `phash` is a signed 64-bit number, and embeddings have unit length and shape
    (dim,).
    """
    return _write_csv(columns, batches) if kind == "csv" else _write_parquet(columns, batches, dim)


def _write_csv(columns: list[str], batches: Iterable[pd.DataFrame]) -> Iterator[bytes]:
    yield to_csv(pd.DataFrame(columns=columns))
    for batch in batches:
        cells = {column: [_CELLS.get(str(column), str)(value) for value in values] for column, values in batch.items()}
        yield to_csv(pd.DataFrame(cells, dtype=object), begins=False)


_CELLS: dict[str, Callable[[Any], str]] = {
    "urls": "\n".join,
    "tags": "\n".join,
    "fields": lambda fields: json.dumps(fields, ensure_ascii=False) if fields else "",
    "sha256": bytes.hex,
    "phash": lambda phash: f"0x{phash & (1 << 64) - 1:016x}",  # a spreadsheet would round a number of that size
    "indexed_at": lambda moment: moment.astimezone(UTC).isoformat(),
    "thumbnail": lambda image: "" if image is None else b64encode(image).decode(),
    "embedding": lambda vector: "" if vector is None else b64encode(vector.astype("<f2").tobytes()).decode(),
}
"""How values that are neither text nor numbers are written in CSV."""


def _write_parquet(columns: list[str], batches: Iterable[pd.DataFrame], dim: int) -> Iterator[bytes]:
    kinds = {
        "urls": pa.list_(pa.string()),
        "tags": pa.list_(pa.string()),
        "width": pa.int32(),
        "height": pa.int32(),
        "bytes": pa.int64(),
        "sha256": pa.binary(32),
        "phash": pa.int64(),
        "indexed_at": pa.timestamp("us", "UTC"),
        "thumbnail": pa.binary(),
        "embedding": pa.list_(pa.float32(), dim),
    }
    schema = pa.schema([(column, kinds.get(column, pa.string())) for column in columns])
    sink = io.BytesIO()
    with pq.ParquetWriter(pa.PythonFile(_ChunkWriter(sink), "w"), schema, compression="zstd") as writer:
        for batch in batches:
            batch = batch.assign(
                id=batch["id"].map(str), fields=batch["fields"].map(lambda value: json.dumps(value, ensure_ascii=False))
            )
            values = {column: pa.array(list(batch[column]), schema.field(column).type) for column in columns}
            writer.write_batch(pa.record_batch(values, schema))
            yield _drain(sink)
    yield _drain(sink)


class _ChunkWriter(io.RawIOBase):
    """An append-only file whose contents are drained as they are written."""

    def __init__(self, sink: io.BytesIO) -> None:
        self._sink = sink
        self._length = 0

    def writable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """How many bytes were written, including those already drained."""
        return self._length

    def write(self, data: Any, /) -> int:
        """Append `data`."""
        self._length += len(data)
        return self._sink.write(data)


def _drain(sink: io.BytesIO) -> bytes:
    data = sink.getvalue()
    sink.seek(0)
    sink.truncate()
    return data


BATCH = 500
"""Pictures per batch: 10 MB with thumbnails and embeddings."""


def export_table(
    database: Database, model: Model | None, kind: Format, *, thumbnails: bool = True, embeddings: bool = True
) -> Iterator[bytes]:
    """The collection as a file, one batch of pictures at a time, in id order and without removed ones.

    `embeddings` adds those of `model`. Each batch has its own transaction, so that a slow reader blocks nobody;
    changes made meanwhile may or may not be included. Iterating raises DatabaseError.
    """
    used = model if embeddings else None
    columns = [*BASE_COLUMNS, *([THUMBNAIL_COLUMN] if thumbnails else []), *(EMBEDDING_COLUMNS if used else [])]
    return write(kind, _batches(database, used, columns), columns, used.dim if used else 0)


def _batches(database: Database, model: Model | None, columns: list[str]) -> Iterator[pd.DataFrame]:
    thumbnails = THUMBNAIL_COLUMN in columns
    query = sql.SQL(
        """SELECT p.id, {urls}, p.title, p.tags, p.fields, p.width, p.height, p.bytes, p.mime, p.sha256, p.phash,
                  p.indexed_at {image} {embedding}
           FROM pictures p {thumbnails} {embeddings}
           WHERE p.removed_at IS NULL AND p.id > %(after)s ORDER BY p.id LIMIT %(limit)s"""
    ).format(
        urls=sql.SQL(URLS),
        image=sql.SQL(", t.image" if thumbnails else ""),
        thumbnails=sql.SQL("LEFT JOIN thumbnails t ON t.picture = p.id" if thumbnails else ""),
        embedding=sql.SQL(", CASE WHEN e.picture IS NULL THEN '' ELSE {} END, e.embedding").format(model.name)
        if model
        else sql.SQL(""),
        embeddings=sql.SQL("LEFT JOIN {} e ON e.picture = p.id").format(model.table) if model else sql.SQL(""),
    )
    after = UUID(int=0)
    while True:
        with database.connection() as connection:
            found = connection.execute(query, {"after": after, "limit": BATCH}, binary=True).fetchall()
        if not found:
            return
        batch = pd.DataFrame(found, columns=columns, dtype=object)
        if model:
            batch["embedding"] = batch["embedding"].map(lambda stored: stored and stored.to_numpy().astype(np.float32))
        yield batch
        after = found[-1][0]

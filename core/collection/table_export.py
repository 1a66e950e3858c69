"""A collection as a table in a file, CSV or Parquet: a row a picture, to be written and read in batches.

What a spreadsheet would take for a formula gets a ' in front of it in CSV (OWASP, "CSV Injection"), and loses it again
on the way back. Several addresses or tags stand in one cell, one a line.
"""

from __future__ import annotations

import csv
import io
import json
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from psycopg import sql

from core.collection.spreadsheets import formula_safe
from core.database.connection import Database
from core.database.embedding_tables import Model, Vector

Format = Literal["csv", "parquet"]
FORMATS: tuple[Format, ...] = ("csv", "parquet")

FACT_COLUMNS = [
    *("id", "urls", "title", "tags", "fields", "width", "height", "bytes", "mime", "sha256", "phash", "indexed_at")
]
"""Columns that every file has."""

THUMBNAIL_COLUMN = "thumbnail"
EMBEDDING_COLUMNS = ["model", "embedding"]


@dataclass(frozen=True)
class ExportedPicture:
    """A picture as it stands in a file. `urls` begin with the one that is shown; `size` is the file's bytes,
    `phash` a signed 64-bit number; `embedding` has unit length, and belongs to the model of that name."""

    id: UUID
    urls: Sequence[str]
    title: str
    tags: Sequence[str]
    fields: dict[str, Any]
    width: int
    height: int
    size: int
    mime: str
    sha256: bytes
    phash: int
    indexed_at: datetime
    thumbnail: bytes | None = None
    model: str = ""
    embedding: Vector | None = None


def write(
    kind: Format, batches: Iterable[Sequence[ExportedPicture]], *, thumbnails: bool, embeddings: int
) -> Iterator[bytes]:
    """The file in chunks, of which one holds a batch.

    `embeddings` is the length of theirs, 0 to leave them out.
    """
    columns = [*FACT_COLUMNS, *([THUMBNAIL_COLUMN] if thumbnails else []), *(EMBEDDING_COLUMNS if embeddings else [])]
    return _write_csv(columns, batches) if kind == "csv" else _write_parquet(columns, batches, embeddings)


def _write_csv(columns: Sequence[str], batches: Iterable[Sequence[ExportedPicture]]) -> Iterator[bytes]:
    """In UTF-8 with a byte order mark, without which Excel takes it for its old alphabet."""
    yield "\ufeff".encode() + _csv([columns])
    for rows in batches:
        yield _csv([[formula_safe(_cell(column, _of(row, column))) for column in columns] for row in rows])


def _of(row: ExportedPicture, column: str) -> Any:
    return row.size if column == "bytes" else getattr(row, column)


def _csv(rows: Iterable[Sequence[object]]) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue().encode(errors="replace")


def _cell(column: str, value: Any) -> str:
    match column:
        case "urls" | "tags":
            return "\n".join(value)
        case "fields":
            return json.dumps(value, ensure_ascii=False) if value else ""
        case "sha256":
            return str(value.hex())
        case "phash":
            return f"0x{value & (1 << 64) - 1:016x}"  # as a number, a spreadsheet would round it
        case "indexed_at":
            return str(value.astimezone(UTC).isoformat())
        case "thumbnail":
            return "" if value is None else b64encode(value).decode()
        case "embedding":
            return "" if value is None else b64encode(value.astype("<f2").tobytes()).decode()
        case _:
            return str(value)


def _write_parquet(columns: Sequence[str], batches: Iterable[Sequence[ExportedPicture]], dim: int) -> Iterator[bytes]:
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
    with pq.ParquetWriter(pa.PythonFile(_Appended(sink), "w"), schema, compression="zstd") as writer:
        for rows in batches:
            values = {column: [_value(column, _of(row, column)) for row in rows] for column in columns}
            writer.write_batch(pa.record_batch(values, schema))
            yield _taken(sink)
    yield _taken(sink)


def _value(column: str, value: Any) -> object:
    match column:
        case "id":
            return str(value)
        case "fields":
            return json.dumps(value, ensure_ascii=False)
        case "embedding":
            return None if value is None else value.astype(np.float32)
        case _:
            return value


class _Appended(io.RawIOBase):
    """A file that is only added to, and whose parts are taken away as they are done."""

    def __init__(self, sink: io.BytesIO) -> None:
        self._sink = sink
        self._length = 0

    def writable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """How much was written, taken away or not."""
        return self._length

    def write(self, data: Any, /) -> int:
        """Add to it."""
        self._length += len(data)
        return self._sink.write(data)


def _taken(sink: io.BytesIO) -> bytes:
    data = sink.getvalue()
    sink.seek(0)
    sink.truncate()
    return data


BATCH = 500
"""Pictures that are written at once: 10 MB with thumbnails and embeddings."""


def export_table(
    database: Database, model: Model | None, kind: Format, *, thumbnails: bool = True, embeddings: bool = True
) -> Iterator[bytes]:
    """The collection as a file, a batch of pictures at a time, by their ids; removed ones are not in it.

    With `embeddings`, those of this model. Each batch is a transaction of its own, so that a slow reader holds up
    nobody; what changes meanwhile may be in it or not.
    """
    with_embeddings = model if embeddings else None
    dim = with_embeddings.dim if with_embeddings else 0
    return write(kind, _batches(database, with_embeddings, thumbnails), thumbnails=thumbnails, embeddings=dim)


def _batches(database: Database, model: Model | None, thumbnails: bool) -> Iterator[list[ExportedPicture]]:
    query = sql.SQL(
        """SELECT p.id, ARRAY(SELECT url FROM sources WHERE picture = p.id ORDER BY added_at, url), p.title, p.tags,
                  p.fields, p.width, p.height, p.bytes, p.mime, p.sha256, p.phash, p.indexed_at, {}, {}, {}
           FROM pictures p {} {} WHERE p.removed_at IS NULL AND p.id > %(after)s ORDER BY p.id LIMIT %(limit)s"""
    ).format(
        sql.SQL("t.image" if thumbnails else "NULL"),
        sql.SQL("CASE WHEN e.picture IS NULL THEN '' ELSE {} END").format(model.name) if model else sql.SQL("''"),
        sql.SQL("e.embedding" if model else "NULL"),
        sql.SQL("LEFT JOIN thumbnails t ON t.picture = p.id" if thumbnails else ""),
        sql.SQL("LEFT JOIN {} e ON e.picture = p.id").format(model.table) if model else sql.SQL(""),
    )
    after = UUID(int=0)
    while True:
        with database.connection() as connection:
            found = connection.execute(query, {"after": after, "limit": BATCH}, binary=True).fetchall()
        if not found:
            return
        yield [ExportedPicture(*told[:-1], told[-1] and told[-1].to_numpy()) for told in found]  # type: ignore[call-arg]
        after = found[-1][0]

"""A collection as a table in a file, CSV or Parquet: a row a picture, to be written and read in batches.

What a spreadsheet would take for a formula gets a ' in front of it in CSV (OWASP, "CSV Injection"), and loses it again
on the way back. Several addresses or tags stand in one cell, one a line.
"""

from __future__ import annotations

import csv
import io
import json
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from core.search.result_export import FORMULA
from core.collection.store import Vector

Format = Literal["csv", "parquet"]
FORMATS: tuple[Format, ...] = ("csv", "parquet")

FACTS = [
    *("id", "urls", "title", "tags", "fields", "width", "height", "bytes", "mime", "sha256", "phash", "indexed_at")
]
"""Columns that every file has."""

THUMBNAIL = "thumbnail"
EMBEDDING = ["model", "embedding"]

_NEUTRALISED = re.compile(rf"'('*(?:{'|'.join(map(re.escape, FORMULA))}))")
_NEUTRALISABLE = re.compile(rf"'*(?:{'|'.join(map(re.escape, FORMULA))})")


@dataclass(frozen=True)
class Row:
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


def neutralised(text: str) -> str:
    """A cell that no spreadsheet takes for a formula; `original` takes it back."""
    return f"'{text}" if _NEUTRALISABLE.match(text) else text


def original(cell: str) -> str:
    """What `neutralised` made a cell of."""
    return cell[1:] if _NEUTRALISED.match(cell) else cell


def write(kind: Format, batches: Iterable[Sequence[Row]], *, thumbnails: bool, embeddings: int) -> Iterator[bytes]:
    """The file in chunks, of which one holds a batch.

    `embeddings` is the length of theirs, 0 to leave them out.
    """
    columns = [*FACTS, *([THUMBNAIL] if thumbnails else []), *(EMBEDDING if embeddings else [])]
    return _write_csv(columns, batches) if kind == "csv" else _write_parquet(columns, batches, embeddings)


def _write_csv(columns: Sequence[str], batches: Iterable[Sequence[Row]]) -> Iterator[bytes]:
    """In UTF-8 with a byte order mark, without which Excel takes it for its old alphabet."""
    yield "\ufeff".encode() + _csv([columns])
    for rows in batches:
        yield _csv([[neutralised(_cell(column, _of(row, column))) for column in columns] for row in rows])


def _of(row: Row, column: str) -> Any:
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


def _write_parquet(columns: Sequence[str], batches: Iterable[Sequence[Row]], dim: int) -> Iterator[bytes]:
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

"""A collection's file, whoever wrote it -> its rows, in batches; what cannot be read is a sentence."""

from __future__ import annotations

import csv
import io
import json
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import IO, Any
from uuid import UUID

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from PIL import Image

from core.collection.curation import checked_tag
from core.collection.metadata import MAX_NAME, MAX_TITLE, MAX_VALUE, readable
from core.collection.spreadsheets import without_apostrophe
from core.collection.store import FilePicture
from core.collection.table_export import EMBEDDING_COLUMNS, FACT_COLUMNS, THUMBNAIL_COLUMN
from core.database.embedding_tables import Vector
from core.errors import TagError, TransferError, UrlError
from core.media.decode import MAX_ASPECT, MIMES, THUMBNAIL_SIDE
from core.media.urls import clean
from core.signed_urls import FILE_PATH

BATCH = 500
"""Rows that are read at once: 10 MB with thumbnails and embeddings."""

MAX_LINE = 16_000_000
"""Bytes of a line of CSV, and how much of it is looked at at once."""


def read_table_rows(name: str, file: IO[bytes]) -> Iterator[list[TableRow]]:
    """The rows in batches; those that cannot be read at all have notes and nothing else.

    Raises TransferError when it is no such file.
    """
    start = file.read(4)
    file.seek(0)
    if not start:
        raise TransferError(f"{name} is empty.")
    batches = _parquet(name, file) if start == b"PAR1" else _csv(name, file)
    for batch, lost in batches:
        names = [str(name) for name in batch.columns]
        rows = [
            read_row(number, dict(zip(names, cells, strict=True))) for number, *cells in batch.itertuples(name=None)
        ]
        yield [*rows, *(TableRow(number, [], "", [], {}, notes=[sentence]) for number, sentence in lost)]


_Batch = tuple[pd.DataFrame, list[tuple[int, str]]]
"""Rows by their numbers, and those that are lost, with the reasons. The cells are Python's own values: pyarrow reads
the file, for it reads a batch at a time, and in pandas' own types a number beside an empty cell would be rounded."""


def _batch(values: Mapping[str, Sequence[Any]], numbers: Iterable[int]) -> pd.DataFrame:
    index = pd.Index(list(numbers))
    return pd.DataFrame({column: pd.Series(list(cells), index, dtype=object) for column, cells in values.items()})


def _known(name: str, columns: Sequence[str]) -> list[str]:
    """The columns that mean something here. Raises TransferError when it is no collection."""
    known = [column for column in [*FACT_COLUMNS, THUMBNAIL_COLUMN, *EMBEDDING_COLUMNS] if column in columns]
    if "urls" not in known and not {"sha256", THUMBNAIL_COLUMN} <= set(known):
        raise TransferError(
            f"{name} has no column “urls”, so it was not exported from Lookalike. A list of addresses is read on the "
            "Index page, under “Upload a list”."
        )
    return known


def _parquet(name: str, file: IO[bytes]) -> Iterator[_Batch]:
    try:
        table = pq.ParquetFile(file)
        columns = _known(name, table.schema_arrow.names)
    except (pa.ArrowException, OSError):
        raise TransferError(f"{name} is cut off or damaged, so that nothing of it can be read. Copy it anew.") from None
    number, batches = 1, table.iter_batches(BATCH, columns=columns)
    while True:
        try:
            values = next(batches).to_pydict()
        except StopIteration:
            return
        except (pa.ArrowException, OSError, ValueError):
            yield pd.DataFrame(), [(number + 1, "From here on the file is damaged.")]
            return
        rows = len(values[columns[0]])
        yield _batch(values, range(number + 1, number + 1 + rows)), []
        number += rows


def _csv(name: str, file: IO[bytes]) -> Iterator[_Batch]:
    head = file.readline(100_000).decode("utf-8-sig", "replace")
    delimiter = max(",;\t", key=head.count)  # a spreadsheet may have saved it anew
    header = next(csv.reader(io.StringIO(head), delimiter=delimiter), [])
    columns = _known(name, header)
    file.seek(0)
    lost = list[tuple[int, str]]()
    number = 1

    def skip(row: pacsv.InvalidRow) -> str:
        cells = f"The line has {row.actual_columns} cells instead of {row.expected_columns}"
        lost.append((row.number or 0, f"{cells}: perhaps a quotation mark is opened in it and never closed."))
        return "skip"

    try:
        reader = pacsv.open_csv(
            file,
            pacsv.ReadOptions(use_threads=False, block_size=MAX_LINE),
            pacsv.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=skip),
            pacsv.ConvertOptions(
                include_columns=columns,
                column_types={column: pa.binary() for column in header},
                strings_can_be_null=False,
                null_values=[],
            ),
        )
        for record in reader:
            for start in range(0, len(record), BATCH):
                values = record.slice(start, BATCH).to_pydict()
                gone = {row for row, _ in lost}
                numbers = list[int]()
                while len(numbers) < len(values[columns[0]]):
                    number += 1
                    if number not in gone:
                        numbers.append(number)
                text = {
                    column: [without_apostrophe(cell.decode("utf-8", "replace")) for cell in cells]
                    for column, cells in values.items()
                }
                yield _batch(text, numbers), []
    except pa.ArrowException:
        lost.append((number + 1, "From here on no line can be read: a quotation mark is opened and never closed."))
    yield pd.DataFrame(), lost


MAX_FIELDS = 200
"""Fields of a picture."""


OFF_UNIT = 0.01
"""By how much the length of an embedding may miss 1; rounding to 16 bits moves it by some 0.0002."""


@dataclass(frozen=True)
class TableRow:
    """A row as it was read: the picture's web addresses, what is said of it, and where the file had them, the facts
    and the embedding. `number` is that of its line in a spreadsheet; `notes` say what of it is not taken, and why."""

    number: int
    urls: Sequence[str]
    title: str
    tags: Sequence[str]
    fields: Mapping[str, str]
    facts: FilePicture | None = None
    model: str = ""
    embedding: Vector | None = None
    notes: list[str] = field(default_factory=list)


def read_row(number: int, cells: Mapping[str, Any]) -> TableRow:
    """One row, with a note for each cell that is not taken."""
    notes = list[str]()
    urls, refused = _urls(cells.get("urls"))
    notes += refused
    tags = list[str]()
    for tag in _lines(cells.get("tags")):
        try:
            tags.append(checked_tag(tag))
        except TagError as error:
            notes.append(f"A tag is left out. {error}")
    fields = _fields(cells.get("fields"), notes)
    title = readable(_text(cells.get("title")), MAX_TITLE)
    facts = _facts(cells, notes) if cells.get(THUMBNAIL_COLUMN) else None
    embedding = None
    if facts and cells.get("embedding"):
        try:
            embedding = _embedding(cells["embedding"])
        except ValueError as error:
            notes.append(f"{error} It is made anew.")
    model = _text(cells.get("model"))[:500]
    return TableRow(number, urls, title, list(dict.fromkeys(tags)), fields, facts, model, embedding, notes)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _lines(value: Any) -> list[str]:
    """Several texts: the lines of a cell, or a list."""
    many = value if isinstance(value, list) else _text(value).split("\n")
    return [text.strip() for text in many if isinstance(text, str) and text.strip()]


def _urls(value: Any) -> tuple[list[str], list[str]]:
    """The addresses, and what is wrong with the others; those of kept files mean something on their own server only."""
    urls, notes = list[str](), list[str]()
    for text in _lines(value):
        if text.startswith(FILE_PATH):
            continue
        try:
            urls.append(clean(text))
        except UrlError as error:
            notes.append(f"An address is left out. {error}")
    return list(dict.fromkeys(urls)), notes


def _fields(value: Any, notes: list[str]) -> dict[str, str]:
    if not value:
        return {}
    try:
        told = json.loads(value)
        return {
            readable(str(name), MAX_NAME): readable(text if isinstance(text, str) else json.dumps(text), MAX_VALUE)
            for name, text in list(told.items())[:MAX_FIELDS]
        }
    except (ValueError, TypeError, AttributeError, RecursionError):
        notes.append("The fields cannot be read, for they are no JSON object.")
        return {}


def _facts(cells: Mapping[str, Any], notes: list[str]) -> FilePicture | None:
    """What the row says of the file, or a note why it cannot be."""
    try:
        sha256, phash = cells["sha256"], cells["phash"]
        sha256 = bytes.fromhex(sha256) if isinstance(sha256, str) else bytes(sha256)
        phash = int(phash, 16) if isinstance(phash, str) else int(phash)
        phash = phash - (1 << 64) if phash >= 1 << 63 else phash
        thumbnail = cells[THUMBNAIL_COLUMN]
        thumbnail = b64decode(thumbnail, validate=True) if isinstance(thumbnail, str) else bytes(thumbnail)
        width, height, size = (int(cells[name]) for name in ("width", "height", "bytes"))
        moment = cells.get("indexed_at") or datetime.now(UTC)
        moment = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        facts = FilePicture(sha256, phash, width, height, size, _text(cells["mime"]), moment, thumbnail)
        id = UUID(_text(cells["id"])) if cells.get("id") else facts.id if len(sha256) == 32 else None
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError):
        notes.append("What the row says of the file cannot be read, so the picture is fetched again.")
        return None
    whole = (
        len(sha256) == 32
        and -(1 << 63) <= phash < 1 << 63
        and 0 < width < 1 << 31
        and 0 < height < 1 << 31
        and 0 < size < 1 << 63
        and facts.mime in MIMES.values()
    )
    if not whole:
        notes.append("What the row says of the file cannot be, so the picture is fetched again.")
        return None
    if id != facts.id:
        notes.append("The id belongs to another picture than the SHA-256, so the picture is fetched again.")
        return None
    if not _is_thumbnail(thumbnail):
        notes.append("The thumbnail is no picture that can be shown, so the picture is fetched again.")
        return None
    return facts


def _is_thumbnail(data: bytes) -> bool:
    """Whether it is a JPEG of a thumbnail's size, to its end; nothing is decoded."""
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            return image.width * image.height <= THUMBNAIL_SIDE**2 * MAX_ASPECT * 4 and data.endswith(b"\xff\xd9")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False


def _embedding(value: Any) -> Vector:
    """A vector of unit length, whatever its dimension. Raises ValueError, a sentence."""
    try:
        raw = np.frombuffer(b64decode(value, validate=True), "<f2") if isinstance(value, str) else np.asarray(value)
        vector: Vector = raw.astype(np.float32)
    except (ValueError, TypeError):
        raise ValueError("The embedding cannot be read.") from None
    if vector.ndim != 1 or not np.isfinite(vector).all():
        raise ValueError("The embedding holds something that is no number.")
    if abs(float(np.linalg.norm(vector)) - 1) > OFF_UNIT:
        raise ValueError("The embedding does not have unit length.")
    return vector

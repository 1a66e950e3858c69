"""A table of pictures, possibly edited by other programs -> its rows, in batches, with a note for every problem."""

from __future__ import annotations

import csv
import io
import json
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import IO, Any
from uuid import UUID

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from PIL import Image

from core.collection.curation import checked_tag
from core.collection.metadata import MAX_NAME, MAX_TITLE, MAX_VALUE, readable
from core.collection.spreadsheets import without_apostrophe
from core.collection.store import FilePicture
from core.collection.table_export import BASE_COLUMNS, EMBEDDING_COLUMNS, THUMBNAIL_COLUMN
from core.database.embedding_tables import Vector
from core.errors import TagError, TransferError, UrlError
from core.media.decode import MAX_ASPECT, MIMES, THUMBNAIL_SIDE
from core.media.urls import clean
from core.signed_urls import FILE_PATH

BATCH = 500
"""Rows per batch: 10 MB with thumbnails and embeddings."""

MAX_LINE = 16_000_000
"""Longest line of CSV, in bytes, which is also how much is parsed at a time."""


MAX_CELL = 1_000_000
"""Bytes of a cell of a Parquet file that is read: thumbnails have some 10,000, embeddings 2,000."""

UNREAD = "\0unread"
"""The column that names the cells of a row that have more."""

MAX_PART = 100_000_000
"""Bytes of cells that are in memory at a time."""


def read_table_rows(name: str, file: IO[bytes]) -> Iterator[list[TableRow]]:
    """The rows in batches; unreadable rows have notes and nothing else.

    Raises TransferError if the file is not a table of pictures.
    """
    start = file.read(4)
    file.seek(0)
    if not start:
        raise TransferError(f"{name} is empty.")
    batches = _parquet(name, file) if start == b"PAR1" else _csv(name, file)
    for batch, unreadable in batches:
        names = [str(name) for name in batch.columns]
        rows = [
            read_row(number, dict(zip(names, cells, strict=True))) for number, *cells in batch.itertuples(name=None)
        ]
        yield [*rows, *(TableRow(number, [], "", [], {}, notes=[sentence]) for number, sentence in unreadable)]


_Batch = tuple[pd.DataFrame, list[tuple[int, str]]]
"""Rows indexed by line number, and the unreadable ones with the reasons. pyarrow reads the file, since it can do so in
batches; the cells are plain Python values, since pandas' types would round an integer beside an empty cell."""


def _batch(values: Mapping[str, Sequence[Any]], numbers: Iterable[int]) -> pd.DataFrame:
    index = pd.Index(list(numbers))
    return pd.DataFrame({column: pd.Series(list(cells), index, dtype=object) for column, cells in values.items()})


def _known(name: str, columns: Sequence[str]) -> list[str]:
    """The columns that we read. Raises TransferError if those of an export are missing."""
    known = [column for column in [*BASE_COLUMNS, THUMBNAIL_COLUMN, *EMBEDDING_COLUMNS] if column in columns]
    if "urls" not in known and not {"sha256", THUMBNAIL_COLUMN} <= set(known):
        raise TransferError(
            f"{name} has no column “urls”, so it was not exported from Lookalike. Upload a list of URLs on the Index "
            "page, under “Upload a list”."
        )
    return known


def _parquet(name: str, file: IO[bytes]) -> Iterator[_Batch]:
    try:
        table = pq.ParquetFile(file)
        columns = _known(name, table.schema_arrow.names)
        texts = [column for column in columns if _is_text(table.schema_arrow.field(column).type)]
        table = pq.ParquetFile(file, read_dictionary=texts)  # a text that stands in many rows is in memory once
    except (pa.ArrowException, OSError):
        raise TransferError(f"{name} is incomplete or damaged and cannot be read. Copy it again.") from None
    number, batches = 1, table.iter_batches(BATCH, columns=columns)
    while True:
        try:
            record = next(batches)
        except StopIteration:
            return
        except MemoryError:  # also an ArrowException
            raise
        except (pa.ArrowException, OSError, ValueError):
            yield pd.DataFrame(), [(number + 1, "The file is damaged from here on.")]
            return
        long = {name: _too_long(record.column(name)) for name in columns}
        for start in range(0, len(record), part := max(1, MAX_PART // (1 + sum(top for top, _ in long.values())))):
            some = record.slice(start, part)
            values = {
                name: [
                    None if row in long[name][1] else cell.as_py() for row, cell in enumerate(some.column(name), start)
                ]
                for name in columns
            }
            rows = len(some)
            values[UNREAD] = [[name for name in columns if row in long[name][1]] for row in range(start, start + rows)]
            yield _batch(values, range(number + 1, number + 1 + rows)), []
            number += rows


def _is_text(kind: Any) -> bool:
    types = pa.types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_binary(kind))


def _too_long(cells: Any) -> tuple[int, set[int]]:
    """The most bytes of a cell that is read, and the rows whose cell has more than MAX_CELL. One text may stand for
    many cells, and take no more space in the file."""
    texts = cells.dictionary if pa.types.is_dictionary(cells.type) else cells
    if not _is_text(texts.type):
        return 0, set()
    sizes = [size or 0 for size in pc.binary_length(texts).to_pylist()]
    places = cells.indices.to_pylist() if pa.types.is_dictionary(cells.type) else range(len(sizes))
    most = max((size for size in sizes if size <= MAX_CELL), default=0)
    return most, {row for row, place in enumerate(places) if place is not None and sizes[place] > MAX_CELL}


def _csv(name: str, file: IO[bytes]) -> Iterator[_Batch]:
    head = file.readline(100_000).decode("utf-8-sig", "replace")
    delimiter = max(",;\t", key=head.count)  # a spreadsheet may have saved it with another one
    header = next(csv.reader(io.StringIO(head), delimiter=delimiter), [])
    columns = _known(name, header)
    file.seek(0)
    unreadable = list[tuple[int, str]]()
    number = 1

    def skip(row: pacsv.InvalidRow) -> str:
        cells = f"The line has {row.actual_columns} cells instead of {row.expected_columns}"
        unreadable.append((row.number or 0, f"{cells}; an opening quotation mark may have no closing one."))
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
                skipped = {row for row, _ in unreadable}
                numbers = list[int]()
                while len(numbers) < len(values[columns[0]]):
                    number += 1
                    if number not in skipped:
                        numbers.append(number)
                text = {
                    column: [without_apostrophe(cell.decode("utf-8", "replace")) for cell in cells]
                    for column, cells in values.items()
                }
                yield _batch(text, numbers), []
    except pa.ArrowException:
        sentence = "No line from here on can be read: an opening quotation mark has no closing one."
        unreadable.append((number + 1, sentence))
    yield pd.DataFrame(), unreadable


EARLIEST = datetime(1970, 1, 2, tzinfo=UTC)
"""No picture was indexed before. Browsers, spreadsheets and pandas show what is later, in every time zone."""

MAX_FIELDS = 200
"""Most fields of a picture that are read from a row."""


NORM_TOLERANCE = 0.01
"""How far the length of an embedding may be from 1; rounding to 16 bits changes it by about 0.0002."""


@dataclass(frozen=True)
class TableRow:
    """A row as it was read: the picture's URLs and metadata and, if the file has them, its file's data and embedding.

    `number` is the row's line in a spreadsheet; `notes` say which parts are not imported, and why.
    """

    number: int
    urls: Sequence[str]
    title: str
    tags: Sequence[str]
    fields: Mapping[str, str]
    picture: FilePicture | None = None
    model: str = ""
    embedding: Vector | None = None
    notes: list[str] = field(default_factory=list)


def read_row(number: int, cells: Mapping[str, Any]) -> TableRow:
    """One row, with a note for each cell that is not imported."""
    notes = [f"The cell of “{name}” has more than {MAX_CELL // 1_000_000} MB." for name in cells.get(UNREAD) or ()]
    urls, refused = _urls(cells.get("urls"))
    notes += refused
    tags = list[str]()
    for tag in _lines(cells.get("tags")):
        try:
            tags.append(checked_tag(tag))
        except TagError as error:
            notes.append(f"A tag was left out. {error}")
    fields = _fields(cells.get("fields"), notes)
    title = readable(_text(cells.get("title")), MAX_TITLE)
    picture = _picture(cells, notes) if cells.get(THUMBNAIL_COLUMN) else None
    embedding = None
    if picture and cells.get("embedding"):
        try:
            embedding = _embedding(cells["embedding"])
        except ValueError as error:
            notes.append(f"{error} The picture is re-embedded.")
    model = _text(cells.get("model"))[:500]
    return TableRow(number, urls, title, list(dict.fromkeys(tags)), fields, picture, model, embedding, notes)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _lines(value: Any) -> list[str]:
    """The non-empty texts of a list, or of a cell with one per line."""
    many = value if isinstance(value, list) else _text(value).split("\n")
    return [text.strip() for text in many if isinstance(text, str) and text.strip()]


def _urls(value: Any) -> tuple[list[str], list[str]]:
    """The valid URLs, and notes on the others. Paths of stored files, valid on their server only, are skipped."""
    urls, notes = list[str](), list[str]()
    for text in _lines(value):
        if text.startswith(FILE_PATH):
            continue
        try:
            urls.append(clean(text))
        except UrlError as error:
            notes.append(f"A URL was left out. {error}")
    return list(dict.fromkeys(urls)), notes


def _fields(value: Any, notes: list[str]) -> dict[str, str]:
    if not value:
        return {}
    try:
        values = json.loads(value)
        return {
            readable(str(name), MAX_NAME): readable(text if isinstance(text, str) else json.dumps(text), MAX_VALUE)
            for name, text in list(values.items())[:MAX_FIELDS]
        }
    except (ValueError, TypeError, AttributeError, RecursionError):
        notes.append("The fields cannot be read: they are not a JSON object.")
        return {}


def _picture(cells: Mapping[str, Any], notes: list[str]) -> FilePicture | None:
    """The data of the picture's file, or None and a note why it cannot be used."""
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
        if not EARLIEST <= moment <= datetime.now(UTC) + timedelta(days=1):
            notes.append("The date is impossible, so it counts as indexed now.")
            moment = datetime.now(UTC)
        picture = FilePicture(sha256, phash, width, height, size, _text(cells["mime"]), moment, thumbnail)
        id = UUID(_text(cells["id"])) if cells.get("id") else picture.id if len(sha256) == 32 else None
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError):
        notes.append("The data of the picture's file cannot be read, so the picture is fetched again.")
        return None
    plausible = (
        len(sha256) == 32
        and -(1 << 63) <= phash < 1 << 63
        and 0 < width < 1 << 31
        and 0 < height < 1 << 31
        and 0 < size < 1 << 53
        and picture.mime in MIMES.values()
    )
    if not plausible:
        notes.append("The data of the picture's file is impossible, so the picture is fetched again.")
        return None
    if id != picture.id:
        notes.append("The id does not match the SHA-256, so the picture is fetched again.")
        return None
    if not _is_thumbnail(thumbnail):
        notes.append("The thumbnail is not a usable picture, so the picture is fetched again.")
        return None
    return picture


def _is_thumbnail(data: bytes) -> bool:
    """Whether it is a complete JPEG of a thumbnail's size; nothing is decoded."""
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            return image.width * image.height <= THUMBNAIL_SIDE**2 * MAX_ASPECT * 4 and data.endswith(b"\xff\xd9")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False


def _embedding(value: Any) -> Vector:
    """A unit-length vector of any dimension. Raises ValueError with a sentence."""
    try:
        raw = np.frombuffer(b64decode(value, validate=True), "<f2") if isinstance(value, str) else np.asarray(value)
        vector: Vector = raw.astype(np.float32)
    except (ValueError, TypeError):
        raise ValueError("The embedding cannot be read.") from None
    if vector.ndim != 1 or not np.isfinite(vector).all():
        raise ValueError("The embedding contains a value that is not a finite number.")
    if abs(float(np.linalg.norm(vector)) - 1) > NORM_TOLERANCE:
        raise ValueError("The embedding does not have unit length.")
    return vector

"""A collection's file, whoever wrote it -> its rows, in batches; what cannot be read is a sentence."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import IO, Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from core.collection.collection_cells import ReadRow, read_row
from core.collection.table_export import EMBEDDING, FACTS, THUMBNAIL, original
from core.errors import TransferError

BATCH = 500
"""Rows that are read at once: 10 MB with thumbnails and embeddings."""

MAX_LINE = 16_000_000
"""Bytes of a line of CSV, and how much of it is looked at at once."""


def read(name: str, file: IO[bytes]) -> Iterator[list[ReadRow]]:
    """The rows in batches; those that cannot be read at all have notes and nothing else.

    Raises TransferError when it is no such file.
    """
    start = file.read(4)
    file.seek(0)
    if not start:
        raise TransferError(f"{name} is empty.")
    batches = _parquet(name, file) if start == b"PAR1" else _csv(name, file)
    for numbers, columns, lost in batches:
        rows = [read_row(number, dict(zip(columns, cells, strict=True))) for number, cells in numbers]
        yield [*rows, *(ReadRow(number, [], "", [], {}, notes=[sentence]) for number, sentence in lost)]


_Batch = tuple[list[tuple[int, tuple[Any, ...]]], list[str], list[tuple[int, str]]]
"""Numbered rows, the names of their columns, and the rows that are lost, with the reasons."""


def _known(name: str, columns: Sequence[str]) -> list[str]:
    """The columns that mean something here. Raises TransferError when it is no collection."""
    known = [column for column in [*FACTS, THUMBNAIL, *EMBEDDING] if column in columns]
    if "urls" not in known and not {"sha256", THUMBNAIL} <= set(known):
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
            yield [], columns, [(number + 1, "From here on the file is damaged.")]
            return
        rows = list(zip(*(values[column] for column in columns), strict=True))
        yield list(enumerate(rows, number + 1)), columns, []
        number += len(rows)


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
                numbered = list[tuple[int, tuple[Any, ...]]]()
                for cells in zip(*(values[column] for column in columns), strict=True):
                    number += 1
                    while number in gone:
                        number += 1
                    numbered.append((number, tuple(original(cell.decode("utf-8", "replace")) for cell in cells)))
                yield numbered, columns, []
    except pa.ArrowException:
        lost.append((number + 1, "From here on no line can be read: a quotation mark is opened and never closed."))
    yield [], columns, lost

"""An uploaded list -> rows of text, whatever it was saved as."""

from __future__ import annotations

import codecs
import csv
import io
import re
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import pandas as pd
from pandas.api.types import is_numeric_dtype

from core.errors import UrlError
from core.media.file_types import NOT_PICTURES, kind_of

MAX_UNPACKED = 200_000_000
"""Bytes that an Excel file may unpack to; 100,000 rows of ten columns take some 50 million."""

MAX_COLUMNS = 100
"""Columns of an Excel sheet that are looked at."""

_DELIMITERS = {".csv": ",;\t|", ".tsv": "\t", ".txt": "\t"}
_NO_DELIMITER = "\x1f"
_IIIF_REST = re.compile(r"\d*/!?\d+/(?:default|color|gray|bitonal|native)\b")
"""What follows the comma of the size in a IIIF image address (IIIF Image API 3.0, 4: `…/full/600,/0/default.jpg`)."""

_OLD_OFFICE = b"\xd0\xcf\x11\xe0"
_SAVE_AS = "Save the list as .txt, .csv or .xlsx."


def read_rows(name: str, data: bytes) -> list[list[str]]:
    """The rows of a .txt, .csv, .tsv or .xlsx file, at least one, with every cell as text.

    `name` is the file's, for messages and for its suffix. Raises UrlError.
    """
    if not data:
        raise UrlError(f"{name} is empty.")
    if data.startswith(_OLD_OFFICE):
        raise UrlError(f"{name} is an old or protected Excel file. Save it without a password as .xlsx or .csv.")
    kind = kind_of(data)
    if kind == "zip":
        rows = _read_xlsx(name, data)
    elif kind in {"text", "unknown", "page", "svg"}:
        rows = _read_text(name, data)
    else:
        what = NOT_PICTURES[kind].split(",")[0] if kind in NOT_PICTURES else "a picture"
        raise UrlError(f"{name} is {what}, not a list of addresses. {_SAVE_AS}")
    while rows and not any(cell.strip() for cell in rows[-1]):
        rows.pop()
    if not rows:
        raise UrlError(f"{name} is empty.")
    return rows


def _read_text(name: str, data: bytes) -> list[list[str]]:
    text = _decoded(data)
    if text is None:
        raise UrlError(f"{name} holds no text that can be read. {_SAVE_AS}")
    candidates = _DELIMITERS.get(PurePath(name).suffix.lower(), _DELIMITERS[".csv"])
    try:
        delimiter = _delimiter(text, candidates)
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error:
        raise UrlError(f"{name} has a quotation mark that is opened and never closed, or a cell without end.") from None


def _decoded(data: bytes) -> str | None:
    """The text in UTF-8, UTF-16 or, as old Windows programs save it, CP1252; None for what is no text."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings = ["utf-16"]
    elif b"\0" in data[:200]:
        encodings = ["utf-16-le" if data[1::2][:100].count(0) > data[::2][:100].count(0) else "utf-16-be"]
    else:
        encodings = ["utf-8-sig", "cp1252"]
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if not any(character < " " and character not in "\t\r\n\f\v" for character in text[:10_000]):
            return text
    return None


def _delimiter(text: str, candidates: str) -> str:
    """The candidate that cuts most of the first lines into the same number of cells, more than one."""
    sample = text.splitlines()[:100]
    best, most = _NO_DELIMITER, len(sample) // 2
    for candidate in candidates:
        rows = [row for row in csv.reader(sample, delimiter=candidate) if row]
        if any(_IIIF_REST.match(cell) for row in rows for cell in row[1:]):
            continue  # the commas are those of the addresses
        widths = Counter(len(row) for row in rows if len(row) > 1)
        count = max(widths.values(), default=0)
        if count > most:
            best, most = candidate, count
    return best


def _read_xlsx(name: str, data: bytes) -> list[list[str]]:
    from openpyxl import load_workbook

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > MAX_UNPACKED:
            raise UrlError(
                f"{name} unpacks to more than {MAX_UNPACKED // 1_000_000} MB. "
                "Save only the column with the addresses, as .csv."
            )
        book = load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        try:
            sheets = [_sheet_rows(sheet) for sheet in book.worksheets]
        finally:
            book.close()
    except UrlError:
        raise
    except Exception:  # noqa: BLE001  a broken file makes zipfile, the XML parser and openpyxl raise all sorts
        raise UrlError(f"{name} is no Excel file that can be read. Save it again as .xlsx or .csv.") from None
    with_address = (rows for rows in sheets if any("://" in cell for row in rows for cell in row))
    return next(with_address, next((rows for rows in sheets if rows), []))


def _sheet_rows(sheet: Any) -> list[list[str]]:
    """The rows of a sheet without the empty cells at their ends."""
    declared = sheet.max_column or 0
    width = declared if 1 < declared < MAX_COLUMNS else MAX_COLUMNS  # some programs declare a single cell
    sheet.reset_dimensions()  # else openpyxl makes up all the rows that the file declares
    rows = list[list[str]]()
    for values in sheet.iter_rows(max_col=width, values_only=True):
        row = ["" if value is None else str(value) for value in values]
        while row and not row[-1]:
            row.pop()
        rows.append(row)
    return rows


_FORMULA = "[=+@\\t\\r\\n＝＋－＠-]"
_FORMULA_LIKE = re.compile(f"'*{_FORMULA}")
_MADE_SAFE = re.compile(f"''*{_FORMULA}")


def formula_safe(text: str) -> str:
    """A cell that no spreadsheet takes for a formula (OWASP, "CSV Injection"); `without_apostrophe` takes it back."""
    return f"'{text}" if _FORMULA_LIKE.match(text) else text


def without_apostrophe(cell: str) -> str:
    """What `formula_safe` made a cell of."""
    return cell[1:] if _MADE_SAFE.match(cell) else cell


def to_csv(table: pd.DataFrame, decimals: Mapping[str, int] | None = None, *, begins: bool = True) -> bytes:
    """A table as every CSV of ours is written: what a spreadsheet opens as it is, and takes no text in for a formula.

    Columns of numbers stay numbers, those in `decimals` with so many places; of all others each cell is a text. It
    is in UTF-8 and `begins` with the names of the columns after a byte order mark, without which Excel takes it for
    a legacy code page.
    """
    cells = {column: _cells(values, (decimals or {}).get(str(column))) for column, values in table.items()}
    text = pd.DataFrame(cells, dtype=object).to_csv(index=False, header=begins, lineterminator="\r\n")
    return (("\ufeff" if begins else "") + text).encode(errors="replace")


def _cells(values: pd.Series[Any], decimals: int | None) -> list[object]:
    if decimals is not None:
        return [f"{value:.{decimals}f}" for value in values]
    return list(values) if is_numeric_dtype(values) else [formula_safe(str(value)) for value in values]

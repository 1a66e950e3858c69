"""CSV and its kin, whatever separates the cells, as spreadsheets and people write them."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import PurePath

from core.indexing.readers.table import Sheet, filled
from core.indexing.readers.text import is_url, names_picture
from core.media.urls import MAX_LENGTH

_DELIMITERS = {".csv": ",;\t|", ".tsv": "\t", ".txt": "\t"}
_NO_DELIMITER = "\x1f"
_SEP = re.compile(r"sep=(.)\r?\n?", re.IGNORECASE)
_IIIF_REST = re.compile(r"\d*/!?\d+/(?:default|color|gray|bitonal|native)\b")
"""What follows the comma of the size in a IIIF image URL (IIIF Image API 3.0, 4: `…/full/600,/0/default.jpg`)."""

_IIIF_REGION = re.compile(r"/(?:pct:)?[\d.]+(?:,[\d.]+){0,2}$")
_PARAMETER = re.compile(r"[/,][a-z]{1,4}_[\w.:-]+$")
"""How a URL ends before the comma between two transformations (Cloudinary, Wix: `…/upload/w_300,h_200/…`)."""

MAX_NOTES = 20
"""Stray quotation marks that are named; the others are counted."""


def read_delimited(name: str, text: str) -> Sheet:
    """The rows of a text with one row per line. `name` is the file's, for its extension."""
    lines = list(io.StringIO(text, newline=""))
    first = 1
    if lines and (forced := _SEP.fullmatch(lines[0])):  # Excel's own line, which tells it the delimiter
        delimiter, lines, first = forced[1], lines[1:], 2
    else:
        delimiter = _delimiter(lines, _DELIMITERS.get(PurePath(name).suffix.lower(), _DELIMITERS[".csv"]))
    stray = list[int]()
    rows = list(enumerate(_rows(lines, delimiter, stray), first))
    numbers, cells = filled(rows)
    width = len(cells[0]) if cells and not any(map(is_url, cells[0])) else None
    if delimiter == ",":
        cells = [_rejoined(row, width) for row in cells]
    return Sheet(numbers, cells, notes=_notes([number + first for number in stray]))


def _notes(stray: Sequence[int]) -> list[str]:
    named = [
        f"Row {number}: an opening quotation mark has no closing one, so it counts as part of the text."
        for number in stray[:MAX_NOTES]
    ]
    more = len(stray) - len(named)
    return [*named, f"{more:,} more rows have such a quotation mark."] if more > 0 else named


def _rows(lines: Sequence[str], delimiter: str, stray: list[int]) -> Iterator[list[str]]:
    """The rows; `stray` gains the places of those in which a quotation mark is opened that closes nothing.

    pandas' readers would take such a mark for the start of a cell that silently swallows the rows after it. So rows are
    read by the strict rules (RFC 4180), and where those are broken, the line is read by itself. No text is read more
    than twice, because where a mark stays open none of the following lines opens another.
    """
    at, count, width = 0, 0, None
    while at < len(lines):
        reader = csv.reader(map(lines.__getitem__, range(at, len(lines))), delimiter=delimiter, strict=True)
        done = 0
        try:
            for row in reader:
                if reader.line_num - done > 2:
                    inner = lines[at + done + 1 : at + reader.line_num - 1]
                    if _swallows(inner, delimiter, width or len(row)):
                        raise csv.Error
                width = width or len(row)
                done = reader.line_num
                count += 1
                yield row
            return
        except csv.Error:
            at += done
        if '"' in lines[at]:
            stray.append(count)
        row = _loose_cells(lines[at], delimiter)
        width = width or len(row)
        yield row
        at += 1
        count += 1


def _swallows(inner: Sequence[str], delimiter: str, width: int) -> bool:
    """Whether a line inside of a cell is itself a row: as wide as the others, with a URL behind its first cell."""
    for line in inner:
        if width > 1 and "://" in line and line.count(delimiter) >= width - 1:
            cells = _loose_cells(line, delimiter)
            if len(cells) >= width and not is_url(cells[0]) and any(map(is_url, cells)):
                return True
    return False


def _loose_cells(line: str, delimiter: str) -> list[str]:
    """The cells of a line in which quotation marks count only where they enclose a cell."""
    mark = re.escape(delimiter)
    cells = re.findall(rf'"((?:[^"]|"")*+)"(?:{mark}|$)|([^{mark}]*)(?:{mark}|$)', line.rstrip("\r\n"))
    texts = [quoted.replace('""', '"') if quoted else bare for quoted, bare in cells]
    return texts[:-1] if len(texts) > 1 and not line.rstrip("\r\n").endswith(delimiter) else texts


def _delimiter(lines: Sequence[str], candidates: str) -> str:
    """The candidate that cuts most of the first lines into the same number of cells, more than one."""
    sample = list(islice(lines, 100))
    best, most = _NO_DELIMITER, len(sample) // 2
    for candidate in candidates:
        rows = [row for row in _sampled(sample, candidate) if row]
        width = len(rows[0]) if rows and not any(map(is_url, rows[0])) else None
        widths = Counter(len(_rejoined(row, width) if candidate == "," else row) for row in rows)
        count = max((count for width, count in widths.items() if width > 1), default=0)
        if count > most:
            best, most = candidate, count
    return best


def _sampled(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    try:
        return list(csv.reader(lines, delimiter=delimiter, strict=True))
    except csv.Error:
        return [_loose_cells(line, delimiter) for line in lines]


def _rejoined(row: Sequence[str], width: int | None) -> Sequence[str]:
    """The row with a URL in one piece that was cut at a comma of its own.

    Where the names of the columns tell the `width`, only a wider row can have such a URL. Without them, what is cut
    must look like the rest of one.
    """
    if width is not None and len(row) <= width:
        return row
    cells, extra = list[str](), len(row) - width if width is not None else len(row)
    iiif = any(map(_IIIF_REST.match, row))
    for cell in row:
        if cells and extra > 0 and _goes_on(cells[-1], cell, width_known=width is not None, iiif=iiif):
            cells[-1] += f",{cell}"
            extra -= 1
        else:
            cells.append(cell)
    return cells


def _goes_on(url: str, rest: str, *, width_known: bool, iiif: bool) -> bool:
    """Whether a cell is the rest of the URL before it."""
    if len(url) > MAX_LENGTH or "://" not in url or "://" in rest or any(map(str.isspace, url + rest)):
        return False
    if _IIIF_REST.match(rest) or (_PARAMETER.search(url) and rest):
        return True
    if iiif and _IIIF_REGION.search(url) and re.match(r"[\d.]+(?:/|$)", rest):
        return True
    return width_known and bool(rest) and ("?" in url or ("/" in rest and not names_picture(url)))

"""Excel workbooks: what every sheet's cells show, and the URLs behind them."""

from __future__ import annotations

import io
import re
import zipfile
from itertools import islice, product
from typing import Any

from openpyxl import load_workbook
from openpyxl.packaging.relationship import get_dependents, get_rels_path
from openpyxl.utils.cell import range_boundaries
from openpyxl.worksheet._reader import WorkSheetParser

from core.errors import UrlError
from core.indexing.readers.table import MAX_COLUMNS, Sheet

MAX_UNPACKED = 200_000_000
"""Bytes that an Excel file may unpack to; 100,000 rows of ten columns take some 50 million."""

MAX_ROW = 1_048_576
"""Rows of a sheet ("Excel specifications and limits"). Excel does not show what a file has below either."""

MAX_LINKED_CELLS = 1_000
"""Cells that one link may cover; each of them has its URL."""

_FORMULA_TAG = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}f"
_LINKING = re.compile(r"(?:HYPERLINK|IMAGE)\s*\(", re.IGNORECASE)
_LITERAL = re.compile(r'"((?:[^"]|"")*+)"')
_PIECE = re.compile(r'\s*(?:"((?:[^"]|"")*+)"|\$?([A-Z]{1,3})\$?(\d{1,7}))\s*(&|,|\))', re.IGNORECASE)


class _Parser(WorkSheetParser):
    """openpyxl's own stream of rows, which also keeps the formulas that lead somewhere."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.formulas = dict[tuple[int, int], str]()

    def parse_cell(self, element: Any) -> Any:
        formula = element.findtext(_FORMULA_TAG)
        cell = super().parse_cell(element)
        if formula and _LINKING.search(formula):
            self.formulas[cell["row"], cell["column"]] = formula
            if cell["data_type"] == "e":  # what a program that does not know IMAGE() leaves
                cell["value"] = None
        return cell


def read_xlsx(name: str, data: bytes) -> list[Sheet]:
    """The sheets of a workbook, a row at a time in memory but for what they hold. Raises UrlError."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
            if unpacked > MAX_UNPACKED:
                raise UrlError(
                    f"{name} unpacks to more than {MAX_UNPACKED // 1_000_000} MB. "
                    "Save only the column with the URLs, as .csv."
                )
            book = load_workbook(io.BytesIO(data), read_only=True, data_only=True)
            try:
                return [_read_sheet(book, sheet, archive) for sheet in book.worksheets]
            finally:
                book.close()
    except UrlError:
        raise
    except Exception:  # noqa: BLE001  a broken file makes zipfile, the XML parser and openpyxl raise all sorts
        raise UrlError(f"{name} cannot be read as an Excel file. Save it again as .xlsx or .csv.") from None


def _read_sheet(book: Any, sheet: Any, archive: zipfile.ZipFile) -> Sheet:
    # Not sheet.iter_rows, which makes up every row and cell that the file only declares, and skips the links.
    cells, by_place = dict[int, list[str]](), dict[tuple[int, int], str]()
    with sheet._get_source() as source:
        parser = _Parser(
            source,
            sheet._shared_strings,
            data_only=True,
            epoch=book.epoch,
            date_formats=book._date_formats,
            timedelta_formats=book._timedelta_formats,
        )
        for number, row in parser.parse():
            if number > MAX_ROW:
                break
            texts = list[str]()
            for cell in row:
                if cell["value"] is not None:
                    texts += [""] * (min(cell["column"], MAX_COLUMNS + 1) - 1 - len(texts))
                    texts.append(str(cell["value"]))
            if texts:
                cells[number] = texts
    for place, formula in parser.formulas.items():
        by_place[place] = formula_url(formula, cells)
    for place, url in _hyperlinks(sheet, parser, archive).items():
        by_place.setdefault(place, url)
    links = {place: url for place, url in by_place.items() if url and place[0] <= MAX_ROW}
    for row, _ in links:
        cells.setdefault(row, [])
    linked = {row for row, _ in links}
    numbers = sorted(number for number in cells if number in linked or any(text.strip() for text in cells[number]))
    for row, column in links:
        cells[row] += [""] * (min(column, MAX_COLUMNS) - len(cells[row]))
    places = {number: place for place, number in enumerate(numbers)}
    return Sheet(
        numbers,
        [cells[number] for number in numbers],
        sheet.title,
        links={(places[row], column - 1): url for (row, column), url in links.items()},
    )


def _hyperlinks(sheet: Any, parser: Any, archive: zipfile.ZipFile) -> dict[tuple[int, int], str]:
    """The targets of the links on cells; those to places in the workbook are none."""
    found = dict[tuple[int, int], str]()
    if not parser.hyperlinks.hyperlink:
        return found
    relations = get_rels_path(sheet._worksheet_path).lstrip("/")  # type: ignore[no-untyped-call]
    targets = {
        relation.Id: relation.Target
        for relation in (get_dependents(archive, relations) if relations in archive.namelist() else [])
    }
    for link in parser.hyperlinks.hyperlink:
        target = targets.get(link.id) or ""
        if "://" not in target:
            continue
        url = f"{target}#{link.location}" if link.location else target
        left, top, right, bottom = (bound or 1 for bound in range_boundaries(link.ref))
        rows, columns = range(top, min(bottom, top + MAX_LINKED_CELLS) + 1), range(left, min(right, MAX_COLUMNS) + 1)
        found |= dict.fromkeys(islice(product(rows, columns), MAX_LINKED_CELLS), url)
    return found


def formula_url(formula: str, cells: dict[int, list[str]]) -> str:
    """The URL that HYPERLINK() or IMAGE() refers to: the first argument, made of texts and cells joined by &.

    Any other expression is returned as the formula itself if it contains a URL, which is then reported as a problem
    instead of being lost.
    """
    found = _LINKING.search(formula)
    at, parts = found.end() if found else 0, list[str]()
    while piece := _PIECE.match(formula, at):
        text, column, row, end = piece.groups()
        parts.append(text.replace('""', '"') if column is None else _cell(cells, column.upper(), int(row)))
        at = piece.end()
        if end != "&":
            return url if "://" in (url := "".join(parts)) else ""
    return formula if any("://" in text for text in _LITERAL.findall(formula)) else ""


def _cell(cells: dict[int, list[str]], letters: str, row: int) -> str:
    column = 0
    for letter in letters:
        column = column * 26 + ord(letter) - 64
    texts = cells.get(row, [])
    return texts[column - 1] if column <= len(texts) else ""

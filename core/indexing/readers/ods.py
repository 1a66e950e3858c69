"""OpenDocument spreadsheets (LibreOffice, Google Sheets): what every sheet's cells show, and the URLs behind them.

OASIS Open Document Format 1.3, part 3, chapters 5 (text) and 9 (tables)
"""

from __future__ import annotations

import io
import re
import zipfile
from xml.parsers import expat

from core.errors import UrlError
from core.indexing.readers.table import MAX_COLUMNS, Sheet
from core.indexing.readers.xlsx import MAX_LINKED_CELLS, MAX_ROW, MAX_UNPACKED, formula_url

MIME = b"application/vnd.oasis.opendocument.spreadsheet"
"""What the member `mimetype` of such a file begins with."""

_CELLS = {"table:table-cell", "table:covered-table-cell"}
_SPACES = {"text:tab": "\t", "text:line-break": "\n"}
_LITERAL = re.compile(r'("(?:[^"]|"")*+")')


def is_ods(data: bytes) -> bool:
    """Whether a ZIP file is an OpenDocument spreadsheet."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive, archive.open("mimetype") as member:
            return member.read(len(MIME)) == MIME
    except (KeyError, OSError, RuntimeError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return False


def read_ods(name: str, data: bytes) -> list[Sheet]:
    """The sheets of a spreadsheet. Raises UrlError."""
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = reader.start, reader.end
    parser.CharacterDataHandler = reader.text
    parser.EntityDeclHandler = _refuse  # no office program writes any, and they can be made to grow without end
    too_large = UrlError(
        f"{name} unpacks to more than {MAX_UNPACKED // 1_000_000} MB. Save only the column with the URLs, as .csv."
    )
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive, archive.open("content.xml") as content:
            left = MAX_UNPACKED
            while chunk := content.read(1 << 20):
                left -= len(chunk)
                if left < 0:
                    raise too_large
                parser.Parse(chunk)
            parser.Parse(b"", True)
    except UrlError:
        raise
    except Exception:  # noqa: BLE001  a broken file makes zipfile and expat raise all sorts
        raise UrlError(f"{name} cannot be read as a spreadsheet. Save it again as .ods or .csv.") from None
    return reader.sheets


def _refuse(*_: object) -> None:
    raise ValueError("entities are refused")


class _Reader:
    """Collects the sheets, element by element."""

    def __init__(self) -> None:
        self.sheets = list[Sheet]()
        self._name = ""
        self._numbers, self._rows = list[int](), list[list[str]]()
        self._links = dict[tuple[int, int], str]()
        self._formulas = dict[tuple[int, int], str]()
        self._row, self._number = list[str](), 1
        self._row_links, self._row_formulas = dict[int, str](), dict[int, str]()
        self._row_times = self._cell_times = 1
        self._column = 0
        self._cell: list[str] | None = None
        self._targets = list[str]()
        self._formula = ""
        self._beside = 0  # depth within notes on a cell, which are no part of it

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "office:annotation" or self._beside:
            self._beside += 1
        elif tag == "table:table":
            self._name, self._number = attributes.get("table:name", ""), 1
            self._numbers, self._rows, self._links, self._formulas = [], [], {}, {}
        elif tag == "table:table-row":
            self._row, self._row_links, self._row_formulas, self._column = [], {}, {}, 0
            self._row_times = _times(attributes, "table:number-rows-repeated")
        elif tag in _CELLS:
            self._cell, self._targets = [], []
            self._formula = attributes.get("table:formula", "")
            self._cell_times = _times(attributes, "table:number-columns-repeated")
        elif self._cell is not None:
            if tag == "text:p" and self._cell:
                self._cell.append("\n")
            elif tag == "text:s":
                self._cell.append(" " * min(_times(attributes, "text:c"), 1_000))
            elif tag in _SPACES:
                self._cell.append(_SPACES[tag])
            if tag in ("text:a", "draw:a", "draw:image") and "://" in (target := attributes.get("xlink:href", "")):
                self._targets.append(target)

    def text(self, words: str) -> None:
        if self._cell is not None and not self._beside:
            self._cell.append(words)

    def end(self, tag: str) -> None:
        if self._beside:
            self._beside -= 1
        elif tag in _CELLS and self._cell is not None:
            self._end_cell("".join(self._cell).strip())
            self._cell = None
        elif tag == "table:table-row":
            self._end_row()
        elif tag == "table:table":
            cells = dict(zip(self._numbers, self._rows, strict=True))
            for (place, column), formula in self._formulas.items():
                if url := formula_url(formula, cells):
                    self._links.setdefault((place, column), url)
            self.sheets.append(Sheet(self._numbers, self._rows, self._name, links=self._links))

    def _end_cell(self, text: str) -> None:
        links = bool(self._formula) and ("HYPERLINK" in self._formula.upper() or "IMAGE" in self._formula.upper())
        if not (text or self._targets or links):
            self._column += self._cell_times
            return
        for _ in range(min(self._cell_times, MAX_COLUMNS)):
            column = min(self._column, MAX_COLUMNS)  # what is farther right is joined in the last column
            if column < len(self._row):
                self._row[column] = f"{self._row[column]}\n{text}"
            else:
                self._row += [""] * (column - len(self._row)) + [text]
            if self._targets:
                known = [self._row_links[column]] if column in self._row_links else []
                self._row_links[column] = "\n".join([*known, *self._targets])
            if links:
                self._row_formulas[column] = _as_excel(self._formula)
            self._column += 1
        self._column += max(0, self._cell_times - MAX_COLUMNS)

    def _end_row(self) -> None:
        filled = any(self._row) or self._row_links or self._row_formulas
        times = min(self._row_times, MAX_LINKED_CELLS) if filled else 0
        for number in range(self._number, self._number + times):
            if number > MAX_ROW:
                break
            place = len(self._rows)
            self._numbers.append(number)
            self._rows.append(self._row)
            self._links |= {(place, column): url for column, url in self._row_links.items()}
            self._formulas |= {(place, column): formula for column, formula in self._row_formulas.items()}
        self._number += self._row_times


def _times(attributes: dict[str, str], name: str) -> int:
    number = attributes.get(name, "1")
    return max(1, int(number)) if number.isdecimal() and len(number) < 9 else 1


def _as_excel(formula: str) -> str:
    """An OpenFormula expression as Excel writes it: `of:=HYPERLINK([.A2];"x")` as `HYPERLINK(A2,"x")`."""
    pieces = _LITERAL.split(formula)
    pieces[::2] = [re.sub(r"\[\.([$A-Z0-9]+)\]", r"\1", piece).replace(";", ",") for piece in pieces[::2]]
    return "".join(pieces)

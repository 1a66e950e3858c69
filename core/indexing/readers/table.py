"""The table that a list is read into: named columns, numbered rows, and the links of its cells."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any

import pandas as pd

from core.indexing.readers.text import count_urls, is_url, names_picture, plain

MAX_COLUMNS = 100
"""Columns of a table. Any further ones are joined in the last, so that no URL is lost."""

SHEET = "Sheet"
"""The column that names each row's sheet where several sheets hold URLs."""

_NUMBER = re.compile(r"[\s_.#-]*\d+(?=\.|$)")
_SMALL = ("thumb", "preview", "icon", "small", "logo")


@dataclass(frozen=True)
class Sheet:
    """Rows of text as in the file, without blank ones, and their numbers from 1.

    `links` are URLs behind cells, by row and column counted from 0. `header` holds the names of the columns where the
    format tells them; else they are looked for in the first rows. `pictures` is the column that the format says holds
    the URLs of pictures. `notes` are sentences about the file.
    """

    numbers: Sequence[int]
    rows: Sequence[Sequence[str]]
    name: str = ""
    header: Sequence[str] | None = None
    pictures: int | None = None
    links: Mapping[tuple[int, int], str] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def unescaped(self) -> Sheet:
        """The sheet with URLs whose slashes were escaped (`https:\\/\\/`, as PHP writes JSON) as themselves."""
        if not any(":\\/" in cell for row in self.rows for cell in row):
            return self
        rows = [[plain(cell) if ":\\/" in cell else cell for cell in row] for row in self.rows]
        return replace(self, rows=rows)

    def has_urls(self) -> bool:
        """Whether a cell contains a URL or links to one."""
        return bool(self.links) or any("://" in cell for row in self.rows for cell in row)


@dataclass(frozen=True)
class Table:
    """Cells of text under named columns. The index of `frame` numbers the rows as the file does, from 1.

    `links` are URLs behind cells, by row and column of the frame counted from 0; `notes` are sentences about the file;
    `pictures` is the column that the format says holds the URLs of pictures.
    """

    frame: pd.DataFrame
    links: Mapping[tuple[int, int], str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    pictures: int | None = None

    @property
    def columns(self) -> list[str]:
        """The names of the columns; two may be the same."""
        return [str(name) for name in self.frame.columns]

    def column(self, column: int) -> Iterator[tuple[int, str]]:
        """The text of each cell of a column, with the URL behind it, and the number of its row."""
        cells = zip(self.frame.index.to_list(), self.frame.iloc[:, column].to_numpy(object), strict=True)
        for place, (number, cell) in enumerate(cells):
            link = self.links.get((place, column))
            if link is None:
                yield number, cell
            elif "://" not in cell:
                yield number, link
            else:
                yield number, cell if link in cell else f"{cell}\n{link}"

    def given(self) -> int:
        """How often `http(s)://` occurs in its cells and their links, in all columns."""
        columns = range(len(self.frame.columns))
        return sum(count_urls(plain(cell)) for column in columns for _, cell in self.column(column) if ":" in cell)


def text_frame(rows: Sequence[Sequence[str]], columns: Sequence[str], numbers: Sequence[int]) -> pd.DataFrame:
    """A frame of exact text, without conversion to numbers, dates or missing values; short rows are padded with ""."""
    width = len(columns)
    cells = zip_longest(*rows, fillvalue="") if rows else [()] * width
    index = pd.Index(list(numbers), dtype="int64")
    frame = pd.DataFrame({place: _text(values, index) for place, values in enumerate(cells)}, index)
    for place in range(len(frame.columns), width):
        frame[place] = _text([""] * len(index), index)
    return frame.set_axis(pd.Index(list(columns), dtype=object), axis="columns")


def _text(values: Sequence[str], index: pd.Index[int]) -> pd.Series[Any]:
    """A column of text: in pandas' own, which takes a fifth of the memory, but for halves of surrogates, which JSON
    may hold."""
    try:
        return pd.Series(list(values), index, dtype="str")
    except UnicodeEncodeError:
        return pd.Series(list(values), index, dtype=object)


def as_table(sheets: Sequence[Sheet], *, is_list: bool = False, header: bool | None = None) -> Table:
    """One table of all sheets that hold URLs, or the first that holds anything; columns of one name are one.

    `is_list` says that a single column has no name, and `header` that the first row names the columns; else it is told
    from the URLs below.
    """
    kept = [sheet for sheet in sheets if sheet.has_urls()] or [sheet for sheet in sheets if sheet.rows][:1]
    tables = [_titled(sheet, is_list, header) for sheet in kept]
    if len(tables) == 1:
        return tables[0]
    columns = [SHEET, *dict.fromkeys(name for table in tables for name in table.columns)]
    frames, links, first = list[pd.DataFrame](), dict[tuple[int, int], str](), 0
    for sheet, table in zip(kept, tables, strict=True):
        named = table.frame.loc[:, ~table.frame.columns.duplicated()]
        rest = table.frame.loc[:, table.frame.columns.duplicated()]
        if len(rest.columns):  # two columns of one name on one sheet: the second joins the first
            for place, name in enumerate(rest.columns):
                named = named.assign(**{name: named[name].str.cat(rest.iloc[:, place], sep="\n").str.strip()})
        frames.append(named.assign(**{SHEET: sheet.name}))
        places = {place: columns.index(name) for place, name in enumerate(table.columns)}
        links |= {(first + row, places[column]): url for (row, column), url in table.links.items()}
        first += len(named)
    return Table(
        pd.concat(frames).reindex(columns=columns).fillna(""), links, [note for table in tables for note in table.notes]
    )


def _titled(sheet: Sheet, is_list: bool, header: bool | None) -> Table:
    rows = [row if len(row) <= MAX_COLUMNS else _narrowed(row) for row in sheet.rows]
    width = max((len(row) for row in rows), default=1) or 1
    if sheet.header is not None:
        names, top = [*sheet.header][:MAX_COLUMNS], 0
    else:
        at = 0 if header else None if is_list and width == 1 else _header(rows)
        names, top = ([*rows[at]], at + 1) if at is not None else ([], 0)
    names = [" ".join(name.split()) for name in names] + [""] * (width - len(names))
    columns = [name or f"Column {number}" for number, name in enumerate(names, 1)]
    frame = text_frame(rows[top:], columns, sheet.numbers[top:])
    links = {(row - top, min(column, MAX_COLUMNS - 1)): url for (row, column), url in sheet.links.items() if row >= top}
    lost = [
        f"Row {sheet.numbers[row]} is above the column names, so its URL is left out: {url}"
        for (row, _), url in sheet.links.items()
        if row < top
    ]
    return Table(frame, links, [*sheet.notes, *lost], sheet.pictures)


def _narrowed(row: Sequence[str]) -> list[str]:
    return [*row[: MAX_COLUMNS - 1], "\n".join(cell for cell in row[MAX_COLUMNS - 1 :] if cell)]


def _header(rows: Sequence[Sequence[str]]) -> int | None:
    """The row that names the columns: of those above the first URL, the first in which most cells are filled.

    None when the first row contains a URL, or there is only one row.
    """
    if len(rows) < 2:
        return None
    with_url = next((place for place, row in enumerate(rows) if any(map(is_url, row))), 1)
    filled = [sum(1 for cell in row if cell.strip()) for row in rows[:with_url]]
    return filled.index(max(filled)) if filled else None


def url_column(table: Table) -> int:
    """The index of the column to take URLs from: the one that the format names, else that with most URLs of pictures,
    else with most URLs.

    A column has URLs of pictures when at least half of its URLs end like an image file; one named like a column of
    small pictures counts half.
    """
    if table.pictures is not None and any("://" in cell for _, cell in table.column(table.pictures)):
        return table.pictures
    scores = [_score(table, column) for column in range(len(table.columns))]
    return scores.index(max(scores))


def url_columns(table: Table) -> list[int]:
    """The columns to take URLs from: `url_column`, and those of pictures that are named like it but for a number."""
    best = url_column(table)
    family = _family(table.columns[best])
    return [
        column
        for column, name in enumerate(table.columns)
        if column == best or (family and _family(name) == family and _score(table, column)[0] > 0)
    ]


def _family(name: str) -> str:
    """A column's name without its number; "" for one that the file does not name."""
    return "" if name.startswith("Column ") else _NUMBER.sub("", name.lower())


def _score(table: Table, column: int) -> tuple[float, int]:
    urls = pictures = 0
    for _, cell in table.column(column):
        if "." in cell and is_url(cell):
            urls += 1
            pictures += names_picture(cell)
    name = table.columns[column].lower()
    weight = 0.5 if any(small in name for small in _SMALL) else 1.0
    return (weight * pictures if 2 * pictures >= urls else 0.0), urls


def filled(rows: Iterable[tuple[int, Sequence[str]]]) -> tuple[list[int], list[Sequence[str]]]:
    """The numbers and cells of those of these numbered rows that are not blank."""
    kept = [(number, row) for number, row in rows if any(cell.strip() for cell in row)]
    return [number for number, _ in kept], [row for _, row in kept]

"""Pasted text and uploaded lists in any format -> clean URLs, each with its key, and a summary."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from core.collection.metadata import MAX_TITLE, MAX_VALUE, NO_METADATA, Metadata, field_names, readable
from core.errors import UrlError
from core.indexing.readers.chooser import read_document, read_sheets
from core.indexing.readers.encoding import Reading, readings
from core.indexing.readers.html import is_whole_page
from core.indexing.readers.iiif import is_iiif
from core.indexing.readers.json import is_json, parse
from core.indexing.readers.table import Table, as_table, url_column, url_columns
from core.indexing.readers.text import count_urls, plain, urls_in, with_escaped_spaces
from core.indexing.readers.xml import is_xml
from core.media.urls import clean, key_of

__all__ = [
    "ListTable",
    "ListedUrl",
    "Reading",
    "UrlCount",
    "read_lines",
    "read_pasted_document",
    "read_table",
    "tally",
    "url_column",
    "url_columns",
]


@dataclass(frozen=True, slots=True)
class ListedUrl:
    """A URL in a list: `url` to be fetched and its 32-byte `key`, or else the `problem` with `text`.

    `number` counts lines or rows from 1; `repeat_of` is the number of the first line with the same key. `metadata` is
    from the other columns of its row.
    """

    number: int
    text: str
    url: str | None = None
    key: bytes | None = None
    problem: str | None = None
    repeat_of: int | None = None
    metadata: Metadata = NO_METADATA


@dataclass(frozen=True)
class ListTable(Table):
    """An uploaded list: `sheets` are the names of those with URLs, `readings` the code pages that it may be in."""

    sheets: Sequence[str] = ()
    readings: Sequence[Reading] = ()

    @property
    def rows(self) -> list[list[str]]:
        """The cells."""
        return self.frame.to_numpy().tolist()

    def lines(
        self, columns: int | Sequence[int], fields: Collection[int] = (), title: int | None = None
    ) -> list[ListedUrl]:
        """The URLs in one column or several, row by row, each with metadata from the columns `fields` and `title`;
        empty cells are ignored."""
        chosen = [columns] if isinstance(columns, int) else columns
        cells = chain.from_iterable(zip(*map(self.column, chosen), strict=True))
        if not fields and title is None:
            return _lines(cells)
        names = field_names(self.columns)
        kept = {names[place]: self._texts(place, MAX_VALUE) for place in fields}
        titles = [""] * len(self.frame) if title is None else self._texts(title, MAX_TITLE)
        rows = zip(*kept.values(), strict=True) if kept else [()] * len(self.frame)
        metadata = [
            Metadata(" ".join(name.split()), {field: text for field, text in zip(kept, texts, strict=True) if text})
            for name, texts in zip(titles, rows, strict=True)
        ]
        return _lines(cells, [row for row in metadata for _ in chosen])

    def _texts(self, column: int, most: int) -> list[str]:
        return [readable(cell, most) for cell in self.frame.iloc[:, column].to_numpy(object)]


@dataclass(frozen=True)
class UrlCount:
    """The counts of a list's URLs by result; `elsewhere` are those in columns that were not selected."""

    ready: int
    repeated: int
    problems: int
    elsewhere: int = 0

    @property
    def total(self) -> int:
        """All URLs found."""
        return self.ready + self.repeated + self.problems + self.elsewhere

    @property
    def sentence(self) -> str:
        """Such as "512 URLs found: 498 ready, 10 repeated, 4 problems."."""
        total = self.total
        parts = [f"{self.ready:,} ready"]
        parts += [f"{self.repeated:,} repeated"] if self.repeated else []
        parts += [f"{self.problems:,} problem{'' if self.problems == 1 else 's'}"] if self.problems else []
        parts += [f"{self.elsewhere:,} in other columns"] if self.elsewhere else []
        return f"{total:,} URL{'' if total == 1 else 's'} found: {', '.join(parts)}."


def tally(lines: Iterable[ListedUrl], given: int | None = None) -> UrlCount:
    """Count the lines of a list by result. `given` is how often `http(s)://` occurs in the whole input, see
    `ListTable.given`; those that are in no line count as elsewhere."""
    ready = repeated = problems = held = 0
    for line in lines:
        held += count_urls(line.text)
        if line.problem is not None:
            problems += 1
        elif line.repeat_of is not None:
            repeated += 1
        else:
            ready += 1
    return UrlCount(ready, repeated, problems, max(0, given - held) if given is not None else 0)


def read_lines(text: str) -> list[ListedUrl]:
    """The URLs in a pasted list, usually one a line, also with words, quotes, HTML or Markdown around them.

    Blank lines and those that start with # are skipped, but a URL in one is reported as a problem.
    """
    return _lines(enumerate(text.splitlines(), 1))


def read_pasted_document(text: str) -> ListTable | None:
    """The table in a pasted web page, IIIF document, sitemap or feed, which also name URLs of no pictures; None for any
    other text, which `read_lines` reads. Raises UrlError."""
    known = is_xml(text) or is_whole_page(text)
    if not known and not ("iiif.io/api" in text and is_json(text) and is_iiif(parse(text))):
        return None
    sheet = read_document(text)
    return _as_list(as_table([sheet])) if sheet else None


def read_table(name: str, data: bytes, encoding: str | None = None, sheets: Collection[str] | None = None) -> ListTable:
    """The table in an uploaded list of any format. Raises UrlError when there is none.

    `encoding` is one of its `readings` instead of the likeliest, `sheets` the names of those to read instead of all.
    """
    found = read_sheets(name, data, encoding)
    kept = [sheet for sheet in found if sheets is None or sheet.name in sheets] or found
    table = as_table(kept, is_list=name.lower().endswith(".txt"))
    named = [sheet.name for sheet in found if sheet.name and sheet.has_urls()]
    return _as_list(table, named, [] if any(sheet.name for sheet in found) else readings(data))


def _as_list(table: Table, sheets: Sequence[str] = (), code_pages: Sequence[Reading] = ()) -> ListTable:
    return ListTable(table.frame, table.links, table.notes, table.pictures, sheets, code_pages)


def _lines(cells: Iterable[tuple[int, str]], metadata: Sequence[Metadata] | None = None) -> list[ListedUrl]:
    lines, seen = list[ListedUrl](), dict[bytes, ListedUrl]()
    for place, (number, cell) in enumerate(cells):
        text = plain(cell).strip()
        if not text or (text.startswith("#") and "://" not in text):
            continue
        row_metadata = metadata[place] if metadata else NO_METADATA
        for url in _listed(number, text, row_metadata):
            if url.key is not None and (first := seen.setdefault(url.key, url)) is not url:
                url = replace(url, repeat_of=first.number)
            lines.append(url)
    return lines


def _listed(number: int, text: str, metadata: Metadata) -> Iterator[ListedUrl]:
    """The URLs and problems in a line or cell; each `http(s)://` in it is in one of them."""
    if text.startswith("#"):
        yield ListedUrl(number, text, problem="This line begins with #, so it is left out.")
        return
    held = 0
    for found in urls_in(text):
        held += count_urls(found)
        try:
            url = clean(with_escaped_spaces(found))
        except UrlError as error:
            yield ListedUrl(number, found, problem=str(error))
        else:
            yield ListedUrl(number, found, url, key_of(url), metadata=metadata)
    if held != count_urls(text):  # never observed, but no URL may be lost silently
        yield ListedUrl(number, text, problem="The URLs in this line run into each other. Put each on its own line.")

"""Pasted text and tables -> clean URLs, each with its identity key."""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace

from core.collection.metadata import MAX_TITLE, MAX_VALUE, NO_METADATA, Metadata, field_names, readable
from core.collection.spreadsheets import read_rows
from core.errors import UrlError
from core.media.urls import _BARE, _INVISIBLE, clean, key_of

_ODD = re.compile(r"[\s<>\"'`“”„‚‘’«»()\[\]{},;|]")


_HTML = re.compile(r"\b(?:href|src)\s*=\s*[\"']?([^\"'\s>]+)", re.IGNORECASE)


_MARKDOWN = re.compile(r"\]\(\s*<?((?:[^\s()<>]|\([^\s()]*\))+)")


_SEPARATOR = re.compile(r"\t|[,;|](?=\s|https?://|www\.)", re.IGNORECASE)


_OPENING, _CLOSING = "<([{\"'`“„‚‘«", ">)]}\"'`”’»,;.|"


_PICTURE = re.compile(r"\.(?:jpe?g|png|webp|gif|avif|bmp|tiff?|hei[cf])(?:[?#]\S*)?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ListedUrl:
    """An address in a list: `url` to be fetched and its 32-byte `key`, or else the `problem` with `text`.

    `number` counts lines or rows from 1; `repeat_of` is the number where the same key was first seen. `said` is what
    the row says beside it.
    """

    number: int
    text: str
    url: str | None = None
    key: bytes | None = None
    problem: str | None = None
    repeat_of: int | None = None
    said: Metadata = NO_METADATA


@dataclass(frozen=True)
class ListTable:
    """Rows of text under named columns; rows may be shorter than the columns. `first` is the first row's number."""

    columns: list[str]
    rows: list[list[str]]
    first: int

    def lines(self, column: int, fields: Collection[int] = (), title: int | None = None) -> list[ListedUrl]:
        """The addresses in one column, with the columns `fields` and the title beside each; empty cells say nothing."""
        lines = _lines((number, row[column]) for number, row in enumerate(self.rows, self.first) if column < len(row))
        if not fields and title is None:
            return lines
        names = field_names(self.columns)
        return [replace(line, said=self._said(line.number, names, fields, title)) for line in lines]

    def _said(self, number: int, names: list[str], fields: Collection[int], title: int | None) -> Metadata:
        cells = dict(enumerate(self.rows[number - self.first]))
        told = {names[column]: readable(cells.get(column, ""), MAX_VALUE) for column in fields}
        name = "" if title is None else " ".join(readable(cells.get(title, ""), MAX_TITLE).split())
        return Metadata(name, {name: value for name, value in told.items() if value})


def read_lines(text: str) -> list[ListedUrl]:
    """The addresses in a pasted list, usually one a line, also with words, quotes, HTML or Markdown around them.

    Blank lines and those that start with # are passed over.
    """
    return _lines(enumerate(text.splitlines(), 1))


def read_table(name: str, data: bytes) -> ListTable:
    """The table in an uploaded .txt, .csv, .tsv or .xlsx file. Raises UrlError when it holds none."""
    rows = read_rows(name, data)
    width = max(map(len, rows))
    top = next(number for number, row in enumerate(rows) if any(row))
    is_plain_list = width == 1 and (len(rows) == 1 or name.lower().endswith(".txt"))
    if is_plain_list or any(map(_is_address, rows[top])):
        return ListTable([f"Column {number}" for number in range(1, width + 1)], rows, 1)
    names = [cell.strip() for cell in rows[top]] + [""] * (width - len(rows[top]))
    columns = [column or f"Column {number}" for number, column in enumerate(names, 1)]
    return ListTable(columns, rows[top + 1 :], top + 2)


def url_column(table: ListTable) -> int:
    """The index of the column with the most addresses, those that end like a picture's file counting twice."""
    scores = [0] * len(table.columns)
    for row in table.rows:
        for column, cell in enumerate(row):
            if _is_address(cell):
                scores[column] += 1 + bool(_PICTURE.search(cell.strip()))
    return scores.index(max(scores))


def _is_address(text: str) -> bool:
    """Whether a token or cell looks like an address, be it a good one or not."""
    return "://" in text or _BARE.fullmatch(text.strip()) is not None


def _lines(texts: Iterable[tuple[int, str]]) -> list[ListedUrl]:
    lines, seen = list[ListedUrl](), dict[bytes, int]()
    for number, text in texts:
        text = text.strip().strip(_INVISIBLE)
        if not text or text.startswith("#"):
            continue
        for address in _addresses(text):
            try:
                url = clean(address)
            except UrlError as error:
                lines.append(ListedUrl(number, address, problem=str(error)))
                continue
            key = key_of(url)
            lines.append(ListedUrl(number, address, url, key, repeat_of=seen.get(key)))
            seen.setdefault(key, number)
    return lines


def _addresses(text: str) -> Iterator[str]:
    """The addresses in one line or cell, or all of it when there is none."""
    if not _ODD.search(text):
        yield text
    elif found := _HTML.findall(text) or _MARKDOWN.findall(text):
        yield from map(html.unescape, found)
    else:
        yield from [address for field in _SEPARATOR.split(text) for address in _in_words(field)] or [text]


def _in_words(field: str) -> Iterator[str]:
    """The addresses among the words of a field, each with the words behind it when they may belong to it."""
    found = list[list[str]]()
    for token in field.split():
        word = _unwrapped(token)
        if _is_address(word):
            found.append([word])
        elif found:
            found[-1].append(token)
    for address, *words in found:
        caption = not words or words[0].startswith("#") or (_PICTURE.search(address) and not _PICTURE.search(words[-1]))
        yield address if caption else " ".join([address, *words])


def _unwrapped(token: str) -> str:
    """A word without the quotes, brackets and punctuation around it; brackets that are its own stay."""
    word = re.split(r"[<>\"“”]", token.lstrip(_OPENING))[0]
    while word and word[-1] in _CLOSING and not (word[-1] in ")]}" and word.count(")") == word.count("(") > 0):
        word = word[:-1]
    return word

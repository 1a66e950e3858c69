"""Lists, read in a reader process; a short text is read at once, since that takes time in proportion to its length."""

from __future__ import annotations

import pickle

from core.errors import UrlError
from core.indexing.url_lists import ListedUrl, ListTable, read_lines, read_pasted_document, read_table
from core.media.isolation.pool import LISTS, Subject, call
from core.settings import Settings

SHORT = 50_000
"""Characters that are read at once: some 20 ms."""

MODULE = "core.indexing.url_lists"
LIST = Subject("This list", UrlError, UrlError)


def pasted_lines(settings: Settings, text: str) -> list[ListedUrl]:
    """`read_lines`. Raises UrlError when it takes too much."""
    if len(text) <= SHORT:
        return read_lines(text)
    lines: list[ListedUrl] = call(MODULE, read_lines.__name__, {"text": text}, settings, LISTS, LIST)
    return lines


def pasted_document(settings: Settings, text: str) -> ListTable | None:
    """`read_pasted_document`. Raises UrlError."""
    if len(text) <= SHORT:
        return read_pasted_document(text)
    table: ListTable | None = call(MODULE, read_pasted_document.__name__, {"text": text}, settings, LISTS, LIST)
    return table


def uploaded_table(
    settings: Settings, name: str, data: bytes, encoding: str | None = None, sheets: tuple[str, ...] | None = None
) -> ListTable:
    """`read_table`. Raises UrlError."""
    arguments = {"name": name, "data": pickle.PickleBuffer(data), "encoding": encoding, "sheets": sheets}
    table: ListTable = call(MODULE, read_table.__name__, arguments, settings, LISTS, LIST)
    return table

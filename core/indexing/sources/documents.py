"""Documents on the web as sources: a list, a feed, a sitemap or a IIIF document, with those that they refer to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from core.collection.metadata import Metadata, title_column
from core.errors import FetchError, SourceError, UrlError
from core.indexing.readers.encoding import decoded
from core.indexing.readers.iiif import is_iiif, read_members
from core.indexing.readers.json import is_json, parse
from core.indexing.readers.text import names_picture
from core.indexing.readers.xml import is_sitemap_index, read_xml
from core.indexing.url_lists import ListTable, read_table, url_columns
from core.media.fetcher import Fetcher
from core.media.urls import clean

MAX_DOCUMENTS = 2_000
"""Documents of one source: a sitemap index may name 50,000 (https://www.sitemaps.org/protocol.html), each of as many
URLs, which nobody would index by one click."""

ATTEMPTS = 3
"""Attempts for a document that may still succeed."""

PAUSE_SECONDS = 2.0
"""Between two attempts, if the site does not ask for more."""

LONGEST_PAUSE = 60.0


@dataclass(frozen=True)
class FoundUrl:
    """A URL of a picture in a document, its key, and what the document says of the picture."""

    key: bytes
    url: str
    metadata: Metadata


@dataclass
class Documents:
    """Reads the documents of a source. `problems` are sentences about those that could not be read, if any were
    `unread`, and about URLs that are invalid."""

    fetcher: Fetcher
    wait: Callable[[float], bool]
    """Waits for some seconds, and returns True when the process is closing."""
    problems: list[str] = field(default_factory=list)
    unread: bool = False

    def urls(self, location: str) -> Iterator[list[FoundUrl]]:
        """The URLs of each document in turn, the first one's first. Raises SourceError if that cannot be read."""
        queue, known = [location], {location}
        for number, url in enumerate(iter_queue(queue)):
            if number == MAX_DOCUMENTS:
                self.unread = True
                self.problems.append(f"It refers to more than {MAX_DOCUMENTS:,} documents, and only so many were read.")
                return
            try:
                found, further = self._read(url)
            except (FetchError, UrlError) as error:
                if number == 0:
                    raise SourceError(str(error)) from None
                self.unread = True
                self.problems.append(f"{url}: {error}")
                continue
            queue += [each for each in further if each not in known]
            known.update(further)
            yield found

    def _read(self, url: str) -> tuple[list[FoundUrl], Sequence[str]]:
        data, at = self._fetch(url)
        if further := _references(data, at):
            return [], further
        name = PurePosixPath(unquote(urlsplit(at).path)).name or (urlsplit(at).hostname or "The list")
        return self._listed(read_table(name, data)), ()

    def _fetch(self, url: str) -> tuple[bytes, str]:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                fetched = self.fetcher.fetch(url, what="list")
            except FetchError as error:
                pause = max(PAUSE_SECONDS, error.retry_after or 0.0)
                if not error.retryable or attempt == ATTEMPTS or pause > LONGEST_PAUSE or self.wait(pause):
                    raise
            else:
                return fetched.data, fetched.url
        raise AssertionError("every attempt returns or raises")

    def _listed(self, table: ListTable) -> list[FoundUrl]:
        columns = url_columns(table)
        others = [place for place in range(len(table.columns)) if place not in columns]
        titles = title_column(table.columns)
        title = titles if titles in others else None
        lines = table.lines(columns, [place for place in others if place != title], title)
        if table.pictures is not None and table.pictures not in columns:  # it names none: these are pages
            lines = [line for line in lines if line.url and names_picture(line.url)]
            if not lines:
                raise UrlError("It names pages, but no pictures. A list of pictures or an image sitemap is needed.")
        for line in lines:
            if line.problem is not None:
                self.problems.append(f"{line.text[:200]}: {line.problem}")
        return [FoundUrl(line.key, line.url, line.metadata) for line in lines if line.key and line.url]


def iter_queue(queue: list[str]) -> Iterator[str]:
    """The entries of a list, also of what is appended meanwhile."""
    place = 0
    while place < len(queue):
        yield queue[place]
        place += 1


def _references(data: bytes, url: str) -> list[str]:
    """The documents that a sitemap index or a IIIF collection refers to, without repeats; none for others."""
    text = decoded(data) or ""
    found = list[str]()
    if is_sitemap_index(text) and (sheet := read_xml(text)):
        found = [page for _, _, pages in sheet.rows for page in pages.split("\n") if page]
    elif "iiif.io/api" in text and is_json(text) and is_iiif(document := parse(text)):
        found = list(_manifests(document))
    urls = dict[str, None]()
    for each in found:
        try:
            urls[clean(urljoin(url, each))] = None
        except (UrlError, ValueError):
            continue
    return list(urls)


def _manifests(document: Any) -> Iterator[str]:
    """The objects and collections that a IIIF collection names, but for those whose images it names itself."""
    for member in read_members(document):
        yield str(member.get("id") or member.get("@id") or "")

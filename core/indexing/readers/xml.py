"""XML: sitemaps with the image extension, RSS and Atom feeds with their media.

https://www.sitemaps.org/protocol.html with Google's image extension, https://www.rssboard.org/media-rss and RFC 4287
"""

from __future__ import annotations

import re
from xml.parsers import expat

from core.indexing.readers.table import Sheet

_ROOT = re.compile(r"<(?:\?xml|!--|(?:\w+:)?(?:urlset|sitemapindex|rss|feed|rdf)\b)", re.IGNORECASE)
_INDEX = re.compile(r"<(?:\w+:)?sitemapindex\b", re.IGNORECASE)
_ITEMS = {"url", "item", "entry", "sitemap"}
_IMAGES = {"enclosure", "content", "thumbnail"}


def is_xml(text: str) -> bool:
    """Whether a text begins like a sitemap or a feed."""
    return _ROOT.match(text.lstrip("\ufeff \t\r\n")[:200]) is not None


def is_sitemap_index(text: str) -> bool:
    """Whether an XML text lists sitemaps instead of pages."""
    return _INDEX.search(text[:5_000]) is not None


def read_xml(text: str) -> Sheet | None:
    """A row an image of an item, with the item's page and title; None for XML that is broken or of another kind."""
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = reader.start, reader.end
    parser.CharacterDataHandler = reader.text
    parser.EntityDeclHandler = reader.refuse  # no sitemap declares any, and they can be made to grow without end
    try:
        parser.Parse(text.encode(errors="replace") if "encoding=" not in text[:100] else _utf8(text), True)
    except (expat.ExpatError, _RefusedError):
        return None
    if not reader.rows:
        return None
    return Sheet(range(1, len(reader.rows) + 1), reader.rows, header=["Image", "Title", "Page"], pictures=0)


def _utf8(text: str) -> bytes:
    """The text was decoded already, so what its declaration says of its encoding is no longer true."""
    return re.sub(r"\sencoding=[\"'][^\"']*[\"']", "", text, count=1).encode(errors="replace")


class _RefusedError(Exception):
    pass


class _Reader:
    """Collects rows of (image, title, page). Prefixes are cut off: the elements' own names are enough."""

    def __init__(self) -> None:
        self.rows = list[list[str]]()
        self._images = list[list[str]]()
        self._page = self._title = self._words = ""
        self._inside, self._in_image = False, False

    def refuse(self, *_: object) -> None:
        raise _RefusedError

    def start(self, name: str, attributes: dict[str, str]) -> None:
        prefix, _, short = name.lower().rpartition(":")
        self._words = ""
        if short in _ITEMS and not prefix:
            self._images, self._page, self._title, self._inside = [], "", "", True
        elif self._inside and short == "image" and prefix:
            self._images.append(["", ""])
            self._in_image = True
        elif self._inside and short in _IMAGES and (url := attributes.get("url") or attributes.get("src")):
            kind = attributes.get("type") or attributes.get("medium") or "image"
            if short != "thumbnail" or not self._images:
                self._images.append([url if kind.startswith("image") else "", ""])
                if not kind.startswith("image"):
                    self._page = f"{self._page}\n{url}".strip()
        elif self._inside and short == "link" and (url := attributes.get("href")):
            if attributes.get("rel") == "enclosure" and attributes.get("type", "image").startswith("image"):
                self._images.append([url, ""])
            else:
                self._page = f"{self._page}\n{url}".strip()

    def text(self, words: str) -> None:
        self._words += words

    def end(self, name: str) -> None:
        prefix, _, short = name.lower().rpartition(":")
        words, self._words = self._words.strip(), ""
        if short in _ITEMS and not prefix:
            images = [image for image in self._images if image[0]] or [["", ""]]
            self.rows += [[url, title or self._title, self._page] for url, title in images]
            self._inside = False
        elif self._in_image and short == "image":
            self._in_image = False
        elif self._in_image and words and short in ("loc", "title", "caption"):
            place = 0 if short == "loc" else 1
            self._images[-1][place] = self._images[-1][place] or words
        elif self._inside and words and short in ("loc", "link"):
            self._page = f"{self._page}\n{words}".strip()
        elif self._inside and words and short == "title":
            self._title = self._title or words

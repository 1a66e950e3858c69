"""Web pages and Markdown: the pictures they show or link to, each in its largest size.

`srcset` is read by https://html.spec.whatwg.org/multipage/images.html#srcset-attributes, og:image by https://ogp.me/
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urljoin

from lxml import etree
from markdown_it import MarkdownIt

from core.indexing.readers.table import Sheet
from core.indexing.readers.text import names_picture, plain, urls_in

_MARKDOWN = re.compile(r"\[[^\]\n]*\](?:\(<?|:\s)\s*https?://")
_START = re.compile(
    r"\s*(?><!--.*?-->\s*)*+<(?:!doctype\s+html|(?:html|head|body|meta|title|base|link|script|style|div|p|h\d|span|section"
    r"|article|main|header|table|tr|ul|ol|li|a|img|picture|figure|center|font|b|br)[\s/>])",
    re.IGNORECASE | re.DOTALL,
)
_WHOLE = re.compile(r"\s*(?><!--.*?-->\s*)*+<(?:!doctype\s+html|html[\s>])", re.IGNORECASE | re.DOTALL)
_XHTML = re.compile(r"<html[\s>]", re.IGNORECASE)
_CANDIDATE = re.compile(r"[\s,]*+([^\s,](?:\S*[^\s,])?)(?:,+|\s+([^,]*)(?:,|$)|$|(?=\s))")
_SEPARATORS = " \t\r\n\f\v,"
_DESCRIPTOR = re.compile(r"\s*(\d{1,9}(?:\.\d{1,9})?)[wx]")
_CSS_URL = re.compile(r"url\(\s*+(?:\"([^\"]*)\"|'([^']*)'|([^()\"'\s]*+))\s*+\)", re.IGNORECASE)
_BREAKS = re.compile(r"[\t\r\n]+")
_SOURCES = ("data-src", "data-original", "data-lazy-src", "data-lazy", "data-full", "data-image", "src")
_SETS = ("data-srcset", "data-lazy-srcset", "srcset")
_META = {"og:image", "og:image:url", "og:image:secure_url", "twitter:image", "twitter:image:src", "image"}
_UNSEEN = {"script", "style", "template", "title", "textarea"}

COLUMNS = ["Image", "Title", "Link", "Other sizes", "Other URLs"]


@dataclass
class _Picture:
    """The URLs of one picture as written, each with its size where the page tells it."""

    sizes: list[tuple[float, str]]
    title: str = ""
    link: str = ""


@dataclass
class _Link:
    """An open `<a>`; `first` is the place of the first picture in it."""

    url: str
    first: int
    words: list[str] = field(default_factory=list)


def is_html(text: str) -> bool:
    """Whether a text begins like a web page, or a part of one."""
    head = text[:5_000].lstrip("\ufeff")
    return _START.match(head) is not None or (head.startswith("<?xml") and _XHTML.search(head) is not None)


def is_whole_page(text: str) -> bool:
    """Whether a text begins as a web page does, not merely a part of one."""
    return _WHOLE.match(text[:5_000].lstrip("\ufeff")) is not None


def read_html(text: str) -> Sheet | None:
    """A row a picture, with its title and the link around it, then one for each further URL; None if there is neither.

    Of several sizes the largest is the picture. Relative URLs are resolved by `<base>` and the page's canonical URL;
    without either they stay, and are problems.
    """
    return _sheet(_read(text), text)


def is_markdown(text: str) -> bool:
    """Whether most lines with URLs write them as Markdown does."""
    lines = [line for line in text.splitlines() if "://" in line]
    return 0 < len(lines) < 2 * sum(_MARKDOWN.search(line) is not None for line in lines)


def read_markdown(text: str) -> Sheet | None:
    """The same for Markdown, whose images and links become those of a page."""
    parser = MarkdownIt("commonmark").enable("table")
    parser.validateLink = lambda url: True  # type: ignore[method-assign]
    parser.normalizeLink = lambda url: url  # type: ignore[method-assign]
    return _sheet(_read(parser.render(text)), text)


def _read(text: str) -> _Page:
    page = _Page()
    # lxml calls what a target has; its stubs ask for all that it may have
    parser = etree.HTMLParser(target=page, encoding="utf-8", huge_tree=True)  # type: ignore[arg-type]
    parser.feed(text.encode(errors="replace"))
    with contextlib.suppress(etree.XMLSyntaxError):  # there is no element
        parser.close()
    return page


def _sheet(page: _Page, text: str) -> Sheet | None:
    base, rows, inline, relative = page.base(), list[list[str]](), 0, 0
    for picture in page.pictures:
        sizes = [(size, url) for size, url in picture.sizes if url[:5].lower() != "data:"]
        if not sizes:
            inline += 1
            continue
        urls = list(dict.fromkeys(_resolved(url, base) for _, url in sorted(sizes, key=lambda each: -each[0])))
        relative += "://" not in urls[0]
        link = _resolved(picture.link, base) if picture.link else ""
        rows.append([urls[0], picture.title, link, "\n".join(urls[1:]), ""])
    known = {url.replace(" ", "%20") for row in rows for cell in row for url in cell.split("\n")}
    for url in _urls_of(text):
        if url.replace(" ", "%20") not in known:
            known.add(url.replace(" ", "%20"))
            rows.append(["", "", "", "", url])
    if not rows:
        return None
    notes = list[str]()
    if relative:
        notes.append(
            f"{relative:,} URL{' is' if relative == 1 else 's are'} relative, and the page does not say where it was "
            'saved from. Add a line such as <base href="https://example.org/gallery/"> at its top.'
        )
    if inline:
        what = (
            "1 picture is within the page itself: save it as a file."
            if inline == 1
            else (f"{inline:,} pictures are within the page itself: save them as files.")
        )
        notes.append(what)
    return Sheet(range(1, len(rows) + 1), rows, header=COLUMNS, pictures=0, notes=notes)


def _resolved(url: str, base: str) -> str:
    """A URL as a browser takes it; what stays relative begins with a slash or dot, so that it is taken for no host."""
    url = _BREAKS.sub("", url).strip().replace(" ", "%20")
    if url.startswith("//"):
        return f"https:{url}"
    if "://" in url[:10]:
        return url
    if not base:
        return url if url.startswith(("/", ".")) else f"./{url}"
    try:
        return urljoin(base, url)
    except ValueError:
        return url


def _urls_of(text: str) -> Iterator[str]:
    for line in plain(text).splitlines():
        if "://" in line:
            yield from (url for url in urls_in(line) if "://" in url)


class _Page:
    """What lxml's parser calls for each element, in order."""

    def __init__(self) -> None:
        self.pictures = list[_Picture]()
        self._base = self._canonical = self._shared = ""
        self._links = list[_Link]()
        self._figures = list[int]()
        self._sets = list[list[tuple[float, str]]]()
        self._caption: list[str] | None = None
        self._unseen = 0
        self._words = list[str]()

    def base(self) -> str:
        """What relative URLs are resolved by; "" when nothing tells it."""
        page = next((url for url in (self._canonical, self._shared) if "://" in url[:10]), "")
        try:
            base = urljoin(page, self._base.strip())
        except ValueError:
            return page
        return base if base.lower().startswith(("http://", "https://")) else ""

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """An element begins."""
        self._end_text()
        self._unseen += tag in _UNSEEN
        if tag == "a":
            self._links.append(_Link(attributes.get("href", ""), len(self.pictures)))
        elif tag == "figure":
            self._figures.append(len(self.pictures))
        elif tag == "figcaption":
            self._caption = []
        elif tag == "picture":
            self._sets.append([])
        elif tag == "source" and self._sets:
            self._sets[-1] += _sizes(attributes)
        elif tag in ("img", "image", "amp-img") or (tag == "input" and attributes.get("type", "").lower() == "image"):
            self._image(attributes)
        elif tag == "base":
            self._base = self._base or attributes.get("href", "")
        elif tag in ("meta", "link"):
            self._head(attributes)
        elif tag == "video" and attributes.get("poster"):
            self._add([(0.0, attributes["poster"])], attributes.get("title", ""))
        if "url(" in (style := attributes.get("style", "")):
            for found in _CSS_URL.finditer(style):
                if url := next(filter(None, found.groups()), ""):
                    self._add([(0.0, url)], attributes.get("title") or attributes.get("aria-label") or "")

    def end(self, tag: str) -> None:
        """An element ends."""
        self._end_text()
        self._unseen -= tag in _UNSEEN
        if tag == "a" and self._links:
            self._leave(self._links.pop())
        elif tag == "picture" and self._sets:
            self._sets.pop()
        elif tag == "figcaption":
            words, self._caption = _joined(self._caption or []), None
            for picture in self.pictures[self._figures[-1] :] if self._figures else ():
                picture.title = words or picture.title
        elif tag == "figure" and self._figures:
            self._figures.pop()

    def data(self, words: str) -> None:
        """Text between tags."""
        if self._links:
            self._links[-1].words.append(words)
        elif not self._unseen:
            self._words.append(words)
        if self._caption is not None:
            self._caption.append(words)

    def close(self) -> None:
        """The page ends."""
        self._end_text()
        while self._links:
            self._leave(self._links.pop())

    def _end_text(self) -> None:
        """URLs of pictures that the text itself shows."""
        text, self._words = "".join(self._words), []
        for line in text.splitlines() if "://" in text else ():
            for url in urls_in(line):
                if "://" in url and names_picture(url):
                    self._add([(0.0, url)], "")

    def _image(self, attributes: Mapping[str, str]) -> None:
        if {attributes.get("width"), attributes.get("height")} & {"0", "1"}:  # counts visits, shows nothing
            return
        sizes = _sizes(attributes)
        sizes += [(0.0, attributes[name]) for name in (*_SOURCES, "href", "xlink:href") if attributes.get(name)]
        if self._sets:
            sizes += self._sets[-1]
            self._sets[-1] = []  # a <picture> has one <img>
        self._add(sizes, attributes.get("alt") or attributes.get("title") or "")

    def _add(self, sizes: list[tuple[float, str]], title: str) -> None:
        if sizes := [(size, url) for size, url in sizes if url.strip()]:
            self.pictures.append(_Picture(sizes, " ".join(title.split())))

    def _leave(self, link: _Link) -> None:
        """Pictures in a link to a picture are smaller versions of it."""
        inside = self.pictures[link.first :]
        if _leads_to_picture(link.url):
            if not inside:
                self._add([(0.0, link.url)], _joined(link.words))
            elif len(inside) == 1:
                inside[0].sizes.append((math.inf, link.url))
                return
        for picture in inside:
            picture.link = picture.link or link.url.strip()

    def _head(self, attributes: Mapping[str, str]) -> None:
        kind = (attributes.get("property") or attributes.get("name") or attributes.get("itemprop") or "").lower()
        content = attributes.get("content") or attributes.get("href") or ""
        relation = attributes.get("rel", "").lower().split()
        if "canonical" in relation:
            self._canonical = self._canonical or content
        elif kind == "og:url":
            self._shared = self._shared or content
        elif kind in _META or "image_src" in relation:
            self._add([(0.0, content)], "")


def _leads_to_picture(url: str) -> bool:
    """Whether a link leads to a picture's file; "File:Vase.jpg" is a page of MediaWiki."""
    return names_picture(url) and ":" not in url.rsplit("/", 1)[-1]


def _sizes(attributes: Mapping[str, str]) -> list[tuple[float, str]]:
    """The candidates of an element's `srcset`, with their widths or densities."""
    sizes = list[tuple[float, str]]()
    for name in _SETS:
        # Separators at the end, before which nothing stands, would be read anew from each of them.
        for found in _CANDIDATE.finditer((attributes.get(name) or "").rstrip(_SEPARATORS)):
            number = _DESCRIPTOR.match(found[2] or "")
            sizes.append((float(number[1]) if number else 1.0, found[1]))
    return sizes


def _joined(words: list[str]) -> str:
    return " ".join("".join(words).split())

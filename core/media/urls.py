"""Pasted text and tables -> clean URLs, each with its identity key."""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv6Address
from urllib.parse import urlsplit

from w3lib.url import canonicalize_url, safe_url_string

from core.errors import UrlError
from core.collection.fields import MAX_TITLE, MAX_VALUE, NOTHING, Said, field_names, readable
from core.collection.spreadsheets import read_rows

MAX_LENGTH = 4096
"""Characters of a URL. Signed addresses of cloud stores pass 2,000; servers refuse about 8,000."""

_TRACKING = re.compile(r"utm_\w+|fbclid|gclid|mc_eid|igshid")
"""Parameters that tell where a visitor came from, and never which picture is meant."""

_DEFAULT_PORTS = {"http": 80, "https": 443}

# Addresses that are clean and, but for the order of their query, canonical: most of a long list, and told from
# the others ten times faster than w3lib rewrites them.
_SEGMENT = r"(?:[\w~/,!@:+=$&*()'-]|%20|%[89A-F][0-9A-F])"
_VALUE = r"(?:[\w.~+-]|%(?:2[1-9A-CF]|3[A-F]|40|[89A-F][0-9A-F]))*"
_PLAIN = re.compile(
    rf"(https?://(?![^/]{{254}})[a-z0-9-]{{1,63}}(?:\.[a-z0-9-]{{1,63}})+/{_SEGMENT}*(?:\.(?!/){_SEGMENT}+)*)"
    rf"(?:\?([\w.~-]+={_VALUE}(?:&[\w.~-]+={_VALUE})*))?",
    re.ASCII,
)
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):(//)?", re.IGNORECASE)
_BARE = re.compile(
    r"(?:www\.[\w-]+(?:\.[\w-]+)+(?::\d+)?(?:[/?]\S*)?|[\w-]+(?:\.[\w-]+)*\.[^\W\d_]{2,}(?::\d+)?/\S+)", re.IGNORECASE
)
_HOST = re.compile(r"(?=.{1,254}\Z)[\w-]{1,63}(?:\.[\w-]{1,63})*\.?", re.ASCII)
_NO_ESCAPE = re.compile(r"%(?![0-9a-f]{2})", re.IGNORECASE)
_INVISIBLE = "\ufeff\u200b\u200c\u200d\u2060"

_ODD = re.compile(r"[\s<>\"'`“”„‚‘’«»()\[\]{},;|]")
_HTML = re.compile(r"\b(?:href|src)\s*=\s*[\"']?([^\"'\s>]+)", re.IGNORECASE)
_MARKDOWN = re.compile(r"\]\(\s*<?((?:[^\s()<>]|\([^\s()]*\))+)")
_SEPARATOR = re.compile(r"\t|[,;|](?=\s|https?://|www\.)", re.IGNORECASE)
_OPENING, _CLOSING = "<([{\"'`“„‚‘«", ">)]}\"'`”’»,;.|"
_PICTURE = re.compile(r"\.(?:jpe?g|png|webp|gif|avif|bmp|tiff?|hei[cf])(?:[?#]\S*)?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Line:
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
    said: Said = NOTHING


@dataclass(frozen=True)
class Table:
    """Rows of text under named columns; rows may be shorter than the columns. `first` is the first row's number."""

    columns: list[str]
    rows: list[list[str]]
    first: int

    def lines(self, column: int, fields: Collection[int] = (), title: int | None = None) -> list[Line]:
        """The addresses in one column, with the columns `fields` and the title beside each; empty cells say nothing."""
        lines = _lines((number, row[column]) for number, row in enumerate(self.rows, self.first) if column < len(row))
        if not fields and title is None:
            return lines
        names = field_names(self.columns)
        return [replace(line, said=self._said(line.number, names, fields, title)) for line in lines]

    def _said(self, number: int, names: list[str], fields: Collection[int], title: int | None) -> Said:
        cells = dict(enumerate(self.rows[number - self.first]))
        told = {names[column]: readable(cells.get(column, ""), MAX_VALUE) for column in fields}
        name = "" if title is None else " ".join(readable(cells.get(title, ""), MAX_TITLE).split())
        return Said(name, {name: value for name, value in told.items() if value})


def clean(url: str) -> str:
    """The address as it is to be fetched: safe characters only, and https:// in front when a host stands alone.

    Escapes, the query's order and the fragment stay as they are, for signatures depend on them. Raises UrlError.
    """
    if len(url) <= MAX_LENGTH and _PLAIN.fullmatch(url):
        return url
    text = _with_scheme(url.strip().strip(_INVISIBLE).strip())
    if len(text) > MAX_LENGTH:
        raise UrlError(f"This address has more than {MAX_LENGTH:,} characters, so no site would take it.")
    if " " in text or not text.isprintable():
        raise UrlError("This address has a space in it. Write %20 for it, or put each address on a line of its own.")
    try:
        safe = _NO_ESCAPE.sub("%25", safe_url_string(text))
        parts = urlsplit(safe)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        what = "a port" if "ort" in str(error) else "a site name"
        raise UrlError(f"This address has {what} that cannot be: check it.") from None
    if parts.username is not None:
        raise UrlError("This address has a user name or password in it, which would be shown to others. Take it out.")
    if not host:
        raise UrlError("This address names no site: check it.")
    if port == 0:
        raise UrlError("This address has a port that cannot be: check it.")
    if not _is_host(host):
        raise UrlError("This address has a site name that cannot be: check it.")
    return safe


def _with_scheme(text: str) -> str:
    if not text:
        raise UrlError("There is no web address here.")
    if text.startswith("//"):
        return f"https:{text}"
    if _BARE.fullmatch(text):
        return f"https://{text}"
    found = _SCHEME.match(text)
    scheme, slashes = (found[1].lower(), found[2]) if found else ("", None)
    if scheme in _DEFAULT_PORTS and slashes:
        return text
    if scheme == "file" or text[1:3] in (":\\", ":/"):
        raise UrlError("This is a file on a computer, not a web address.")
    if scheme == "data":
        raise UrlError("This is a picture written out as text (data:), not a web address.")
    if slashes:
        raise UrlError(
            f"Pictures cannot be fetched with {scheme}. Use an address that starts with https:// or http://."
        )
    raise UrlError("This is not a web address. Web addresses start with https:// or http://.")


def _is_host(host: str) -> bool:
    if ":" not in host:
        return _HOST.fullmatch(host) is not None
    try:
        return IPv6Address(host).scope_id is None
    except ValueError:
        return False


def identity(url: str) -> str:
    """What two addresses of one picture have in common; for comparing only, never to be fetched.

    `url` is one that `clean` returned. Its canonical form as w3lib makes it, without default port, the dot that
    ends a host, user name, fragment and tracking parameters.
    """
    plain = _PLAIN.fullmatch(url)
    if plain:
        base, query = plain.groups("")
        pairs = sorted(pair.split("=") for pair in query.split("&")) if query else []
    else:
        parts = urlsplit(canonicalize_url(url))
        host = (parts.hostname or "").removesuffix(".")
        host = f"[{host}]" if ":" in host else host
        port = "" if parts.port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f":{parts.port}"
        base = f"{parts.scheme}://{host}{port}{parts.path}"
        pairs = [pair.split("=", 1) for pair in parts.query.split("&")] if parts.query else []
    kept = ["=".join(pair) for pair in pairs if not _TRACKING.fullmatch(pair[0])]
    return f"{base}?{'&'.join(kept)}" if kept else base


def key_of(url: str) -> bytes:
    """The SHA-256 (32 bytes) of the identity of an address that `clean` returned."""
    return hashlib.sha256(identity(url).encode()).digest()


def read_lines(text: str) -> list[Line]:
    """The addresses in a pasted list, usually one a line, also with words, quotes, HTML or Markdown around them.

    Blank lines and those that start with # are passed over.
    """
    return _lines(enumerate(text.splitlines(), 1))


def read_table(name: str, data: bytes) -> Table:
    """The table in an uploaded .txt, .csv, .tsv or .xlsx file. Raises UrlError when it holds none."""
    rows = read_rows(name, data)
    width = max(map(len, rows))
    top = next(number for number, row in enumerate(rows) if any(row))
    is_plain_list = width == 1 and (len(rows) == 1 or name.lower().endswith(".txt"))
    if is_plain_list or any(map(_is_address, rows[top])):
        return Table([f"Column {number}" for number in range(1, width + 1)], rows, 1)
    names = [cell.strip() for cell in rows[top]] + [""] * (width - len(rows[top]))
    columns = [column or f"Column {number}" for number, column in enumerate(names, 1)]
    return Table(columns, rows[top + 1 :], top + 2)


def url_column(table: Table) -> int:
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


def _lines(texts: Iterable[tuple[int, str]]) -> list[Line]:
    lines, seen = list[Line](), dict[bytes, int]()
    for number, text in texts:
        text = text.strip().strip(_INVISIBLE)
        if not text or text.startswith("#"):
            continue
        for address in _addresses(text):
            try:
                url = clean(address)
            except UrlError as error:
                lines.append(Line(number, address, problem=str(error)))
                continue
            key = key_of(url)
            lines.append(Line(number, address, url, key, repeat_of=seen.get(key)))
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

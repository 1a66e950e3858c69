"""A line or a cell of text -> the URLs in it, as people write them: among words, in quotes, brackets, HTML or Markdown.

Each `http(s)://` in the input is in one of the URLs found, and the time is linear in the length of the input.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from core.media.urls import BARE_URL, INVISIBLE

MAX_QUOTED = 8_192
"""Characters within which a quotation mark or bracket before a URL is looked for again behind it: twice the longest
URL. Without a bound, a text of opening brackets would be read to its end for each."""

_START = re.compile(r"https?://", re.IGNORECASE)
_ODD = re.compile(r"[\s<>\"'`“”„‚‘’«»()\[\]{},;|]")
_STOP = re.compile(r"[\s<>\"“”]|[,;|)\]}](?=['\"`<(\[{,;|]{0,4}(?:https?://|www\.))", re.IGNORECASE)
_FIELD_END = re.compile(r"[\t\r\n]|[,;|](?=\s)|https?://|www\.", re.IGNORECASE)
_BRACKETS = re.compile(r"[()]")
_CLOSERS = {
    "<": ">",
    '"': '"',
    "'": "'",
    "`": "`",
    "“": "”",
    "„": "“",
    "‘": "’",
    "‚": "‘",
    "«": "»",
    "»": "«",
    "(": ")",
}
_OPENING, _CLOSING = "<([{\"'`“„‚‘«", ">)]}\"'`”’»,;.|"
_PICTURE_ENDINGS = (
    *(".jpg", ".jpeg", ".png", ".webp", ".gif", ".avif", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".jp2", ".jxl"),
)
_INVISIBLE = re.compile(f"[{INVISIBLE}]")
_ENTITY = re.compile(r"&(?:amp|quot|apos|lt|gt|#0{0,4}(?:34|38|39|60|62)|#x0{0,4}(?:22|26|27|3c|3e));", re.IGNORECASE)
_ESCAPE = re.compile(r"\\u00(?:26|2f|3d|3c|3e|22|27)", re.IGNORECASE)


def plain(text: str) -> str:
    """The text without characters that have no width, and with what HTML and JSON escape in a URL as itself."""
    if not text.isascii():
        text = _INVISIBLE.sub("", text)
    if "\\" in text:
        text = text.replace("\\/", "/")
        text = _ESCAPE.sub(lambda found: chr(int(found[0][2:], 16)), text)
    for _ in range(2):  # what was copied from the source of a page may be escaped twice
        if "&" not in text:
            break
        text = _ENTITY.sub(lambda found: html.unescape(found[0]), text)
    return text


def count_urls(text: str) -> int:
    """How often `http(s)://` occurs in a text that `plain` returned."""
    return len(_START.findall(text)) if "://" in text else 0


def is_url(text: str) -> bool:
    """Whether a word or cell looks like a URL, valid or not."""
    return "://" in text or BARE_URL.fullmatch(text.strip()) is not None


def names_picture(url: str) -> bool:
    """Whether the path of a URL ends like a picture's file."""
    url = url.strip()
    return re.split("[?#]", url, maxsplit=1)[0].lower().endswith(_PICTURE_ENDINGS) or (
        "?" in url and url.lower().endswith(_PICTURE_ENDINGS)
    )


def urls_in(text: str) -> Iterator[str]:
    """The URLs in a line or cell that `plain` returned, or all of it when there is none."""
    if not _ODD.search(text) and (_START.match(text) or not _START.search(text)):
        yield text
        return
    any_found, at = False, 0
    for begin, end, url in _spans(text):
        for word in _bare(text[at:begin]):
            any_found = True
            yield word
        any_found, at = True, end
        yield url
    for word in _bare(text[at:]):
        any_found = True
        yield word
    if not any_found:
        yield text


def _bare(gap: str) -> Iterator[str]:
    """URLs without http:// among the words between others."""
    for token in gap.replace(",", " ").replace(";", " ").split():
        word = _unwrapped(token)
        if is_url(word):
            yield word


def _spans(text: str) -> Iterator[tuple[int, int, str]]:
    at = 0
    while found := _START.search(text, at):
        begin = found.start()
        end = _quoted_end(text, begin) or _end(text, begin)
        url = _trimmed(text[begin:end])
        at = begin + len(url)
        if end == at or text[at:end].strip(_CLOSING) == "":
            at, url = _with_spaces(text, begin, at, url)
        yield begin, at, url


def _quoted_end(text: str, begin: int) -> int:
    """Where a URL ends that begins right behind a quotation mark or bracket; 0 where that tells nothing."""
    closer = _CLOSERS.get(text[begin - 1]) if begin else None
    if closer is None:
        return 0
    end = text.find(closer, begin, begin + MAX_QUOTED) if closer != ")" else _bracket_end(text, begin)
    if end <= begin:
        return 0
    inside = text[begin:end]
    behind = text[end + 1 : end + 2]
    if closer in "'’‘" and behind.isalnum():
        return 0  # an apostrophe
    if len(inside.split()) > 1:
        return end if _is_one_with_spaces(inside) else 0
    return end if len(_START.findall(inside)) == 1 else 0


def _bracket_end(text: str, begin: int) -> int:
    """The bracket that closes the one before `begin`; -1 when there is none near."""
    depth = 1
    for found in _BRACKETS.finditer(text, begin, begin + MAX_QUOTED):
        depth += 1 if found[0] == "(" else -1
        if not depth:
            return found.start()
    return -1


def _end(text: str, begin: int) -> int:
    """Where a URL ends by itself: at white space, a quotation mark or the next URL."""
    found = _STOP.search(text, begin + len("http://"))
    return found.start() if found else len(text)


def _trimmed(word: str) -> str:
    """A word without the quotes, brackets and punctuation behind it; brackets that are its own stay."""
    end, opened, closed = len(word), word.count("("), word.count(")")
    while end and word[end - 1] in _CLOSING:
        last = word[end - 1]
        if last in ")]}" and closed == opened > 0:
            break
        closed -= last == ")"
        end -= 1
    return word[:end]


def _unwrapped(token: str) -> str:
    return _trimmed(re.split(r"[<>\"“”]", token.lstrip(_OPENING), maxsplit=1)[0])


def _with_spaces(text: str, begin: int, end: int, url: str) -> tuple[int, str]:
    """A URL and its end, with the words behind it when they belong to it, or may: then it is a problem.

    They do when they end like a picture's file and the URL before them does not. They are a caption when the URL does,
    or when a # begins them.
    """
    if begin and text[begin - 1] in _CLOSERS:
        return end, url
    stop = _FIELD_END.search(text, end)
    tail = text[end : stop.start() if stop else len(text)]
    words = tail.split()
    if not tail[:1].isspace() or not words or words[0].startswith("#"):
        return end, url
    last = _unwrapped(words[-1])
    if names_picture(url) and not names_picture(last):
        return end, url
    whole = text[begin : end + len(tail.rstrip())]
    return begin + len(whole), _trimmed(whole) if names_picture(last) else whole


def _is_one_with_spaces(text: str) -> bool:
    first, *_, last = text.split()
    return len(_START.findall(text)) == 1 and not names_picture(first) and names_picture(last)


def with_escaped_spaces(url: str) -> str:
    """A URL that was found with spaces in it as it is to be fetched, if it ends like a picture's file."""
    words = url.split(" ")
    if len(words) < 2 or names_picture(words[0]) or not names_picture(url):
        return url
    return url.strip().replace(" ", "%20")

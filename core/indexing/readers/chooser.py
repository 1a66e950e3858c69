"""An uploaded list -> its sheets, by the reader for its content; its name and extension may be wrong."""

from __future__ import annotations

from pathlib import PurePath

from core.errors import UrlError
from core.indexing.readers.delimited import read_delimited
from core.indexing.readers.encoding import decoded
from core.indexing.readers.html import is_html, is_markdown, read_html, read_markdown
from core.indexing.readers.iiif import is_iiif, read_iiif
from core.indexing.readers.json import is_json, parse, read_json
from core.indexing.readers.ods import is_ods, read_ods
from core.indexing.readers.table import Sheet
from core.indexing.readers.xlsx import read_xlsx
from core.indexing.readers.xml import is_xml, read_xml
from core.media.file_types import NOT_PICTURES, kind_of

_OLD_OFFICE = b"\xd0\xcf\x11\xe0"
_MARKDOWN, _TABLES = {".md", ".markdown"}, {".csv", ".tsv"}
_SAVE_AS = "Save the list as .txt, .csv or .xlsx."


def read_document(text: str) -> Sheet | None:
    """The rows of JSON, JSON Lines, a IIIF document, a sitemap, a feed or a web page; None for any other text. Raises
    UrlError."""
    if is_json(text) and (document := parse(text)) is not None:
        if is_iiif(document):
            return read_iiif(document)
        sheet = read_json(document)
        # URLs as keys would become the names of columns and be lost: the reader for plain text finds them.
        return None if any("://" in name for name in sheet.header or ()) else sheet
    if is_xml(text) and (found := read_xml(text)):
        return found
    return read_html(text) if is_html(text) else None


def read_sheets(name: str, data: bytes, encoding: str | None = None) -> list[Sheet]:
    """The sheets of a list, of which at least one has rows. `name` is the file's, for messages, and `encoding` the code
    page that was chosen for a text. Raises UrlError."""
    if not data:
        raise UrlError(f"{name} is empty.")
    if data.startswith(_OLD_OFFICE):
        raise UrlError(f"{name} is an old or protected Excel file. Save it without a password as .xlsx or .csv.")
    kind = kind_of(data)
    if kind == "zip":
        sheets = read_ods(name, data) if is_ods(data) else read_xlsx(name, data)
    elif kind in {"text", "unknown", "page", "svg"}:
        text = decoded(data, encoding)
        if text is None:
            raise UrlError(f"{name} contains no readable text. {_SAVE_AS}")
        sheet = read_document(text)
        suffix = PurePath(name).suffix.lower()
        if sheet is None and (suffix in _MARKDOWN or (suffix not in _TABLES and is_markdown(text))):
            sheet = read_markdown(text)
        sheets = [sheet or read_delimited(name, text)]
    else:
        what = NOT_PICTURES[kind].split(",")[0] if kind in NOT_PICTURES else "a PDF" if kind == "PDF" else "a picture"
        raise UrlError(f"{name} is {what}, not a list of URLs. {_SAVE_AS}")
    if not any(sheet.rows for sheet in sheets):
        raise UrlError(f"{name} is empty.")
    return [sheet.unescaped() for sheet in sheets]

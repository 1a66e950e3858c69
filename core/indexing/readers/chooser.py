"""An uploaded list -> its sheets, by the reader that its content asks for; its name and suffix may lie."""

from __future__ import annotations

from core.errors import UrlError
from core.indexing.readers.delimited import read_delimited
from core.indexing.readers.encoding import decoded
from core.indexing.readers.table import Sheet
from core.indexing.readers.xlsx import read_xlsx
from core.media.file_types import NOT_PICTURES, kind_of

_OLD_OFFICE = b"\xd0\xcf\x11\xe0"
_SAVE_AS = "Save the list as .txt, .csv or .xlsx."


def read_sheets(name: str, data: bytes) -> list[Sheet]:
    """The sheets of a list, of which at least one has rows. `name` is the file's, for messages. Raises UrlError."""
    if not data:
        raise UrlError(f"{name} is empty.")
    if data.startswith(_OLD_OFFICE):
        raise UrlError(f"{name} is an old or protected Excel file. Save it without a password as .xlsx or .csv.")
    kind = kind_of(data)
    if kind == "zip":
        sheets = read_xlsx(name, data)
    elif kind in {"text", "unknown", "page", "svg"}:
        text = decoded(data)
        if text is None:
            raise UrlError(f"{name} holds no text that can be read. {_SAVE_AS}")
        sheets = [read_delimited(name, text)]
    else:
        what = NOT_PICTURES[kind].split(",")[0] if kind in NOT_PICTURES else "a picture"
        raise UrlError(f"{name} is {what}, not a list of URLs. {_SAVE_AS}")
    if not any(sheet.rows for sheet in sheets):
        raise UrlError(f"{name} is empty.")
    return [sheet.unescaped() for sheet in sheets]

"""The parts of a query as tiles, at the start of the match gallery's strip: `query_strip.html`, `.css` and `.js`."""

from __future__ import annotations

from typing import Literal, TypedDict

TileEvent = Literal["edit", "remove", "add", "added"]
"""What is done on the strip: a part is opened or removed, or the panel for more parts opens or closes."""


class QueryTile(TypedDict):
    """One part of a query as it is drawn."""

    number: int  # names the part
    label: str
    src: str  # what the model sees of it, as a picture; "" for words
    note: str  # what is special about it, such as "excluded, cropped", or ""
    negative: bool
    problem: str  # a sentence: why it cannot be searched for, or ""

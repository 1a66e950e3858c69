"""What a list says of its pictures beside their addresses: a title, and fields by the names of its columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

MAX_NAME = 100
"""Characters of a column's name."""

MAX_VALUE = 2_000
"""Characters of a field; a longer cell is cut, with an ellipsis at its end."""

MAX_TITLE = 300
"""Characters of a title."""

TITLES = ("title", "titel", "titre", "título", "titolo", "name", "caption", "label")
"""Names of columns that hold titles, the surest first."""


@dataclass(frozen=True)
class Said:
    """What a row says of the address in it."""

    title: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)


NOTHING = Said()


def readable(text: str, most: int) -> str:
    """Text as it is kept: without characters that cannot be shown, trimmed, and at most `most` of them."""
    text = "".join(character for character in text if character.isprintable() or character in "\n\t").strip()
    return text if len(text) <= most else f"{text[: most - 1]}…"


def field_names(columns: Sequence[str]) -> list[str]:
    """Names of fields for columns, each another: the second `note` is `note (2)`."""
    names = list[str]()
    for number, column in enumerate(columns, 1):
        name = " ".join(readable(column, MAX_NAME).split()) or f"Column {number}"
        while name in names:
            name = f"{readable(column, MAX_NAME - 10)} ({number})"
            number += 1
        names.append(name)
    return names


def title_column(columns: Sequence[str]) -> int | None:
    """The index of the column that is called like one of titles, if there is one."""
    folded = [column.strip().casefold() for column in columns]
    return next((folded.index(name) for name in TITLES if name in folded), None)

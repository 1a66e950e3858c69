"""What a list says of its pictures beside their addresses: a title, and fields by the names of its columns."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from psycopg import Connection

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


def keep_fields(connection: Connection[Any], import_id: int, pictures: Collection[UUID] | None = None) -> None:
    """Give what an import's list says to its pictures that are known by now: to all of them, or to these.

    The list that speaks last wins, column by column: a corrected list may be imported again. A column that it does
    not have, and a cell that is empty, leave what an earlier list said. Of rows of one list that lead to the same
    picture, the last wins. A title fills only an empty one, for a person may have given it; nothing takes back what
    an import said when it is deleted. Pictures are locked in the order of their ids.
    """
    values = {"import": import_id, "pictures": None if pictures is None else list(pictures)}
    connection.execute(
        f"SELECT FROM pictures WHERE id IN (SELECT picture FROM items WHERE {_SAYING}) ORDER BY id FOR NO KEY UPDATE",  # noqa: S608
        values,
    )
    connection.execute(
        f"""UPDATE pictures SET fields = pictures.fields || coalesce(said.fields, '{{}}'),
                   title = coalesce(nullif(pictures.title, ''), said.title, '')
            FROM (SELECT picture, jsonb_object_agg(name, value ORDER BY position) FILTER (WHERE name <> '') AS fields,
                         (array_agg(title ORDER BY position DESC) FILTER (WHERE title <> ''))[1] AS title
                  FROM items LEFT JOIN LATERAL jsonb_each(fields) AS said (name, value) ON true
                  WHERE {_SAYING} GROUP BY picture) said
            WHERE pictures.id = said.picture AND (NOT pictures.fields @> coalesce(said.fields, '{{}}')
                  OR pictures.title = '' AND said.title <> '')""",  # noqa: S608
        values,
    )


_SAYING = """import = %(import)s AND picture IS NOT NULL AND (items.fields <> '{}' OR title <> '')
             AND (%(pictures)s::uuid[] IS NULL OR picture = ANY(%(pictures)s::uuid[]))"""

"""What files and lists say of pictures: a title where there is none, fields, and tags that they lack."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, LiteralString
from uuid import UUID

from psycopg import Connection

_MERGED: LiteralString = """title = coalesce(nullif(pictures.title, ''), said.title),
           fields = pictures.fields || said.fields,
           tags = pictures.tags || ARRAY(SELECT tag FROM unnest(said.tags) WITH ORDINALITY AS t (tag, place)
                                         WHERE tag <> ALL(pictures.tags) ORDER BY place)"""


def add_metadata(
    connection: Connection[Any], said: Sequence[tuple[UUID, str, Sequence[str], Mapping[str, str]]]
) -> None:
    """Give pictures, each once, a title, tags and fields. They are locked in the order of their ids."""
    ids, titles, tags, fields = zip(*said, strict=True)
    _lock(connection, ids)
    connection.execute(
        f"""UPDATE pictures SET {_MERGED}
            FROM (SELECT id, title, ARRAY(SELECT jsonb_array_elements_text(tags)) AS tags, fields
                  FROM unnest(%s::uuid[], %s::text[], %s::jsonb[], %s::jsonb[]) AS u (id, title, tags, fields)) said
            WHERE pictures.id = said.id""",  # noqa: S608
        (list(ids), list(titles), [json.dumps(list(one)) for one in tags], [json.dumps(dict(one)) for one in fields]),
    )


def add_item_metadata(connection: Connection[Any], import_id: int, pictures: Sequence[UUID]) -> None:
    """Give pictures that an import has just brought, or found there, what its items say of them.

    The list that speaks last wins, column by column: a corrected list may be imported again. A column that it does
    not have, and a cell that is empty, leave what an earlier list said. Of rows of one list that lead to the same
    picture, the first counts. A title fills only an empty one, for a person may have given it. Nothing takes back what
    an import said when it is deleted.
    """
    _lock(connection, pictures)
    connection.execute(
        f"""UPDATE pictures SET {_MERGED}
            FROM (SELECT DISTINCT ON (picture) picture, title, fields, tags FROM items
                  WHERE import = %s AND picture = ANY(%s) AND (title <> '' OR fields <> '{{}}' OR tags <> '{{}}')
                  ORDER BY picture, position) said
            WHERE id = said.picture""",  # noqa: S608
        (import_id, list(pictures)),
    )


def _lock(connection: Connection[Any], pictures: Sequence[UUID]) -> None:
    connection.execute("SELECT FROM pictures WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE", (list(pictures),))


MAX_NAME = 100
"""Characters of a column's name."""


MAX_VALUE = 2_000
"""Characters of a field; a longer cell is cut, with an ellipsis at its end."""


MAX_TITLE = 300
"""Characters of a title."""


TITLES = ("title", "titel", "titre", "título", "titolo", "name", "caption", "label")
"""Names of columns that hold titles, the surest first."""


@dataclass(frozen=True)
class Metadata:
    """What a row says of the address in it."""

    title: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)


NO_METADATA = Metadata()


def readable(text: str, most: int) -> str:
    """Text as it is kept: without characters that cannot be shown, trimmed, and at most `most` of them."""
    if not text.isprintable():
        text = "".join(character for character in text if character.isprintable() or character in "\n\t")
    text = text.strip()
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

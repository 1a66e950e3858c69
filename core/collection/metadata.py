"""Metadata of pictures from files and lists: a title where there is none, fields, and missing tags."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, LiteralString
from uuid import UUID

from psycopg import Connection

_MERGED: LiteralString = """title = coalesce(nullif(pictures.title, ''), metadata.title),
           fields = pictures.fields || metadata.fields,
           tags = pictures.tags || ARRAY(SELECT tag FROM unnest(metadata.tags) WITH ORDINALITY AS t (tag, place)
                                         WHERE tag <> ALL(pictures.tags) ORDER BY place)"""


def add_metadata(
    connection: Connection[Any], metadata: Sequence[tuple[UUID, str, Sequence[str], Mapping[str, str]]]
) -> None:
    """Give pictures, each once, a title, tags and fields. Rows are locked in id order. Raises psycopg.Error."""
    ids, titles, tags, fields = zip(*metadata, strict=True)
    _lock(connection, ids)
    connection.execute(
        f"""UPDATE pictures SET {_MERGED}
            FROM (SELECT id, title, ARRAY(SELECT jsonb_array_elements_text(tags)) AS tags, fields
                  FROM unnest(%s::uuid[], %s::text[], %s::jsonb[], %s::jsonb[]) AS u (id, title, tags, fields)) metadata
            WHERE pictures.id = metadata.id""",  # noqa: S608
        (list(ids), list(titles), [json.dumps(list(one)) for one in tags], [json.dumps(dict(one)) for one in fields]),
    )


def add_item_metadata(connection: Connection[Any], import_id: int, pictures: Sequence[UUID]) -> None:
    """Give pictures that an import has just added, or found in the collection, the metadata of its items.

    The latest list wins, column by column, so a corrected list can be imported again. Missing columns and empty cells
    leave earlier values as they are. If several rows of a list lead to the same picture, the first one counts. A
    title is only set where there is none, since a person may have given it. Deleting an import does not undo this.
    Raises psycopg.Error.
    """
    _lock(connection, pictures)
    connection.execute(
        f"""UPDATE pictures SET {_MERGED}
            FROM (SELECT DISTINCT ON (picture) picture, title, fields, tags FROM items
                  WHERE import = %s AND picture = ANY(%s) AND (title <> '' OR fields <> '{{}}' OR tags <> '{{}}')
                  ORDER BY picture, position) metadata
            WHERE id = metadata.picture""",  # noqa: S608
        (import_id, list(pictures)),
    )


def _lock(connection: Connection[Any], pictures: Sequence[UUID]) -> None:
    connection.execute("SELECT FROM pictures WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE", (list(pictures),))


MAX_NAME = 100
"""Longest field name, in characters."""


MAX_VALUE = 2_000
"""Longest value of a field, in characters; longer cells are cut and end in an ellipsis."""


MAX_TITLE = 300
"""Longest title, in characters."""


TITLES = ("title", "titel", "titre", "título", "titolo", "name", "caption", "label")
"""Names of columns that hold titles, the most certain first."""


@dataclass(frozen=True)
class Metadata:
    """The metadata of a URL in a row."""

    title: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)


NO_METADATA = Metadata()


def readable(text: str, most: int) -> str:
    """Text as it is stored: without unprintable characters, trimmed, and cut at `most` characters."""
    if not text.isprintable():
        text = "".join(character for character in text if character.isprintable() or character in "\n\t")
    text = text.strip()
    return text if len(text) <= most else f"{text[: most - 1]}…"


def field_names(columns: Sequence[str]) -> list[str]:
    """Unique field names for columns: the second `note` becomes `note (2)`."""
    names = list[str]()
    for number, column in enumerate(columns, 1):
        name = " ".join(readable(column, MAX_NAME).split()) or f"Column {number}"
        while name in names:
            name = f"{readable(column, MAX_NAME - 10)} ({number})"
            number += 1
        names.append(name)
    return names


def title_column(columns: Sequence[str]) -> int | None:
    """The index of the column whose name is one of TITLES, if there is one."""
    folded = [column.strip().casefold() for column in columns]
    return next((folded.index(name) for name in TITLES if name in folded), None)

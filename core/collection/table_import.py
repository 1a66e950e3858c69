"""Rows of a collection's file on their way into this collection: each is there at once, or goes through an import."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import IO, Any
from urllib.parse import urlsplit
from uuid import UUID

from psycopg import Connection

from core.collection.curation import lock_tagging, spellings
from core.collection.metadata import add_metadata
from core.collection.store import FilePicture, NewPicture, insert_pictures
from core.collection.table_reader import TableRow, read_table_rows
from core.database.connection import Database
from core.database.embedding_tables import Model, make_embeddings
from core.database.job_queue import index_job, nudge
from core.errors import TransferError
from core.media.urls import key_of
from core.signed_urls import file_path

MOST_NOTES = 1_000
"""Remarks about rows that are kept to be shown."""


@dataclass
class ImportedTable:
    """What became of a file's rows. Rows that `wait` are fetched by the import, if there is one; of `lacking` the
    embedding is made in the background. `notes` are pairs of a line's number and a sentence, the first of
    `remarks`."""

    import_id: int | None = None
    added: int = 0
    already_there: int = 0
    waiting: int = 0
    lacking: int = 0
    lost: int = 0
    remarks: int = 0
    notes: list[tuple[int, str]] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """How many rows the file has."""
        return self.added + self.already_there + self.waiting + self.lost

    @property
    def summary(self) -> str:
        """What became of the rows, in a sentence or two."""
        parts = [f"{self.added:,} added", f"{self.already_there:,} already there"]
        if self.waiting:
            parts.append(f"{self.waiting:,} to be fetched, which goes on in the background")
        if self.lost:
            parts.append(f"{self.lost:,} left out")
        told = f"{self.rows:,} pictures read: {', '.join(parts)}."
        return f"{told} {self.lacking:,} of them get their embedding in the background." if self.lacking else told


class Batch:
    """Some rows on their way into the collection."""

    def __init__(
        self,
        connection: Connection[Any],
        model: Model | None,
        name: str,
        rows: Sequence[TableRow],
        taken: ImportedTable,
    ) -> None:
        self._connection = connection
        self._model = model
        self._rows = rows
        self._taken = taken
        self._name = name

    def store(self) -> None:
        """Take them in, and count what becomes of them."""
        whole, waiting = dict[UUID, tuple[FilePicture, TableRow]](), list[TableRow]()
        for row in self._rows:
            if row.facts is not None:
                self._check_model(row)
                if row.facts.id in whole:
                    self._taken.already_there += 1
                    row.notes.append("The picture stands in the file more than once, and only its first row counts.")
                else:
                    whole[row.facts.id] = (row.facts, row)
            elif row.urls:
                waiting.append(row)
            else:
                self._taken.lost += 1
                row.notes.append("The row names no address from which the picture could be fetched, so it is left out.")
            for note in row.notes:
                self._note(row, note)
        lock_tagging(self._connection)
        self._spelled = spellings(self._connection)
        if whole:
            self._add([whole[id] for id in sorted(whole)])
        if waiting:
            self._wait(waiting)

    def _note(self, row: TableRow, sentence: str) -> None:
        self._taken.remarks += 1
        if len(self._taken.notes) < MOST_NOTES:
            self._taken.notes.append((row.number, sentence))

    def _check_model(self, row: TableRow) -> None:
        """Note an embedding that another model made, or none."""
        if row.embedding is None or self._model is None:
            return
        if row.model != self._model.name:
            row.notes.append(
                f"The embedding is of the model {row.model[:100] or 'without a name'}, and this collection uses "
                f"{self._model.name}. It is made anew."
            )
        elif len(row.embedding) != self._model.dim:
            row.notes.append(
                f"The embedding has {len(row.embedding):,} numbers, and those of {self._model.name} have "
                f"{self._model.dim:,}. It is made anew."
            )

    def _fits(self, row: TableRow) -> bool:
        model = self._model
        return (
            model is not None
            and row.embedding is not None
            and (row.model, len(row.embedding)) == (model.name, model.dim)
        )

    def _tags(self, row: TableRow) -> list[str]:
        """The tags in the spelling that they have in the collection, each once."""
        spelled = [self._spelled.setdefault(tag.casefold(), tag) for tag in row.tags]
        return list(dict.fromkeys(spelled))

    def _add(self, pictures: Sequence[tuple[FilePicture, TableRow]]) -> None:
        """Store pictures whose rows say all of them, by the order of their ids."""
        taken = self._taken
        new, _ = insert_pictures(
            self._connection,
            self._model,
            [
                NewPicture(
                    *_first_key(file, row),
                    picture=file,
                    embedding=row.embedding if self._fits(row) else None,
                    indexed_at=file.indexed_at,
                )
                for file, row in pictures
            ],
        )
        self._say({fact.id: row for fact, row in pictures})
        self._add_sources(pictures)
        self._items([(_first_key(file, row)[0], *_place(row), file.id in new, file.id, row) for file, row in pictures])
        taken.added += len(new)
        taken.already_there += len(pictures) - len(new)
        taken.lacking += sum(not self._fits(row) for fact, row in pictures if fact.id in new)

    def _add_sources(self, pictures: Sequence[tuple[FilePicture, TableRow]]) -> None:
        """Remember the addresses in their order; those of other pictures stay theirs. A kept file has one here too."""
        sources = [
            (key_of(url), url, fact.id, fact.indexed_at + timedelta(microseconds=place))
            for fact, row in pictures
            for place, url in enumerate(row.urls)
        ]
        sources += [(fact.sha256, file_path(fact.id), fact.id, fact.indexed_at) for fact, row in pictures]
        with self._connection.cursor() as cursor:
            cursor.executemany(
                """INSERT INTO sources (key, url, picture, added_at) SELECT %(key)s, %(url)s, %(picture)s, %(added)s
                   WHERE %(url)s LIKE 'http%%' OR EXISTS (SELECT FROM files WHERE key = %(key)s)
                   ON CONFLICT DO NOTHING""",
                [dict(zip(("key", "url", "picture", "added"), source, strict=True)) for source in sorted(sources)],
            )

    def _say(self, rows: Mapping[UUID, TableRow]) -> None:
        said = [(id, row.title, self._tags(row), row.fields) for id, row in rows.items()]
        add_metadata(self._connection, said)

    def _wait(self, rows: Sequence[TableRow]) -> None:
        """Let the import fetch pictures, all their addresses; those that the collection knows are there already."""
        entries = [(key_of(url), url, urlsplit(url).hostname or "", row) for row in rows for url in row.urls]
        self._items([(key, url, host, None, None, row) for key, url, host, row in entries])
        known = self._connection.execute(
            """UPDATE items SET status = 'already_there', picture = s.picture, finished_at = now()
               FROM sources s JOIN pictures p ON p.id = s.picture AND p.removed_at IS NULL
               WHERE import = %s AND items.key = ANY(%s) AND status = 'waiting' AND items.key = s.key
               RETURNING items.key, items.picture""",
            (self._import(), [key for key, *_ in entries]),
        ).fetchall()
        there = dict(known)
        pairs = {there[key]: row for key, _, _, row in entries if key in there}
        if pairs:
            self._say(pairs)
        there_already = sum(any(key_of(url) in there for url in row.urls) for row in rows)
        self._taken.already_there += there_already
        self._taken.waiting += len(rows) - there_already

    def _items(self, entries: Sequence[tuple[bytes, str, str, bool | None, UUID | None, TableRow]]) -> None:
        """Record items as (key, address, host, whether it brought its picture, picture, row); without a picture they
        wait."""
        status = {None: "waiting", True: "indexed", False: "already_there"}
        with self._connection.cursor() as cursor:
            cursor.executemany(
                """INSERT INTO items
                       (import, key, position, url, host, status, picture, title, fields, tags, finished_at)
                   VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s::jsonb, %s, CASE WHEN %s THEN NULL ELSE now() END)
                   ON CONFLICT DO NOTHING""",
                [
                    (
                        *(self._import(), key, row.number, url, host, status[brought], picture, row.title),
                        *(json.dumps(dict(row.fields)), self._tags(row), brought is None),
                    )
                    for key, url, host, brought, picture, row in sorted(entries, key=lambda entry: entry[0])
                ],
            )

    def _import(self) -> int:
        if self._taken.import_id is None:
            found = self._connection.execute("INSERT INTO imports (name) VALUES (%s) RETURNING id", (self._name,))
            self._taken.import_id = int(found.fetchall()[0][0])
        return self._taken.import_id


def _first_key(file: FilePicture, row: TableRow) -> tuple[bytes, str]:
    """The key and URL by which a picture goes first; a dropped file's key is its SHA-256."""
    return (key_of(row.urls[0]), row.urls[0]) if row.urls else (file.sha256, "")


def _place(row: TableRow) -> tuple[str, str]:
    """The address of a row's item and its host; without one, the title stands for a dropped file's name."""
    return (row.urls[0], urlsplit(row.urls[0]).hostname or "") if row.urls else (row.title or "Dropped picture", "")


OnProgress = Callable[[int], object]
"""Told now and then how many rows are done."""


def import_table(
    database: Database, model: Model | None, name: str, file: IO[bytes], notice: OnProgress = lambda _: None
) -> ImportedTable:
    """Read a file of a collection into this one, a batch a transaction, as an import of that name.

    A row with the facts of its file and a thumbnail is a picture at once, and found by its embedding when that is of
    this model; else the embedding is made in the background, from the thumbnail. Of any other row with an address the
    items go through the import, and tags, title and fields wait with them. Pictures that are there already keep what
    they have and gain what they lack. Without a `model`, the first one that the file names becomes the collection's.
    Raises TransferError when it is no such file, or DatabaseError; what was read by then stays.
    """
    taken = ImportedTable()
    for rows in read_table_rows(name, file):
        with database.connection() as connection:
            if model is None:
                model = _adopted(connection, rows)
            Batch(connection, model, name, rows, taken).store()
            if taken.import_id is not None and taken.waiting:
                nudge(connection, index_job(taken.import_id))
        notice(taken.rows)
    if not taken.rows:
        raise TransferError(f"{name} has no pictures in it.")
    return taken


def _adopted(connection: Connection[Any], rows: Sequence[TableRow]) -> Model | None:
    """The model of the first embedding, made known to a collection that has none."""
    first = next((row for row in rows if row.model and row.embedding is not None), None)
    if first is None or first.embedding is None:
        return None
    known = connection.execute(
        """INSERT INTO models (name, dim) VALUES (%s, %s)
           ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id, name, dim, setting""",
        (first.model, len(first.embedding)),
    ).fetchall()
    model = Model(*known[0])
    make_embeddings(connection, model)
    return model

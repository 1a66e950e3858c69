"""A table of pictures -> the collection: complete rows are stored at once, the others go through an import."""

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
from core.collection.isolated_table import isolated_rows
from core.collection.metadata import add_metadata
from core.collection.store import FilePicture, NewPicture, insert_pictures
from core.collection.table_reader import TableRow
from core.database.connection import Database
from core.database.embedding_tables import Model, make_embeddings
from core.database.job_queue import index_job, nudge
from core.errors import TransferError
from core.media.urls import key_of
from core.signed_urls import file_path

MAX_NOTES = 1_000
"""Most notes about rows that are kept to be shown; the rest are only counted."""


@dataclass
class ImportedTable:
    """The result of importing a table: how many of its rows were `added`, and so on.

    `waiting` rows are fetched by the import, if there is one; `to_embed` of the added ones get their embedding in the
    background. `notes` are (line number, sentence) pairs, the first MAX_NOTES of `note_count`.
    """

    import_id: int | None = None
    added: int = 0
    already_there: int = 0
    waiting: int = 0
    to_embed: int = 0
    left_out: int = 0
    note_count: int = 0
    notes: list[tuple[int, str]] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """How many rows the file has."""
        return self.added + self.already_there + self.waiting + self.left_out

    @property
    def summary(self) -> str:
        """The result in a sentence or two."""
        parts = [f"{self.added:,} added", f"{self.already_there:,} already in the collection"]
        if self.waiting:
            parts.append(f"{self.waiting:,} being fetched in the background")
        if self.left_out:
            parts.append(f"{self.left_out:,} left out")
        text = f"{self.rows:,} pictures read: {', '.join(parts)}."
        return f"{text} {self.to_embed:,} of them are being embedded in the background." if self.to_embed else text


class TableBatch:
    """One batch of rows, stored in one transaction."""

    def __init__(
        self,
        connection: Connection[Any],
        model: Model | None,
        name: str,
        rows: Sequence[TableRow],
        imported: ImportedTable,
    ) -> None:
        self._connection = connection
        self._model = model
        self._rows = rows
        self._imported = imported
        self._name = name

    def store(self) -> None:
        """Store the rows and count the results in `imported`. Raises psycopg.Error."""
        complete, waiting = dict[UUID, tuple[FilePicture, TableRow]](), list[TableRow]()
        for row in self._rows:
            if row.picture is not None:
                self._check_model(row)
                if row.picture.id in complete:
                    self._imported.already_there += 1
                    row.notes.append("The picture is in the file more than once; only its first row is imported.")
                else:
                    complete[row.picture.id] = (row.picture, row)
            elif row.urls:
                waiting.append(row)
            else:
                self._imported.left_out += 1
                row.notes.append("The row has no URL to fetch the picture from, so it was left out.")
            for note in row.notes:
                self._note(row, note)
        lock_tagging(self._connection)
        self._spelled = spellings(self._connection)
        if complete:
            self._add([complete[id] for id in sorted(complete)])
        if waiting:
            self._wait(waiting)

    def _note(self, row: TableRow, sentence: str) -> None:
        self._imported.note_count += 1
        if len(self._imported.notes) < MAX_NOTES:
            self._imported.notes.append((row.number, sentence))

    def _check_model(self, row: TableRow) -> None:
        """Add a note if the row's embedding is not one of the collection's model."""
        if row.embedding is None or self._model is None:
            return
        if row.model != self._model.name:
            row.notes.append(
                f"The embedding was made by {row.model[:100] or 'an unnamed model'}, but this collection uses "
                f"{self._model.name}. The picture is re-embedded."
            )
        elif len(row.embedding) != self._model.dim:
            row.notes.append(
                f"The embedding has {len(row.embedding):,} dimensions, but those of {self._model.name} have "
                f"{self._model.dim:,}. The picture is re-embedded."
            )

    def _fits(self, row: TableRow) -> bool:
        model = self._model
        return (
            model is not None
            and row.embedding is not None
            and (row.model, len(row.embedding)) == (model.name, model.dim)
        )

    def _tags(self, row: TableRow) -> list[str]:
        """The tags, each once, as the collection spells them."""
        spelled = [self._spelled.setdefault(tag.casefold(), tag) for tag in row.tags]
        return list(dict.fromkeys(spelled))

    def _add(self, pictures: Sequence[tuple[FilePicture, TableRow]]) -> None:
        """Store pictures whose rows are complete, given in id order."""
        imported = self._imported
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
        self._add_metadata({file.id: row for file, row in pictures})
        self._add_sources(pictures)
        self._add_items(
            [(_first_key(file, row)[0], *_place(row), file.id in new, file.id, row) for file, row in pictures]
        )
        imported.added += len(new)
        imported.already_there += len(pictures) - len(new)
        imported.to_embed += sum(not self._fits(row) for file, row in pictures if file.id in new)

    def _add_sources(self, pictures: Sequence[tuple[FilePicture, TableRow]]) -> None:
        """Record the URLs in their order, except those of other pictures; a stored file also has its path as one."""
        sources = [
            (key_of(url), url, file.id, file.indexed_at + timedelta(microseconds=place))
            for file, row in pictures
            for place, url in enumerate(row.urls)
        ]
        sources += [(file.sha256, file_path(file.id), file.id, file.indexed_at) for file, row in pictures]
        with self._connection.cursor() as cursor:
            cursor.executemany(
                """INSERT INTO sources (key, url, picture, added_at) SELECT %(key)s, %(url)s, %(picture)s, %(added)s
                   WHERE %(url)s LIKE 'http%%' OR EXISTS (SELECT FROM files WHERE key = %(key)s)
                   ON CONFLICT DO NOTHING""",
                [dict(zip(("key", "url", "picture", "added"), source, strict=True)) for source in sorted(sources)],
            )

    def _add_metadata(self, rows: Mapping[UUID, TableRow]) -> None:
        metadata = [(id, row.title, self._tags(row), row.fields) for id, row in rows.items()]
        add_metadata(self._connection, metadata)

    def _wait(self, rows: Sequence[TableRow]) -> None:
        """Leave rows to the import, with all their URLs; URLs already in the collection are done at once."""
        entries = [(key_of(url), url, urlsplit(url).hostname or "", row) for row in rows for url in row.urls]
        self._add_items([(key, url, host, None, None, row) for key, url, host, row in entries])
        known = self._connection.execute(
            """UPDATE items SET status = 'already_there', picture = s.picture, finished_at = now()
               FROM sources s JOIN pictures p ON p.id = s.picture AND p.removed_at IS NULL
               WHERE import = %s AND items.key = ANY(%s) AND status = 'waiting' AND items.key = s.key
               RETURNING items.key, items.picture""",
            (self._import(), [key for key, *_ in entries]),
        ).fetchall()
        pictures = dict(known)
        found = {pictures[key]: row for key, _, _, row in entries if key in pictures}
        if found:
            self._add_metadata(found)
        already_there = sum(any(key_of(url) in pictures for url in row.urls) for row in rows)
        self._imported.already_there += already_there
        self._imported.waiting += len(rows) - already_there

    def _add_items(self, entries: Sequence[tuple[bytes, str, str, bool | None, UUID | None, TableRow]]) -> None:
        """Insert items, each (key, URL, host, whether its picture is new, picture, row); those without one wait."""
        status = {None: "waiting", True: "indexed", False: "already_there"}
        with self._connection.cursor() as cursor:
            cursor.executemany(
                """INSERT INTO items
                       (import, key, position, url, host, status, picture, title, fields, tags, finished_at)
                   VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s::jsonb, %s, CASE WHEN %s THEN NULL ELSE now() END)
                   ON CONFLICT DO NOTHING""",
                [
                    (
                        *(self._import(), key, row.number, url, host, status[is_new], picture, row.title),
                        *(json.dumps(dict(row.fields)), self._tags(row), is_new is None),
                    )
                    for key, url, host, is_new, picture, row in sorted(entries, key=lambda entry: entry[0])
                ],
            )

    def _import(self) -> int:
        if self._imported.import_id is None:
            found = self._connection.execute("INSERT INTO imports (name) VALUES (%s) RETURNING id", (self._name,))
            self._imported.import_id = int(found.fetchall()[0][0])
        return self._imported.import_id


def _first_key(file: FilePicture, row: TableRow) -> tuple[bytes, str]:
    """The key and URL of a picture's first source; the key of a file without a URL is its SHA-256."""
    return (key_of(row.urls[0]), row.urls[0]) if row.urls else (file.sha256, "")


def _place(row: TableRow) -> tuple[str, str]:
    """The URL of a row's item and its host; without a URL, the title stands in for the file's name."""
    return (row.urls[0], urlsplit(row.urls[0]).hostname or "") if row.urls else (row.title or "Dropped picture", "")


OnProgress = Callable[[int], object]
"""Called after each batch with the number of rows done."""


def import_table(
    database: Database, model: Model | None, name: str, file: IO[bytes], on_progress: OnProgress = lambda _: None
) -> ImportedTable:
    """Add the pictures of a table to the collection, one transaction per batch, as an import of that name.

    A row with its file's data and a thumbnail is stored at once. It can be found at once if its embedding is of
    `model`; otherwise the embedding is made from the thumbnail in the background. Other rows with a URL are fetched by
    the import, which then adds their tags, title and fields. Pictures already in the collection keep what they have
    and gain what they lack. Without a `model`, the first one named in the file becomes the collection's. Raises
    TransferError if the file is not such a table, or DatabaseError; batches read by then stay.
    """
    imported = ImportedTable()
    for rows in isolated_rows(database.settings, name, file):
        with database.connection() as connection:
            if model is None:
                model = _adopted_model(connection, rows)
            TableBatch(connection, model, name, rows, imported).store()
            if imported.import_id is not None and imported.waiting:
                nudge(connection, index_job(imported.import_id))
        on_progress(imported.rows)
    if not imported.rows:
        raise TransferError(f"{name} has no pictures in it.")
    return imported


def _adopted_model(connection: Connection[Any], rows: Sequence[TableRow]) -> Model | None:
    """The model of the first embedding, registered in a collection that has none."""
    first = next((row for row in rows if row.model and row.embedding is not None), None)
    if first is None or first.embedding is None:
        return None
    known = connection.execute(
        """INSERT INTO models (name, dim) VALUES (%s, %s)
           ON CONFLICT (name) DO UPDATE SET name = excluded.name WHERE models.purpose = 'content'
           RETURNING id, name, dim, setting""",
        (first.model, len(first.embedding)),
    ).fetchall()
    if not known:  # a copy model's embeddings say nothing of the content
        return None
    model = Model(*known[0])
    make_embeddings(connection, model)
    return model

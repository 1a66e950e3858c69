"""The sources of a collection: places that are read for pictures, once or again and again, and what each held."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, LiteralString, get_args
from urllib.parse import unquote, urlsplit

from psycopg.rows import class_row

from core.database.connection import Database
from core.database.job_queue import nudge, read_source_job
from core.errors import NotFoundError, SourceError, UrlError
from core.indexing.sources.folder import folder_files, library_folder
from core.media.uploads import base_name
from core.media.urls import clean

Every = Literal["never", "hour", "day", "week"]
"""How often a source is read again by itself."""

INTERVALS: dict[Every, float | None] = {"never": None, "hour": 3_600.0, "day": 86_400.0, "week": 604_800.0}
"""Seconds from the end of one reading to the next."""

MAX_LISTED = 1_000
"""Entries of a source that are listed at a time."""


@dataclass(frozen=True)
class Reading:
    """One reading of a source, and what it found: pictures in all, new, changed and vanished ones; `import_id` is the
    import of the new and changed ones, if there were any. `problem` says what could not be read."""

    begun_at: datetime
    ended_at: datetime | None
    import_id: int | None
    found: int
    added: int
    changed: int
    vanished: int
    problem: str | None


@dataclass(frozen=True)
class Source:
    """A source: `location` is the URL of a document or the path of a folder. `held` pictures are in it now, `vanished`
    were once, and `skipped` files are no pictures. `last` is the newest reading."""

    id: int
    location: str
    name: str
    every: Every
    created_at: datetime
    paused_at: datetime | None
    next_reading_at: datetime | None
    held: int
    vanished: int
    skipped: int
    last: Reading | None = None

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder of this server."""
        return is_folder(self.location)

    @property
    def reading(self) -> bool:
        """Whether it is being read, or is about to be."""
        return self.last is None or self.last.ended_at is None or self.waits

    @property
    def waits(self) -> bool:
        """Whether a reading is due that has not begun."""
        return self.next_reading_at is not None and self.next_reading_at <= datetime.now(self.next_reading_at.tzinfo)


@dataclass(frozen=True)
class Entry:
    """Something that a source holds or held: its URL or its path, and, where it was left out, a sentence why."""

    location: str
    problem: str | None
    vanished_at: datetime | None


def is_folder(location: str) -> bool:
    """Whether a stored location is a folder of this server."""
    return "://" not in location


class Sources:
    """The sources: add, list, pause, resume, ask to read now, remove. A change that creates work queues a job in the
    same transaction."""

    def __init__(self, database: Database, library_dirs: Sequence[Path]) -> None:
        self._database = database
        self.library_dirs = library_dirs

    def add(self, location: str, every: Every = "never", name: str = "") -> Source:
        """Add a source, which is read at once. Raises SourceError or DatabaseError."""
        text = location.strip()
        if "://" in text or text.lower().startswith("www."):
            try:
                found = clean(text)
            except UrlError as error:
                raise SourceError(str(error)) from None
        elif not text:
            raise SourceError("Give the URL of a list, a feed, a sitemap or a IIIF document, or a folder.")
        else:
            folder = library_folder(text, self.library_dirs)
            next(folder_files(folder, self.library_dirs, lambda _: None), None)  # raises if it cannot be opened
            found = str(folder)
        if every not in get_args(Every):
            raise SourceError(f"A source is read every {', '.join(get_args(Every)[1:])}, or never again.")
        with self._database.connection() as connection:
            row = connection.execute(
                """INSERT INTO watched_sources (location, name, every, next_reading_at) VALUES (%s, %s, %s, now())
                   ON CONFLICT (location) DO NOTHING RETURNING id""",
                (found, name.strip()[:200] or _name(found), every),
            ).fetchone()
            if row is None:
                raise SourceError("This is a source already.")
            nudge(connection, read_source_job(row[0]))
        return self.read(row[0])

    def all(self) -> list[Source]:
        """All sources, the oldest first. Raises DatabaseError."""
        return self._read(None)

    def read(self, source_id: int) -> Source:
        """One source. Raises NotFoundError or DatabaseError."""
        found = self._read(source_id)
        if not found:
            raise NotFoundError(f"There is no source {source_id}.")
        return found[0]

    def _read(self, source_id: int | None) -> list[Source]:
        with self._database.connection() as connection:
            with connection.cursor(row_factory=class_row(Source)) as cursor:
                sources = cursor.execute(
                    """SELECT w.*, held, vanished, skipped
                       FROM watched_sources w LEFT JOIN LATERAL (
                           SELECT count(*) FILTER (WHERE vanished_at IS NULL AND problem IS NULL) AS held,
                                  count(*) FILTER (WHERE vanished_at IS NOT NULL AND problem IS NULL) AS vanished,
                                  count(*) FILTER (WHERE vanished_at IS NULL AND problem IS NOT NULL) AS skipped
                           FROM source_entries WHERE source = w.id) counts ON true
                       WHERE %(id)s::bigint IS NULL OR w.id = %(id)s ORDER BY w.id""",
                    {"id": source_id},
                ).fetchall()
            rows = connection.execute(
                """SELECT DISTINCT ON (source) source, begun_at, ended_at, import, found, added, changed, vanished,
                          problem
                   FROM source_readings WHERE source = ANY(%s) ORDER BY source, begun_at DESC""",
                ([source.id for source in sources],),
            )
            last = {id: Reading(*rest) for id, *rest in rows}
        return [Source(**{**vars(source), "last": last.get(source.id)}) for source in sources]

    def history(self, source_id: int, limit: int = 50) -> list[Reading]:
        """The newest reading of a source and the earlier ones that found something changed or a problem, newest first.
        Raises DatabaseError."""
        with self._database.connection() as connection:
            rows = connection.execute(
                """SELECT begun_at, ended_at, import, found, added, changed, vanished, problem FROM source_readings
                   WHERE source = %s ORDER BY begun_at DESC LIMIT %s""",
                (source_id, limit),
            )
            return [Reading(*row) for row in rows]

    def left_out(self, source_id: int) -> list[Entry]:
        """The first MAX_LISTED entries of a source that vanished or were left out. Raises DatabaseError."""
        with self._database.connection() as connection, connection.cursor(row_factory=class_row(Entry)) as cursor:
            cursor.execute(
                """SELECT location, problem, vanished_at FROM source_entries
                   WHERE source = %s AND ((vanished_at IS NULL) <> (problem IS NULL))
                   ORDER BY vanished_at DESC NULLS LAST, location LIMIT %s""",
                (source_id, MAX_LISTED),
            )
            return cursor.fetchall()

    def read_now(self, source_id: int) -> None:
        """Have a source read as soon as a worker is free. Raises NotFoundError or DatabaseError."""
        self._change(source_id, "UPDATE watched_sources SET next_reading_at = now() WHERE id = %s")

    def pause(self, source_id: int) -> None:
        """Read a source no more by itself until `resume`. Raises NotFoundError or DatabaseError."""
        self._change(
            source_id, "UPDATE watched_sources SET paused_at = now(), next_reading_at = NULL WHERE id = %s", due=False
        )

    def resume(self, source_id: int) -> None:
        """Read a source now, and then again as it was wished. Raises NotFoundError or DatabaseError."""
        self._change(source_id, "UPDATE watched_sources SET paused_at = NULL, next_reading_at = now() WHERE id = %s")

    def remove(self, source_id: int) -> None:
        """Forget a source and its history; its pictures stay in the collection. Raises NotFoundError or
        DatabaseError."""
        self._change(source_id, "DELETE FROM watched_sources WHERE id = %s", due=False)

    def _change(self, source_id: int, statement: LiteralString, *, due: bool = True) -> None:
        with self._database.connection() as connection:
            if not connection.execute(statement, (source_id,)).rowcount:
                raise NotFoundError(f"There is no source {source_id}.")
            if due:
                nudge(connection, read_source_job(source_id))


def _name(location: str) -> str:
    """What a source is called that nobody named: its folder, or its host and file."""
    if is_folder(location):
        return base_name(location) or location
    parts = urlsplit(location)
    file = base_name(unquote(parts.path).strip("/"))
    return f"{parts.hostname} {file}".strip()[:200]

"""One reading of a source: what is new or changed becomes an import, and what vanished is remembered."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from psycopg import Connection

from core.collection.changed_urls import KnownVersion, known_versions
from core.collection.store import Store
from core.database.connection import Database
from core.database.job_queue import index_job, nudge
from core.errors import DatabaseError, FetchError, LookalikeError, PictureError, SourceError
from core.indexing.new_items import NewItem, add_items, new_import
from core.indexing.sources.documents import Documents, FoundUrl
from core.indexing.sources.folder import FolderFile, folder_files, path_key
from core.indexing.sources.registry import INTERVALS, is_folder
from core.media.fetcher import Fetcher
from core.media.uploads import DroppedFile, shown_name
from core.settings import Settings

logger = logging.getLogger(__name__)

BATCH = 200
"""Entries written in one transaction."""

BATCH_BYTES = 50_000_000
"""Bytes of files from which a batch is written, since they are held in memory until then."""

CHECK_SECONDS = 600.0
"""How long the sites of one source are asked for changes in one reading; the next one goes on with those asked longest
ago."""

CHECKED_AT_ONCE = 100
"""URLs asked for changes between two looks whether the reading must end."""

MAX_PROBLEMS = 5
"""Sentences about what could not be read that are kept of a reading."""

UNFORESEEN = "An unexpected error interrupted this reading; see the log for details."


class _StoppedError(Exception):
    """The process is closing, or the source was removed."""


@dataclass(frozen=True)
class _Known:
    """What the last readings knew of an entry."""

    size: int | None
    modified_ns: int | None
    sha256: bytes | None
    problem: str | None


@dataclass(frozen=True)
class _Seen:
    """An entry as it is found now; `file` has its bytes if it is a file to be indexed."""

    key: bytes
    location: str
    item: NewItem | None = None
    file: DroppedFile | None = None
    known: _Known = _Known(None, None, None, None)


@dataclass
class _Progress:
    """A reading under way."""

    source: int
    name: str
    begun_at: datetime
    import_id: int | None
    problems: list[str] = field(default_factory=list)
    complete: bool = True


class SourceReader:
    """Reads sources. Thread-safe; that one source is read once at a time is up to the caller."""

    def __init__(self, settings: Settings, database: Database, store: Store, fetcher: Fetcher) -> None:
        self._library_dirs = settings.library_folders
        self._max_bytes = settings.max_file_bytes
        self._database = database
        self._store = store
        self._fetcher = fetcher

    def due(self) -> list[int]:
        """The ids of the sources that are due to be read. Raises DatabaseError."""
        with self._database.connection() as connection:
            rows = connection.execute("SELECT id FROM watched_sources WHERE next_reading_at <= now() ORDER BY id")
            return [row[0] for row in rows]

    def read(self, source_id: int, stop: Callable[[], bool]) -> None:
        """Read a source if it is due. When `stop` returns True, the reading ends, and goes on when it is called again.
        Whatever is wrong with the source is recorded as a sentence. Raises DatabaseError."""
        begun = self._begin(source_id)
        if begun is None:
            return
        location, every, progress = begun
        try:
            if is_folder(location):
                self._read_folder(Path(location), progress, stop)
            else:
                self._read_documents(location, progress, stop)
        except (_StoppedError, DatabaseError) as error:
            if isinstance(error, DatabaseError):
                raise
            return
        except LookalikeError as error:
            progress.problems.insert(0, str(error))
            progress.complete = False
        except Exception:  # it would be read, and fail, again and again
            logger.exception("source %s", source_id)
            progress.problems.insert(0, UNFORESEEN)
            progress.complete = False
        self._end(progress, INTERVALS[every])

    def _begin(self, source_id: int) -> tuple[str, Any, _Progress] | None:
        """The source's location and interval, and its reading, a new one unless one was interrupted."""
        with self._database.connection() as connection:
            source = connection.execute(
                """SELECT location, every, name FROM watched_sources WHERE id = %s AND next_reading_at <= now()
                   FOR NO KEY UPDATE""",
                (source_id,),
            ).fetchone()
            if source is None:
                return None
            connection.execute(
                """INSERT INTO source_readings (source, begun_at) SELECT %(id)s, now()
                   WHERE NOT EXISTS (SELECT FROM source_readings WHERE source = %(id)s AND ended_at IS NULL)""",
                {"id": source_id},
            )
            ((begun_at, import_id),) = connection.execute(
                """UPDATE source_readings SET found = 0 WHERE source = %s AND ended_at IS NULL
                   RETURNING begun_at, import""",
                (source_id,),
            ).fetchall()
        location, every, name = source
        return location, every, _Progress(source_id, name, begun_at, import_id)

    def _end(self, progress: _Progress, interval: float | None) -> None:
        """Tell what vanished, if everything was read, and when the source is due again."""
        more = len(progress.problems) - MAX_PROBLEMS
        told = progress.problems[:MAX_PROBLEMS] + ([f"… and {more:,} more."] if more > 0 else [])
        with self._database.connection() as connection:
            vanished = 0
            if progress.complete:
                rows = connection.execute(
                    """UPDATE source_entries SET vanished_at = now()
                       WHERE source = %s AND seen_at < %s AND vanished_at IS NULL RETURNING problem""",
                    (progress.source, progress.begun_at),
                )
                vanished = sum(problem is None for (problem,) in rows)
            connection.execute(
                """UPDATE source_readings SET ended_at = now(), vanished = %s, problem = %s
                   WHERE source = %s AND begun_at = %s""",
                (vanished, "\n".join(told) or None, progress.source, progress.begun_at),
            )
            connection.execute(  # or the history would hardly tell of anything else
                """DELETE FROM source_readings
                   WHERE source = %s AND begun_at < %s AND added + changed + vanished = 0 AND problem IS NULL""",
                (progress.source, progress.begun_at),
            )
            connection.execute(
                """UPDATE watched_sources SET next_reading_at =
                          CASE WHEN paused_at IS NULL THEN now() + make_interval(secs => %s::float8) END
                   WHERE id = %s""",
                (interval, progress.source),
            )

    def _read_folder(self, folder: Path, progress: _Progress, stop: Callable[[], bool]) -> None:
        def on_problem(sentence: str) -> None:
            progress.problems.append(sentence)
            progress.complete = False

        known, batch, held = self._known(progress.source), list[_Seen](), 0
        for file in folder_files(folder, self._library_dirs, on_problem):
            seen = self._look_at(folder, file, known)
            if isinstance(seen, str):
                on_problem(seen)
                continue
            batch.append(seen)
            held += len(seen.file.data) if seen.file else 0
            if len(batch) >= BATCH or held >= BATCH_BYTES:
                self._write(progress, batch, stop)
                batch, held = [], 0
        self._write(progress, batch, stop)

    def _look_at(self, folder: Path, file: FolderFile, known: dict[bytes, _Known]) -> _Seen | str:
        """What is found at a file, which is read only if its size or time differ; a sentence if that is impossible."""
        key, name = path_key(folder, file.path), shown_name(file.path)
        before = known.get(key)
        if before and (before.size, before.modified_ns) == (file.size, file.modified_ns):
            return _Seen(key, name, known=before)
        try:
            data = file.read(self._max_bytes)
        except PictureError as error:
            return _Seen(key, name, known=_Known(file.size, file.modified_ns, None, str(error)))
        except FileNotFoundError:
            return f"{name} was there a moment ago, and is not any more."
        except OSError as error:
            return f"{name} cannot be read: {error.strerror}."
        sha256 = hashlib.sha256(data).digest()
        now = _Known(file.size, file.modified_ns, sha256, None)
        if before and before.sha256 == sha256:
            return _Seen(key, name, known=now)
        changed = before is not None and before.sha256 is not None
        item = NewItem(key, name, file=sha256, changed=changed)
        return _Seen(key, name, item, DroppedFile(sha256, name, data), now)

    def _read_documents(self, location: str, progress: _Progress, stop: Callable[[], bool]) -> None:
        def wait(seconds: float) -> bool:
            until = time.monotonic() + seconds
            while not stop() and time.monotonic() < until:
                time.sleep(min(0.2, seconds))
            return stop()

        known, documents = self._known(progress.source), Documents(self._fetcher, wait)
        seen = set[bytes]()
        for found in documents.urls(location):
            fresh = [each for each in found if each.key not in seen]
            seen.update(each.key for each in fresh)
            for start in range(0, len(fresh), BATCH):
                self._write(progress, [_listed(each, known) for each in fresh[start : start + BATCH]], stop)
            if stop():
                raise _StoppedError
        if not seen and not documents.problems:
            raise SourceError("It names no pictures.")
        progress.problems += documents.problems
        progress.complete = not documents.unread
        self._ask_for_changes(progress, seen & known.keys(), stop)

    def _ask_for_changes(self, progress: _Progress, keys: set[bytes], stop: Callable[[], bool]) -> None:
        """Ask the sites of known URLs whether they have another picture by now, as far as they can tell."""
        until, refusing = time.monotonic() + CHECK_SECONDS, set[str]()
        with self._database.connection() as connection:
            rows = connection.execute(
                "SELECT key, location FROM source_entries WHERE source = %s ORDER BY checked_at", (progress.source,)
            ).fetchall()
        queue = [(key, url) for key, url in rows if key in keys]
        for start in range(0, len(queue), CHECKED_AT_ONCE):
            part = dict(queue[start : start + CHECKED_AT_ONCE])
            with self._database.connection() as connection:
                versions = known_versions(connection, part)
            changed = [
                NewItem(key, part[key], urlsplit(part[key]).hostname or "", changed=True)
                for key, known in versions.items()
                if self._has_changed(part[key], known, refusing)
            ]
            self._write(progress, [_Seen(item.key, item.url, item) for item in changed], stop, checked=list(part))
            if time.monotonic() > until:
                return

    def _has_changed(self, url: str, known: KnownVersion, refusing: set[str]) -> bool:
        host = urlsplit(url).hostname or ""
        if host in refusing:
            return False
        try:
            return not self._fetcher.is_unchanged(url, known.version)
        except FetchError as error:  # the picture that is there stays
            if error.retryable:
                refusing.add(host)
            return False

    def _known(self, source: int) -> dict[bytes, _Known]:
        with self._database.connection() as connection:
            rows = connection.execute(
                "SELECT key, size, modified_ns, sha256, problem FROM source_entries WHERE source = %s", (source,)
            )
            return {key: _Known(*rest) for key, *rest in rows}

    def _write(
        self, progress: _Progress, batch: Sequence[_Seen], stop: Callable[[], bool], checked: Sequence[bytes] = ()
    ) -> None:
        """Write what was found, and queue what is to be indexed, in one transaction."""
        if stop():
            raise _StoppedError
        new = [seen.item for seen in batch if seen.item]
        with self._database.connection() as connection:
            if (
                connection.execute(
                    "SELECT id FROM watched_sources WHERE id = %s FOR KEY SHARE", (progress.source,)
                ).fetchone()
                is None
            ):  # removed meanwhile
                raise _StoppedError
            if new and progress.import_id is None:
                progress.import_id = new_import(connection, progress.name)
            self._store.keep_files(connection, (seen.file for seen in batch if seen.file))
            if new and progress.import_id is not None:
                _queue(connection, progress.import_id, new)
            _write_entries(connection, progress, batch, checked)
            changed = sum(item.changed for item in new)
            connection.execute(
                """UPDATE source_readings
                   SET import = %s, found = found + %s, added = added + %s, changed = changed + %s
                   WHERE source = %s AND begun_at = %s""",
                (
                    progress.import_id,
                    0 if checked else sum(seen.known.problem is None for seen in batch),
                    len(new) - changed,
                    changed,
                    progress.source,
                    progress.begun_at,
                ),
            )
            if new and progress.import_id is not None:
                nudge(connection, index_job(progress.import_id))


def _queue(connection: Connection[Any], import_id: int, items: Sequence[NewItem]) -> None:
    """Add items to an import, unless an interrupted reading has."""
    rows = connection.execute(
        "SELECT key FROM items WHERE import = %s AND key = ANY(%s)", (import_id, [item.key for item in items])
    )
    there = {key for (key,) in rows}
    add_items(connection, import_id, (item for item in items if item.key not in there))


def _listed(found: FoundUrl, known: dict[bytes, _Known]) -> _Seen:
    if found.key in known:
        return _Seen(found.key, found.url)
    item = NewItem(found.key, found.url, urlsplit(found.url).hostname or "", found.metadata)
    return _Seen(found.key, found.url, item)


def _write_entries(
    connection: Connection[Any], progress: _Progress, batch: Sequence[_Seen], checked: Sequence[bytes]
) -> None:
    ordered = sorted(batch, key=lambda seen: seen.key)
    connection.execute(
        """INSERT INTO source_entries (source, key, location, size, modified_ns, sha256, problem, seen_at)
           SELECT %s, key, location, size, modified_ns, sha256, problem, %s
           FROM unnest(%s::bytea[], %s::text[], %s::bigint[], %s::bigint[], %s::bytea[], %s::text[])
                AS new (key, location, size, modified_ns, sha256, problem)
           ON CONFLICT (source, key) DO UPDATE
           SET location = excluded.location, size = excluded.size, modified_ns = excluded.modified_ns,
               sha256 = excluded.sha256, problem = excluded.problem, seen_at = excluded.seen_at, vanished_at = NULL""",
        (
            progress.source,
            progress.begun_at,
            [seen.key for seen in ordered],
            [seen.location for seen in ordered],
            [seen.known.size for seen in ordered],
            [seen.known.modified_ns for seen in ordered],
            [seen.known.sha256 for seen in ordered],
            [seen.known.problem for seen in ordered],
        ),
    )
    connection.execute(
        "UPDATE source_entries SET checked_at = now() WHERE source = %s AND key = ANY(%s)",
        (progress.source, sorted(checked)),
    )

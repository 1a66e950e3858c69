"""Imports and their items: what was requested, and its outcome. Workers claim items with `core.indexing.claims`.

The items are the single source of truth; the jobs that this module queues are only nudges.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from psycopg import sql
from psycopg.rows import class_row, dict_row

from core.collection.metadata import NO_METADATA, Metadata
from core.collection.store import Store
from core.database.connection import Database
from core.database.job_queue import index_job, nudge
from core.errors import NotFoundError
from core.indexing.known_pictures import IN_BIN
from core.indexing.new_items import NewItem, add_items, new_import
from core.media.uploads import DroppedFile

_ONLY_ITS_OWN = sql.SQL("""removed_at IS NULL
    AND id IN (SELECT picture FROM items WHERE import = %(id)s AND status = 'indexed')
    AND NOT EXISTS (
        SELECT FROM items JOIN imports ON imports.id = items.import AND deleted_at IS NULL
        WHERE items.picture = pictures.id AND items.import <> %(id)s)""")

CANCELLED = "Cancelled before it was fetched."
"""The reason of items that were waiting when their import was cancelled; `retry_failed` resumes them."""

AGAIN = ", fetched again"
"""What the name of an import ends in that `fetch_again` made."""

RATE_WINDOW = timedelta(seconds=30)
"""The period over which an import's rate is measured: several batches, even with a slow model."""


@dataclass(frozen=True)
class Failure:
    """A URL without a usable picture, and a sentence that says why."""

    url: str
    reason: str


@dataclass(frozen=True)
class FailureGroup:
    """A reason, how many items of an import failed for it, and the URL of the first."""

    reason: str
    count: int
    example: str


@dataclass(frozen=True)
class Wait:
    """Why some items of an import wait, how many, and when the first of them is tried again."""

    reason: str
    count: int
    until: datetime


@dataclass(frozen=True)
class Import:
    """An import and its progress. Of the waiting items, `retrying` are tried again later, as `waits` tells by reason;
    `rate` is in items a second over the last `RATE_WINDOW`. The pictures of `in_bin` of those that were already there
    are in the bin."""

    id: int
    name: str
    created_at: datetime
    paused_at: datetime | None
    deleted_at: datetime | None
    waiting: int
    indexed: int
    already_there: int
    failed: int
    rate: float = 0.0
    waits: Sequence[Wait] = ()
    in_bin: int = 0

    @property
    def counts(self) -> dict[str, int]:
        """How many items have each status."""
        return {
            "waiting": self.waiting,
            "indexed": self.indexed,
            "already_there": self.already_there,
            "failed": self.failed,
        }

    @property
    def total(self) -> int:
        """How many items the import has."""
        return sum(self.counts.values())

    @property
    def retrying(self) -> int:
        """How many of the waiting items are tried again later."""
        return sum(wait.count for wait in self.waits)

    @property
    def done(self) -> bool:
        """Whether every item has a final state."""
        return self.waiting == 0

    @property
    def seconds_left(self) -> float | None:
        """The estimated seconds for the waiting items at the current rate; None when there is no estimate."""
        return self.waiting / self.rate if self.waiting and self.rate else None


class Imports:
    """The imports: submit, read, pause, resume, cancel, retry and delete. Each change that creates work queues a job in
    the same transaction.

    Whatever locks several items does so in the order of their keys, or skips locked ones, so that no two deadlock.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._store = Store(database)

    def submit(
        self,
        name: str,
        urls: Sequence[tuple[bytes, str]],
        metadata: Mapping[bytes, Metadata] | None = None,
        *,
        restores: bool = False,
        refreshes: bool = False,
    ) -> Import:
        """Queue an import of URLs, each as (identity key, URL); the first URL of a key is used.

        Whatever is already in the collection has the status "already_there" from the start and is not fetched again,
        unless the import `refreshes`: then its site is asked, and a picture that changed at its URL replaces the old.
        Pictures in the bin are left there, unless the import `restores` them. `metadata` is by key, for those keys that
        have any. Raises DatabaseError.
        """
        known = metadata or {}
        items = [
            NewItem(key, url, urlsplit(url).hostname or "", known.get(key, NO_METADATA), changed=refreshes)
            for key, url in urls
        ]
        with self._database.connection() as connection:
            import_id = new_import(connection, name, restores=restores)
            add_items(connection, import_id, items)
            nudge(connection, index_job(import_id))
        return self.read(import_id)

    def submit_files(self, name: str, files: Iterable[DroppedFile], *, restores: bool = False) -> Import:
        """Queue an import of dropped files likewise and store their bytes, one file at a time. Raises DatabaseError,
        and whatever reading the files raises."""
        with self._database.connection() as connection:
            kept = self._store.keep_files(connection, files)
            import_id = new_import(connection, name, restores=restores)
            add_items(connection, import_id, [NewItem(key, file) for key, file in kept])
            nudge(connection, index_job(import_id))
        return self.read(import_id)

    def latest(self, limit: int = 20) -> list[Import]:
        """The latest imports, newest first. Raises DatabaseError."""
        with self._database.connection() as connection:
            rows = connection.execute(
                "SELECT id FROM imports WHERE deleted_at IS NULL ORDER BY id DESC LIMIT %s", (limit,)
            ).fetchall()
        return self._read([row[0] for row in rows])

    def read(self, import_id: int) -> Import:
        """One import. Raises NotFoundError or DatabaseError."""
        found = self._read([import_id])
        if not found:
            raise NotFoundError(f"There is no import {import_id}.")
        return found[0]

    def _read(self, ids: Sequence[int]) -> list[Import]:
        query = """
            SELECT imports.id, name, created_at, paused_at, deleted_at,
                   count(*) FILTER (WHERE status = 'waiting') AS waiting,
                   count(*) FILTER (WHERE status = 'indexed') AS indexed,
                   count(*) FILTER (WHERE status = 'already_there') AS already_there,
                   count(*) FILTER (WHERE status = 'failed') AS failed,
                   count(*) FILTER (WHERE status = 'already_there' AND reason = %(in_bin)s) AS in_bin,
                   count(*) FILTER (WHERE finished_at > greatest(now() - %(window)s, created_at))
                   / greatest(1, extract(epoch FROM least(%(window)s, now() - created_at)))::float8 AS rate
            FROM imports LEFT JOIN items ON items.import = imports.id
            WHERE imports.id = ANY(%(ids)s) GROUP BY imports.id ORDER BY imports.id DESC"""
        waits = dict[int, list[Wait]]()
        with self._database.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(query, {"ids": list(ids), "window": RATE_WINDOW, "in_bin": IN_BIN}).fetchall()
            waiting = [row["id"] for row in rows if row["waiting"]]
            # A claimed item's next_try_at is the end of its lease.
            for row in connection.execute(
                """SELECT import, reason, count(*), min(next_try_at) FROM items
                   WHERE import = ANY(%s) AND status = 'waiting' AND lost = 0 AND next_try_at > now()
                         AND reason IS NOT NULL
                   GROUP BY import, reason ORDER BY import, count(*) DESC, reason""",
                (waiting,),
            ):
                waits.setdefault(row[0], []).append(Wait(*row[1:]))
            binned = [row["id"] for row in rows if row["in_bin"]]
            found = connection.execute(
                """SELECT import, count(*) FROM items LEFT JOIN pictures ON id = picture
                   WHERE import = ANY(%s) AND status = 'already_there' AND reason = %s
                         AND (id IS NULL OR removed_at IS NOT NULL) GROUP BY import""",
                (binned, IN_BIN),
            )
            in_bin = dict(found.fetchall())
        return [Import(**{**row, "in_bin": in_bin.get(row["id"], 0)}, waits=waits.get(row["id"], ())) for row in rows]

    def failures(self, import_id: int, limit: int | None = None) -> list[Failure]:
        """The failed items of an import, in their original order. Raises DatabaseError."""
        with (
            self._database.connection() as connection,
            connection.cursor(row_factory=class_row(Failure)) as cursor,
        ):
            cursor.execute(
                """SELECT url, reason FROM items WHERE import = %s AND status = 'failed'
                   ORDER BY position LIMIT %s""",
                (import_id, limit),
            )
            return cursor.fetchall()

    def failure_groups(self, import_id: int) -> list[FailureGroup]:
        """Why items of an import failed, the most frequent reason first. Raises DatabaseError."""
        with (
            self._database.connection() as connection,
            connection.cursor(row_factory=class_row(FailureGroup)) as cursor,
        ):
            cursor.execute(
                """SELECT reason, count(*) AS count, (array_agg(url ORDER BY position))[1] AS example
                   FROM items WHERE import = %s AND status = 'failed' GROUP BY reason ORDER BY count DESC, reason""",
                (import_id,),
            )
            return cursor.fetchall()

    def retry_failed(self, import_id: int) -> int:
        """Retry the failed items of an import, with all their attempts. Returns how many. Raises DatabaseError."""
        with self._database.connection() as connection:
            count = connection.execute(
                """UPDATE items SET status = 'waiting', attempts = 0, lost = 0, reason = NULL, finished_at = NULL,
                          next_try_at = now()
                   WHERE import = %s AND status = 'failed'""",
                (import_id,),
            ).rowcount
            nudge(connection, index_job(import_id))
            return count

    def fetch_again(self, import_id: int) -> Import:
        """Queue another import, of the URLs of this one whose pictures are in the collection: a picture that changed
        at its URL replaces the old one. Raises NotFoundError or DatabaseError."""
        name = self.read(import_id).name.removesuffix(AGAIN)
        with self._database.connection() as connection:
            again = new_import(connection, f"{name}{AGAIN}")
            connection.execute(
                """INSERT INTO items (import, key, position, url, host, title, fields, tags)
                   SELECT %s, key, position, items.url, items.host, items.title, items.fields, items.tags
                   FROM items JOIN sources USING (key)
                        JOIN pictures ON id = sources.picture AND removed_at IS NULL
                   WHERE import = %s AND items.host <> '' AND status IN ('indexed', 'already_there')""",
                (again, import_id),
            )
            nudge(connection, index_job(again))
        return self.read(again)

    def pause(self, import_id: int) -> None:
        """Hand out no items of an import until it is resumed; those being processed are finished. Raises
        DatabaseError."""
        with self._database.connection() as connection:
            connection.execute("UPDATE imports SET paused_at = now() WHERE id = %s", (import_id,))

    def resume(self, import_id: int) -> None:
        """Hand out items of an import again. Raises DatabaseError."""
        with self._database.connection() as connection:
            connection.execute("UPDATE imports SET paused_at = NULL WHERE id = %s", (import_id,))
            nudge(connection, index_job(import_id))

    def cancel(self, import_id: int) -> int:
        """End an import: its waiting items fail as CANCELLED. Returns how many. Raises DatabaseError."""
        with self._database.connection() as connection:
            return connection.execute(
                """UPDATE items SET status = 'failed', reason = %s, finished_at = now()
                   WHERE import = %s AND key IN (
                       SELECT key FROM items WHERE import = %s AND status = 'waiting' ORDER BY key FOR UPDATE)""",
                (CANCELLED, import_id, import_id),
            ).rowcount

    def deletable(self, import_id: int) -> int:
        """How many pictures `delete` would remove, to be confirmed before. Raises DatabaseError."""
        with self._database.connection() as connection:
            ((count,),) = connection.execute(
                sql.SQL("SELECT count(*) FROM pictures WHERE {}").format(_ONLY_ITS_OWN), {"id": import_id}
            ).fetchall()
        return int(count)

    def delete(self, import_id: int) -> int:
        """Delete an import, and remove the pictures that only it added. Returns how many; `restore` undoes it. To
        delete it again changes nothing, and returns the same. Raises DatabaseError."""
        self.cancel(import_id)
        with self._database.connection() as connection:
            deleted = connection.execute(
                "UPDATE imports SET deleted_at = now() WHERE id = %s AND deleted_at IS NULL", (import_id,)
            )
            if deleted.rowcount:
                connection.execute(
                    sql.SQL(
                        """UPDATE pictures SET removed_at = now() WHERE id = ANY(ARRAY(
                               SELECT id FROM pictures WHERE {} ORDER BY id FOR NO KEY UPDATE))"""
                    ).format(_ONLY_ITS_OWN),
                    {"id": import_id},
                )
            ((removed,),) = connection.execute(
                """SELECT count(*) FROM pictures
                   WHERE removed_at = (SELECT deleted_at FROM imports WHERE id = %(id)s)
                     AND id IN (SELECT picture FROM items WHERE import = %(id)s)""",
                {"id": import_id},
            ).fetchall()
        return int(removed)

    def restore(self, import_id: int) -> int:
        """Undo `delete`: restore the import and its pictures. Returns how many pictures. Raises DatabaseError."""
        with self._database.connection() as connection:
            returned = connection.execute(
                """UPDATE pictures SET removed_at = NULL WHERE id = ANY(ARRAY(
                       SELECT id FROM pictures
                       WHERE removed_at = (SELECT deleted_at FROM imports WHERE id = %(id)s)
                         AND id IN (SELECT picture FROM items WHERE import = %(id)s)
                       ORDER BY id FOR NO KEY UPDATE))""",
                {"id": import_id},
            ).rowcount
            connection.execute("UPDATE imports SET deleted_at = NULL WHERE id = %s", (import_id,))
            return returned

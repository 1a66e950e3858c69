"""Imports and their items: the truth about what was asked for and what became of it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, LiteralString
from urllib.parse import urlsplit
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row, dict_row

from core.database import Database
from core.errors import NotFoundError
from core.fields import NOTHING, Said
from core.said import keep_said

Status = Literal["waiting", "indexed", "already_there", "failed"]

CANCELLED = "Cancelled before it was fetched."
"""The reason of items that were waiting when their import was cancelled; trying the failed again resumes them."""

SUSPECT, GIVEN_UP = 2, 4
"""How often an item is in hand when a worker dies until it is claimed alone, and until it is given up. A picture that
crashes its worker takes some hundred others with it twice, and is then found out; one that was merely near when
power failed has two more chances."""

STOPPED = "Working on this picture stopped the app again and again, so it was left out."
"""The reason of items that were given up."""

RATE_WINDOW = timedelta(seconds=30)
"""How far back the rate of an import looks."""


@dataclass(frozen=True)
class Item:
    """One URL or dropped file of an import, claimed to be worked on. `attempts` counts its tries, this one too; a
    try that a crash or a stop cut short counts for nothing.

    A file has no host; its key is the SHA-256 of its bytes, and its `url` the name that it was dropped with.
    """

    import_id: int
    key: bytes
    url: str
    host: str
    attempts: int

    @property
    def is_file(self) -> bool:
        """Whether this is a dropped file, for a web address always names a host."""
        return not self.host


@dataclass(frozen=True)
class Outcome:
    """What became of an item. With status "waiting" it is tried again at `next_try_at`."""

    item: Item
    status: Status
    picture: UUID | None = None
    reason: str | None = None
    next_try_at: datetime | None = None


@dataclass(frozen=True)
class Failure:
    """A URL that gave no picture, and the sentence that says why."""

    url: str
    reason: str


@dataclass(frozen=True)
class FailureGroup:
    """A reason, how many items of an import failed for it, and the first of them."""

    reason: str
    count: int
    example: str


@dataclass(frozen=True)
class Import:
    """An import and how far it is. `retrying` of the waiting items failed before and wait for another try;
    `rate` is in items a second over the last `RATE_WINDOW`."""

    id: int
    name: str
    created_at: datetime
    paused_at: datetime | None
    deleted_at: datetime | None
    waiting: int
    indexed: int
    already_there: int
    failed: int
    retrying: int = 0
    next_try_at: datetime | None = None
    rate: float = 0.0
    counts: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        counts = {
            "waiting": self.waiting,
            "indexed": self.indexed,
            "already_there": self.already_there,
            "failed": self.failed,
        }
        object.__setattr__(self, "counts", counts)

    @property
    def total(self) -> int:
        """How many items the import has."""
        return sum(self.counts.values())

    @property
    def done(self) -> bool:
        """Whether every item has a final state."""
        return self.waiting == 0

    @property
    def seconds_left(self) -> float | None:
        """How long the waiting items will take at the present rate, when there is one."""
        return self.waiting / self.rate if self.waiting and self.rate else None


class Ledger:
    """The imports. Methods that take a connection join its transaction; the others make their own.

    Whatever locks several items does so in the order of their keys, or skips what is locked, so that no two ever
    wait for each other in a circle.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, name: str, urls: Sequence[tuple[bytes, str]], said: Mapping[bytes, Said] | None = None) -> int:
        """Record an import of URLs, each as (identity key, URL); a key's first URL counts. Returns its id.

        What the collection already holds is "already there" from the start and is not fetched again. `said` is what
        the list says of some of the keys.
        """
        entries = [(key, url, urlsplit(url).hostname or "") for key, url in urls]
        with self._database.connection() as connection:
            return self._create(connection, name, entries, said or {})

    def create_from_files(self, connection: Connection, name: str, files: Sequence[tuple[bytes, str]]) -> int:
        """Record an import of dropped files, each as (SHA-256 of its bytes, name), likewise. Returns its id."""
        return self._create(connection, name, [(key, file, "") for key, file in files], {})

    def _create(
        self,
        connection: Connection,
        name: str,
        entries: Sequence[tuple[bytes, str, str]],
        said: Mapping[bytes, Said],
    ) -> int:
        unique = dict[bytes, tuple[str, str]]()
        for key, url, host in entries:
            unique.setdefault(key, (url, host))
        row = connection.execute("INSERT INTO imports (name) VALUES (%s) RETURNING id", (name,)).fetchone()
        assert row is not None
        import_id = int(row[0])
        with (
            connection.cursor() as cursor,
            cursor.copy("COPY items (import, key, position, url, host, title, fields) FROM STDIN") as copy,
        ):
            for position, (key, (url, host)) in enumerate(unique.items()):
                row_said = said.get(key, NOTHING)
                fields = json.dumps(dict(row_said.fields), ensure_ascii=False)
                copy.write_row((import_id, key, position, url, host, row_said.title, fields))
        there = connection.execute(
            """UPDATE items SET status = 'already_there', picture = s.picture, finished_at = now()
               FROM sources s JOIN pictures p ON p.id = s.picture AND p.removed_at IS NULL
               WHERE import = %s AND items.key = s.key RETURNING items.picture""",
            (import_id,),
        ).fetchall()
        if said:
            keep_said(connection, import_id, [row[0] for row in there])
        return import_id

    def imports(self, limit: int = 20) -> list[Import]:
        """The newest imports, newest first."""
        with self._database.connection() as connection:
            rows = connection.execute(
                "SELECT id FROM imports WHERE deleted_at IS NULL ORDER BY id DESC LIMIT %s", (limit,)
            ).fetchall()
        return self._read([row[0] for row in rows])

    def read(self, import_id: int) -> Import:
        """One import. Raises NotFoundError."""
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
                   count(*) FILTER (WHERE status = 'waiting' AND reason IS NOT NULL) AS retrying,
                   min(next_try_at) FILTER (WHERE status = 'waiting' AND reason IS NOT NULL) AS next_try_at,
                   count(*) FILTER (WHERE finished_at > greatest(now() - %(window)s, created_at))
                   / greatest(1, extract(epoch FROM least(%(window)s, now() - created_at)))::float8 AS rate
            FROM imports LEFT JOIN items ON items.import = imports.id
            WHERE imports.id = ANY(%(ids)s) GROUP BY imports.id ORDER BY imports.id DESC"""
        with self._database.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            cursor.execute(query, {"ids": list(ids), "window": RATE_WINDOW})
            return [Import(**row) for row in cursor.fetchall()]

    def failures(self, import_id: int, limit: int | None = None) -> list[Failure]:
        """The failed items of an import, in the order they were given."""
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
        """Why items of an import failed, the commonest reason first."""
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
        """Let the failed items of an import wait again, as if never tried. Returns how many."""
        with self._database.connection() as connection:
            return connection.execute(
                """UPDATE items SET status = 'waiting', attempts = 0, lost = 0, reason = NULL, finished_at = NULL,
                          next_try_at = now()
                   WHERE import = %s AND status = 'failed'""",
                (import_id,),
            ).rowcount

    def pause(self, import_id: int) -> None:
        """Hand out no more items of an import until it is resumed; those in hand are finished."""
        self._set(import_id, "paused_at = now()")

    def resume(self, import_id: int) -> None:
        """Hand out items of an import again."""
        self._set(import_id, "paused_at = NULL")

    def cancel(self, import_id: int) -> int:
        """End an import: its waiting items fail as CANCELLED. Returns how many."""
        with self._database.connection() as connection:
            return connection.execute(
                """UPDATE items SET status = 'failed', reason = %s, finished_at = now()
                   WHERE import = %s AND key IN (
                       SELECT key FROM items WHERE import = %s AND status = 'waiting' ORDER BY key FOR UPDATE)""",
                (CANCELLED, import_id, import_id),
            ).rowcount

    def delete(self, import_id: int) -> int:
        """Delete an import, and remove the pictures that only it brought. Returns how many; `restore` undoes it."""
        self.cancel(import_id)
        with self._database.connection() as connection:
            connection.execute("UPDATE imports SET deleted_at = now() WHERE id = %s", (import_id,))
            return connection.execute(
                """UPDATE pictures SET removed_at = now() WHERE id = ANY(ARRAY(
                       SELECT id FROM pictures
                       WHERE removed_at IS NULL
                         AND id IN (SELECT picture FROM items WHERE import = %(id)s AND status = 'indexed')
                         AND NOT EXISTS (
                             SELECT FROM items JOIN imports ON imports.id = items.import AND deleted_at IS NULL
                             WHERE items.picture = pictures.id AND items.import <> %(id)s)
                       ORDER BY id FOR NO KEY UPDATE))""",
                {"id": import_id},
            ).rowcount

    def restore(self, import_id: int) -> int:
        """Undo `delete`: the import is back, and so are its pictures. Returns how many."""
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

    def _set(self, import_id: int, assignment: LiteralString) -> None:
        with self._database.connection() as connection:
            connection.execute(f"UPDATE imports SET {assignment} WHERE id = %s", (import_id,))  # noqa: S608

    def is_halted(self, import_id: int) -> bool:
        """Whether an import was paused, deleted or cancelled, so that work on it should end."""
        with self._database.connection() as connection:
            row = connection.execute(
                """SELECT paused_at IS NOT NULL OR deleted_at IS NOT NULL OR NOT EXISTS (
                       SELECT FROM items WHERE import = id AND status = 'waiting')
                   FROM imports WHERE id = %s""",
                (import_id,),
            ).fetchone()
        return row is None or bool(row[0])

    def due(self) -> list[int]:
        """The imports that have an item to be claimed now, oldest first."""
        with self._database.connection() as connection:
            rows = connection.execute(
                """SELECT id FROM imports
                   WHERE paused_at IS NULL AND deleted_at IS NULL AND EXISTS (
                       SELECT FROM items WHERE import = id AND status = 'waiting' AND next_try_at <= now())
                   ORDER BY id"""
            ).fetchall()
        return [row[0] for row in rows]

    def claim(self, import_id: int, limit: int, lease: timedelta, full_hosts: Collection[str] = ()) -> list[Item]:
        """Take up to `limit` items that are due, for the length of the lease; nobody else gets them meanwhile.

        Items of `full_hosts` are left for later, and those that may have crashed a worker to `claim_suspect`: a
        claim that is neither given back nor recorded counts as lost.
        """
        with (
            self._database.connection() as connection,
            connection.cursor(row_factory=class_row(Item)) as cursor,
        ):
            # An ARRAY is made once; a plan may run an IN again for each row, and so pass its LIMIT.
            cursor.execute(
                """UPDATE items SET next_try_at = now() + %(lease)s, lost = lost + 1
                   WHERE import = %(id)s AND key = ANY(ARRAY(
                       SELECT key FROM items
                       WHERE import = %(id)s AND status = 'waiting' AND next_try_at <= now() AND lost < %(suspect)s
                             AND host <> ALL(%(full)s)
                             AND EXISTS (SELECT FROM imports WHERE id = %(id)s AND paused_at IS NULL)
                       ORDER BY position LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
                   RETURNING import AS import_id, key, url, host, attempts + 1 AS attempts""",
                {"id": import_id, "limit": limit, "lease": lease, "full": list(full_hosts), "suspect": SUSPECT},
            )
            return cursor.fetchall()

    def claim_suspect(self, import_id: int, lease: timedelta) -> list[Item]:
        """Take one of the items that `claim` leaves, for a run that has nothing else in hand; give up those that
        were lost GIVEN_UP times."""
        with (
            self._database.connection() as connection,
            connection.cursor(row_factory=class_row(Item)) as cursor,
        ):
            cursor.execute(
                """UPDATE items SET status = 'failed', reason = %s, finished_at = now()
                   WHERE import = %s AND key = ANY(ARRAY(
                       SELECT key FROM items
                       WHERE import = %s AND status = 'waiting' AND next_try_at <= now() AND lost >= %s
                       ORDER BY key FOR UPDATE SKIP LOCKED))""",
                (STOPPED, import_id, import_id, GIVEN_UP),
            )
            cursor.execute(
                """UPDATE items SET next_try_at = now() + %(lease)s, lost = lost + 1
                   WHERE import = %(id)s AND key = ANY(ARRAY(
                       SELECT key FROM items
                       WHERE import = %(id)s AND status = 'waiting' AND next_try_at <= now() AND lost >= %(suspect)s
                             AND EXISTS (SELECT FROM imports WHERE id = %(id)s AND paused_at IS NULL)
                       ORDER BY lost, position LIMIT 1 FOR UPDATE SKIP LOCKED))
                   RETURNING import AS import_id, key, url, host, attempts + 1 AS attempts""",
                {"id": import_id, "lease": lease, "suspect": SUSPECT},
            )
            return cursor.fetchall()

    def renew(self, items: Sequence[Item], lease: timedelta) -> None:
        """Lengthen the lease on items that are still being worked on; those just being recorded need none."""
        with self._database.connection() as connection:
            connection.execute(
                """UPDATE items SET next_try_at = greatest(next_try_at, now() + %s)
                   WHERE (import, key) IN (
                       SELECT import, key FROM items
                       WHERE (import, key) IN (SELECT * FROM unnest(%s::bigint[], %s::bytea[])) AND status = 'waiting'
                       FOR UPDATE SKIP LOCKED)""",
                (lease, [item.import_id for item in items], [item.key for item in items]),
            )

    def release(self, items: Sequence[Item], until: datetime | None = None) -> None:
        """Give claimed items back untried, to be due at `until` or now."""
        with self._database.connection() as connection:
            connection.execute(
                """UPDATE items SET next_try_at = coalesce(%s, now()), lost = greatest(lost - 1, 0)
                   WHERE (import, key) IN (
                       SELECT import, key FROM items
                       WHERE (import, key) IN (SELECT * FROM unnest(%s::bigint[], %s::bytea[])) AND status = 'waiting'
                       ORDER BY import, key FOR UPDATE)""",
                (until, [item.import_id for item in items], [item.key for item in items]),
            )

    def spare(self, host: str, until: datetime) -> None:
        """Leave a host alone: none of its waiting items is due before `until`."""
        with self._database.connection() as connection:
            connection.execute(
                """UPDATE items SET next_try_at = %(until)s
                   WHERE (import, key) IN (
                       SELECT import, key FROM items
                       WHERE host = %(host)s AND status = 'waiting' AND next_try_at < %(until)s
                       FOR UPDATE SKIP LOCKED)""",
                {"host": host, "until": until},
            )

    def lock_waiting(self, connection: Connection, items: Sequence[Item]) -> set[Item]:
        """Those of the items that still wait; until the transaction ends nobody else can change them."""
        rows = connection.execute(
            """SELECT import, key FROM items
               WHERE (import, key) IN (SELECT * FROM unnest(%s::bigint[], %s::bytea[])) AND status = 'waiting'
               ORDER BY import, key FOR UPDATE""",
            ([item.import_id for item in items], [item.key for item in items]),
        )
        waiting = set(rows.fetchall())
        return {item for item in items if (item.import_id, item.key) in waiting}

    def record(self, connection: Connection, outcomes: Sequence[Outcome]) -> None:
        """Write what became of items. An item that already has a final state keeps it."""
        connection.execute(
            """UPDATE items SET status = o.status, picture = o.picture, reason = o.reason, attempts = attempts + 1,
                      lost = 0, next_try_at = coalesce(o.next_try_at, items.next_try_at),
                      finished_at = CASE WHEN o.status = 'waiting' THEN NULL ELSE now() END
               FROM unnest(%s::bigint[], %s::bytea[], %s::text[], %s::uuid[], %s::text[], %s::timestamptz[])
                    AS o(import, key, status, picture, reason, next_try_at)
               WHERE items.import = o.import AND items.key = o.key AND items.status = 'waiting'""",
            (
                [outcome.item.import_id for outcome in outcomes],
                [outcome.item.key for outcome in outcomes],
                [outcome.status for outcome in outcomes],
                [outcome.picture for outcome in outcomes],
                [outcome.reason for outcome in outcomes],
                [outcome.next_try_at for outcome in outcomes],
            ),
        )

"""How workers handle the items of imports: claim them for a limited time, release them, and record their outcomes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal, LiteralString
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row

from core.collection.changed_urls import KnownVersion, known_versions
from core.database.connection import Database

logger = logging.getLogger(__name__)

Status = Literal["waiting", "indexed", "already_there", "failed"]

SUSPECT, GIVEN_UP = 2, 4
"""Worker crashes while an item was claimed after which it is claimed alone, and after which it is given up. A picture
that crashes its worker affects some hundred others twice and is then isolated; one that was merely claimed during a
power failure gets two more chances."""

GIVEN_UP_REASON = "This picture repeatedly crashed the app, so it was skipped."
"""The reason of items that were given up."""


@dataclass(frozen=True)
class Item:
    """One URL or dropped file of an import, claimed by a worker. `attempts` counts its attempts, including this one but
    not those interrupted by a crash or a stop.

    A file has no host, and its `url` is its original name; its key is the SHA-256 of its bytes, unless that is `file`.
    `known` is set if the
    URL was fetched before, and its site said which version its file had.
    """

    import_id: int
    key: bytes
    url: str
    host: str
    attempts: int
    file: bytes | None = None
    known: KnownVersion | None = None

    @property
    def is_file(self) -> bool:
        """Whether this is a dropped file: a URL always has a host."""
        return not self.host


@dataclass(frozen=True)
class Outcome:
    """The outcome of an item. With status "waiting" it is retried at `next_try_at`, and `counts` says whether this was
    one of its attempts."""

    item: Item
    status: Status
    picture: UUID | None = None
    reason: str | None = None
    next_try_at: datetime | None = None
    counts: bool = True


class Claims:
    """The items of imports (`core.indexing.imports`) claimed by workers. Thread-safe, and safe across processes.

    Whatever locks several items does so in the order of their keys, or skips locked ones, so that no two deadlock.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def is_halted(self, import_id: int) -> bool:
        """Whether an import was paused, deleted or cancelled, so that work on it should end. Raises DatabaseError."""
        with self._database.connection() as connection:
            row = connection.execute(
                """SELECT paused_at IS NOT NULL OR deleted_at IS NOT NULL OR NOT EXISTS (
                       SELECT FROM items WHERE import = id AND status = 'waiting')
                   FROM imports WHERE id = %s""",
                (import_id,),
            ).fetchone()
        return row is None or bool(row[0])

    def due(self) -> list[int]:
        """The ids of the imports that have an item due now, oldest first. Raises DatabaseError."""
        with self._database.connection() as connection:
            rows = connection.execute(
                """SELECT id FROM imports
                   WHERE paused_at IS NULL AND deleted_at IS NULL AND EXISTS (
                       SELECT FROM items WHERE import = id AND status = 'waiting' AND next_try_at <= now())
                   ORDER BY id"""
            ).fetchall()
        return [row[0] for row in rows]

    def claim(self, import_id: int, limit: int, lease: timedelta, full_hosts: Collection[str] = ()) -> list[Item]:
        """Claim up to `limit` due items for the duration of the lease; nobody else gets them meanwhile.

        Items of `full_hosts` are left for later, and those that may have crashed a worker for `claim_suspect`: a claim
        that is neither released nor recorded counts as lost. Raises DatabaseError.
        """
        with self._database.connection() as connection:
            return _claim(
                connection,
                import_id,
                lease,
                "lost < %(suspect)s AND host <> ALL(%(full)s) ORDER BY position LIMIT %(limit)s",
                {"limit": limit, "full": list(full_hosts)},
            )

    def claim_suspect(self, import_id: int, lease: timedelta) -> list[Item]:
        """Claim one of the items that `claim` leaves, for a run with no other claims.

        Empty while another run has one of the same import. Items lost GIVEN_UP times fail. Raises DatabaseError.
        """
        with self._database.connection() as connection:
            connection.execute("SELECT FROM imports WHERE id = %s FOR NO KEY UPDATE", (import_id,))  # one at a time
            connection.execute(
                """UPDATE items SET status = 'failed', reason = %s, finished_at = now()
                   WHERE import = %s AND key = ANY(ARRAY(
                       SELECT key FROM items
                       WHERE import = %s AND status = 'waiting' AND next_try_at <= now() AND lost >= %s
                       ORDER BY key FOR UPDATE SKIP LOCKED))""",
                (GIVEN_UP_REASON, import_id, import_id, GIVEN_UP),
            )
            return _claim(
                connection,
                import_id,
                lease,
                """lost >= %(suspect)s
                   AND NOT EXISTS (SELECT FROM items WHERE import = %(id)s AND status = 'waiting'
                                   AND next_try_at > now() AND lost > %(suspect)s)
                   ORDER BY lost, position LIMIT 1""",
                {},
            )

    def renew(self, items: Sequence[Item], lease: timedelta) -> None:
        """Extend the lease on items that are still being processed; those just being recorded are skipped. Raises
        DatabaseError."""
        with self._database.connection() as connection:
            connection.execute(
                """UPDATE items SET next_try_at = greatest(next_try_at, now() + %s)
                   WHERE (import, key) IN (
                       SELECT import, key FROM items
                       WHERE (import, key) IN (SELECT * FROM unnest(%s::bigint[], %s::bytea[])) AND status = 'waiting'
                       FOR UPDATE SKIP LOCKED)""",
                (lease, [item.import_id for item in items], [item.key for item in items]),
            )

    def release(self, items: Sequence[Item], until: datetime | None = None, reason: str | None = None) -> None:
        """Release claimed items without an attempt, due again at `until`, for this reason, or now. Raises
        DatabaseError."""
        with self._database.connection() as connection:
            connection.execute(
                """UPDATE items SET next_try_at = coalesce(%s, now()), reason = coalesce(%s, reason),
                          lost = greatest(lost - 1, 0)
                   WHERE (import, key) IN (
                       SELECT import, key FROM items
                       WHERE (import, key) IN (SELECT * FROM unnest(%s::bigint[], %s::bytea[])) AND status = 'waiting'
                       ORDER BY import, key FOR UPDATE)""",
                (until, reason, [item.import_id for item in items], [item.key for item in items]),
            )

    def back_off(self, host: str, until: datetime, reason: str) -> None:
        """Send no request to a rate-limiting host before `until`: none of its waiting items is due until then, and this
        is why. Raises DatabaseError."""
        with self._database.connection() as connection:
            connection.execute(
                """UPDATE items SET next_try_at = %(until)s, reason = %(reason)s
                   WHERE (import, key) IN (
                       SELECT import, key FROM items
                       WHERE host = %(host)s AND status = 'waiting' AND next_try_at < %(until)s
                       FOR UPDATE SKIP LOCKED)""",
                {"host": host, "until": until, "reason": reason},
            )

    def lock_waiting(self, connection: Connection, items: Sequence[Item]) -> set[Item]:
        """Lock and return those of the items that are still waiting; nobody else can change them until the transaction
        ends. Raises psycopg.Error."""
        rows = connection.execute(
            """SELECT import, key FROM items
               WHERE (import, key) IN (SELECT * FROM unnest(%s::bigint[], %s::bytea[])) AND status = 'waiting'
               ORDER BY import, key FOR UPDATE""",
            ([item.import_id for item in items], [item.key for item in items]),
        )
        waiting = set(rows.fetchall())
        return {item for item in items if (item.import_id, item.key) in waiting}

    def record(self, connection: Connection, outcomes: Sequence[Outcome]) -> None:
        """Write the outcomes of items. An item that already has a final state keeps it. Raises psycopg.Error."""
        connection.execute(
            """UPDATE items SET status = o.status, picture = o.picture, reason = o.reason,
                      attempts = attempts + o.counts::integer,
                      lost = 0, next_try_at = coalesce(o.next_try_at, items.next_try_at),
                      finished_at = CASE WHEN o.status = 'waiting' THEN NULL ELSE now() END
               FROM unnest(%s::bigint[], %s::bytea[], %s::text[], %s::uuid[], %s::text[], %s::timestamptz[],
                           %s::boolean[])
                    AS o(import, key, status, picture, reason, next_try_at, counts)
               WHERE items.import = o.import AND items.key = o.key AND items.status = 'waiting'""",
            (
                [outcome.item.import_id for outcome in outcomes],
                [outcome.item.key for outcome in outcomes],
                [outcome.status for outcome in outcomes],
                [outcome.picture for outcome in outcomes],
                [outcome.reason for outcome in outcomes],
                [outcome.next_try_at for outcome in outcomes],
                [outcome.counts for outcome in outcomes],
            ),
        )


class LeaseRenewal:
    """Renews the lease on claimed items while a `with` block runs."""

    def __init__(self, claims: Claims, in_hand: Callable[[], Sequence[Item]], lease: timedelta) -> None:
        self._claims = claims
        self._in_hand = in_hand
        self._lease = lease
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._ended.wait(self._lease.total_seconds() / 4):
            try:
                self._claims.renew(self._in_hand(), self._lease)
            except Exception as error:  # noqa: BLE001  the next renewal makes up for it, or the lease expires
                logger.warning("could not renew the lease: %s", error)


def _claim(
    connection: Connection, import_id: int, lease: timedelta, which: LiteralString, values: dict[str, Any]
) -> list[Item]:
    """Claim the due items of an import that match the condition, in its order and up to its limit."""
    # An ARRAY is evaluated once; a plan may evaluate IN again for each row, and so exceed its LIMIT.
    query = f"""UPDATE items SET next_try_at = now() + %(lease)s, lost = lost + 1
                WHERE import = %(id)s AND key = ANY(ARRAY(
                    SELECT key FROM items
                    WHERE import = %(id)s AND status = 'waiting' AND next_try_at <= now()
                          AND EXISTS (SELECT FROM imports WHERE id = %(id)s AND paused_at IS NULL)
                          AND {which} FOR UPDATE SKIP LOCKED))
                RETURNING import AS import_id, key, url, host, attempts + 1 AS attempts, file"""  # noqa: S608
    with connection.cursor(row_factory=class_row(Item)) as cursor:
        items = cursor.execute(query, {"id": import_id, "lease": lease, "suspect": SUSPECT, **values}).fetchall()
    known = known_versions(connection, [item.key for item in items]) if items else {}
    return [replace(item, known=known[item.key]) if item.key in known else item for item in items]

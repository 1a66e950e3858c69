"""Pictures used as queries: kept for some days, so that a link can repeat the search."""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from psycopg import sql

from core.collection.store import picture_id
from core.database.connection import Database
from core.errors import NotFoundError


class QueryImages:
    """The pictures used as queries in the last days."""

    def __init__(self, database: Database, kept: timedelta) -> None:
        """`kept` is how long a picture is kept after it was last used."""
        self._database = database
        self._kept = kept

    def keep(self, name: str, data: bytes) -> UUID:
        """Keep a picture's bytes; returns the id it has or would have in the collection. Raises DatabaseError."""
        id = picture_id(sha256(data).digest())
        with self._database.connection() as connection:
            connection.execute(
                """INSERT INTO query_pictures (id, name, data, expires_at) VALUES (%s, %s, %b, now() + %s)
                   ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at""",
                (id, name[:500].replace("\0", ""), data, self._kept),
            )
        return id

    def name(self, id: UUID) -> str:
        """Where a kept picture came from: a file name or a URL. Raises NotFoundError or DatabaseError."""
        return str(self._read("name", id))

    def read(self, id: UUID) -> bytes:
        """The bytes of a kept picture. Raises NotFoundError or DatabaseError."""
        return bytes(self._read("data", id))

    def _read(self, column: str, id: UUID) -> Any:
        query = sql.SQL("SELECT {} FROM query_pictures WHERE id = %s AND expires_at > now()")
        with self._database.connection() as connection:
            row = connection.execute(query.format(sql.Identifier(column)), (id,), binary=True).fetchone()
        if row is None:
            raise NotFoundError(
                f"The picture of this search is no longer available: it is kept for {self._kept.days} days. "
                "Drop it again."
            )
        return row[0]

    def drop_old(self) -> int:
        """Delete expired pictures; returns how many. Raises DatabaseError."""
        with self._database.connection() as connection:
            return connection.execute("DELETE FROM query_pictures WHERE expires_at <= now()").rowcount

"""Pictures that somebody searched with: kept for a while, so that a link can bring the search back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from uuid import UUID

from core.database import Database
from core.errors import NotFoundError
from core.store import picture_id


@dataclass(frozen=True)
class Upload:
    """A picture that was searched with: where it came from (a file name or an address), and its bytes."""

    name: str
    data: bytes


class Uploads:
    """The pictures that were searched with in the last days."""

    def __init__(self, database: Database, kept: timedelta) -> None:
        """`kept` is how long a picture stays after it was last searched with."""
        self._database = database
        self._kept = kept

    def keep(self, name: str, data: bytes) -> UUID:
        """Keep a picture's bytes; returns its id, the one that it has or would have in the collection."""
        id = picture_id(sha256(data).digest())
        with self._database.connection() as connection:
            connection.execute(
                """INSERT INTO query_pictures (id, name, data, expires_at) VALUES (%s, %s, %b, now() + %s)
                   ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at""",
                (id, name[:500].replace("\0", ""), data, self._kept),
            )
        return id

    def read(self, id: UUID) -> Upload:
        """A kept picture. Raises NotFoundError."""
        with self._database.connection() as connection:
            row = connection.execute(
                "SELECT name, data FROM query_pictures WHERE id = %s AND expires_at > now()", (id,), binary=True
            ).fetchone()
        if row is None:
            raise NotFoundError(
                f"The picture of this search is no longer kept: that ends after {self._kept.days} days. "
                "Drop the picture again."
            )
        return Upload(row[0], bytes(row[1]))

    def drop_old(self) -> int:
        """Drop what was kept long enough; returns how many pictures that were."""
        with self._database.connection() as connection:
            return connection.execute("DELETE FROM query_pictures WHERE expires_at <= now()").rowcount

"""The comparison of all pictures by their embeddings, which finds look-alikes: asked for, worked on, and kept.

That one of a model is wanted stands in the table `comparisons`; that no two processes work on it, and that another
takes over when one dies, is the job queue's business.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import IO, Any
from uuid import UUID

import numpy as np
from psycopg import Connection, sql
from psycopg.rows import class_row

from core.collection.store import count_pictures
from core.database.connection import Database
from core.database.embedding_tables import Model
from core.database.job_queue import compare_job, is_running, nudge

logger = logging.getLogger(__name__)

LOWEST = 0.8
"""The lowest threshold of a comparison: below it, most pictures have look-alikes that nobody would call duplicates."""

PROGRESS_SECONDS = 1.0
"""Between two looks of a comparison at whether it is still wanted, which also say how far it is: the page asks that
often."""

FIRST_SHARE = 0.02
"""The share from which on the time that is left can be told: before, reading the embeddings counts for too much."""

READ = 5_000
"""Embeddings read at a time: 5 MB."""

HEADER = 4
"""Bytes before the numbers of a halfvec as pgvector sends it: their count, and two that are reserved. The numbers are
big-endian. Its Python package reads them one vector at a time, which takes twice as long."""


@dataclass(frozen=True)
class Comparison:
    """How a model's comparison stands. `wanted` is the threshold of one that is under way or waits to be, else None.

    `running` says that a process works on it, `share` how far it is (0 to 1), `elapsed` for how many seconds.
    `threshold`, `made_at`, `seconds` and `pictures` tell of the last one that was finished; `made_at` is when it read
    the collection, and `added` how many pictures have come since, or come back. `problem` is a sentence when the last
    try failed, else "".
    """

    wanted: float | None = None
    running: bool = False
    share: float = 0.0
    elapsed: float = 0.0
    problem: str = ""
    threshold: float | None = None
    made_at: datetime | None = None
    seconds: float = 0.0
    pictures: int = 0
    added: int = 0

    @property
    def seconds_left(self) -> float | None:
        """About how long it still takes; None while that cannot be told."""
        return self.elapsed * (1 - self.share) / self.share if self.running and self.share > FIRST_SHARE else None


class _StoppedError(Exception):
    """Nobody wants this comparison any more, or not from here."""


class Comparisons:
    """The comparisons of all models, one each. Any process may ask for one, and any that works takes it up."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self, model: Model) -> Comparison:
        """How this model's comparison stands. Raises DatabaseError."""
        with self._database.connection() as connection, connection.cursor(row_factory=class_row(Comparison)) as cursor:
            found = cursor.execute(
                """SELECT wanted, share, problem, threshold, made_at,
                          coalesce(extract(epoch FROM clock_timestamp() - begun_at), 0)::float8 AS elapsed,
                          coalesce(seconds, 0) AS seconds, coalesce(pictures, 0) AS pictures, greatest(
                              (SELECT count(*) FROM pictures WHERE removed_at IS NULL AND indexed_at > made_at),
                              %s - pictures, 0) AS added
                   FROM comparisons WHERE model = %s""",
                (count_pictures(connection), model.id),
            ).fetchone()
            if found is None:
                return Comparison()
            return replace(found, running=found.wanted is not None and is_running(connection, compare_job(model.id)))

    def wanted(self) -> list[int]:
        """The ids of the models whose comparison is wanted. Raises DatabaseError."""
        with self._database.connection() as connection:
            rows = connection.execute("SELECT model FROM comparisons WHERE wanted IS NOT NULL ORDER BY model")
            return [row[0] for row in rows]

    def ask(self, model: Model, threshold: float) -> None:
        """Have all pictures compared for look-alikes of at least `threshold` (a cosine), kept between LOWEST and 1.

        A comparison that is under way starts over. What the last one found stays until then. Raises DatabaseError.
        """
        with self._database.connection() as connection:
            connection.execute(
                """INSERT INTO comparisons AS c (model, wanted) VALUES (%s, %s) ON CONFLICT (model) DO UPDATE
                   SET wanted = excluded.wanted, begun_at = NULL, share = 0, problem = ''""",
                (model.id, min(max(threshold, LOWEST), 1.0)),
            )
            nudge(connection, compare_job(model.id))

    def cancel(self, model: Model) -> None:
        """Want no comparison any more; one that is under way ends within some seconds. Raises DatabaseError."""
        with self._database.connection() as connection:
            connection.execute("UPDATE comparisons SET wanted = NULL, problem = '' WHERE model = %s", (model.id,))

    def run(self, model: Model, stop: Callable[[], bool]) -> bool:
        """Make the comparison of this model if it is wanted; whether one was finished. This is the job `compare`, of
        which the queue runs one at a time.

        When `stop` answers True it breaks off, and whoever comes next starts over. The embeddings go through a
        temporary file, 1 kB a picture at 512 dimensions. Raises DatabaseError.
        """
        with self._database.connection() as connection:
            row = connection.execute(
                """UPDATE comparisons SET begun_at = clock_timestamp(), share = 0
                   WHERE model = %s AND wanted IS NOT NULL RETURNING wanted, begun_at""",
                (model.id,),
            ).fetchone()
        if row is None:
            return False
        threshold, begun_at = row
        try:
            with tempfile.TemporaryFile() as file:
                return _Turn(self._database, model, threshold, begun_at, stop).run(file)
        except _StoppedError:
            return False
        except (MemoryError, OSError, RuntimeError) as error:  # torch tells of a lack of memory by a RuntimeError
            logger.exception("comparison")
            self._fail(model, f"The pictures could not be compared: {error or 'there was not enough memory'}.")
            return False

    def _fail(self, model: Model, problem: str) -> None:
        with self._database.connection() as connection:
            connection.execute(
                "UPDATE comparisons SET wanted = NULL, problem = %s WHERE model = %s", (problem, model.id)
            )


class _Turn:
    """One comparison by one process, known by `begun_at`: a process that was taken for dead and wakes up finds that
    another has begun, and ends."""

    def __init__(
        self, database: Database, model: Model, threshold: float, begun_at: datetime, stop: Callable[[], bool]
    ) -> None:
        self._database = database
        self._model = model
        self._threshold = threshold
        self._begun_at = begun_at
        self._stop = stop
        self._written = time.monotonic()

    def run(self, file: IO[bytes]) -> bool:
        """Read, compare and keep what was found."""
        from core.duplicates.similarity_join import Half, find_pairs  # torch takes a second to load

        begun = time.monotonic()
        total, ids = self._read(file)
        shape = (len(ids), self._model.dim)
        vectors: Half = np.memmap(file, np.float16, "r+", shape=shape) if ids else np.empty(shape, np.float16)
        pairs = find_pairs(vectors, self._threshold, self._on_progress)
        with self._database.connection() as connection:
            self._hold(connection)
            connection.execute("DELETE FROM lookalikes WHERE model = %s", (self._model.id,))
            with connection.cursor().copy(
                "COPY lookalikes (model, picture, other, similarity) FROM STDIN (FORMAT BINARY)"
            ) as copy:
                copy.set_types(["int4", "uuid", "uuid", "float8"])
                for first, second, similarity in zip(*pairs, strict=True):
                    one, other = sorted((ids[first], ids[second]))
                    copy.write_row((self._model.id, one, other, min(float(similarity), 1.0)))
            connection.execute(
                """UPDATE comparisons SET wanted = NULL, problem = '', threshold = %s, made_at = begun_at,
                       seconds = %s, pictures = %s WHERE model = %s""",
                (self._threshold, time.monotonic() - begun, total, self._model.id),
            )
        logger.info("comparison: %d pairs in %.0f s", len(pairs.first), time.monotonic() - begun)
        return True

    def _read(self, file: IO[bytes]) -> tuple[int, list[UUID]]:
        """Write the embeddings into the file; returns how many pictures there are, and in the file's order the ids of
        those that have an embedding."""
        query = sql.SQL(
            "SELECT picture, halfvec_send(embedding) FROM {} JOIN pictures ON id = picture WHERE removed_at IS NULL"
        ).format(self._model.table)
        ids = list[UUID]()
        with self._database.connection() as connection:
            total = count_pictures(connection)
            with connection.cursor("embeddings") as cursor:  # on the server; in the table's order, a scan is enough
                cursor.execute(query, binary=True)
                while rows := cursor.fetchmany(READ):
                    ids.extend(id for id, _ in rows)
                    sent = np.frombuffer(b"".join(embedding for _, embedding in rows), np.uint8)
                    numbers = np.ascontiguousarray(sent.reshape(len(rows), -1)[:, HEADER:]).view(">f2")
                    file.write(numbers.astype(np.float16).tobytes())
                    self._on_progress(0.0)
        file.flush()
        return total, ids

    def _on_progress(self, share: float) -> None:
        """Write down how far it is. Raises _StoppedError when nobody wants it any more."""
        if self._stop():
            raise _StoppedError
        if time.monotonic() < self._written + PROGRESS_SECONDS:
            return
        self._written = time.monotonic()
        with self._database.connection() as connection:
            self._hold(connection)
            connection.execute("UPDATE comparisons SET share = %s WHERE model = %s", (share, self._model.id))

    def _hold(self, connection: Connection[Any]) -> None:
        """Lock the comparison as long as it is this turn's. Raises _StoppedError when it is not."""
        if not connection.execute(
            "SELECT FROM comparisons WHERE model = %s AND wanted IS NOT NULL AND begun_at = %s FOR UPDATE",
            (self._model.id, self._begun_at),
        ).fetchall():
            raise _StoppedError

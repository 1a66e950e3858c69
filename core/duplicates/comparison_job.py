"""The background comparison of all pictures by their embeddings, which finds look-alikes.

The table `comparisons` records which are wanted. The job queue makes sure that no two processes work on the same one,
and that another takes over when one dies.
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
"""How often a running comparison writes its progress and checks whether it is still wanted: as often as the page reads
it."""

FIRST_SHARE = 0.02
"""The share done from which on the remaining time is estimated: before, reading the embeddings weighs too much."""

READ = 5_000
"""Embeddings read at a time: 5 MB at 512 dimensions."""

HEADER = 4
"""Bytes before the numbers of a halfvec in pgvector's binary format: their count, and two reserved bytes. The numbers
are big-endian. pgvector's Python package decodes one vector at a time, which takes twice as long."""


@dataclass(frozen=True)
class Comparison:
    """The state of a model's comparison. `wanted` is the threshold of one that is running or queued, else None.

    `running` is True while a process works on it; `share` is its progress (0 to 1), `elapsed` its time in seconds.
    `threshold`, `made_at`, `seconds` and `pictures` describe the last finished one: `made_at` is when it read the
    collection, and `added` how many pictures were added or restored since. `problem` is a sentence when the last
    attempt failed, else "".
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
        """The estimated remaining seconds; None while there is no estimate."""
        return self.elapsed * (1 - self.share) / self.share if self.running and self.share > FIRST_SHARE else None


class _StoppedError(Exception):
    """This comparison is no longer wanted, or no longer ours."""


class Comparisons:
    """The comparisons of all models, one each. Any process may request one, and any worker may run it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self, model: Model) -> Comparison:
        """The state of this model's comparison. Raises DatabaseError."""
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
        """Request a comparison for look-alikes with a similarity of at least `threshold` (a cosine, clamped to LOWEST
        to 1).

        A running comparison starts over. The last one's results are kept until then. Raises DatabaseError.
        """
        with self._database.connection() as connection:
            connection.execute(
                """INSERT INTO comparisons AS c (model, wanted) VALUES (%s, %s) ON CONFLICT (model) DO UPDATE
                   SET wanted = excluded.wanted, begun_at = NULL, share = 0, problem = ''""",
                (model.id, min(max(threshold, LOWEST), 1.0)),
            )
            nudge(connection, compare_job(model.id))

    def cancel(self, model: Model) -> None:
        """Cancel the comparison; a running one ends within seconds. Raises DatabaseError."""
        with self._database.connection() as connection:
            connection.execute("UPDATE comparisons SET wanted = NULL, problem = '' WHERE model = %s", (model.id,))

    def run(self, model: Model, stop: Callable[[], bool]) -> bool:
        """Run this model's comparison if it is wanted; returns whether one was finished. This is the job `compare`, of
        which the queue runs one at a time.

        It is aborted when `stop` returns True, and the next run starts over. The embeddings go through a temporary
        file, 1 kB a picture at 512 dimensions. Raises DatabaseError.
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
                return _Run(self._database, model, threshold, begun_at, stop).run(file)
        except _StoppedError:
            return False
        except (MemoryError, OSError, RuntimeError) as error:  # torch raises RuntimeError when out of memory
            logger.exception("comparison")
            self._fail(model, f"The pictures could not be compared: {error or 'not enough memory'}.")
            return False

    def _fail(self, model: Model, problem: str) -> None:
        with self._database.connection() as connection:
            connection.execute(
                "UPDATE comparisons SET wanted = NULL, problem = %s WHERE model = %s", (problem, model.id)
            )


class _Run:
    """One run of a comparison by one process, identified by `begun_at`: a process that was presumed dead and resumes
    finds that another has started, and stops."""

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
        """Read the embeddings, compare them and store the pairs. Raises DatabaseError and _StoppedError."""
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
        """Write the embeddings into the file; returns the number of pictures, and the ids of those with an embedding
        in the file's order."""
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
        """Write the progress. Raises _StoppedError when the comparison is no longer wanted."""
        if self._stop():
            raise _StoppedError
        if time.monotonic() < self._written + PROGRESS_SECONDS:
            return
        self._written = time.monotonic()
        with self._database.connection() as connection:
            self._hold(connection)
            connection.execute("UPDATE comparisons SET share = %s WHERE model = %s", (share, self._model.id))

    def _hold(self, connection: Connection[Any]) -> None:
        """Lock the comparison's row. Raises _StoppedError when it no longer belongs to this run."""
        if not connection.execute(
            "SELECT FROM comparisons WHERE model = %s AND wanted IS NOT NULL AND begun_at = %s FOR UPDATE",
            (self._model.id, self._begun_at),
        ).fetchall():
            raise _StoppedError

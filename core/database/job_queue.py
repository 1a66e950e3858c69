"""The queue of background jobs (procrastinate): which kinds there are, and how any part asks for one.

A job is only a nudge. What is to be done stands in the tables of the collection, whoever runs the job looks there, and
a sweep (`core.background.worker`) asks again for whatever was not asked for. So a lost job loses nothing, and asking
twice does no harm.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import psycopg
from procrastinate import App, SyncPsycopgConnector
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException
from psycopg import Connection

IMPORTS, UPKEEP = "imports", "upkeep"
"""The two queues. Each process that works has a worker for each, so that no import waits for upkeep that takes hours,
nor upkeep for imports."""

HEARTBEAT_SECONDS = 10.0
"""Between a worker's signs of life; procrastinate's default."""

SILENCE = timedelta(seconds=3 * HEARTBEAT_SECONDS)
"""A worker that was silent for so long is taken for dead, and its jobs for broken off; procrastinate's default."""

_APP = App(connector=SyncPsycopgConnector())
"""Never opened: it speaks through the connections of those who ask."""


@dataclass(frozen=True)
class Job:
    """A kind of work and what it is to be done on. While one waits in the queue, no second one is put there.

    Of those that are `exclusive` only one runs at a time, on whatever machine; the next waits until it has ended, or
    its worker has been silent for SILENCE.
    """

    task: str
    queue: str
    arguments: dict[str, int] = field(default_factory=dict)
    exclusive: bool = False

    @property
    def key(self) -> str:
        """What tells it from other jobs."""
        return "-".join([self.task, *map(str, self.arguments.values())])


PAIR_COPIES = Job("pair_copies", UPKEEP, exclusive=True)
REEMBED = Job("reembed", UPKEEP)
KEEP_SEARCH_INDEX = Job("keep_search_index", UPKEEP, exclusive=True)
FORGET_OLD_QUERIES = Job("forget_old_queries", UPKEEP, exclusive=True)


def index_job(import_id: int) -> Job:
    """Work on the items of an import."""
    return Job("index", IMPORTS, {"import_id": import_id})


def compare_job(model_id: int) -> Job:
    """Compare all pictures by their embeddings of a model."""
    return Job("compare", UPKEEP, {"model_id": model_id}, exclusive=True)


def nudge(connection: Connection[Any], job: Job) -> None:
    """Ask for a job, as part of the connection's transaction. Raises psycopg.Error.

    Do it last in a transaction: it may wait for another one that asks for the same job, and that must not wait for
    anything that this one holds.
    """
    if connection.execute(  # asked first, for each refusal would be a line in the server's log
        "SELECT FROM procrastinate_jobs WHERE queueing_lock = %s AND status = 'todo'", (job.key,)
    ).fetchone():
        return
    deferrer = _APP.configure_task(
        job.task,
        queue=job.queue,
        lock=job.key if job.exclusive else None,
        queueing_lock=job.key,
        connection=connection,
    )
    try:
        with connection.transaction():  # a refusal must not spoil the transaction around it
            deferrer.defer(**job.arguments)
    except AlreadyEnqueued:
        pass
    except ConnectorException as error:
        if isinstance(error.__cause__, psycopg.Error):
            raise error.__cause__ from None
        raise


def is_running(connection: Connection[Any], job: Job) -> bool:
    """Whether a living worker is at an exclusive job. Raises psycopg.Error."""
    found = connection.execute(
        """SELECT FROM procrastinate_jobs JOIN procrastinate_workers ON procrastinate_workers.id = worker_id
           WHERE lock = %s AND status = 'doing' AND last_heartbeat > now() - %s""",
        (job.key, SILENCE),
    ).fetchone()
    return found is not None


def count_processes(connection: Connection[Any]) -> int:
    """How many processes work on jobs: those heard of within SILENCE. Raises psycopg.Error."""
    query = "SELECT ceil(count(*) / 2.0)::integer FROM procrastinate_workers WHERE last_heartbeat > now() - %s"
    ((count,),) = connection.execute(query, (SILENCE,)).fetchall()  # two workers in each
    return int(count)

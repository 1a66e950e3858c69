"""The queue of background jobs (procrastinate): the kinds of jobs, and how to enqueue them.

A job is only a nudge. The work to do is recorded in the collection's tables, where the job's runner looks it up, and a
regular sweep (`core.background.worker`) enqueues whatever is due. So nothing is lost with a lost job, and enqueueing
one twice does no harm.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import psycopg
from procrastinate import App, SyncPsycopgConnector
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException
from psycopg import Connection

IMPORTS, SOURCES, UPKEEP = QUEUES = "imports", "sources", "upkeep"
"""The queues. Each process that runs jobs has a worker for each, so that imports never wait for upkeep that takes hours
or for slow sources, nor these for imports."""

HEARTBEAT_SECONDS = 10.0
"""Seconds between a worker's heartbeats; procrastinate's default."""

SILENCE = timedelta(seconds=3 * HEARTBEAT_SECONDS)
"""A worker without a heartbeat for so long counts as dead, and its jobs as interrupted; procrastinate's default."""

_APP = App(connector=SyncPsycopgConnector())
"""Never opened: it uses the connections of its callers."""


@dataclass(frozen=True)
class Job:
    """A task and its arguments. While one waits in the queue, the same job is not enqueued again.

    An `exclusive` job runs only once at a time across all machines; the next one waits until it has ended, or its
    worker has sent no heartbeat for SILENCE.
    """

    task: str
    queue: str
    arguments: dict[str, int] = field(default_factory=dict)
    exclusive: bool = False

    @property
    def key(self) -> str:
        """Identifies the job."""
        return "-".join([self.task, *map(str, self.arguments.values())])


PAIR_COPIES = Job("pair_copies", UPKEEP, exclusive=True)
REEMBED = Job("reembed", UPKEEP)
KEEP_SEARCH_INDEX = Job("keep_search_index", UPKEEP, exclusive=True)
FORGET_OLD_QUERIES = Job("forget_old_queries", UPKEEP, exclusive=True)


def index_job(import_id: int) -> Job:
    """The job that works on the items of an import."""
    return Job("index", IMPORTS, {"import_id": import_id})


def read_source_job(source_id: int) -> Job:
    """The job that reads a source."""
    return Job("read_source", SOURCES, {"source_id": source_id}, exclusive=True)


def compare_job(model_id: int) -> Job:
    """The job that compares all pictures by their embeddings of a model."""
    return Job("compare", UPKEEP, {"model_id": model_id}, exclusive=True)


def nudge(connection: Connection[Any], job: Job) -> None:
    """Enqueue a job, as part of the connection's transaction. Raises psycopg.Error.

    Do it last in a transaction: it may wait for another one that enqueues the same job, which must not wait for
    anything that this one has locked.
    """
    if connection.execute(  # checked first, since each refusal is a line in the server's log
        "SELECT id FROM procrastinate_jobs WHERE queueing_lock = %s AND status = 'todo'", (job.key,)
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
        with connection.transaction():  # a refusal must not abort the outer transaction
            deferrer.defer(**job.arguments)
    except AlreadyEnqueued:
        pass
    except ConnectorException as error:
        if isinstance(error.__cause__, psycopg.Error):
            raise error.__cause__ from None
        raise


def is_running(connection: Connection[Any], job: Job) -> bool:
    """Whether a live worker is running an exclusive job. Raises psycopg.Error."""
    found = connection.execute(
        """SELECT FROM procrastinate_jobs JOIN procrastinate_workers ON procrastinate_workers.id = worker_id
           WHERE lock = %s AND status = 'doing' AND last_heartbeat > now() - %s""",
        (job.key, SILENCE),
    ).fetchone()
    return found is not None


def count_processes(connection: Connection[Any]) -> int:
    """How many processes run jobs, judged by heartbeats within SILENCE. Raises psycopg.Error."""
    query = "SELECT ceil(count(*) / %s::numeric)::integer FROM procrastinate_workers WHERE last_heartbeat > now() - %s"
    ((count,),) = connection.execute(query, (len(QUEUES), SILENCE)).fetchall()
    return int(count)

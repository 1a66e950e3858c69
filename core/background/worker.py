"""The worker of a process: runs jobs from the queue (procrastinate), and regularly enqueues whatever is due."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import Literal

from procrastinate import App, PsycopgConnector
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Status

from core.background.tasks import Tasks
from core.database.connection import CONNECT_SECONDS, CONNECTION, WORKER_APPLICATION, Database
from core.database.job_queue import FORGET_OLD_QUERIES, HEARTBEAT_SECONDS, IMPORTS, SILENCE, SOURCES, UPKEEP
from core.errors import DatabaseError, LookalikeError
from core.process import step_aside

logger = logging.getLogger(__name__)

IMPORT_RUNS = 2
"""Concurrent import jobs per process: one fetches while the other finishes its last batch, and a short import does not
wait for a long one."""

SOURCE_READINGS = 2
"""Sources read at a time per process: a slow one does not hold up the others."""

UPKEEP_JOBS = 6
"""Concurrent upkeep jobs per process: one of each kind, and a comparison for a second model."""

IMPORTS_POLL_SECONDS, UPKEEP_POLL_SECONDS = 0.5, 1.0
"""Seconds between polls for jobs, since LISTEN does not work through a transaction pooler. People wait for an import to
start, but not for upkeep."""

SWEEP_SECONDS = 5.0
"""Seconds between sweeps for due work that is not enqueued, as after a crash or when a retry is due."""

FORGET_CRON = "*/10 * * * *"
"""When old queries are deleted. A missed run is made up for by a process that starts within ten minutes (the
`max_delay` of procrastinate), so processes that run only briefly do it, too."""

RESTART_SECONDS = 3.0
"""Seconds until a worker that lost its database retries."""


class Worker:
    """Runs jobs in its own threads until it is stopped. `state` and `problem` describe it; only problems with imports
    are shown, since nobody waits for upkeep."""

    def __init__(self, database: Database, tasks: Tasks) -> None:
        self._database = database
        self._tasks = tasks
        self._thread = threading.Thread(target=self._work, name="worker", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[None] | None = None
        self.state: Literal["starting", "running", "stopped"] = "starting"
        self.problem: str | None = None

    def start(self) -> None:
        """Start working, once the database is open."""
        self._thread.start()

    def stop(self, timeout: float = 20.0) -> None:
        """Finish the current batches, release the other items and stop; wait up to `timeout` seconds for that."""
        self._tasks.close()
        if self._loop is not None and self._main is not None:
            with contextlib.suppress(RuntimeError):  # the loop may have just closed
                self._loop.call_soon_threadsafe(self._main.cancel)
        until = time.monotonic() + timeout
        while self._thread.is_alive() and time.monotonic() < until:
            self._tasks.close()
            self._thread.join(0.5)
        if self._thread.ident is None:  # it was never started
            self.state = "stopped"

    def _work(self) -> None:
        closing = self._tasks.closing
        while not closing.is_set():
            try:
                asyncio.run(self._serve())
            except asyncio.CancelledError:
                break
            except Exception as error:  # noqa: BLE001  whatever it was, the work is recorded in the tables
                if closing.is_set():
                    break
                self.state = "starting"
                self.problem = str(error) if isinstance(error, LookalikeError) else "The worker lost its database."
                logger.warning("worker: %s; restarting", _reasons(error))
            closing.wait(RESTART_SECONDS)
        self.state = "stopped"

    async def _serve(self) -> None:
        self._loop, self._main = asyncio.get_running_loop(), asyncio.current_task()
        if self._tasks.closing.is_set():  # `stop` may have come before there was a task to cancel
            return
        # First, since this also restarts a dead embedded server.
        await asyncio.to_thread(self._database.check)
        await asyncio.to_thread(self._tasks.wait_for_model)
        with (
            ThreadPoolExecutor(IMPORT_RUNS, "import") as runs,
            ThreadPoolExecutor(SOURCE_READINGS, "source", step_aside) as readings,
            ThreadPoolExecutor(UPKEEP_JOBS, "upkeep", step_aside) as upkeep,
        ):
            app = self._make_app(runs, readings, upkeep)
            try:
                await app.open_async()
                self.state, self.problem = "running", None
                async with asyncio.TaskGroup() as group:
                    group.create_task(_take_jobs(app, IMPORTS, IMPORT_RUNS, IMPORTS_POLL_SECONDS))
                    group.create_task(_take_jobs(app, SOURCES, SOURCE_READINGS, UPKEEP_POLL_SECONDS))
                    group.create_task(_take_jobs(app, UPKEEP, UPKEEP_JOBS, UPKEEP_POLL_SECONDS))
                    group.create_task(self._sweep(app))
            finally:
                await app.close_async()

    async def _sweep(self, app: App) -> None:
        """Regularly: delete the jobs of dead workers, count the live ones, and enqueue what is due."""
        while True:
            await asyncio.to_thread(self._tasks.share_hosts)
            for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=SILENCE.total_seconds()):
                with contextlib.suppress(ConnectorException):  # another worker was quicker
                    await app.job_manager.finish_job(job, status=Status.FAILED, delete_job=True)
            await asyncio.to_thread(self._tasks.ask_for_due)
            await asyncio.sleep(SWEEP_SECONDS)

    def _make_app(self, runs: Executor, readings: Executor, upkeep: Executor) -> App:
        app = App(
            connector=PsycopgConnector(
                conninfo=self._database.conninfo,
                kwargs={**CONNECTION, "application_name": WORKER_APPLICATION},
                min_size=1,
                max_size=4,
                # Fail soon and restart: the pool's own retries would still be waiting when the database is back.
                timeout=CONNECT_SECONDS,
                reconnect_timeout=1.0,
            )
        )
        tasks = self._tasks
        app.task(name="index")(self._import_job(tasks.index, runs))
        app.task(name="read_source")(_upkeep_job(tasks.read_source, readings))
        for work in (tasks.pair_copies, tasks.reembed, tasks.compare, tasks.keep_search_index):
            app.task(name=work.__name__)(_upkeep_job(work, upkeep))
        job = FORGET_OLD_QUERIES
        forget = app.task(name=job.task, queue=job.queue, lock=job.key, queueing_lock=job.key)
        app.periodic(cron=FORGET_CRON)(forget(_upkeep_job(tasks.forget_old_queries, upkeep)))
        return app

    def _import_job(self, work: Callable[..., None], threads: Executor) -> Callable[..., Awaitable[None]]:
        async def run(**arguments: int) -> None:
            try:
                await _run(work, threads, arguments)
                self.problem = None
            except LookalikeError as error:
                self.problem = str(error)
                logger.warning("import %s: %s", arguments, error)
            except Exception:
                self.problem = "An unexpected error interrupted an import; it will be retried. See the log for details."
                raise

        return run


def _upkeep_job(work: Callable[..., None], threads: Executor) -> Callable[..., Awaitable[None]]:
    async def run(**arguments: int) -> None:
        try:
            await _run(work, threads, arguments)
        except LookalikeError as error:
            logger.warning("%s: %s", work.__name__, error)

    return run


async def _run(work: Callable[..., None], threads: Executor, arguments: dict[str, int]) -> None:
    await asyncio.get_running_loop().run_in_executor(threads, partial(work, **arguments))


async def _take_jobs(app: App, queue: str, concurrency: int, poll_seconds: float) -> None:
    """Run the jobs of a queue until cancelled. Raises DatabaseError if procrastinate gives up."""
    await app.run_worker_async(
        queues=[queue],
        name=queue,
        concurrency=concurrency,
        install_signal_handlers=False,
        listen_notify=False,
        fetch_job_polling_interval=poll_seconds,
        delete_jobs="always",
        update_heartbeat_interval=HEARTBEAT_SECONDS,
        stalled_worker_timeout=SILENCE.total_seconds(),
    )
    raise DatabaseError("The worker lost its database.")


def _reasons(error: BaseException) -> str:
    """The messages of an error and, if asyncio grouped several, of each of them."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_reasons(one) for one in error.exceptions)
    return str(error) or str(error.__cause__ or type(error).__name__)

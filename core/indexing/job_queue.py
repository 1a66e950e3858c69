"""The durable queue (procrastinate) and the worker. A job is only a nudge: the ledger says what is to be done."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Literal

from procrastinate import App, PsycopgConnector, SyncPsycopgConnector
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException
from procrastinate.jobs import JobDeferrer, Status

from core.database.connection import CONNECT_SECONDS, CONNECTION, Database
from core.errors import LookalikeError
from core.indexing.claims import Claims
from core.indexing.pipeline import Indexer

logger = logging.getLogger(__name__)

CONCURRENCY = 2
"""Runs side by side in one worker: one fetches while the other empties its last batch, and a short import
does not wait for a long one."""

SWEEP_SECONDS = 5.0
"""Seconds between a worker's looks for due items that nobody was told about."""

HEARTBEAT = 10.0
"""Seconds between a worker's signs of life; a worker silent for three of them is taken for dead."""

POLL_SECONDS = 0.5
"""Seconds between a worker's looks for jobs; LISTEN would not pass a transaction pooler."""

HALT_SECONDS = 0.5
"""Seconds between a run's looks whether its import still wants it."""

RESTART_SECONDS = 3.0
"""Pause before a worker that lost its database tries again."""

INDEX_TASK = "index"


def _index_job(app: App, import_id: int) -> JobDeferrer:
    """A request for work on an import; while one waits in the queue, another is refused as AlreadyEnqueued."""
    return app.configure_task(INDEX_TASK, queueing_lock=f"import-{import_id}")


class JobQueue:
    """Tells the workers that an import has items to be done."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def nudge(self, import_id: int) -> None:
        """Ask for work on an import. Failing to ask loses nothing: the next sweep finds its items."""
        app = App(connector=SyncPsycopgConnector())
        try:
            with app.open(self._database.pool):
                _index_job(app, import_id).defer(import_id=import_id)
        except AlreadyEnqueued:
            pass
        except ConnectorException as error:
            logger.warning("could not nudge the workers: %s", error)


class Worker:
    """Runs index jobs in a thread of its own until it is stopped. `state` and `problem` say how it is."""

    def __init__(self, database: Database, indexer: Callable[[], Indexer]) -> None:
        self._database = database
        self._claims = Claims(database)
        self._indexer = indexer
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="worker", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self.state: Literal["starting", "running", "stopped"] = "starting"
        self.problem: str | None = None

    def start(self) -> None:
        """Begin working."""
        self._thread.start()

    def stop(self, timeout: float = 20.0) -> None:
        """Finish the batch in hand, give the rest back, and leave; wait up to `timeout` seconds for that."""
        self._stopping.set()
        if self._loop is not None and self._task is not None:
            with contextlib.suppress(RuntimeError):  # the loop may have just closed
                self._loop.call_soon_threadsafe(self._task.cancel)
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                asyncio.run(self._serve())
            except asyncio.CancelledError:
                break
            except Exception as error:  # noqa: BLE001  whatever it was, the work is in the ledger and goes on
                if self._stopping.is_set():
                    break
                self.state = "starting"
                self.problem = str(error) if isinstance(error, LookalikeError) else "The worker lost its database."
                logger.warning("worker: %s; trying again", _reasons(error))
            self._stopping.wait(RESTART_SECONDS)
        self.state = "stopped"

    async def _serve(self) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        if self._stopping.is_set():  # `stop` may have come before there was a task to cancel
            return
        # First of all, for this also starts a dead embedded server again.
        await asyncio.to_thread(self._database.check)
        indexer = await asyncio.to_thread(self._indexer)
        app = self._make_app(indexer)
        try:
            await app.open_async()
            self.state, self.problem = "running", None
            await self._run(app, indexer)
        finally:
            await app.close_async()
            indexer.close()

    async def _run(self, app: App, indexer: Indexer) -> None:
        async with asyncio.TaskGroup() as group:
            sweeping = group.create_task(self._sweep(app, indexer))
            try:
                await app.run_worker_async(
                    concurrency=CONCURRENCY,
                    install_signal_handlers=False,
                    listen_notify=False,
                    fetch_job_polling_interval=POLL_SECONDS,
                    delete_jobs="always",
                    update_heartbeat_interval=HEARTBEAT,
                    stalled_worker_timeout=3 * HEARTBEAT,
                )
            finally:
                sweeping.cancel()

    async def _sweep(self, app: App, indexer: Indexer) -> None:
        """Again and again: clear the jobs of dead workers away, count the living, and ask for work on what is due."""
        while True:
            indexer.share_hosts(await asyncio.to_thread(self._claims.workers, timedelta(seconds=3 * HEARTBEAT)))
            for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=3 * HEARTBEAT):
                with contextlib.suppress(ConnectorException):  # another worker was quicker
                    await app.job_manager.finish_job(job, status=Status.FAILED, delete_job=True)
            await self._ask_for_due(app)
            await asyncio.sleep(SWEEP_SECONDS)

    async def _ask_for_due(self, app: App) -> None:
        # Asked first, for each refusal would be a line in the server's log.
        queued = await app.job_manager.list_jobs_async(task=INDEX_TASK, status="todo")
        known = {job.task_kwargs["import_id"] for job in queued}
        for import_id in await asyncio.to_thread(self._claims.due):
            if import_id not in known:
                with contextlib.suppress(AlreadyEnqueued):
                    await _index_job(app, import_id).defer_async(import_id=import_id)

    def _stop_for(self, import_id: int) -> Callable[[], bool]:
        """Tells a run to end when the worker stops, or its import was paused, cancelled or deleted."""
        asked = time.monotonic()

        def stop() -> bool:
            nonlocal asked
            if self._stopping.is_set():
                return True
            if time.monotonic() - asked < HALT_SECONDS:
                return False
            asked = time.monotonic()
            return self._claims.is_halted(import_id)

        return stop

    def _make_app(self, indexer: Indexer) -> App:
        app = App(
            connector=PsycopgConnector(
                conninfo=self._database.conninfo,
                kwargs={**CONNECTION, "application_name": "lookalike worker"},
                min_size=1,
                max_size=4,
                # Give up soon and start afresh: the pool's own retries would still sleep when the database is back.
                timeout=CONNECT_SECONDS,
                reconnect_timeout=1.0,
            )
        )

        @app.task(name=INDEX_TASK)
        async def index(import_id: int) -> None:
            try:
                finished = await asyncio.to_thread(indexer.run, import_id, self._stop_for(import_id))
                self.problem = None
                if finished and not self._stopping.is_set():  # at the queue's end, so that imports take turns
                    await self._ask_for_due(app)
            except LookalikeError as error:
                self.problem = str(error)
                logger.warning("import %s: %s", import_id, error)
            except Exception:
                self.problem = "Something unforeseen interrupted an import; it is tried again, and the log says more."
                raise

        return app


def _reasons(error: BaseException) -> str:
    """What went wrong, out of the groups in which asyncio wraps it."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_reasons(one) for one in error.exceptions)
    return str(error) or str(error.__cause__ or type(error).__name__)

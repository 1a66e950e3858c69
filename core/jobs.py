"""The durable queue (procrastinate) and the worker. A job is only a nudge: the ledger says what is to be done."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Literal

from procrastinate import App, PsycopgConnector, SyncPsycopgConnector
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException
from procrastinate.jobs import JobDeferrer, Status

from core.database import Database
from core.errors import LookalikeError
from core.indexing import Indexer
from core.ledger import Ledger

logger = logging.getLogger(__name__)

CONCURRENCY = 2
"""Runs side by side in one worker: one fetches while the other empties its last batch, and a short import
does not wait for a long one."""

SWEEP_SECONDS = 5.0
"""Seconds between a worker's looks for due items that nobody was told about."""

HEARTBEAT = 10.0
"""Seconds between a worker's signs of life; a worker silent for three of them is taken for dead."""

RESTART_SECONDS = 3.0
"""Pause before a worker that lost its database tries again."""

INDEX_TASK = "index"


def _index_job(app: App, import_id: int) -> JobDeferrer:
    """A request for work on an import; while one waits in the queue, another is refused as AlreadyEnqueued."""
    return app.configure_task(INDEX_TASK, queueing_lock=f"import-{import_id}")


class Queue:
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

    def __init__(self, database: Database, ledger: Ledger, indexer: Callable[[], Indexer]) -> None:
        self._database = database
        self._ledger = ledger
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
            except Exception as error:  # noqa: BLE001  whatever it was, the work is in the ledger and goes on
                self.problem = str(error) if isinstance(error, LookalikeError) else "The worker lost its database."
                logger.warning("worker: %s; trying again", error)
            if not self._stopping.wait(RESTART_SECONDS):
                self.state = "starting"
        self.state = "stopped"

    async def _serve(self) -> None:
        indexer = await asyncio.to_thread(self._indexer)
        app = self._make_app(indexer)
        async with app.open_async():
            self._loop = asyncio.get_running_loop()
            self._task = asyncio.create_task(self._run(app))
            self.state, self.problem = "running", None
            if self._stopping.is_set():
                self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self, app: App) -> None:
        async with asyncio.TaskGroup() as group:
            sweeping = group.create_task(self._sweep(app))
            try:
                await app.run_worker_async(
                    concurrency=CONCURRENCY,
                    install_signal_handlers=False,
                    listen_notify=False,
                    fetch_job_polling_interval=0.5,
                    delete_jobs="always",
                    update_heartbeat_interval=HEARTBEAT,
                    stalled_worker_timeout=3 * HEARTBEAT,
                )
            finally:
                sweeping.cancel()

    async def _sweep(self, app: App) -> None:
        """Clear the jobs of dead workers away and ask for work on whatever is due, again and again."""
        while True:
            for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=3 * HEARTBEAT):
                with contextlib.suppress(ConnectorException):  # another worker was quicker
                    await app.job_manager.finish_job(job, status=Status.FAILED, delete_job=True)
            for import_id in await asyncio.to_thread(self._ledger.due):
                with contextlib.suppress(AlreadyEnqueued):
                    await _index_job(app, import_id).defer_async(import_id=import_id)
            await asyncio.sleep(SWEEP_SECONDS)

    def _make_app(self, indexer: Indexer) -> App:
        app = App(
            connector=PsycopgConnector(
                conninfo=self._database.conninfo,
                kwargs={
                    "prepare_threshold": None,
                    "connect_timeout": 10,
                    "application_name": "lookalike worker",
                },
                min_size=1,
                max_size=4,
            )
        )

        @app.task(name=INDEX_TASK)
        def index(import_id: int) -> None:
            try:
                indexer.run(import_id, self._stopping.is_set)
                self.problem = None
            except LookalikeError as error:
                self.problem = str(error)
                logger.warning("import %s: %s", import_id, error)

        return app


if __name__ == "__main__":
    from core.engine import work  # above this module; only the command needs it

    work()

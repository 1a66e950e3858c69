"""The parts of Lookalike put together, once a process: for the pages, the HTTP routes and the worker alike."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from core.database import Database
from core.encoder import EncoderLoader, LoadState
from core.errors import DatabaseError
from core.fetch import Fetcher
from core.indexing import Indexer
from core.jobs import Queue, Worker
from core.ledger import Import, Ledger
from core.search import DEFAULT_TOP_K, Matches, Query, picture_query, search, words_query
from core.settings import Settings, load_settings
from core.store import Model, Store

logger = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 15.0
"""Seconds between tries to open a database that is down; the pause doubles up to the longest."""


@dataclass(frozen=True)
class DatabaseState:
    """How the database is. `message` is a sentence when it cannot be used."""

    state: Literal["starting", "ready", "failed"]
    message: str = ""


class Engine:
    """Starts everything in the background and answers at once how far it is."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database = Database(settings)
        self.store = Store(self.database)
        self.ledger = Ledger(self.database)
        self.fetcher = Fetcher(settings)
        self.loader = EncoderLoader(settings.clip_model)
        self.queue = Queue(self.database)
        self.worker: Worker | None = None
        self._database_state = DatabaseState("starting")
        self._model: Model | None = None
        self._model_lock = threading.Lock()
        self._closing = threading.Event()
        self._opener = threading.Thread(target=self._open, name="database", daemon=True)

    def start(self) -> None:
        """Open the database, load the model and start the worker, all in the background."""
        self._opener.start()
        self.loader.start()

    def close(self) -> None:
        """Let the worker finish its batch, then close everything."""
        self._closing.set()
        if self.worker is not None:
            self.worker.stop()
        self.loader.close()
        if self._opener.ident is not None:
            self._opener.join()
        self.fetcher.close()
        self.database.close()

    def _open(self) -> None:
        pause = FIRST_PAUSE
        while not self._closing.is_set():
            try:
                self.database.open()
            except DatabaseError as error:
                self._database_state = DatabaseState("failed", str(error))
                logger.warning("%s", error)
                self._closing.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
                continue
            self._database_state = DatabaseState("ready")
            if self.settings.workers:
                self.worker = Worker(self.database, self.ledger, self._make_indexer)
                self.worker.start()
            return

    def _make_indexer(self) -> Indexer:
        while not self._closing.is_set():
            if self.loader.state.state == "ready":
                break
            time.sleep(0.2)
        encoder = self.loader.get()
        return Indexer(self.settings, self.database, self.store, self.ledger, self.fetcher, encoder, self.model())

    def wait_until_ready(self, timeout: float) -> None:
        """Wait for the database and the model. Raises DatabaseError or EncoderError when the time is over."""
        deadline = time.monotonic() + timeout
        while self._database_state.state != "ready" and time.monotonic() < deadline:
            time.sleep(0.05)
        self._need_database()
        self.loader.get(max(0.0, deadline - time.monotonic()))

    @property
    def database_state(self) -> DatabaseState:
        """How the database is now, as far as is known."""
        return self._database_state

    @property
    def model_state(self) -> LoadState:
        """How far the model's loading is."""
        return self.loader.state

    def _need_database(self) -> None:
        state = self._database_state
        if state.state == "starting":
            raise DatabaseError("The database is still starting. Try again in a few seconds.")
        if state.state == "failed":
            raise DatabaseError(state.message)

    def model(self) -> Model:
        """The model in use, as the database knows it. Raises DatabaseError or EncoderError."""
        self._need_database()
        with self._model_lock:
            if self._model is None:
                encoder = self.loader.get()
                self._model = self.store.use_model(encoder.name, encoder.dim)
            return self._model

    def submit(self, name: str, urls: Sequence[tuple[bytes, str]]) -> Import:
        """Queue an import of URLs, each as (identity key, URL)."""
        self._need_database()
        import_id = self.ledger.create(name, urls)
        self.queue.nudge(import_id)
        return self.ledger.read(import_id)

    def retry_failed(self, import_id: int) -> int:
        """Try an import's failed items again. Returns how many there are."""
        count = self.ledger.retry_failed(import_id)
        self.queue.nudge(import_id)
        return count

    def picture_query(self, data: bytes) -> Query:
        """The query for a picture's bytes. Raises PictureError or EncoderError."""
        return picture_query(self.settings, self.loader.get(), data)

    def words_query(self, words: str) -> Query:
        """The query for words. Raises EncoderError."""
        return words_query(self.loader.get(), words)

    def search(self, query: Query, top_k: int = DEFAULT_TOP_K) -> Matches:
        """The pictures most similar to a query. Raises DatabaseError or EncoderError."""
        return search(self.store, self.model(), query, top_k)


def work() -> None:
    """Run a worker alone, until SIGTERM or SIGINT lets it finish its batch and leave."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    engine = Engine(load_settings(workers=1))
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    engine.start()
    while not stop.wait(1.0):
        if engine.model_state.state == "failed":
            engine.loader.retry()
    engine.close()

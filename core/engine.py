"""The parts of Lookalike put together, once a process: for the pages, the HTTP routes and the worker alike."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import IO, Literal
from uuid import UUID

from core.collection.browse import Browser
from core.collection.curation import Curation
from core.collection.filters import Filter
from core.collection.metadata import Metadata
from core.collection.store import Store
from core.collection.table_export import Format, export_table
from core.collection.table_import import ImportedTable, OnProgress, import_table
from core.database.connection import Database
from core.database.embedding_tables import Model
from core.duplicates.comparison_job import Comparisons
from core.duplicates.groups import Duplicates
from core.embedding.active_models import ActiveModel, ActiveModels, Reembedding
from core.embedding.loader import EncoderLoader, LoadState
from core.embedding.model_selection import ModelSelection
from core.errors import DatabaseError, EncoderError
from core.indexing.imports import Import, Ledger
from core.indexing.job_queue import JobQueue, Worker
from core.indexing.pipeline import Indexer
from core.maintenance import Maintenance
from core.media.fetcher import Fetcher
from core.media.uploads import DroppedFile
from core.search.matches import DEFAULT_TOP_K, Matches, search
from core.search.nearest import Nearest
from core.search.query_images import QueryImages
from core.search.query_parts import Part
from core.search.query_vector import Query, QueryEncoder
from core.search.saved_thresholds import SavedThresholds
from core.settings import Settings
from core.tuning.judging_queue import JudgingQueue
from core.tuning.verdicts import Verdicts

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
        self.nearest = Nearest(self.database)
        self.ledger = Ledger(self.database)
        self.curation = Curation(self.database)
        self.comparisons = Comparisons(self.database)
        self.duplicates = Duplicates(self.database)
        self.browser = Browser(self.database)
        self.fetcher = Fetcher(settings)
        kept = timedelta(days=settings.keep_queries_days)
        self.query_images = QueryImages(self.database, kept)
        self.verdicts = Verdicts(self.database, kept)
        self.saved_thresholds = SavedThresholds(self.database)
        self.query_encoder = QueryEncoder(settings, self.store, self.query_images, self.fetcher)
        self.judging_queue = JudgingQueue(self.nearest, self.query_encoder, self.verdicts)
        self.model_selection = ModelSelection(settings.clip_model)
        self.job_queue = JobQueue(self.database)
        self.worker: Worker | None = None
        self._database_state = DatabaseState("starting")
        self._models = ActiveModels(self.store, self.model_selection.loader, self.model_selection.wanted)
        self._maintenance: Maintenance | None = None
        self._closing = threading.Event()
        self._hiring = threading.Lock()
        self._opener = threading.Thread(target=self._open, name="database", daemon=True)

    def start(self) -> None:
        """Open the database, load the model and start the worker, all in the background."""
        self._opener.start()
        self.model_selection.start(self._change_model)

    def close(self) -> None:
        """Let the worker finish its batch, then close everything."""
        self._closing.set()
        if self._opener.ident is not None:  # it may be about to start the worker
            self._opener.join()
        self.model_selection.close()
        if self.worker is not None:
            self.worker.stop()
        if self._maintenance is not None:
            self._maintenance.stop()
        self._models.close()
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
            works = bool(self.settings.workers)
            self._maintenance = Maintenance(
                self.database, self.store, self._models, self.nearest, self.query_images, self.comparisons, works=works
            )
            self._maintenance.start()
            with self._hiring:
                self._start_worker()
            return

    def _start_worker(self) -> None:
        if self.settings.workers:
            self.worker = Worker(self.database, self._make_indexer)
            self.worker.start()

    def _change_model(self, loader: EncoderLoader) -> None:
        """Work with another model from now on, in imports, too: a worker keeps the one that it began with."""
        self._models.change(loader)
        with self._hiring:
            if self.worker is not None:
                self.worker.stop()
                self._start_worker()

    def _make_indexer(self) -> Indexer:
        while self.model_state.state != "ready" and not self._closing.is_set():
            time.sleep(0.2)
        used = self._models.configured()
        return Indexer(self.settings, self.database, self.store, self.fetcher, used.encoder, used.model)

    def wait_until_ready(self, timeout: float) -> None:
        """Wait for the database and the model. Raises DatabaseError or EncoderError when the time is over."""
        deadline = time.monotonic() + timeout
        while self._database_state.state != "ready" and time.monotonic() < deadline:
            time.sleep(0.05)
        self._need_database()
        self.model_selection.loader.get(max(0.0, deadline - time.monotonic()))

    @property
    def database_state(self) -> DatabaseState:
        """How the database is now, as far as is known."""
        return self._database_state

    @property
    def model_state(self) -> LoadState:
        """How far the loading of the model is that is to have an embedding of every picture."""
        return self.model_selection.loader.state

    def _need_database(self) -> None:
        state = self._database_state
        if state.state == "starting":
            raise DatabaseError("The database is still starting. Try again in a few seconds.")
        if state.state == "failed":
            raise DatabaseError(state.message)

    def serving(self) -> ActiveModel:
        """The model that searches use, and its encoder. Raises DatabaseError or EncoderError."""
        self._need_database()
        return self._models.serving()

    def model(self) -> Model:
        """The model that searches use. Raises DatabaseError or EncoderError."""
        return self.serving().model

    @property
    def can_search(self) -> bool:
        """Whether the database and the model that searches use are there."""
        try:
            self.serving()
        except (DatabaseError, EncoderError):
            return False
        return True

    @property
    def reembedding(self) -> Reembedding | None:
        """How far a change of model is; None when there is none."""
        return self._models.reembedding

    def submit(
        self, name: str, urls: Sequence[tuple[bytes, str]], said: Mapping[bytes, Metadata] | None = None
    ) -> Import:
        """Queue an import of URLs, each as (identity key, URL), and what its list says of them."""
        self._need_database()
        import_id = self.ledger.create(name, urls, said)
        self.job_queue.nudge(import_id)
        return self.ledger.read(import_id)

    def submit_files(self, name: str, files: Iterable[DroppedFile]) -> Import:
        """Queue an import of dropped files and keep their bytes, taking one file after the other."""
        self._need_database()
        with self.database.connection() as connection:
            import_id = self.ledger.create_from_files(connection, name, self.store.keep_files(connection, files))
        self.job_queue.nudge(import_id)
        return self.ledger.read(import_id)

    def export_collection(self, kind: Format, *, thumbnails: bool, embeddings: bool) -> Iterator[bytes]:
        """The collection as a file in chunks, with the embeddings of the model that searches use."""
        self._need_database()
        return export_table(
            self.database, self.model() if embeddings else None, kind, thumbnails=thumbnails, embeddings=embeddings
        )

    def import_collection(self, name: str, file: IO[bytes], notice: OnProgress = lambda _: None) -> ImportedTable:
        """Read a file of a collection into this one, see `import_table`. Raises LookalikeError of many kinds."""
        taken = import_table(self.database, self.model(), name, file, notice)
        if taken.import_id is not None and taken.waiting:
            self.job_queue.nudge(taken.import_id)
        return taken

    def retry_failed(self, import_id: int) -> int:
        """Try an import's failed items again. Returns how many there are."""
        count = self.ledger.retry_failed(import_id)
        self.job_queue.nudge(import_id)
        return count

    def compose(self, parts: Sequence[Part], files: Sequence[bytes] = ()) -> Query:
        """The query of these parts, see `QueryEncoder.compose`. Raises LookalikeError of many kinds."""
        return self.query_encoder.compose(self.serving(), parts, files)

    def picture_query(self, data: bytes) -> Query:
        """The query for a picture's bytes. Raises PictureError, DatabaseError or EncoderError."""
        return self.compose([Part(file=0)], [data])

    def search(
        self,
        query: Query,
        top_k: int = DEFAULT_TOP_K,
        *,
        where: Filter | None = None,
        exact: bool = False,
        leave_out: Collection[UUID] = (),
    ) -> Matches:
        """The pictures most similar to a query, see `core.search.matches`. Raises DatabaseError."""
        found = search(self.store, self.nearest, query, top_k, where=where, exact=exact, leave_out=leave_out)
        return replace(found, yours=self.saved_thresholds.current(query.model, query.kind))

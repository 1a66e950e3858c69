"""What each kind of background job does, and which jobs are due."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable

from core.collection.store import Store
from core.database.connection import Database
from core.database.embedding_tables import Model
from core.database.job_queue import (
    KEEP_SEARCH_INDEX,
    PAIR_COPIES,
    REEMBED,
    Job,
    compare_job,
    count_processes,
    index_job,
    nudge,
    read_source_job,
)
from core.duplicates.comparison_job import Comparisons
from core.duplicates.near_copies import has_unpaired, pair
from core.embedding.active_models import ActiveModel, ActiveModels
from core.embedding.reembedding import reembed
from core.errors import EncoderError
from core.indexing.claims import Claims
from core.indexing.pipeline import Indexer
from core.indexing.sources.reader import SourceReader
from core.search.nearest import Nearest
from core.search.query_images import QueryImages
from core.verification.verifier import Verifier

logger = logging.getLogger(__name__)

HALT_SECONDS = 0.5
"""Seconds between a run's checks whether its import was paused, cancelled or deleted."""

TURN_SECONDS = 5.0
"""How long pictures are re-embedded with one model at a time; the model that serves searches waits this long for its
turn with a new picture."""

PROVED_AT_ONCE = 8
"""Pictures whose copies are proved in one transaction: a hundred proofs take a few seconds at most."""

MODEL_SECONDS = 0.2
"""Seconds between checks whether the model is loaded."""


class Tasks:
    """The work of the jobs, done with the parts of this process. Threads may share it; `closing` ends running jobs."""

    def __init__(
        self,
        database: Database,
        store: Store,
        models: ActiveModels,
        indexer: Indexer,
        source_reader: SourceReader,
        comparisons: Comparisons,
        nearest: Nearest,
        query_images: QueryImages,
        verifier: Verifier,
        copy_models: ActiveModels | None = None,
    ) -> None:
        """`copy_models` are None when COPY_MODEL is off."""
        self.closing = threading.Event()
        self._database = database
        self._store = store
        self._models = models
        self._copy_models = copy_models
        self._purposes = [models] if copy_models is None else [models, copy_models]
        self._indexer = indexer
        self._source_reader = source_reader
        self._claims = Claims(database)
        self._comparisons = comparisons
        self._search_index = nearest.index
        self._query_images = query_images
        self._verifier = verifier
        self._reembedding = threading.Lock()
        self._processes = 0

    def due(self) -> list[Job]:
        """The jobs that are due. Raises DatabaseError."""
        jobs = [index_job(import_id) for import_id in self._claims.due()]
        jobs += [read_source_job(source_id) for source_id in self._source_reader.due()]
        jobs += [compare_job(model_id) for model_id in self._comparisons.wanted()]
        if has_unpaired(self._database):
            jobs.append(PAIR_COPIES)
        if self._behind() and not self._reembedding.locked():
            jobs.append(REEMBED)
        if any(self._search_index.is_wanting(model) for model in self._serving()):
            jobs.append(KEEP_SEARCH_INDEX)
        return jobs

    def _behind(self) -> list[ActiveModel]:
        """The loaded models of both purposes that may lack embeddings; those that search by content come first."""
        return [in_use for models in self._purposes for in_use in models.behind()]

    def _serving(self) -> list[Model]:
        """The models that searches use, as far as they are loaded. Raises DatabaseError."""
        serving = list[Model]()
        for models in self._purposes:
            with contextlib.suppress(EncoderError):
                serving.append(models.serving().model)
        return serving

    def ask_for_due(self) -> None:
        """Enqueue the jobs that are due. Raises DatabaseError."""
        jobs = self.due()
        with self._database.connection() as connection:
            for job in jobs:
                nudge(connection, job)

    def share_hosts(self) -> None:
        """Limit this process to its share of the simultaneous requests to a host. Raises DatabaseError."""
        with self._database.connection() as connection:
            processes = count_processes(connection)
        if processes != self._processes:
            self._processes = processes
            self._indexer.share_hosts(processes)
            logger.info("%d processes share the limit of requests per host", processes)

    def wait_for_model(self) -> ActiveModel | None:
        """The model that embeds imports, once it is loaded; None if `closing` is set first. Raises DatabaseError."""
        while not self.closing.is_set():
            with contextlib.suppress(EncoderError):
                return self._models.configured()
            self.closing.wait(MODEL_SECONDS)
        return None

    def _wait_for_copy_model(self) -> ActiveModel | None:
        """The copy model that embeds imports, once it is loaded; None if there is none, or it cannot be loaded. Raises
        DatabaseError."""
        models = self._copy_models
        while models is not None and not self.closing.is_set():
            with contextlib.suppress(EncoderError):
                return models.configured()
            if models.load_state.state == "failed":
                break
            self.closing.wait(MODEL_SECONDS)
        return None

    def close(self) -> None:
        """Make running jobs end after their batch. A build of the search index that has only just started may need a
        second call."""
        self.closing.set()
        self._search_index.close()

    def index(self, import_id: int) -> None:
        """Work on an import until nothing in it is due, it is another import's turn, or the model changes. Raises
        DatabaseError or EncoderError."""
        in_use = self.wait_for_model()
        if in_use is None:
            return
        copy_model = self._wait_for_copy_model()
        finished = self._indexer.run(import_id, in_use, self._halt(import_id, in_use), copy_model)
        if (finished or not self._models.is_configured(in_use)) and not self.closing.is_set():
            self.ask_for_due()  # at the end of the queue, so that imports take turns

    def read_source(self, source_id: int) -> None:
        """Read a source if it is due. Raises DatabaseError."""
        self._source_reader.read(source_id, self.closing.is_set)

    def reembed(self) -> None:
        """Embed the pictures that the models of this process lack. Other processes may do the same at the same time; if
        one takes the job whose models lack nothing, the sweep of one that is behind enqueues it again. Raises
        DatabaseError or EncoderError."""
        if not self._reembedding.acquire(blocking=False):
            return
        try:
            done = 1
            while done and not self.closing.is_set():
                done = sum(reembed(self._store, in_use, self._turn()) for in_use in self._behind())
        finally:
            self._reembedding.release()

    def pair_copies(self) -> None:
        """Find the copies of all pictures that have not been checked yet. Raises DatabaseError."""
        in_use = self._wait_for_copy_model()
        copy_model = in_use.model if in_use else None
        while not self.closing.is_set() and pair(
            self._database, PROVED_AT_ONCE, prove=self._verifier.prove_pairs, copy_model=copy_model
        ):
            pass

    def compare(self, model_id: int) -> None:
        """Compare all pictures by their embeddings of a model, if still requested. Raises DatabaseError."""
        models = self._store.models() + self._store.models("copy")
        model = next((model for model in models if model.id == model_id), None)
        if model is not None:
            self._comparisons.run(model, self.closing.is_set)

    def keep_search_index(self) -> None:
        """Build the search indexes of the models that searches use, as far as they are missing and worthwhile. Raises
        DatabaseError."""
        for model in self._serving():
            self._search_index.look(model, builds=True)

    def forget_old_queries(self, timestamp: int = 0) -> None:
        """Delete old query pictures. `timestamp` is when the job was due. Raises DatabaseError."""
        self._query_images.drop_old()

    def _halt(self, import_id: int, in_use: ActiveModel) -> Callable[[], bool]:
        """A function that tells whether a run must end: the process is closing, the import was paused, cancelled or
        deleted, or the model has changed."""
        checked = time.monotonic()

        def stop() -> bool:
            nonlocal checked
            if self.closing.is_set() or not self._models.is_configured(in_use):
                return True
            if time.monotonic() - checked < HALT_SECONDS:
                return False
            checked = time.monotonic()
            return self._claims.is_halted(import_id)

        return stop

    def _turn(self) -> Callable[[], bool]:
        until = time.monotonic() + TURN_SECONDS
        return lambda: self.closing.is_set() or time.monotonic() > until

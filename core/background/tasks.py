"""What each kind of background job does, and what there is to do."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable

from core.collection.store import Store
from core.database.connection import Database
from core.database.job_queue import (
    KEEP_SEARCH_INDEX,
    PAIR_COPIES,
    REEMBED,
    Job,
    compare_job,
    count_processes,
    index_job,
    nudge,
)
from core.duplicates.comparison_job import Comparisons
from core.duplicates.near_copies import has_unpaired, pair
from core.embedding.active_models import ActiveModel, ActiveModels
from core.embedding.reembedding import reembed
from core.errors import EncoderError
from core.indexing.claims import Claims
from core.indexing.pipeline import Indexer
from core.search.nearest import Nearest
from core.search.query_images import QueryImages

logger = logging.getLogger(__name__)

HALT_SECONDS = 0.5
"""Between a run's looks whether its import still wants it."""

TURN_SECONDS = 5.0
"""How long one model is re-embedded for at a time: so soon a new picture is found by the model that serves searches."""

MODEL_SECONDS = 0.2
"""Between looks whether the model is loaded."""


class Tasks:
    """What the jobs do, with the parts of this process. Threads may share it; `closing` ends what is under way."""

    def __init__(
        self,
        database: Database,
        store: Store,
        models: ActiveModels,
        indexer: Indexer,
        comparisons: Comparisons,
        nearest: Nearest,
        query_images: QueryImages,
    ) -> None:
        self.closing = threading.Event()
        self._database = database
        self._store = store
        self._models = models
        self._indexer = indexer
        self._claims = Claims(database)
        self._comparisons = comparisons
        self._search_index = nearest.index
        self._query_images = query_images
        self._reembedding = threading.Lock()
        self._processes = 0

    def due(self) -> list[Job]:
        """What there is to do. Raises DatabaseError."""
        jobs = [index_job(import_id) for import_id in self._claims.due()]
        jobs += [compare_job(model_id) for model_id in self._comparisons.wanted()]
        if has_unpaired(self._database):
            jobs.append(PAIR_COPIES)
        if self._models.behind() and not self._reembedding.locked():
            jobs.append(REEMBED)
        with contextlib.suppress(EncoderError):
            if self._search_index.is_wanting(self._models.serving().model):
                jobs.append(KEEP_SEARCH_INDEX)
        return jobs

    def ask_for_due(self) -> None:
        """Ask for what there is to do. Raises DatabaseError."""
        jobs = self.due()
        with self._database.connection() as connection:
            for job in jobs:
                nudge(connection, job)

    def share_hosts(self) -> None:
        """Keep to this process's part of the requests that a host gets at a time. Raises DatabaseError."""
        with self._database.connection() as connection:
            processes = count_processes(connection)
        if processes != self._processes:
            self._processes = processes
            self._indexer.share_hosts(processes)
            logger.info("hosts are shared by %d", processes)

    def wait_for_model(self) -> ActiveModel | None:
        """The model that imports are embedded with, once it is loaded; None when it is time to close. Raises
        DatabaseError."""
        while not self.closing.is_set():
            with contextlib.suppress(EncoderError):
                return self._models.configured()
            self.closing.wait(MODEL_SECONDS)
        return None

    def close(self) -> None:
        """End what is under way soon, by its batch. A build of the search index that has only just begun may need to be
        told again."""
        self.closing.set()
        self._search_index.close()

    def index(self, import_id: int) -> None:
        """Work on an import until nothing of it is due, another import's turn has come, or the model is changed."""
        in_use = self.wait_for_model()
        if in_use is None:
            return
        finished = self._indexer.run(import_id, in_use, self._halt(import_id, in_use))
        if (finished or not self._models.is_configured(in_use)) and not self.closing.is_set():
            self.ask_for_due()  # at the queue's end, so that imports take turns

    def reembed(self) -> None:
        """Embed what the models of this process lack, until they lack nothing. Other processes do the same at once;
        one whose models lack nothing has nothing to do, and the sweep of one that is behind asks again."""
        if not self._reembedding.acquire(blocking=False):
            return
        try:
            done = 1
            while done and not self.closing.is_set():
                done = sum(reembed(self._store, in_use, self._turn()) for in_use in self._models.behind())
        finally:
            self._reembedding.release()

    def pair_copies(self) -> None:
        """Look for the copies of all pictures that nobody has looked for yet."""
        while not self.closing.is_set() and pair(self._database):
            pass

    def compare(self, model_id: int) -> None:
        """Compare all pictures by their embeddings of a model, if that is still wanted."""
        model = next((model for model in self._store.models() if model.id == model_id), None)
        if model is not None:
            self._comparisons.run(model, self.closing.is_set)

    def keep_search_index(self) -> None:
        """Make the search index of the model that searches use, if it is missing and worth while."""
        self._search_index.look(self._models.serving().model, builds=True)

    def forget_old_queries(self, timestamp: int = 0) -> None:
        """Drop the pictures that nobody has searched with for long. `timestamp` is when that was due."""
        self._query_images.drop_old()

    def _halt(self, import_id: int, in_use: ActiveModel) -> Callable[[], bool]:
        """Tells a run to end: the process closes, or the import was paused, cancelled or deleted, or the model is
        changed."""
        asked = time.monotonic()

        def stop() -> bool:
            nonlocal asked
            if self.closing.is_set() or not self._models.is_configured(in_use):
                return True
            if time.monotonic() - asked < HALT_SECONDS:
                return False
            asked = time.monotonic()
            return self._claims.is_halted(import_id)

        return stop

    def _turn(self) -> Callable[[], bool]:
        until = time.monotonic() + TURN_SECONDS
        return lambda: self.closing.is_set() or time.monotonic() > until

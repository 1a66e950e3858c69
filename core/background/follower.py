"""What each process tracks for itself: which model serves its searches, and how well the search index performs.

This is not a job in the queue, since the results are kept in the memory of each process: the loaded encoders, and the
last probe of the index. One process does a job for all; this, every process must do, even one that only shows pages.
"""

from __future__ import annotations

import logging
import threading
import time

from core.embedding.active_models import ActiveModels
from core.errors import EncoderError, LookalikeError
from core.search.nearest import Nearest

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 2.0
"""Seconds between checks during a change of model; counting its progress takes 0.1 s among 100,000 pictures."""

SETTLED_SECONDS = 60.0
"""Seconds between checks once a model has embedded every picture; only restored pictures can still lack embeddings."""

INDEX_SECONDS = 60.0
"""Seconds between checks of the search index: it takes minutes to build, and a probe costs the database seconds."""


class Follower:
    """A thread that tracks the models and the search index until it is stopped. It changes only its own process's
    memory; jobs (`core.background.tasks`) do the work that it finds missing."""

    def __init__(self, models: ActiveModels, nearest: Nearest) -> None:
        self._models = models
        self._index = nearest.index
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)

    def start(self) -> None:
        """Start the thread, once the database is open."""
        self._thread.start()

    def stop(self, timeout: float = 20.0) -> None:
        """Stop after at most one query of a probe; wait up to `timeout` seconds for that."""
        self._stopping.set()
        self._index.close()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        models_due = index_due = 0.0
        while not self._stopping.is_set():
            now = time.monotonic()
            try:
                if now >= models_due or not self._models.settled:
                    models_due = now + SETTLED_SECONDS
                    self._models.look()
                if now >= index_due:
                    model = self._models.serving().model
                    index_due = now + INDEX_SECONDS
                    self._index.look(model)
            except EncoderError:
                pass  # no model yet
            except LookalikeError as error:
                logger.warning("tracking the models: %s", error)
            except Exception:
                logger.exception("tracking the models")
            self._stopping.wait(PAUSE_SECONDS)

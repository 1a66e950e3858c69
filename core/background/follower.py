"""What each process finds out for itself: which model serves its searches, and how well the search index does.

This is no job of the queue, for what it finds out is kept in the memory of each process: the encoders that are loaded
there, and the last probe of the index. A job is done by one process for all; this every process has to do, those that
only show pages, too.
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
"""Between looks at a change of model that is under way; to count its progress takes 0.1 s among 100,000 pictures."""

SETTLED_SECONDS = 60.0
"""Between looks at a model that has every picture: only a picture that returns from removal may lack its embedding."""

INDEX_SECONDS = 60.0
"""Between looks at the search index: it takes minutes to make, and a probe of it some seconds of the database's."""


class Follower:
    """A thread that follows the models and the search index until it is stopped. It changes nothing but its own
    process's memory; what it sees is wanting, the jobs of `core.background.tasks` do."""

    def __init__(self, models: ActiveModels, nearest: Nearest) -> None:
        self._models = models
        self._index = nearest.index
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)

    def start(self) -> None:
        """Begin, once the database is open."""
        self._thread.start()

    def stop(self, timeout: float = 20.0) -> None:
        """End, within a query of a probe; wait up to `timeout` seconds for that."""
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
                logger.warning("following the models: %s", error)
            except Exception:
                logger.exception("following the models")
            self._stopping.wait(PAUSE_SECONDS)

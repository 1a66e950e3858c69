"""What each process tracks for itself: which model serves its searches, and how well the search index performs.

This is not a job in the queue, since the results are kept in the memory of each process: the loaded encoders, and the
last probe of the index. One process does a job for all; this, every process must do, even one that only shows pages.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass

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


@dataclass
class _Followed:
    """The models for one purpose, and when to check them and their search index, by `time.monotonic`."""

    models: ActiveModels
    models_due: float = 0.0
    index_due: float = 0.0


class Follower:
    """A thread that tracks the models and the search index until it is stopped. It changes only its own process's
    memory; jobs (`core.background.tasks`) do the work that it finds missing."""

    def __init__(self, models: ActiveModels, nearest: Nearest, copy_models: ActiveModels | None = None) -> None:
        """`copy_models` are None when COPY_MODEL is off."""
        self._purposes = [_Followed(each) for each in (models, copy_models) if each is not None]
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
        while not self._stopping.is_set():
            for followed in self._purposes:
                try:
                    self._look(followed)
                except EncoderError:
                    pass  # no model yet
                except LookalikeError as error:
                    logger.warning("tracking the models: %s", error)
                except Exception:
                    logger.exception("tracking the models")
            self._stopping.wait(PAUSE_SECONDS)

    def _look(self, followed: _Followed) -> None:
        now = time.monotonic()
        if now >= followed.models_due or not followed.models.settled:
            followed.models_due = now + SETTLED_SECONDS
            followed.models.look()
        if now >= followed.index_due:
            model = followed.models.serving().model
            followed.index_due = now + INDEX_SECONDS
            self._index.look(model)

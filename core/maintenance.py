"""What a process does beside its imports: it follows a change of model, embeds for it, looks for copies, compares
for look-alikes, drops old uploads, and keeps the search index."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from core.collection.store import Store
from core.database.connection import Database
from core.duplicates.comparison_job import Comparisons
from core.duplicates.near_copies import pair
from core.embedding.active_models import ActiveModels
from core.embedding.reembedding import reembed
from core.errors import EncoderError, LookalikeError
from core.process import step_aside
from core.search.nearest import Nearest
from core.search.query_images import QueryImages

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 2.0
"""Between looks for work when there was none. The next picture's copies are known that soon."""

TURN_SECONDS = 5.0
"""How long one model is worked on at a time: so soon a new picture is found by the model that serves searches, and
so often the progress is counted (100,000 pictures in 0.1 s)."""

SETTLED_SECONDS = 60.0
"""Between looks at a model that has every picture: only a picture that returns from removal may lack its embedding."""

INDEX_SECONDS = 60.0
"""Between looks at the search index."""


class Maintenance:
    """Three threads that do this until they are stopped; the search index and the comparison for look-alikes have their
    own, for either may take minutes.

    It shares the model with imports, batch by batch: a change of model slows an import down, but neither waits for
    the other's end. Searches pass before both.
    """

    def __init__(
        self,
        database: Database,
        store: Store,
        models: ActiveModels,
        nearest: Nearest,
        uploads: QueryImages,
        comparisons: Comparisons,
        *,
        works: bool,
    ) -> None:
        """With `works` off it only follows what others do."""
        self._database = database
        self._store = store
        self._models = models
        self._index = nearest.index
        self._uploads = uploads
        self._comparisons = comparisons
        self._works = works
        self._looked = 0.0
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, name="upkeep", daemon=True),
            threading.Thread(target=self._keep_index, name="search-index", daemon=True),
            threading.Thread(target=self._compare, name="comparison", daemon=True),
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout: float = 20.0) -> None:
        """Finish the batch in hand, leave an unfinished index to the next start, and go; wait up to `timeout` seconds
        for that."""
        self._stopping.set()
        until = time.monotonic() + timeout
        for thread in self._threads:
            while thread.is_alive() and time.monotonic() < until:
                self._index.close()
                thread.join(0.5)

    def _run(self) -> None:
        step_aside()
        busy = False
        while not self._stopping.wait(0 if busy else PAUSE_SECONDS):
            try:
                busy = self._turn()
            except LookalikeError as error:
                busy = False
                logger.warning("upkeep: %s", error)
            except Exception:
                busy = False
                logger.exception("upkeep")

    def _turn(self) -> bool:
        """Do a little of everything; whether there may be more."""
        now = time.monotonic()
        if not self._models.settled or now > self._looked + SETTLED_SECONDS:
            self._models.look()
            self._uploads.drop_old()
            self._looked = now
        if not self._works:
            return False
        done = 0
        while not self._stopping.is_set() and (found := pair(self._database)):
            done += found
        for in_use in self._models.behind():
            done += reembed(self._store, in_use, self._turn_is_over(TURN_SECONDS))
        return done > 0

    def _turn_is_over(self, seconds: float) -> Callable[[], bool]:
        until = time.monotonic() + seconds
        return lambda: self._stopping.is_set() or time.monotonic() > until

    def _keep_index(self) -> None:
        pause = PAUSE_SECONDS
        while not self._stopping.wait(pause):
            pause = INDEX_SECONDS
            try:
                self._index.look(self._models.serving().model, builds=self._works)
            except EncoderError:
                pause = PAUSE_SECONDS  # no model yet
            except LookalikeError as error:
                logger.warning("search index: %s", error)
            except Exception:
                logger.exception("search index")

    def _compare(self) -> None:
        step_aside()
        while self._works and not self._stopping.wait(PAUSE_SECONDS):
            try:
                self._comparisons.work(self._models.serving().model, self._stopping.is_set)
            except EncoderError:
                pass  # no model yet
            except LookalikeError as error:
                logger.warning("comparison: %s", error)
            except Exception:
                logger.exception("comparison")

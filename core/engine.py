"""The parts of Lookalike put together, once a process: for the pages, the HTTP routes and the worker alike."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import IO, Literal
from uuid import UUID

from core.background.follower import Follower
from core.background.tasks import Tasks
from core.background.worker import Worker
from core.collection.browse import Browser
from core.collection.curation import Curation
from core.collection.store import Store
from core.collection.table_export import Format, export_table
from core.collection.table_import import ImportedTable, OnProgress, import_table
from core.database.connection import Database
from core.database.embedding_tables import Model
from core.duplicates.comparison_job import Comparisons
from core.duplicates.groups import Duplicates
from core.duplicates.settled_pairs import SettledPairs
from core.embedding.active_models import ActiveModel, ActiveModels, Reembedding
from core.embedding.copy_encoder import OFF, load_copy_encoder
from core.embedding.loader import EncoderLoader, LoadState
from core.embedding.model_selection import ModelSelection
from core.errors import DatabaseError, EncoderError
from core.indexing.imports import Imports
from core.indexing.known_pictures import KnownPictures
from core.indexing.pipeline import Indexer
from core.indexing.sources.reader import SourceReader
from core.indexing.sources.registry import Sources
from core.media.fetcher import Fetcher
from core.search.likeness import Likeness, likeness
from core.search.matches import Matcher
from core.search.nearest import Nearest
from core.search.originals import Originals
from core.search.query_images import QueryImages
from core.search.query_vector import Query, QueryEncoder
from core.search.same_pictures import SamePictures
from core.search.saved_thresholds import SavedThresholds
from core.settings import Settings
from core.tuning.judging_queue import JudgingQueue
from core.tuning.verdicts import Verdicts
from core.verification.verifier import Verifier

logger = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 5.0
"""Seconds between attempts to open a database that is down. The pause doubles up to the longest one, which is short
enough for a person who has just started it."""

COPY_MODEL_WAITS = 60.0
"""Seconds that the copy model waits for the other one to load, because people search by that first; a download takes
longer, but hardly any of the computer."""

STATE_SECONDS = 0.05
"""Seconds between two checks in `wait_until_ready`."""


@dataclass(frozen=True)
class DatabaseState:
    """The state of the database. `message` is a sentence if it cannot be used."""

    state: Literal["starting", "ready", "failed"]
    message: str = ""


class Engine:
    """Starts everything in the background, and reports its state without waiting.

    Pages and routes use the parts directly: `imports`, `known_pictures` and `sources`; for the collection `store`,
    `browser`, `curation`, `duplicates`, `settled_pairs` and `comparisons`; for a search `query_encoder`, then
    `search`, which is built on `nearest`, and `mark_same`, which proves with `verifier` what is the same picture;
    `originals` to look at them in full; for tuning `verdicts`, `judging_queue` and `saved_thresholds`.
    """

    def __init__(self, settings: Settings) -> None:
        kept = timedelta(days=settings.keep_queries_days)
        self.settings = settings
        self.database = Database(settings)
        self.fetcher = Fetcher(settings)
        self.model_selection = ModelSelection(settings.clip_model)
        self.store = Store(self.database)
        self.browser = Browser(self.database)
        self.curation = Curation(self.database)
        self.imports = Imports(self.database)
        self.known_pictures = KnownPictures(self.database)
        self.sources = Sources(self.database, settings.library_folders)
        self.duplicates = Duplicates(self.database)
        self.settled_pairs = SettledPairs(self.database)
        self.comparisons = Comparisons(self.database)
        self.nearest = Nearest(self.database)
        self.query_images = QueryImages(self.database, kept)
        self.query_encoder = QueryEncoder(settings, self.store, self.query_images, self.fetcher, self.copy_model)
        self.originals = Originals(settings, self.database, self.store, self.query_images, self.fetcher)
        self.saved_thresholds = SavedThresholds(self.database)
        matcher = Matcher(self.store, self.nearest, self.saved_thresholds)
        self.search = matcher.search
        self.verifier = Verifier(self.store)
        self.mark_same = SamePictures(self.nearest, matcher, self.verifier).mark
        self.verdicts = Verdicts(self.database, kept)
        self.judging_queue = JudgingQueue(self.nearest, self.query_encoder, self.verdicts)
        self._models = ActiveModels(self.store, self.model_selection.loader, self.model_selection.wanted)
        self._copy_loader: EncoderLoader | None = None
        self._copy_models: ActiveModels | None = None
        if settings.copy_model.strip() != OFF:
            self._copy_loader = EncoderLoader(settings.copy_model, load_copy_encoder, "The copy model")
            self._copy_models = ActiveModels(self.store, self._copy_loader, purpose="copy")
        self._follower = Follower(self._models, self.nearest, self._copy_models)
        self._indexer = Indexer(settings, self.database, self.store, self.fetcher)
        self.worker = Worker(self.database, self._tasks()) if settings.workers else None
        self._database_state = DatabaseState("starting")
        self._closing = threading.Event()
        self._opener = threading.Thread(target=self._open, name="database", daemon=True)

    def _tasks(self) -> Tasks:
        return Tasks(
            self.database,
            self.store,
            self._models,
            self._indexer,
            SourceReader(self.settings, self.database, self.store, self.fetcher),
            self.comparisons,
            self.nearest,
            self.query_images,
            self.verifier,
            self._copy_models,
        )

    def start(self) -> None:
        """Open the database, load the models and start the worker, all in the background."""
        self._opener.start()
        self.model_selection.start(self._models.change)
        if self._copy_loader is not None:
            threading.Thread(
                target=self._load_copy_model, args=(self._copy_loader,), name="copy model", daemon=True
            ).start()

    def _load_copy_model(self, loader: EncoderLoader) -> None:
        with contextlib.suppress(EncoderError):
            self.model_selection.loader.get(COPY_MODEL_WAITS)
        if not self._closing.is_set():
            loader.start()

    def close(self) -> None:
        """Let the worker finish its batch, then close everything."""
        self._closing.set()
        if self._opener.ident is not None:  # it may be about to start the worker
            self._opener.join()
        self.model_selection.close()
        if self._copy_loader is not None:
            self._copy_loader.close()
        if self.worker is not None:
            self.worker.stop()
        self._follower.stop()
        self._indexer.close()
        self.verifier.close()
        self._models.close()
        if self._copy_models is not None:
            self._copy_models.close()
        self.fetcher.close()
        self.originals.close()
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
            self._follower.start()
            if self.worker is not None:
                self.worker.start()
            return

    def wait_until_ready(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for the database and the model. Raises DatabaseError or EncoderError."""
        deadline = time.monotonic() + timeout
        while self._database_state.state != "ready" and time.monotonic() < deadline:
            time.sleep(STATE_SECONDS)
        self._need_database()
        self.model_selection.loader.get(max(0.0, deadline - time.monotonic()))

    @property
    def database_state(self) -> DatabaseState:
        """The last known state of the database."""
        return self._database_state

    @property
    def model_state(self) -> LoadState:
        """The loading state of the configured model, with which every picture is to be embedded."""
        return self.model_selection.loader.state

    @property
    def reembedding(self) -> Reembedding | None:
        """The progress of a change of model; None if there is none."""
        return self._models.reembedding

    def serving(self) -> ActiveModel:
        """The model that searches use, and its encoder. Raises DatabaseError or EncoderError."""
        self._need_database()
        return self._models.serving()

    def copy_model(self) -> ActiveModel | None:
        """The copy model that searches use, and its encoder; None when it is off, still loading, or unavailable."""
        if self._copy_models is not None and self._database_state.state == "ready":
            with contextlib.suppress(DatabaseError, EncoderError):
                return self._copy_models.serving()
        return None

    @property
    def copy_model_state(self) -> LoadState | None:
        """The loading state of the copy model; None when it is off."""
        return self._copy_loader.state if self._copy_loader else None

    @property
    def copy_reembedding(self) -> Reembedding | None:
        """The progress of embedding the collection with the copy model; None when nothing is missing."""
        return self._copy_models.reembedding if self._copy_models else None

    def retry_copy_model(self) -> None:
        """Try again to load the copy model if it failed to load; otherwise do nothing."""
        if self._copy_loader is not None:
            self._copy_loader.retry()

    def model(self) -> Model:
        """The model that searches use. Raises DatabaseError or EncoderError."""
        return self.serving().model

    @property
    def can_search(self) -> bool:
        """Whether the database and the model that searches use are ready."""
        try:
            self.serving()
        except (DatabaseError, EncoderError):
            return False
        return True

    def _need_database(self) -> None:
        state = self._database_state
        if state.state == "starting":
            raise DatabaseError("The database is still starting. Try again in a few seconds.")
        if state.state == "failed":
            raise DatabaseError(state.message)

    def likeness(self, query: Query, picture: UUID) -> Likeness:
        """Why a picture is like a query, see `core.search.likeness`. Raises EncoderError, NotFoundError or
        DatabaseError."""
        return likeness(self.store, self.serving(), query, picture)

    def export_collection(self, kind: Format, *, thumbnails: bool, embeddings: bool) -> Iterator[bytes]:
        """The collection as a file in chunks, with the embeddings of the model that searches use if `embeddings`.

        Raises DatabaseError or EncoderError, also while iterating.
        """
        self._need_database()
        return export_table(
            self.database, self.model() if embeddings else None, kind, thumbnails=thumbnails, embeddings=embeddings
        )

    def import_collection(self, name: str, file: IO[bytes], on_progress: OnProgress = lambda _: None) -> ImportedTable:
        """Add the pictures of a table to the collection, see `import_table`. Raises TransferError, DatabaseError or
        EncoderError."""
        return import_table(self.database, self.model(), name, file, on_progress)

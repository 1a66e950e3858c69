"""Items -> pictures: fetch, decode, embed and store as one pipeline around the model."""

from __future__ import annotations

import logging
import math
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import timedelta
from itertools import chain
from typing import Any
from uuid import UUID

import psycopg

from core.collection.metadata import add_item_metadata
from core.collection.store import NewPicture, Store, picture_id
from core.database.connection import Database
from core.database.embedding_tables import Model, Vector
from core.embedding.encoder import Encoder
from core.errors import LookalikeError
from core.indexing.claims import Claims, Item, Outcome
from core.indexing.item_loader import UNFORESEEN, ItemLoader, Ready
from core.media.fetcher import Fetcher
from core.media.uploads import base_name
from core.process import BATCHES, step_aside, take_a_share
from core.settings import Settings
from core.signed_urls import file_path

logger = logging.getLogger(__name__)

BATCH, ENOUGH = 32, 16
"""Pictures in one forward pass at most, and for how many it is worth while when the model has nothing to do."""

FINISHING = max(2, BATCHES)
"""Batches on their way out: as many as the model takes at a time, and two at least, for one may be being written."""

WINDOW = (2 + FINISHING) * BATCH
"""Items in hand at once: enough fetches under way to keep the model busy, and a bound on memory."""

CHUNK = 8 * BATCH
"""Items after which a run makes room, if another import waits."""

LEASE = timedelta(seconds=20)
"""How long a claimed item belongs to its worker; renewed while the worker lives."""

FLUSH_SECONDS = 0.5
"""How long finished items wait for a batch to fill while nothing else is ready."""

PLACE_SECONDS = 0.05
"""How often a run with nothing under way looks for a free place at its hosts; other runs use them all."""


class Indexer:
    """Works on items of imports. One may be shared by several threads."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        store: Store,
        fetcher: Fetcher,
        encoder: Encoder,
        model: Model,
    ) -> None:
        self._database = database
        self._store = store
        self._claims = Claims(database)
        self._encoder = encoder
        self._model = model
        self._loader = ItemLoader(settings, store, self._claims, fetcher, encoder)
        self._loaders = ThreadPoolExecutor(32, "fetch", step_aside)
        self._finishers = ThreadPoolExecutor(FINISHING, "finish", take_a_share)

    def close(self) -> None:
        """Stop the threads; those in the middle of a fetch end by its deadline."""
        self._loaders.shutdown(wait=False, cancel_futures=True)
        self._finishers.shutdown(wait=False, cancel_futures=True)

    def share_hosts(self, workers: int) -> None:
        """Ask each host for an equal part of the requests that it is sent at a time, as one of so many workers."""
        self._loader.hosts.share(workers)

    def run(self, import_id: int, stop: Callable[[], bool]) -> int:
        """Work on the due items of an import and return how many were brought to an outcome.

        The run ends when nothing is due any more, or after CHUNK items when another import waits. When `stop`
        answers True the batches at the model are finished, the other items in hand given back, and the run ends. A
        failure of the database ends the run too; the lease then brings the items back.
        """
        run = _Run(self, import_id, stop)
        with _Heartbeat(self._claims, run):
            return run.work()

    def _finish(self, ready: Sequence[Ready], outcomes: Sequence[Outcome]) -> None:
        """Embed a batch and write it. When that fails because of what is in it, the bad item fails alone."""
        try:
            self._write(ready, outcomes, self._embed(ready))
        except Exception as error:
            outage = isinstance(error, psycopg.Error) and not isinstance(
                error, psycopg.DataError | psycopg.IntegrityError
            )
            if outage or isinstance(error, LookalikeError):
                raise
            if len(ready) + len(outcomes) > 1:
                for entry in ready:
                    self._finish([entry], [])
                for outcome in outcomes:
                    self._finish([], [outcome])
                return
            item = _items(ready, outcomes)[0]
            logger.exception("item %s of import %s", item.key.hex(), item.import_id)
            self._write([], [Outcome(item, "failed", reason=UNFORESEEN)], {})

    def _embed(self, ready: Sequence[Ready]) -> dict[UUID, Vector]:
        """The embeddings of those pictures that have none yet."""
        prepared = {picture_id(entry.picture.sha256): entry.prepared for entry in ready}
        with self._database.connection() as connection:
            known = self._store.embedded(connection, self._model, prepared)
        fresh = [id for id in prepared if id not in known]
        vectors = self._encoder.encode_prepared([prepared[id] for id in fresh])
        return dict(zip(fresh, vectors, strict=True))

    def _write(self, ready: Sequence[Ready], outcomes: Sequence[Outcome], vectors: Mapping[UUID, Vector]) -> None:
        """Write what became of a batch, in one transaction."""
        with self._database.connection() as connection:
            held = self._claims.lock_waiting(connection, _items(ready, outcomes))
            entries, new = list[tuple[UUID, Item]](), dict[UUID, NewPicture]()
            for entry in ready:
                item, id = entry.item, picture_id(entry.picture.sha256)
                if item not in held:
                    continue
                entries.append((id, item))
                if id in vectors and id not in new:
                    title = base_name(item.url) if item.is_file else ""
                    new[id] = NewPicture(item.key, _address(item, id), entry.picture, vectors[id], title)
            made = self._store.add(connection, self._model, list(new.values()))
            firsts = {id: item for id, item in reversed(entries) if id in made}
            repeats = [(id, item) for id, item in entries if firsts.get(id) is not item]
            self._store.add_sources(connection, [(item.key, _address(item, id), id) for id, item in repeats])
            names = self._store.first_names(connection, {id for id, _ in repeats})
            self._claims.record(
                connection,
                [
                    *outcomes,
                    *(Outcome(item, "indexed", picture=id) for id, item in firsts.items()),
                    *(
                        Outcome(item, "already_there", picture=id, reason=f"Same picture as {names[id]}")
                        for id, item in repeats
                    ),
                ],
            )
            for import_id in {item.import_id for _, item in entries}:
                add_item_metadata(connection, import_id, [id for id, item in entries if item.import_id == import_id])


def _items(ready: Iterable[Ready], outcomes: Iterable[Outcome]) -> list[Item]:
    return [*(entry.item for entry in ready), *(outcome.item for outcome in outcomes)]


def _address(item: Item, picture: UUID) -> str:
    """Where the picture of an item can be had from now on."""
    return file_path(picture) if item.is_file else item.url


class _Run:
    """One run's items in hand."""

    def __init__(self, indexer: Indexer, import_id: int, stop: Callable[[], bool]) -> None:
        self._indexer = indexer
        self._import_id = import_id
        self._stop = stop
        self._unclaimed = CHUNK
        self._more = True
        self._in_vain = list[str]()  # with these hosts left out, nothing was due when we asked
        self._asked = 0.0
        self._queued = list[Item]()
        self._loading = dict[Future[Ready | Outcome], Item]()
        self._ready = list[Ready]()
        self._outcomes = list[Outcome]()
        self._finishing = dict[Future[None], list[Item]]()
        self._done = queue.SimpleQueue[Future[Any]]()
        self._finished = 0
        self._flushed = time.monotonic()
        self.lock = threading.Lock()

    def in_hand(self) -> list[Item]:
        """The items claimed and not written yet."""
        with self.lock:
            return [
                *self._queued,
                *self._loading.values(),
                *_items(self._ready, self._outcomes),
                *chain.from_iterable(self._finishing.values()),
            ]

    def work(self) -> int:
        try:
            while not self._stop():
                self._claim()
                self._load()
                self._finish()
                if not (self._queued or self._loading or self._finishing or self._claim_suspect()):
                    break
                self._collect()
        finally:
            self._give_back()
        return self._finished

    def _claim(self) -> None:
        """Take more items when there is room for a batch of them."""
        if not self._unclaimed and self._more:
            self._more = self._indexer._claims.due() == [self._import_id]
            self._unclaimed = CHUNK
        room = min(WINDOW - len(self._queued) - len(self._loading) - len(self._ready), self._unclaimed)
        if not self._more or room < min(BATCH, self._unclaimed):
            return
        in_hand = Counter(item.host for item in [*self._queued, *self._loading.values()])
        full = sorted(host for host, count in in_hand.items() if count >= WINDOW // 2)
        if full and full == self._in_vain and time.monotonic() < self._asked + FLUSH_SECONDS:
            return
        items = self._indexer._claims.claim(self._import_id, room, LEASE, full)
        self._in_vain, self._asked = [] if len(items) == room else full, time.monotonic()
        with self.lock:
            self._queued.extend(items)
        self._unclaimed -= len(items)
        self._more = len(items) == room or bool(full)

    def _claim_suspect(self) -> bool:
        """Take an item that may have crashed a worker, now that no other is in hand. Returns whether there is one."""
        items = self._indexer._claims.claim_suspect(self._import_id, LEASE)
        with self.lock:
            self._queued.extend(items)
        return bool(items)

    def _load(self) -> None:
        """Start what its hosts have places for."""
        hosts = self._indexer._loader.hosts
        spared = [(item, until) for item in self._queued if (until := hosts.backed_off_until(item.host))]
        for item, until in spared:
            self._indexer._claims.release([item], until)
        with self.lock:
            rest, dropped = list[Item](), {item for item, _ in spared}
            for item in self._queued:
                if item in dropped:
                    continue
                if hosts.enter(item.host):
                    future = self._indexer._loaders.submit(self._indexer._loader.load, item)
                    self._loading[future] = item
                    future.add_done_callback(self._done.put)
                else:
                    rest.append(item)
            self._queued = rest

    def _finish(self) -> None:
        """Send a batch to the model, or what there is when no more will come soon."""
        free = FINISHING - len(self._finishing)
        if not free or not (self._ready or self._outcomes):
            return
        idle = not self._loading and not self._queued
        overdue = time.monotonic() - self._flushed > FLUSH_SECONDS
        if not (idle or overdue or max(len(self._ready), len(self._outcomes)) >= ENOUGH):
            return
        with self.lock:
            size = min(BATCH, math.ceil(len(self._ready) / free)) if idle else BATCH  # the last are shared out
            ready, self._ready = self._ready[:size], self._ready[size:]
            outcomes, self._outcomes = self._outcomes, []
            future = self._indexer._finishers.submit(self._indexer._finish, ready, outcomes)
            self._finishing[future] = _items(ready, outcomes)
        future.add_done_callback(self._done.put)
        self._flushed = time.monotonic()

    def _collect(self) -> None:
        """Wait until something is done and take all that is."""
        busy = self._loading or self._finishing
        try:
            done = [self._done.get(timeout=FLUSH_SECONDS if busy else PLACE_SECONDS)]
        except queue.Empty:
            return
        while not self._done.empty():
            done.append(self._done.get())
        with self.lock:
            for future in done:
                result = future.result()
                if future in self._finishing:
                    self._finished += len(self._finishing.pop(future))
                    continue
                del self._loading[future]
                if isinstance(result, Ready):
                    self._ready.append(result)
                else:
                    self._outcomes.append(result)

    def _give_back(self) -> None:
        """Let the batches at the model end, and give everything else back."""
        for future, item in self._loading.items():
            if future.cancel():
                self._indexer._loader.hosts.leave(item.host)
        wait(self._finishing)
        with self.lock:
            for batch in [batch for batch in self._finishing if batch.exception() is None]:
                self._finished += len(self._finishing.pop(batch))
        if items := self.in_hand():
            self._indexer._claims.release(items)


class _Heartbeat:
    """Renews the lease on a run's items while it lives."""

    def __init__(self, claims: Claims, run: _Run) -> None:
        self._claims = claims
        self._run = run
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._ended.wait(LEASE.total_seconds() / 4):
            try:
                self._claims.renew(self._run.in_hand(), LEASE)
            except Exception as error:  # noqa: BLE001  a missed beat is made good by the next, or by the lease
                logger.warning("could not renew the lease: %s", error)

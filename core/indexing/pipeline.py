"""Items -> pictures: a pipeline that fetches, decodes, embeds and stores, and keeps the model busy."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from typing import Any

from core.collection.store import Store
from core.database.connection import Database
from core.embedding.active_models import ActiveModel
from core.indexing.batch_writer import BatchWriter, items_of
from core.indexing.claims import Claims, Item, LeaseRenewal, Outcome
from core.indexing.item_loader import ItemLoader, Ready
from core.media.fetcher import Fetcher
from core.process import BATCHES, step_aside, take_a_share
from core.settings import Settings

BATCH, ENOUGH = 32, 16
"""Pictures in a batch at most, and how many are worth a forward pass when the model is idle: `encoder` splits a batch
into the sizes that are fastest for the model."""

FETCHES = 32
"""Concurrent fetches: the limits of eight hosts."""

FINISHING = max(2, BATCHES)
"""Batches being embedded or written: as many as the model takes at a time, but at least two, because one may be being
written."""

WINDOW = (2 + FINISHING) * BATCH
"""Items claimed at once: enough concurrent fetches to keep the model busy, and a bound on memory."""

CHUNK = 8 * BATCH
"""Items after which a run ends if another import is waiting."""

TURN_SECONDS = 30.0
"""After so long a run ends likewise, for its hosts may be slow."""

AHEAD_SECONDS = 10.0
"""Of a host with a limited rate, so much work is claimed at once."""

LEASE = timedelta(seconds=20)
"""How long a claimed item belongs to its worker; renewed while the worker is alive."""

FLUSH_SECONDS = 0.5
"""How long finished items wait for a batch to fill up while nothing else is ready."""

PLACE_SECONDS = 0.05
"""How often a run with nothing in progress checks whether its hosts allow another request, while other runs use
them."""


@dataclass(frozen=True)
class _Parts:
    """What all runs of a process share."""

    claims: Claims
    loader: ItemLoader
    loaders: ThreadPoolExecutor
    finishers: ThreadPoolExecutor


class Indexer:
    """Processes items of imports. Thread-safe; all threads share the limits on requests to a host."""

    def __init__(self, settings: Settings, database: Database, store: Store, fetcher: Fetcher) -> None:
        self._database = database
        self._store = store
        claims = Claims(database)
        self._parts = _Parts(
            claims,
            ItemLoader(settings, store, claims, fetcher),
            ThreadPoolExecutor(FETCHES, "fetch", step_aside),
            ThreadPoolExecutor(FINISHING, "finish", take_a_share),
        )

    def close(self) -> None:
        """Stop the threads; those that are fetching end by the fetch's deadline."""
        self._parts.loaders.shutdown(wait=False, cancel_futures=True)
        self._parts.finishers.shutdown(wait=False, cancel_futures=True)

    def share_hosts(self, processes: int) -> None:
        """Use an equal share of the concurrent requests to each host, as one of `processes`."""
        self._parts.loader.hosts.share(processes)

    def run(
        self, import_id: int, in_use: ActiveModel, stop: Callable[[], bool], copy_model: ActiveModel | None = None
    ) -> int:
        """Process the due items of an import with this model, and with a copy model if there is one; returns how many
        have an outcome.

        The run ends when nothing more is due, or after CHUNK items when another import is waiting. When `stop` returns
        True, the batches at the model are finished, the other claimed items are released, and the run ends. A database
        failure ends the run, too; the items are then due again when their lease expires. Raises DatabaseError or
        EncoderError.
        """
        writer = BatchWriter(self._database, self._store, self._parts.claims, in_use, copy_model)
        run = _Run(self._parts, in_use, copy_model, writer, import_id, stop)
        with LeaseRenewal(self._parts.claims, run.in_hand, LEASE):
            return run.work()


class _Run:
    """One run and its claimed items."""

    def __init__(
        self,
        parts: _Parts,
        in_use: ActiveModel,
        copy_model: ActiveModel | None,
        writer: BatchWriter,
        import_id: int,
        stop: Callable[[], bool],
    ) -> None:
        self._claims = parts.claims
        self._loader = parts.loader
        self._loaders = parts.loaders
        self._finishers = parts.finishers
        self._encoder = in_use.encoder
        self._copy_encoder = copy_model.encoder if copy_model else None
        self._writer = writer
        self._import_id = import_id
        self._stop = stop
        self._unclaimed = CHUNK
        self._turn_ends = time.monotonic() + TURN_SECONDS
        self._more = True
        self._in_vain = list[str]()  # without these hosts, nothing was due at the last claim
        self._asked = 0.0
        self._queued = list[Item]()
        self._loading = dict[Future[Ready | Outcome], Item]()
        self._ready = list[Ready]()
        self._outcomes = list[Outcome]()
        self._finishing = dict[Future[None], list[Item]]()
        self._done = queue.SimpleQueue[Future[Any]]()
        self._finished = 0
        self._flushed = time.monotonic()
        self._lock = threading.Lock()

    def in_hand(self) -> list[Item]:
        """The items claimed and not yet written."""
        with self._lock:
            return [
                *self._queued,
                *self._loading.values(),
                *items_of(self._ready, self._outcomes),
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
        """Claim more items when there is room for a batch of them."""
        if self._more and (not self._unclaimed or time.monotonic() > self._turn_ends):
            self._more = self._claims.due() in ([], [self._import_id])
            self._unclaimed, self._turn_ends = CHUNK, time.monotonic() + TURN_SECONDS
        room = min(WINDOW - len(self._queued) - len(self._loading) - len(self._ready), self._unclaimed)
        if not self._more or room < min(BATCH, self._unclaimed):
            return
        in_hand = Counter(item.host for item in [*self._queued, *self._loading.values()])
        hosts = self._loader.hosts
        full = sorted(
            host for host, count in in_hand.items() if count >= min(WINDOW // 2, hosts.room(host, AHEAD_SECONDS))
        )
        if full and full == self._in_vain and time.monotonic() < self._asked + FLUSH_SECONDS:
            return
        items = self._claims.claim(self._import_id, room, LEASE, full)
        self._in_vain, self._asked = [] if len(items) == room else full, time.monotonic()
        with self._lock:
            self._queued.extend(items)
        self._unclaimed -= len(items)
        self._more = len(items) == room or bool(full)

    def _claim_suspect(self) -> bool:
        """Claim an item that may have crashed a worker, now that no other is claimed. Returns whether there is one."""
        items = self._claims.claim_suspect(self._import_id, LEASE)
        with self._lock:
            self._queued.extend(items)
        return bool(items)

    def _load(self) -> None:
        """Start the fetches that the limits of their hosts allow."""
        hosts = self._loader.hosts
        limited = [(item, *held) for item in self._queued if (held := hosts.backed_off_until(item.host))]
        for item, until, reason in limited:
            self._claims.release([item], until, reason)
        with self._lock:
            rest, dropped = list[Item](), {item for item, *_ in limited}
            for item in self._queued:
                if item in dropped:
                    continue
                if hosts.enter(item.host):
                    future = self._loaders.submit(self._loader.load, item, self._encoder, self._copy_encoder)
                    self._loading[future] = item
                    future.add_done_callback(self._done.put)
                else:
                    rest.append(item)
            self._queued = rest

    def _finish(self) -> None:
        """Send a full batch to the model, or a smaller one when no more items will be ready soon."""
        free = FINISHING - len(self._finishing)
        if not free or not (self._ready or self._outcomes):
            return
        idle = not self._loading and not self._queued
        overdue = time.monotonic() - self._flushed > FLUSH_SECONDS
        if not (idle or overdue or max(len(self._ready), len(self._outcomes)) >= ENOUGH):
            return
        with self._lock:
            size = min(BATCH, math.ceil(len(self._ready) / free)) if idle else BATCH  # the last are shared out
            ready, self._ready = self._ready[:size], self._ready[size:]
            outcomes, self._outcomes = self._outcomes, []
            future = self._finishers.submit(self._writer.finish, ready, outcomes)
            self._finishing[future] = items_of(ready, outcomes)
        future.add_done_callback(self._done.put)
        self._flushed = time.monotonic()

    def _collect(self) -> None:
        """Wait until something is done, and collect everything that is."""
        busy = self._loading or self._finishing
        waits = [pause for host in {item.host for item in self._queued} if (pause := self._loader.hosts.wait(host))]
        try:
            done = [self._done.get(timeout=min([FLUSH_SECONDS if busy else PLACE_SECONDS, *waits]))]
        except queue.Empty:
            return
        while not self._done.empty():
            done.append(self._done.get())
        with self._lock:
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
        """Let the batches at the model finish, and release everything else."""
        for future, item in self._loading.items():
            if future.cancel():
                self._loader.hosts.leave(item.host)
        wait(self._finishing)
        with self._lock:
            for batch in [batch for batch in self._finishing if batch.exception() is None]:
                self._finished += len(self._finishing.pop(batch))
        if items := self.in_hand():
            self._claims.release(items)

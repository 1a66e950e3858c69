"""Items -> pictures: fetch, decode, embed and store as one pipeline around the model."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from core.database import Database
from core.encoder import Encoder
from core.errors import FetchError, PictureError
from core.fetch import Fetcher
from core.ledger import Item, Ledger, Outcome
from core.picture import Picture, read_picture
from core.settings import Settings
from core.store import Model, NewPicture, Store, picture_id

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

BATCH = 32
"""Pictures in one forward pass."""

WINDOW = 4 * BATCH
"""Items in hand at once: enough fetches under way to keep the model busy, and a bound on memory."""

PER_HOST = 4
"""Requests to one host at a time, as a polite browser would make."""

CHUNK = 8 * BATCH
"""Items that one run works on, so that several imports take turns."""

LEASE = timedelta(seconds=40)
"""How long a claimed item belongs to its worker; renewed while the worker lives."""

MAX_ATTEMPTS = 4
"""Tries for a URL that may yet succeed."""

MAX_RETRY_AFTER = 3600.0
"""The longest wait in seconds that a server's Retry-After is granted."""

FLUSH_SECONDS = 0.5
"""How long finished items wait for a batch to fill while nothing else is ready."""


@dataclass(frozen=True)
class _Ready:
    """An item whose picture is decoded and prepared for the model."""

    item: Item
    picture: Picture
    prepared: torch.Tensor


class Indexer:
    """Works on items of imports. One may be shared by several threads."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        store: Store,
        ledger: Ledger,
        fetcher: Fetcher,
        encoder: Encoder,
        model: Model,
    ) -> None:
        self._settings = settings
        self._database = database
        self._store = store
        self._ledger = ledger
        self._fetcher = fetcher
        self._encoder = encoder
        self._model = model
        self._threads = ThreadPoolExecutor(max_workers=32, thread_name_prefix="fetch")
        self._hosts = _HostGate(PER_HOST)

    def close(self) -> None:
        """Stop the fetch threads; those in the middle of a fetch end by its deadline."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def run(self, import_id: int, stop: Callable[[], bool], limit: int = CHUNK) -> int:
        """Work on up to `limit` due items of an import and return how many were brought to an outcome.

        When `stop` answers True the items in hand are given back and the run ends. A failure of the database
        ends the run too; the lease then brings the items back.
        """
        run = _Run(self, import_id, stop, limit)
        with _Heartbeat(self._ledger, run):
            return run.work()

    def _load(self, item: Item) -> _Ready | Outcome:
        """Fetch and decode one item; its host was entered before."""
        try:
            return self._attempt(item)
        finally:
            self._hosts.leave(item.host)

    def _attempt(self, item: Item) -> _Ready | Outcome:
        try:
            fetched = self._fetcher.fetch(item.url)
            picture = read_picture(
                fetched.data, max_bytes=self._settings.max_file_bytes, max_pixels=self._settings.max_pixels
            )
            return _Ready(item, picture, self._encoder.prepare(picture.image))
        except PictureError as error:
            return Outcome(item, "failed", reason=str(error))
        except FetchError as error:
            if not error.retryable or item.attempts >= MAX_ATTEMPTS:
                return Outcome(item, "failed", reason=str(error))
            again = datetime.now(UTC) + timedelta(seconds=self._delay(item, error))
            if error.retry_after is not None:  # the whole host asks to be left alone
                self._hosts.spare(item.host, again)
                self._ledger.spare(item.host, again)
            return Outcome(item, "waiting", reason=str(error), next_try_at=again)
        except Exception:  # one strange item must never stop the others
            logger.exception("item %s of import %s", item.key.hex(), item.import_id)
            return Outcome(
                item,
                "failed",
                reason="Something unforeseen went wrong with this picture; the log has the details.",
            )

    def _delay(self, item: Item, error: FetchError) -> float:
        """Seconds until the next try: exponential back-off with jitter, or longer when the server asks for it."""
        backoff = self._settings.retry_delay * 4.0 ** (item.attempts - 1) * random.uniform(0.8, 1.2)  # noqa: S311
        return max(backoff, min(error.retry_after or 0.0, MAX_RETRY_AFTER))

    def _finish(self, ready: Sequence[_Ready], outcomes: Sequence[Outcome]) -> None:
        """Embed what is new among the pictures and write everything in one transaction."""
        by_id = dict[UUID, list[_Ready]]()
        for entry in ready:
            by_id.setdefault(picture_id(entry.picture.sha256), []).append(entry)
        with self._database.connection() as connection:
            known = self._store.embedded(connection, self._model, by_id)
        fresh = [id for id in by_id if id not in known]
        vectors = dict(zip(fresh, self._encoder.encode_prepared([by_id[id][0].prepared for id in fresh]), strict=True))
        with self._database.connection() as connection:
            held = self._ledger.lock_waiting(connection, [entry.item for entry in ready])
            new, repeats = list[NewPicture](), list[tuple[UUID, Item]]()
            results = list(outcomes)
            for id, entries in by_id.items():
                items = [entry.item for entry in entries if entry.item in held]
                if id in vectors and items:
                    first = items.pop(0)
                    new.append(NewPicture(first.key, first.url, entries[0].picture, vectors[id]))
                    results.append(Outcome(first, "indexed", picture=id))
                repeats += [(id, item) for item in items]
            self._store.add(connection, self._model, new)
            self._store.add_sources(connection, [(item.key, item.url, id) for id, item in repeats])
            firsts = self._store.first_urls(connection, {id for id, _ in repeats})
            results += [
                Outcome(item, "already_there", picture=id, reason=f"Same picture as {firsts[id]}")
                for id, item in repeats
            ]
            self._ledger.record(connection, results)


class _HostGate:
    """Counts the requests under way to each host, and knows which hosts asked to be left alone."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._busy = Counter[str]()
        self._spared = dict[str, datetime]()
        self._lock = threading.Lock()

    def spare(self, host: str, until: datetime) -> None:
        with self._lock:
            self._spared[host] = until

    def spared_until(self, host: str) -> datetime | None:
        with self._lock:
            until = self._spared.get(host)
            if until is not None and until <= datetime.now(UTC):
                del self._spared[host]
                return None
            return until

    def enter(self, host: str) -> bool:
        with self._lock:
            if self._busy[host] >= self._limit:
                return False
            self._busy[host] += 1
            return True

    def leave(self, host: str) -> None:
        with self._lock:
            self._busy[host] -= 1
            if not self._busy[host]:
                del self._busy[host]


class _Run:
    """One run's items in hand."""

    def __init__(self, indexer: Indexer, import_id: int, stop: Callable[[], bool], limit: int) -> None:
        self._indexer = indexer
        self._import_id = import_id
        self._stop = stop
        self._unclaimed = limit
        self._queued = list[Item]()
        self._loading = dict[Future[_Ready | Outcome], Item]()
        self._ready = list[_Ready]()
        self._outcomes = list[Outcome]()
        self.lock = threading.Lock()

    def in_hand(self) -> list[Item]:
        """The items claimed and without an outcome yet."""
        with self.lock:
            return [
                *self._queued,
                *self._loading.values(),
                *(entry.item for entry in self._ready),
                *(outcome.item for outcome in self._outcomes),
            ]

    def work(self) -> int:
        finished = 0
        flushed = time.monotonic()
        try:
            while not self._stop():
                self._claim()
                self._start()
                if not self.in_hand():
                    return finished
                self._collect()
                idle = not self._loading and not self._queued
                overdue = time.monotonic() - flushed > FLUSH_SECONDS and (self._ready or self._outcomes)
                if len(self._ready) >= BATCH or idle or overdue:
                    finished += self._flush()
                    flushed = time.monotonic()
            return finished
        finally:
            self._give_back()

    def _claim(self) -> None:
        room = min(WINDOW - len(self._queued) - len(self._loading) - len(self._ready), self._unclaimed)
        if room < min(BATCH, self._unclaimed) or room <= 0:
            return
        in_hand = Counter(item.host for item in [*self._queued, *self._loading.values()])
        full = [host for host, count in in_hand.items() if count >= WINDOW // 2]
        items = self._indexer._ledger.claim(self._import_id, room, LEASE, full)
        with self.lock:
            self._queued.extend(items)
        self._unclaimed = self._unclaimed - len(items) if len(items) == room or full else 0

    def _start(self) -> None:
        hosts = self._indexer._hosts
        spared = [(item, until) for item in self._queued if (until := hosts.spared_until(item.host))]
        for item, until in spared:
            self._indexer._ledger.release([item], until)
        with self.lock:
            rest, dropped = list[Item](), {item for item, _ in spared}
            for item in self._queued:
                if item in dropped:
                    continue
                if hosts.enter(item.host):
                    self._loading[self._indexer._threads.submit(self._indexer._load, item)] = item
                else:
                    rest.append(item)
            self._queued = rest

    def _collect(self) -> None:
        """Wait until something is loaded and take all that is."""
        if not self._loading:  # another run is using every place at these hosts
            time.sleep(0.05)
        done, _ = wait(self._loading, timeout=FLUSH_SECONDS, return_when=FIRST_COMPLETED)
        with self.lock:
            for future in done:
                del self._loading[future]
                result = future.result()
                if isinstance(result, _Ready):
                    self._ready.append(result)
                else:
                    self._outcomes.append(result)

    def _flush(self) -> int:
        ready, outcomes = self._ready[:BATCH], list(self._outcomes)
        self._indexer._finish(ready, outcomes)
        with self.lock:
            self._ready = self._ready[BATCH:]
            self._outcomes = self._outcomes[len(outcomes) :]
        return len(ready) + len(outcomes)

    def _give_back(self) -> None:
        for future, item in self._loading.items():
            if future.cancel():
                self._indexer._hosts.leave(item.host)
        items = self.in_hand()
        if items:
            self._indexer._ledger.release(items)


class _Heartbeat:
    """Renews the lease on a run's items while it lives."""

    def __init__(self, ledger: Ledger, run: _Run) -> None:
        self._ledger = ledger
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
                self._ledger.renew(self._run.in_hand(), LEASE)
            except Exception as error:  # noqa: BLE001  a missed beat is made good by the next, or by the lease
                logger.warning("could not renew the lease: %s", error)

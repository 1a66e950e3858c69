"""One item -> a picture prepared for the model, or another outcome."""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from core.collection.store import Store, picture_id
from core.embedding.encoder import Encoder
from core.errors import DatabaseError, FetchError, NotFoundError, PictureError
from core.indexing.claims import Claims, Item, Outcome
from core.indexing.host_limits import HostGate
from core.media.decode import Picture
from core.media.fetcher import Fetcher, Version
from core.media.isolation.pool import IMPORTS, read_picture
from core.settings import Settings

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

PER_HOST = 4
"""Concurrent requests to one host, fewer than a browser's six: from all processes together, for up to four of them."""

DECODING = max(1, (os.cpu_count() or 1) // 2)
"""Pictures decoded at a time: a dozen threads competing for cores would delay people's searches."""

MAX_ATTEMPTS = 4
"""Attempts for a URL that may still succeed: with the default delay, the last is three to four minutes after the
first."""

MAX_REFUSALS = 6
"""Attempts for a URL that is refused, while its host is asked at a rate that it mostly allows: one in twelve requests
is refused then, so six in a row concern the URL itself."""

REFUSED = {429, 503}
"""Answers of a host that is asked too often (RFC 6585, 4; RFC 9110, 15.6.4)."""

MAX_RETRY_AFTER = 3600.0
"""The longest Retry-After in seconds that is honoured."""

LONG_RETRY_AFTER = 60.0
"""A longer Retry-After in seconds holds up only its URL, until a second URL of the host is refused, too."""

LONG_PAUSE = 5.0
"""A host's pause in seconds for which its items are released, and of which the Index page tells."""

UNFORESEEN = "An unexpected error occurred with this picture; see the log for details."


@dataclass(frozen=True)
class Ready:
    """An item whose picture is decoded and prepared for the model, and for the copy model if there is one. `version` is
    what its site says of its file."""

    item: Item
    picture: Picture
    prepared: torch.Tensor
    copy_prepared: torch.Tensor | None = None
    version: Version | None = None

    @property
    def id(self) -> UUID:
        """The picture's id."""
        return picture_id(self.picture.sha256)


class ItemLoader:
    """Fetches and decodes items. Thread-safe."""

    def __init__(self, settings: Settings, store: Store, claims: Claims, fetcher: Fetcher) -> None:
        self._settings = settings
        self._store = store
        self._claims = claims
        self._fetcher = fetcher
        self.hosts = HostGate(PER_HOST, unit=settings.retry_delay / 10)
        self._decoding = threading.Semaphore(DECODING)

    def load(self, item: Item, encoder: Encoder, copy_encoder: Encoder | None) -> Ready | Outcome:
        """Fetch, decode and prepare one item. The caller has entered its host in `hosts`; it is left once the host has
        responded. Raises DatabaseError."""
        with ExitStack() as place:
            place.callback(self.hosts.leave, item.host)
            return self._attempt(item, encoder, copy_encoder, place)

    def _attempt(self, item: Item, encoder: Encoder, copy_encoder: Encoder | None, place: ExitStack) -> Ready | Outcome:
        asked_at = time.monotonic()
        try:
            data, version = self._read(item)
            self.hosts.answered(item.host)
            place.close()
            if data is None:
                return Outcome(item, "already_there", picture=item.known.picture if item.known else None)
            with self._decoding:
                picture = read_picture(data, self._settings, IMPORTS)
                prepared = encoder.prepare(picture.image, picture.box)
                copy_prepared = copy_encoder.prepare(picture.image, picture.box) if copy_encoder else None
                return Ready(item, picture, prepared, copy_prepared, version)
        except (PictureError, NotFoundError) as error:
            return Outcome(item, "failed", reason=str(error))
        except DatabaseError:
            raise
        except FetchError as error:
            return self._unfetched(item, error, asked_at)
        except Exception:  # one bad item must never stop the others
            logger.exception("item %s of import %s", item.key.hex(), item.import_id)
            return Outcome(item, "failed", reason=UNFORESEEN)

    def _read(self, item: Item) -> tuple[bytes | None, Version | None]:
        """The bytes of an item, None if they are those of the known version, and the version that a site names."""
        if item.is_file:
            return self._store.file_bytes(item.file or item.key), None
        fetched = self._fetcher.fetch(item.url, item.known.version if item.known else None)
        return None if fetched.unchanged else fetched.data, fetched.version

    def _unfetched(self, item: Item, error: FetchError, asked_at: float) -> Outcome:
        if error.status in REFUSED:
            return self._refused(item, error, asked_at)
        if not error.retryable:
            self.hosts.answered(item.host)
        if not error.retryable or item.attempts >= MAX_ATTEMPTS:
            return Outcome(item, "failed", reason=str(error))
        again = self._in(max(self._delay(item), min(error.retry_after or 0.0, MAX_RETRY_AFTER)))
        return Outcome(item, "waiting", reason=str(error), next_try_at=again)

    def _refused(self, item: Item, error: FetchError, asked_at: float) -> Outcome:
        """The host is slowed down, and the item waits. Raises DatabaseError."""
        refusal = self.hosts.refused(item.host, asked_at, first=item.attempts == 1)
        most = MAX_REFUSALS if refusal.slowed else MAX_ATTEMPTS
        if refusal.hopeless or (refusal.known and item.attempts >= most):
            return Outcome(item, "failed", reason=str(error))
        after = min(error.retry_after or 0.0, MAX_RETRY_AFTER)
        held = after if after <= LONG_RETRY_AFTER or refusal.in_a_row > 1 else 0.0
        if (pause := max(refusal.pause, held)) >= LONG_PAUSE or held:
            until = self._in(pause)
            self.hosts.back_off(item.host, until, str(error))
            self._claims.back_off(item.host, until, str(error))
        again = self._in(max(self._delay(item), after, pause))
        return Outcome(item, "waiting", reason=str(error), next_try_at=again, counts=refusal.known)

    def _in(self, seconds: float) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=seconds)

    def _delay(self, item: Item) -> float:
        """Seconds until the next attempt of an item by itself: exponential back-off with jitter."""
        exponent = min(item.attempts, MAX_ATTEMPTS - 1) - 1
        return self._settings.retry_delay * 4.0**exponent * random.uniform(0.8, 1.2)  # noqa: S311

"""Pictures in full, to be compared on the screen: of the collection and of queries, re-encoded and cached on disk."""

from __future__ import annotations

import io
import logging
import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from uuid import UUID

from diskcache_community import Cache, SafeDisk, Timeout

from core.collection.picture_details import PictureDetails, read_details
from core.collection.store import Store
from core.database.connection import Database
from core.duplicates.near_copies import MAX_DISTANCE
from core.errors import FetchError, NotFoundError, PictureError
from core.media.decode import Picture
from core.media.fetcher import Fetcher
from core.media.isolation.pool import QUERIES, read_picture
from core.search.query_images import QueryImages
from core.settings import Settings

logger = logging.getLogger(__name__)

FULL_SIDE, FULL_QUALITY = 2048, 90
"""Pixels of the short side to which an original may be reduced: a screen of 4K shows all of it."""

CACHE_BYTES = 1_000_000_000
"""What the originals on disk may take: about a thousand of them. The least recently used go first."""

KEPT_SECONDS = 30 * 24 * 3600
MISSING_SECONDS = 600
"""How long an original is cached, and how long its site is not asked again after it did not have it."""

_MISSING = b""


@dataclass(frozen=True)
class Original:
    """A JPEG of a picture: in full, or its thumbnail where nothing better can be had."""

    data: bytes
    full: bool

    mime = "image/jpeg"


class Originals:
    """Reads originals: from the kept file, the cache, or one of the picture's URLs. Thread-safe."""

    def __init__(
        self, settings: Settings, database: Database, store: Store, query_images: QueryImages, fetcher: Fetcher
    ) -> None:
        self._settings = settings
        self._database = database
        self._store = store
        self._query_images = query_images
        self._fetcher = fetcher

    def read(self, id: UUID) -> Original:
        """The picture of the collection or of a query that has this id.

        What a URL leads to now is only taken when it is the picture that was indexed, by its bytes or its perceptual
        hash. Raises NotFoundError or DatabaseError.
        """
        try:
            details = read_details(self._database, id)
        except NotFoundError:
            return self._of_query(id)
        data = self._cached(id)
        if data is None:
            data = self._load(details)
            self._keep(id, data)
        return Original(data, True) if data else Original(self._store.thumbnail(id)[1], False)

    def close(self) -> None:
        """Close the cache."""
        if "_cache" in self.__dict__ and self._cache is not None:
            self._cache.close()

    def _of_query(self, id: UUID) -> Original:
        """A query's picture is in the database already, and only for some days: it is not cached."""
        try:
            return Original(_jpeg(self._decode(self._query_images.read(id))), True)
        except (NotFoundError, PictureError):
            self._forget(id)
            raise NotFoundError("There is no picture with that id.") from None

    def _load(self, details: PictureDetails) -> bytes:
        """The original from its kept file, else from the first of its URLs that still has it, else `_MISSING`."""
        with suppress(NotFoundError, PictureError):
            return _jpeg(self._decode(self._store.file(details.id).data))
        for url in details.urls:
            if not url.startswith(("http://", "https://")):
                continue
            with suppress(FetchError, PictureError):
                data = self._fetcher.fetch(url).data
                picture = self._decode(data)
                if _is_same(picture, details, data):
                    return _jpeg(picture)
        return _MISSING

    def _decode(self, data: bytes) -> Picture:
        return read_picture(data, self._settings, QUERIES, side=FULL_SIDE)

    # The cache: a page must not fail because a disk is full or read-only.

    @cached_property
    def _cache(self) -> Cache | None:
        folder = self._settings.data_dir.expanduser().absolute() / "originals"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return Cache(
                str(folder), disk=SafeDisk, size_limit=CACHE_BYTES, eviction_policy="least-recently-used", timeout=5
            )
        except (OSError, sqlite3.Error, Timeout) as error:
            logger.warning("Originals are not cached in %s: %s", folder, error)
            return None

    def _cached(self, id: UUID) -> bytes | None:
        if self._cache is not None:
            with suppress(OSError, sqlite3.Error, Timeout):
                found = self._cache.get(str(id))
                return found if isinstance(found, bytes) else None
        return None

    def _keep(self, id: UUID, data: bytes) -> None:
        if self._cache is not None:
            with suppress(OSError, sqlite3.Error, Timeout):
                self._cache.set(str(id), data, expire=KEPT_SECONDS if data else MISSING_SECONDS)

    def _forget(self, id: UUID) -> None:
        """Of a picture that was deleted permanently."""
        if self._cache is not None:
            with suppress(OSError, sqlite3.Error, Timeout):
                self._cache.delete(str(id))


def _is_same(picture: Picture, details: PictureDetails, data: bytes) -> bool:
    """Whether a file is the picture that was indexed, or another encoding of it."""
    return (
        sha256(data).digest() == details.sha256 or ((picture.phash ^ details.phash) % 2**64).bit_count() <= MAX_DISTANCE
    )


def _jpeg(picture: Picture) -> bytes:
    buffer = io.BytesIO()
    picture.image.save(buffer, "JPEG", quality=FULL_QUALITY, icc_profile=None, exif=b"")
    return buffer.getvalue()

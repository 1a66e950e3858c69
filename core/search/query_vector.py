"""The parts of a query -> one unit vector to compare the collection with."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from threading import Lock
from uuid import UUID

import numpy as np
from cachetools import LRUCache

from core.collection.store import Store, picture_id, picture_name
from core.database.embedding_tables import Model, Vector
from core.embedding.active_models import ActiveModel
from core.errors import NotFoundError, PictureError, QueryError
from core.media.crop import crop_image
from core.media.decode import MIN_SIDE, WORKING_SIDE, read_picture
from core.media.fetcher import Fetcher
from core.media.uploads import base_name
from core.media.urls import clean
from core.search.query_images import QueryImages
from core.search.query_parts import Kind, Part, checked_parts, kind_of
from core.settings import Settings

CACHED_PARTS = 512
"""Parts whose embedding is remembered, so that a changed weight costs no forward pass: 2 kB each at 512 dimensions, and
a thumbnail of some 10 kB."""

SHORTEST_SUM = 0.05
"""Length below which a sum of unit vectors points nowhere in particular: rounding to half precision alone moves a unit
vector of 512 numbers by about 0.001."""


_Look = tuple[Vector, bytes | None]
"""A unit vector, and the thumbnail of what it was made from, None for words."""


@dataclass(frozen=True)
class EncodedPart:
    """A part as the model sees it: a unit vector of shape (dim,).

    `label` names the part, `thumbnail` is a JPEG of its whole picture (None for words), and `member` the id of that
    picture when the collection holds it.
    """

    part: Part
    vector: Vector
    label: str
    thumbnail: bytes | None = None
    member: UUID | None = None


@dataclass(frozen=True)
class Query:
    """What is looked for: a unit vector of shape (dim,), made of `seen`.

    `model` made the vector, and only its embeddings are compared with it. `kind` is "words" when no picture is looked
    for: their similarities live on a lower scale.
    """

    kind: Kind
    vector: Vector
    model: Model
    seen: tuple[EncodedPart, ...]

    @property
    def parts(self) -> tuple[Part, ...]:
        """What it was made of, as it is written down."""
        return tuple(seen.part for seen in self.seen)

    @property
    def members(self) -> list[UUID]:
        """The pictures of the collection that are in the query itself."""
        return [seen.member for seen in self.seen if seen.member]

    @property
    def label(self) -> str:
        """The query in a line, such as: vase.jpg (part of it) + 0.5 × "red" − "text"."""
        terms = list[str]()
        for seen in self.seen:
            name = f'"{seen.label}"' if seen.part.kind == "words" else seen.label
            name += " (part of it)" if seen.part.crop else ""
            size = abs(seen.part.weight)
            sign = "−" if seen.part.weight < 0 else "+" if terms else ""
            terms.append(f"{sign} {'' if size == 1 else f'{size:g} × '}{name}".strip())
        return " ".join(terms)


class QueryEncoder:
    """Turns parts into queries. Threads may share it."""

    def __init__(self, settings: Settings, store: Store, uploads: QueryImages, fetcher: Fetcher) -> None:
        self._settings = settings
        self._store = store
        self._uploads = uploads
        self._fetcher = fetcher
        self._lock = Lock()
        self._remembered = LRUCache[tuple[object, ...], _Look](CACHED_PARTS)

    def keep(self, name: str, data: bytes) -> Part:
        """Keep a picture to search with, checked; returns the part that stands for it. Raises PictureError or
        DatabaseError."""
        read_picture(data, max_bytes=self._settings.max_file_bytes, max_pixels=self._settings.max_pixels)
        return Part(upload=self._uploads.keep(name, data))

    def keep_url(self, url: str) -> Part:
        """Fetch the picture at a URL and keep it likewise. Raises UrlError or FetchError, too."""
        url = clean(url)
        return self.keep(url, self._fetcher.fetch(url).data)

    def compose(self, in_use: ActiveModel, parts: Sequence[Part], files: Sequence[bytes] = ()) -> Query:
        """The query of these parts, see `combined`.

        `files` are the bytes that parts with `file` stand for. Raises QueryError, and what `encode_part` raises.
        """
        return combined(in_use.model, [self.encode_part(in_use, part, files) for part in checked_parts(parts)])

    def encode_part(self, in_use: ActiveModel, part: Part, files: Sequence[bytes] = ()) -> EncodedPart:
        """One part through the model's eyes.

        A picture of the collection has its embedding already. That may have been made from its thumbnail, so it is
        also the only one that finds the picture at 100 %. Raises NotFoundError when the picture was removed or is no
        longer kept, and PictureError, UrlError, FetchError, EncoderError or DatabaseError.
        """
        if part.words is not None:
            return self._see_words(in_use, part, part.words.strip())
        if part.picture is not None:
            return self._see_member(in_use, part, part.picture)
        if part.upload is not None:
            return self._see_picture(in_use, part, part.upload, self._uploads.name(part.upload), self._uploads.read)
        name, data = self._bytes_with(part, files)
        return self._see_picture(in_use, part, picture_id(hashlib.sha256(data).digest()), name, lambda _: data)

    def _bytes_with(self, part: Part, files: Sequence[bytes]) -> tuple[str, bytes]:
        """The name and the bytes of a picture that comes with the query, by its address or as a file."""
        if part.url is not None:
            url = clean(part.url)
            return url, self._fetcher.fetch(url).data
        if part.file is None or part.file >= len(files):
            raise QueryError(f"The query names file {part.file}, and {len(files)} came with it (counted from 0).")
        return f"file {part.file}", files[part.file]

    def _see_words(self, in_use: ActiveModel, part: Part, words: str) -> EncodedPart:
        vector, _ = self._once((in_use.model.id, words), lambda: (in_use.encoder.encode_words([words])[0], None))
        return EncodedPart(part, vector, words)

    def _see_member(self, in_use: ActiveModel, part: Part, id: UUID) -> EncodedPart:
        vector = self._store.embedding(in_use.model, id)
        if vector is None:
            raise NotFoundError("This picture is not in the collection any more. Restore it, or choose another.")
        if part.crop:
            vector, _ = self._look_once(in_use, part, id, self._kept)
        return EncodedPart(part, vector, self._store.name(id), self._store.thumbnail(id)[1], id)

    def _see_picture(
        self, in_use: ActiveModel, part: Part, id: UUID, name: str, read: Callable[[UUID], bytes]
    ) -> EncodedPart:
        vector, thumbnail = self._look_once(in_use, part, id, read)
        member = self._store.embedding(in_use.model, id)
        if member is not None and not part.crop:
            vector = member
        label = picture_name("", name) if "://" in name else base_name(name)
        return EncodedPart(part, vector, label, thumbnail, id if member is not None else None)

    def _kept(self, id: UUID) -> bytes:
        """The best that is kept of a picture of the collection: its file, else its thumbnail."""
        try:
            return self._store.file(id).data
        except NotFoundError:
            return self._store.thumbnail(id)[1]

    def _look_once(self, in_use: ActiveModel, part: Part, id: UUID, read: Callable[[UUID], bytes]) -> _Look:
        return self._once((in_use.model.id, id, part.crop), lambda: self._look(in_use, part, read(id)))

    def _look(self, in_use: ActiveModel, part: Part, data: bytes) -> _Look:
        """The embedding of a picture or the part of it that counts, and the thumbnail of the whole."""
        left, top, right, bottom = part.crop or (0.0, 0.0, 1.0, 1.0)
        picture = read_picture(
            data,
            max_bytes=self._settings.max_file_bytes,
            max_pixels=self._settings.max_pixels,
            side=ceil(WORKING_SIDE / min(right - left, bottom - top)),
        )
        image, box = (crop_image(picture.image, part.crop), None) if part.crop else (picture.image, picture.box)
        if min(image.size) < MIN_SIDE:
            raise PictureError(
                f"That part of the picture is too small ({image.width:,} × {image.height:,} pixels): "
                f"it needs {MIN_SIDE} on each side. Draw a larger one."
            )
        prepared = in_use.encoder.prepare(image, box)
        return in_use.encoder.encode_prepared([prepared], urgent=True)[0], picture.thumbnail

    def _once(self, key: tuple[object, ...], make: Callable[[], _Look]) -> _Look:
        """What is remembered under a key, else what `make` returns, remembered from now on."""
        with self._lock:
            found = self._remembered.get(key)
        if found is None:
            found = make()
            with self._lock:
                self._remembered[key] = found
        return found


def combined(model: Model, seen: Sequence[EncodedPart]) -> Query:
    """The query that parts make together: the sum of their unit vectors by weight, scaled to unit length.

    Raises QueryError when they are too many, only lead away, or cancel each other out.
    """
    parts = checked_parts(part.part for part in seen)
    total: Vector = np.sum([part.part.weight * part.vector for part in seen], axis=0, dtype=np.float32)
    length = float(np.linalg.norm(total))
    if length < SHORTEST_SUM:
        raise QueryError("The parts of this query cancel each other out. Change a weight, or remove one.")
    return Query(kind_of(parts), total / length, model, tuple(seen))

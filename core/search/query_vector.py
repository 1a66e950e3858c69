"""The parts of a query -> one unit vector to search with."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from threading import Lock
from uuid import UUID

import numpy as np
from cachetools import LRUCache
from PIL import Image

from core.collection.store import Store, picture_id, picture_name
from core.database.embedding_tables import Model, Vector
from core.embedding.active_models import ActiveModel
from core.errors import NotFoundError, PictureError, QueryError
from core.media.crop import crop_image
from core.media.decode import MIN_SIDE, WORKING_SIDE, PixelBox
from core.media.fetcher import Fetcher
from core.media.isolation.pool import QUERIES, read_picture
from core.media.uploads import base_name
from core.media.urls import clean
from core.search.query_images import QueryImages
from core.search.query_parts import Kind, Part, checked_parts, kind_of
from core.settings import Settings

CACHED_PARTS = 512
"""Parts whose embedding is cached, so that changing a weight costs no forward pass: 2 kB each at 512 dimensions, and a
thumbnail of some 10 kB."""

DETAIL_SIDE, DETAIL_LONG_SIDE, DETAIL_QUALITY = 384, 640, 90
"""Pixels of what is kept of a query to be compared point by point: a page or a collage may hold pictures that are a
fifth of it. Some 60 kB."""

SHORTEST_SUM = 0.05
"""Length below which the direction of a sum of unit vectors is mostly noise: rounding to half precision alone moves a
unit vector of 512 numbers by about 0.001."""


CopyVector = tuple[Model, Vector]
"""A copy model, and its unit vector of a picture, of shape (dim,)."""


@dataclass(frozen=True)
class _Encoded:
    """A unit vector of shape (dim,), and what `EncodedPart` has of a picture."""

    vector: Vector
    thumbnail: bytes | None = None
    detail: bytes | None = None
    copy: CopyVector | None = None


@dataclass(frozen=True)
class EncodedPart:
    """A part as the model encodes it: a unit vector of shape (dim,).

    `label` names the part, `thumbnail` is a JPEG of its whole picture (None for words), and `member` the id of that
    picture when it is in the collection. `detail` is a JPEG of the part of the picture that is searched with, up to
    DETAIL_SIDE on its short side (None for words), and `copy` the copy model's vector of it, None for words or without
    a copy model.
    """

    part: Part
    vector: Vector
    label: str
    thumbnail: bytes | None = None
    member: UUID | None = None
    detail: bytes | None = None
    copy: CopyVector | None = None


@dataclass(frozen=True)
class Query:
    """What to look for: a unit vector of shape (dim,), made from `encoded_parts`.

    The vector is from `model`, and is only compared with that model's embeddings. `kind` is "words" when no picture is
    looked for: similarities to words are on a lower scale. `copy_vector` is the unit vector by which `copy_model` finds
    copies of the picture looked for; both are None when the query is more than one picture, or words, or there is no
    copy model.
    """

    kind: Kind
    vector: Vector
    model: Model
    encoded_parts: tuple[EncodedPart, ...]
    copy_vector: Vector | None = None
    copy_model: Model | None = None

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts, without their vectors."""
        return tuple(encoded.part for encoded in self.encoded_parts)

    @property
    def members(self) -> list[UUID]:
        """The pictures of the collection that the query contains."""
        return [encoded.member for encoded in self.encoded_parts if encoded.member]

    @property
    def label(self) -> str:
        """The query in a line, such as: vase.jpg (part of it) + 0.5 × "red" − "text"."""
        terms = list[str]()
        for encoded in self.encoded_parts:
            name = f'"{encoded.label}"' if encoded.part.kind == "words" else encoded.label
            name += " (part of it)" if encoded.part.crop else ""
            size = abs(encoded.part.weight)
            sign = "−" if encoded.part.weight < 0 else "+" if terms else ""
            terms.append(f"{sign} {'' if size == 1 else f'{size:g} × '}{name}".strip())
        return " ".join(terms)


class QueryEncoder:
    """Turns parts into queries. Thread-safe."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        uploads: QueryImages,
        fetcher: Fetcher,
        copy_model: Callable[[], ActiveModel | None] = lambda: None,
    ) -> None:
        """`copy_model` returns the copy model that searches use, if there is one now."""
        self._settings = settings
        self._copy_model = copy_model
        self._store = store
        self._uploads = uploads
        self._fetcher = fetcher
        self._lock = Lock()
        self._cache = LRUCache[tuple[object, ...], _Encoded](CACHED_PARTS)

    def keep(self, name: str, data: bytes) -> Part:
        """Check a picture and keep it to search with; returns the part that refers to it. Raises PictureError or
        DatabaseError."""
        read_picture(data, self._settings, QUERIES)
        return Part(upload=self._uploads.keep(name, data))

    def keep_url(self, url: str) -> Part:
        """Fetch the picture at a URL and keep it likewise. Raises UrlError, FetchError, PictureError or
        DatabaseError."""
        url = clean(url)
        return self.keep(url, self._fetcher.fetch(url).data)

    def compose(self, in_use: ActiveModel, parts: Sequence[Part], files: Sequence[bytes] = ()) -> Query:
        """The query of these parts, see `combined`.

        `files` are the bytes of the pictures that parts name by `file`. Raises QueryError, and what `encode_part`
        raises: NotFoundError, PictureError, UrlError, FetchError, EncoderError or DatabaseError.
        """
        return combined(in_use.model, [self.encode_part(in_use, part, files) for part in checked_parts(parts)])

    def encode_part(self, in_use: ActiveModel, part: Part, files: Sequence[bytes] = ()) -> EncodedPart:
        """One part, encoded by the model.

        A picture of the collection keeps its stored embedding. That may be from its thumbnail, so it is also the only
        one that finds the picture at 100 %. Raises NotFoundError when the picture was removed or is no longer kept,
        QueryError when a file is missing, and PictureError, UrlError, FetchError, EncoderError or DatabaseError.
        """
        if part.words is not None:
            return self._encode_words(in_use, part, part.words.strip())
        if part.picture is not None:
            return self._encode_member(in_use, part, part.picture)
        if part.upload is not None:
            return self._encode_picture(in_use, part, part.upload, self._uploads.name(part.upload), self._uploads.read)
        name, data = self._bytes_with(part, files)
        return self._encode_picture(in_use, part, picture_id(hashlib.sha256(data).digest()), name, lambda _: data)

    def _bytes_with(self, part: Part, files: Sequence[bytes]) -> tuple[str, bytes]:
        """The name and the bytes of a picture given by its URL or as a file."""
        if part.url is not None:
            url = clean(part.url)
            return url, self._fetcher.fetch(url).data
        if part.file is None or part.file >= len(files):
            raise QueryError(f"The query names file {part.file} (counted from 0), but {len(files)} came with it.")
        return f"file {part.file}", files[part.file]

    def _encode_words(self, in_use: ActiveModel, part: Part, words: str) -> EncodedPart:
        def make() -> _Encoded:
            return _Encoded(in_use.encoder.encode_words([words])[0])

        return EncodedPart(part, self._cached((in_use.model.id, words), make).vector, words)

    def _encode_member(self, in_use: ActiveModel, part: Part, id: UUID) -> EncodedPart:
        vector = self._store.embedding(in_use.model, id)
        if vector is None:
            raise NotFoundError("This picture is no longer in the collection. Restore it, or choose another.")
        thumbnail = detail = self._store.thumbnail(id)[1]
        copy = None
        if part.crop:
            encoded = self._embed_cached(in_use, part, id, self._kept)
            vector, detail, copy = encoded.vector, encoded.detail or detail, encoded.copy
        elif copy_model := self._copy_model():
            copy = self._stored_copy(copy_model, id)
            if copy is None:  # it is still to be made
                image, box, _ = self._decode(part, self._kept(id))
                copy = copy_model.model, _encode(copy_model, image, box)
        return EncodedPart(part, vector, self._store.name(id), thumbnail, id, detail, copy)

    def _stored_copy(self, copy_model: ActiveModel, id: UUID) -> CopyVector | None:
        """The copy vector stored for a picture of the collection."""
        vector = self._store.embedding(copy_model.model, id)
        return None if vector is None else (copy_model.model, vector)

    def _encode_picture(
        self, in_use: ActiveModel, part: Part, id: UUID, name: str, read: Callable[[UUID], bytes]
    ) -> EncodedPart:
        encoded = self._embed_cached(in_use, part, id, read)
        vector, copy = encoded.vector, encoded.copy
        member = self._store.embedding(in_use.model, id)
        if member is not None and not part.crop:
            vector, copy_model = member, self._copy_model()
            copy = (self._stored_copy(copy_model, id) if copy_model else None) or copy
        label = picture_name("", name) if "://" in name else base_name(name)
        known = id if member is not None else None
        return EncodedPart(part, vector, label, encoded.thumbnail, known, encoded.detail, copy)

    def _kept(self, id: UUID) -> bytes:
        """The bytes stored for a picture of the collection: its file, else its thumbnail."""
        try:
            return self._store.file(id).data
        except NotFoundError:
            return self._store.thumbnail(id)[1]

    def _embed_cached(self, in_use: ActiveModel, part: Part, id: UUID, read: Callable[[UUID], bytes]) -> _Encoded:
        copy_model = self._copy_model()
        key = in_use.model.id, copy_model and copy_model.model.id, id, part.crop
        return self._cached(key, lambda: self._embed(in_use, copy_model, part, read(id)))

    def _embed(self, in_use: ActiveModel, copy_model: ActiveModel | None, part: Part, data: bytes) -> _Encoded:
        """The embeddings of a picture or its crop, its detail, and the thumbnail of the whole picture."""
        image, box, thumbnail = self._decode(part, data)
        copy = (copy_model.model, _encode(copy_model, image, box)) if copy_model else None
        return _Encoded(_encode(in_use, image, box), thumbnail, detail_of(image), copy)

    def _decode(self, part: Part, data: bytes) -> tuple[Image.Image, PixelBox | None, bytes]:
        """A picture or its crop, its area in that image unless it is all of it, and the thumbnail of the whole
        picture."""
        left, top, right, bottom = part.crop or (0.0, 0.0, 1.0, 1.0)
        side = ceil(WORKING_SIDE / min(right - left, bottom - top))
        picture = read_picture(data, self._settings, QUERIES, side=side)
        image, box = (crop_image(picture.image, part.crop), None) if part.crop else (picture.image, picture.box)
        if min(image.size) < MIN_SIDE:
            raise PictureError(
                f"This part of the picture is too small ({image.width:,} × {image.height:,} pixels): "
                f"it needs {MIN_SIDE} on each side. Draw a larger one."
            )
        return image, box, picture.thumbnail

    def _cached(self, key: tuple[object, ...], make: Callable[[], _Encoded]) -> _Encoded:
        """The cached value of a key, else the result of `make`, cached from now on."""
        with self._lock:
            found = self._cache.get(key)
        if found is None:
            found = make()
            with self._lock:
                self._cache[key] = found
        return found


def _encode(in_use: ActiveModel, image: Image.Image, box: PixelBox | None) -> Vector:
    """A model's unit vector of an image or of a box in it, urgently."""
    vector: Vector = in_use.encoder.encode_prepared([in_use.encoder.prepare(image, box)], urgent=True)[0]
    return vector


def detail_of(image: Image.Image) -> bytes:
    """What is kept of a picture that is searched with, to be compared point by point: a JPEG."""
    factor = min(DETAIL_SIDE / min(image.size), DETAIL_LONG_SIDE / max(image.size))
    if factor < 1:
        image = image.resize((max(1, round(image.width * factor)), max(1, round(image.height * factor))))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=DETAIL_QUALITY)
    return buffer.getvalue()


def combined(model: Model, encoded_parts: Sequence[EncodedPart]) -> Query:
    """The query of several parts: the weighted sum of their unit vectors, scaled to unit length.

    Raises QueryError when they are too many, all negative, or cancel each other out.
    """
    parts = checked_parts(encoded.part for encoded in encoded_parts)
    weighted = [encoded.part.weight * encoded.vector for encoded in encoded_parts]
    total: Vector = np.sum(weighted, axis=0, dtype=np.float32)
    length = float(np.linalg.norm(total))
    if length < SHORTEST_SUM:
        raise QueryError("The parts of this query cancel each other out. Change a weight, or remove one.")
    looked_for = [encoded for encoded in encoded_parts if encoded.part.weight > 0]
    copied = looked_for[0].copy if len(looked_for) == 1 and all(part.kind == "picture" for part in parts) else None
    copy_model, copy_vector = copied or (None, None)
    return Query(kind_of(parts), total / length, model, tuple(encoded_parts), copy_vector, copy_model)

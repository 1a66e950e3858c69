"""A query -> matches."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

from core.models import InUse
from core.picture import read_picture
from core.settings import Settings
from core.store import Match, Model, Store, Vector, picture_id

DEFAULT_THRESHOLD = 0.9
"""The guide's 90 %, as a cosine."""

WORDS_THRESHOLD = 0.2
"""CLIP's cosines between words and pictures are low: a true caption often scores about 0.25 (openai/CLIP #405)."""

DEFAULT_TOP_K = 100
MAX_TOP_K = 1000


@dataclass(frozen=True)
class Query:
    """What is looked for: a unit vector of shape (dim,), and the SHA-256 (hex) of the bytes or words it came from.

    `model` is the one that made the vector, and the only one whose embeddings it is compared with. `thumbnail` is a
    JPEG of the picture, None for words.
    """

    kind: Literal["picture", "words"]
    sha256: str
    vector: Vector
    model: Model
    thumbnail: bytes | None = None


@dataclass(frozen=True)
class Matches:
    """The `top_k` pictures most similar to a query, best first, found with `model`."""

    model: str
    top_k: int
    found: list[Match]

    def reaching(self, threshold: float) -> list[Match]:
        """Those whose similarity is at least `threshold` (a cosine)."""
        return [match for match in self.found if match.similarity >= threshold]


def picture_query(settings: Settings, store: Store, in_use: InUse, data: bytes) -> Query:
    """The query for a picture's bytes. Raises PictureError.

    A picture of the collection has its embedding already. That may have been made from its thumbnail, so it is also
    the only one that finds the picture at 100 %.
    """
    picture = read_picture(data, max_bytes=settings.max_file_bytes, max_pixels=settings.max_pixels)
    vector = store.embedding(in_use.model, picture_id(picture.sha256))
    if vector is None:
        vector = in_use.encoder.encode_pictures([picture.image], urgent=True)[0]
    return Query("picture", picture.sha256.hex(), vector, in_use.model, picture.thumbnail)


def words_query(in_use: InUse, words: str) -> Query:
    """The query for words. Raises EncoderError when there are none or the model reads no words."""
    vector = in_use.encoder.encode_words([words.strip()])[0]
    return Query("words", hashlib.sha256(words.strip().encode()).hexdigest(), vector, in_use.model)


def search(store: Store, query: Query, top_k: int = DEFAULT_TOP_K) -> Matches:
    """The pictures most similar to a query. `top_k` is kept between 1 and MAX_TOP_K."""
    top_k = max(1, min(top_k, MAX_TOP_K))
    return Matches(query.model.name, top_k, store.nearest(query.model, query.vector, top_k))

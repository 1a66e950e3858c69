"""Why a picture is like a query: where in both a model sees what they have in common."""

from __future__ import annotations

import io
from dataclasses import dataclass
from uuid import UUID

from PIL import Image

from core.collection.store import Store
from core.embedding.active_models import ActiveModel
from core.embedding.encoder import ClipEncoder, Vectors
from core.embedding.heat_map import HeatMap, heat_map
from core.errors import EncoderError, NotFoundError
from core.search.query_vector import Query


@dataclass(frozen=True)
class Likeness:
    """The heat maps of a query's picture, None if it looks for words, and of a match."""

    query: HeatMap | None
    match: HeatMap


def likeness(store: Store, in_use: ActiveModel, query: Query, picture: UUID) -> Likeness:
    """Why this picture of the collection is like a query. It takes a few passes of the model.

    Raises EncoderError when the query was made with another model, NotFoundError when the picture has gone, and
    DatabaseError.
    """
    encoder = in_use.encoder
    if in_use.model != query.model or not isinstance(encoder, ClipEncoder):
        raise EncoderError("The model has changed since this search. Search again.")
    vector = store.embedding(query.model, picture)
    if vector is None:
        raise NotFoundError("This picture is no longer in the collection.")
    wanted = next((each.detail for each in query.encoded_parts if each.part.weight > 0 and each.detail), None)
    return Likeness(
        None if wanted is None else _map(encoder, wanted, vector),
        _map(encoder, store.thumbnail(picture)[1], query.vector),
    )


def _map(encoder: ClipEncoder, jpeg: bytes, target: Vectors) -> HeatMap:
    with Image.open(io.BytesIO(jpeg)) as image:
        return heat_map(encoder, image.convert("RGB"), target)

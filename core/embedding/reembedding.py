"""Re-embedding: embeddings for pictures that lack one of a model, as after a change of CLIP_MODEL.

They are made from the stored thumbnails (JPEGs with 256 pixels on the short side), not by fetching again: links die,
and fetching a whole collection at four requests a host takes days, where thumbnails take only the model's time.
`bench/thumbnail_loss.py` measured the loss. With MobileNetV2, which is sensitive to every artefact, the median cosine
between an embedding from the thumbnail and one from the original is 0.991 for 500 photos of 300 × 200 pixels (worst
1 %: 0.957), 0.969 for the same enlarged to 1200 × 800 with grain (0.908), and 0.949 for mosaics of nine photos (0.907);
with ViT-B-32 and random weights, which says nothing about a trained one, all are above 0.998. Of an original's ten
nearest, 92, 87 and 70 % stay the same. But every original finds its own thumbnail first, and the nearest of 900 photos
is as often of the same class (75.3 % with thumbnails, 74.3 % with originals, 75.0 % among thumbnails): only the order
of about equally similar pictures changes. A picture of the collection searched by its own bytes uses its stored
embedding, so it is found at 100 % either way.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from PIL import Image

from core.collection.store import Store
from core.embedding.active_models import ActiveModel
from core.embedding.encoder import Encoder

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

BATCH = 32
"""Pictures between two checks of `stop`, as many as an import embeds at a time."""


def reembed(store: Store, in_use: ActiveModel, stop: Callable[[], bool]) -> int:
    """Embed pictures that lack an embedding of this model, until none does or `stop` returns True.

    Returns how many it embedded. It keeps no other state, so it can be interrupted anywhere. Any number of processes
    may do this at once: each starts at a random id, wraps around, and jumps to another id when another process was
    faster with a batch. In a simulation with 100,000 pictures, two processes embed 2 % twice and eight 11 %; in
    return, no transaction is open and no pooler connection is held while the model works. Raises DatabaseError or
    EncoderError.
    """
    done, after, from_start = 0, uuid4(), False
    with ThreadPoolExecutor(thread_name_prefix="thumbnail") as threads:
        while not stop():
            batch = store.without_embedding(in_use.model, after, BATCH)
            if not batch:
                if from_start:
                    break
                after, from_start = UUID(int=0), True
                continue
            ids = [id for id, _ in batch]
            prepared = dict(zip(ids, threads.map(lambda row: _prepared(in_use.encoder, *row), batch), strict=True))
            readable = {id: tensor for id, tensor in prepared.items() if tensor is not None}
            if len(readable) < len(ids):
                store.mark_damaged([id for id in ids if id not in readable])
            vectors = in_use.encoder.encode_prepared(list(readable.values()))
            embedded = store.embed(in_use.model, dict(zip(readable, vectors, strict=True)))
            done += embedded
            after = ids[-1]
            if embedded < len(readable):
                after, from_start = uuid4(), False
    return done


def _prepared(encoder: Encoder, picture: UUID, thumbnail: bytes) -> torch.Tensor | None:
    try:
        with Image.open(io.BytesIO(thumbnail), formats=["JPEG"]) as image:
            return encoder.prepare(image.convert("RGB"))
    except OSError as error:
        logger.warning("the thumbnail of picture %s cannot be read: %s", picture, error)
        return None

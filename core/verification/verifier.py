"""Proofs that pictures of the collection are the same as a query's, made from their thumbnails."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from uuid import UUID

import numpy as np
from cachetools import LRUCache
from PIL import Image

from core.collection.store import Store
from core.verification.local_features import MOST, LocalFeatures, local_features
from core.verification.proof import Proof, prove

logger = logging.getLogger(__name__)

CACHED = 300
"""Pictures whose features are kept in memory: half a megabyte each."""


class Verifier:
    """Compares pictures by their local features. Thread-safe.

    A picture's features take some 20 ms of one core, a comparison 10; what was seen lately is still known.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = Lock()
        self._features = LRUCache[UUID, LocalFeatures](CACHED)
        self._threads = ThreadPoolExecutor(os.cpu_count() or 1, "verification")

    def close(self) -> None:
        """Let running comparisons end."""
        self._threads.shutdown(cancel_futures=True)

    def prove(self, query: LocalFeatures, pictures: Sequence[UUID]) -> dict[UUID, Proof]:
        """Those of the pictures that are proved to be the same as the query, which comes first in the proofs.

        Raises DatabaseError.
        """
        features = self.features(pictures)
        proofs = self._threads.map(lambda id: prove(query, features[id]), features)
        return {id: proof for id, proof in zip(features, proofs, strict=True) if proof is not None}

    def prove_pairs(self, pairs: Iterable[tuple[UUID, UUID]]) -> dict[tuple[UUID, UUID], Proof]:
        """Those of the pairs of pictures that are proved to be the same. Raises DatabaseError."""
        pairs = list(pairs)
        features = self.features(sorted({id for pair in pairs for id in pair}))
        known = [(one, other) for one, other in pairs if one in features and other in features]
        proofs = self._threads.map(lambda pair: prove(features[pair[0]], features[pair[1]]), known)
        return {pair: proof for pair, proof in zip(known, proofs, strict=True) if proof is not None}

    def features(self, pictures: Sequence[UUID]) -> dict[UUID, LocalFeatures]:
        """The features of pictures by their thumbnails, of those that have one that can be read. Raises
        DatabaseError."""
        with self._lock:
            found = {id: self._features[id] for id in pictures if id in self._features}
        thumbnails = self._store.thumbnails([id for id in pictures if id not in found])
        for id, features in zip(thumbnails, self._threads.map(features_of, thumbnails.values()), strict=True):
            if features is not None:
                found[id] = features
                with self._lock:
                    self._features[id] = features
        return {id: found[id] for id in pictures if id in found}


def features_of(data: bytes, most: int = MOST) -> LocalFeatures | None:
    """The features of a JPEG made by this program, a thumbnail or a query's image. None if it is damaged."""
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            return local_features(np.asarray(image.convert("RGB")), most)
    except OSError as error:
        logger.warning("a picture cannot be compared: %s", error)
        return None

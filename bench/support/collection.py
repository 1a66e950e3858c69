"""Collections of made-up embeddings, put into the tables at once."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import numpy as np
from pgvector import HalfVector
from psycopg import sql

from bench.support.data import DATA
from core.database.connection import Database
from core.database.embedding_tables import Model, Vector

CENTRES = 20_000
BLOCK = 10_000
"""Vectors made at a time, so that a million fit into memory."""


def spread_like_clip(count: int, seed: int = 0) -> Vector:
    """Unit vectors of shape (count, 512) with the spread of real CLIP embeddings, by the recipe beside
    `clip-spread.json`."""
    spread = json.loads((DATA / "clip-spread.json").read_text())
    mean, deviation = np.array(spread["mean"], np.float32), np.sqrt(np.array(spread["eigenvalues"], np.float32))
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((CENTRES, len(mean)), dtype=np.float32) * deviation
    vectors = np.empty((count, len(mean)), np.float32)
    near, far = np.sqrt(np.array([0.6, 0.4], np.float32))
    for start in range(0, count, BLOCK):
        block = vectors[start : start + BLOCK]
        fresh = rng.standard_normal(block.shape, dtype=np.float32) * deviation
        block[:] = mean + near * centres[rng.integers(0, CENTRES, len(block))] + far * fresh
        block /= np.linalg.norm(block, axis=1, keepdims=True)
    return vectors


def unit_vectors(count: int, dim: int, seed: int = 0) -> Vector:
    """Unit vectors of shape (count, dim) in random directions."""
    vectors = np.random.default_rng(seed).standard_normal((count, dim), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def fill(
    database: Database,
    model: Model,
    vectors: Vector,
    *,
    tags: Sequence[Sequence[str]] = (),
    hosts: Sequence[str] = (),
    days: Sequence[datetime] = (),
) -> list[UUID]:
    """Store a picture for each vector; `tags`, `hosts` and `days` repeat when they are shorter. Returns the ids."""
    ids = [uuid.uuid4() for _ in vectors]
    tags, hosts, days = tags or [()], hosts or ["a.example"], days or [datetime.now(UTC)]
    with database.connection() as connection, connection.cursor() as cursor:
        with cursor.copy(
            "COPY pictures (id, sha256, phash, width, height, bytes, mime, tags, indexed_at) FROM STDIN (FORMAT BINARY)"
        ) as copy:
            copy.set_types(["uuid", "bytea", "int8", "int4", "int4", "int8", "text", "text[]", "timestamptz"])
            for number, id in enumerate(ids):
                details = list(tags[number % len(tags)]), days[number % len(days)]
                copy.write_row((id, id.bytes * 2, number, 300, 200, 9_000, "image/jpeg", *details))
        with cursor.copy("COPY sources (key, url, picture) FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["bytea", "text", "uuid"])
            for number, id in enumerate(ids):
                copy.write_row((id.bytes * 2, f"https://{hosts[number % len(hosts)]}/{number}.jpg", id))
        with cursor.copy(
            sql.SQL("COPY {} (picture, embedding) FROM STDIN (FORMAT BINARY)").format(model.table)
        ) as copy:
            copy.set_types(["uuid", "halfvec"])
            for id, vector in zip(ids, vectors, strict=True):
                copy.write_row((id, HalfVector(vector)))
    return ids

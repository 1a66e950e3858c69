"""Five pictures to be grouped, and pairs of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from uuid import UUID

from core.database.connection import Database
from core.database.embedding_tables import Model
from core.duplicates.star_grouping import pairs_within
from core.verification.proof import Proof

A, B, C, D, E = (UUID(int=number) for number in range(1, 6))
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def store_five(database: Database) -> None:
    """Store five pictures: A is the largest, B the oldest, C has a tag, D is from the museum; E is a stranger."""
    rows = [
        (A, 900, 5, [], "a.example"),
        (B, 500, 1, [], "b.example"),
        (C, 500, 3, ["loan"], "c.example"),
        (D, 500, 4, [], "images.museum.example"),
        (E, 800, 2, [], "notmuseum.example"),
    ]
    with database.connection() as connection:
        for id, side, day, tags, host in rows:
            connection.execute(
                """INSERT INTO pictures (id, sha256, phash, width, height, bytes, mime, tags, indexed_at)
                   VALUES (%s, %s, 0, %s, %s, %s, 'image/jpeg', %s, %s)""",
                (id, id.bytes * 2, side, side, side * 10, tags, BEGIN + timedelta(days=day)),
            )
            for number in range(2):
                connection.execute(
                    "INSERT INTO sources (key, url, picture, added_at) VALUES (%s, %s, %s, %s)",
                    (id.bytes + bytes([number]), f"https://{host}/{number}.jpg", id, BEGIN + timedelta(days=number)),
                )


def copies(database: Database, pairs: Sequence[tuple[UUID, UUID, int]]) -> None:
    """Store pairs of copies, as (picture, other, distance of the hashes)."""
    with database.connection() as connection:
        for pair in pairs:
            connection.execute("INSERT INTO copies (picture, other, distance) VALUES (%s, %s, %s)", pair)


def proved(database: Database, picture: UUID, other: UUID, first_share: float, second_share: float) -> None:
    """Store a pair of copies with a proof that this share of each picture is in the other."""
    corners = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    proof = Proof(corners, corners, first_share, second_share, False, 0.0, 50)
    with database.connection() as connection:
        connection.execute("INSERT INTO copies VALUES (%s, %s, 9, %s)", (picture, other, json.dumps(asdict(proof))))


def lookalikes(database: Database, model: Model, pairs: Sequence[tuple[UUID, UUID, float]]) -> None:
    """Store pairs of look-alikes, as (picture, other, cosine)."""
    with database.connection() as connection:
        for pair in pairs:
            connection.execute("INSERT INTO lookalikes VALUES (%s, %s, %s, %s)", (model.id, *pair))


def all_alike(database: Database) -> None:
    """Make all but E copies of each other."""
    copies(database, [(*pair, 1) for pair in pairs_within([A, B, C, D])])

"""Copies: the same picture in files of different bytes, found by perceptual hash."""

from __future__ import annotations

from core.database.connection import Database

MAX_DISTANCE = 4
"""Of 64 bits, how many may differ between the perceptual hashes of copies. Of 300 photos, all copies that were
recompressed (JPEG quality 15, WebP 50), reduced to 50 or 30 %, doubled in size or made grey stayed within 4, as did
98 % of those brightened by 15 %, 99 % of those with 20 % more contrast, 86 % of those brightened by 30 % and 57 % of
those cropped by 2 % on each side. Of the 13,387,725 pairs of 5,175 photos, 89 are within 4, and only one of them, two
motorbikes from the side, shows different things. 46 more are within 6, a third of which do, and another 68 within 8.
See the index in `004_models_and_copies.sql` before changing it."""

MAX_COPIES = 50
"""Copies recorded for one picture at most, the nearest first: ten thousand files of the same blank page must not make
fifty million pairs. Grouping still reaches all of them through each other."""

BATCH = 32
"""Pictures in one transaction, which takes 5 ms among 100,000 pictures (comparing with all of them would take 240 ms),
and 330 ms where 10,000 of those have the same hash."""


def has_unpaired(database: Database) -> bool:
    """Whether there are pictures not yet checked for copies. Raises DatabaseError."""
    with database.connection() as connection:
        return connection.execute("SELECT FROM unpaired LIMIT 1").fetchone() is not None


def pair(database: Database, limit: int = BATCH) -> int:
    """Find the copies of up to `limit` unchecked pictures; returns how many pictures were checked. Raises
    DatabaseError.

    Any number of processes may do this at once: each takes its own pictures and skips those that others hold. A
    picture is only checked once its own transaction is committed, so of any two pictures the later one sees the other,
    and no pair is missed except by MAX_COPIES. An aborted run leaves no trace and is repeated. Pairs are inserted in
    order, so that no two runs deadlock.
    """
    with database.connection() as connection:
        taken = connection.execute(
            """DELETE FROM unpaired WHERE picture = ANY(ARRAY(
                   SELECT picture FROM unpaired LIMIT %s FOR UPDATE SKIP LOCKED))
               RETURNING picture""",
            (limit,),
        ).fetchall()
        connection.execute(
            """INSERT INTO copies (picture, other, distance)
               SELECT DISTINCT least(mine.id, near.id), greatest(mine.id, near.id), near.distance
               FROM pictures mine CROSS JOIN LATERAL (
                   SELECT id, distance
                   FROM pictures, bit_count((pictures.phash # mine.phash)::bit(64)) AS distance
                   WHERE phash_bands(pictures.phash) && phash_bands(mine.phash)
                         AND distance <= %(distance)s AND id <> mine.id
                   ORDER BY distance, id LIMIT %(copies)s) near
               WHERE mine.id = ANY(%(ids)s) ORDER BY 1, 2
               ON CONFLICT DO NOTHING""",
            {"ids": [row[0] for row in taken], "distance": MAX_DISTANCE, "copies": MAX_COPIES},
        )
    return len(taken)

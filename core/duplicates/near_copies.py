"""Copies: the same picture in files of different bytes, found by perceptual hash."""

from __future__ import annotations

from core.database.connection import Database

MAX_DISTANCE = 4
"""Bits of 64 in which the perceptual hashes of copies differ at most. Of 300 photos, copies that were compressed anew
(JPEG quality 15, WebP 50), reduced to 50 or 30 %, doubled or made grey all stayed within 4; brightened by 15 % 98 %
did, with 20 % more contrast 99 %, brightened by 30 % 86 %, cropped by 2 % on each side 57 %. Of the 13,387,725 pairs
of 5,175 photos 89 lie within 4, and but one of them, two motorbikes from the side, shows different things. Within 6
there are 46 more, of which every third does, and within 8 another 68. See the index in `004_models_and_copies.sql`
before changing it."""

MAX_COPIES = 50
"""Copies that one picture brings with it at most, the nearest first: ten thousand files of the same blank page must
not make fifty million pairs. Whoever groups by them reaches all through each other."""

BATCH = 32
"""Pictures in one transaction, which takes 5 ms among 100,000 pictures (a comparison with all of them 240), and 330
where 10,000 of those have the same hash."""


def has_unpaired(database: Database) -> bool:
    """Whether there are pictures whose copies nobody has looked for yet. Raises DatabaseError."""
    with database.connection() as connection:
        return connection.execute("SELECT FROM unpaired LIMIT 1").fetchone() is not None


def pair(database: Database, limit: int = BATCH) -> int:
    """Look for copies of up to `limit` pictures that nobody has looked for yet; returns how many pictures that were.

    Any number of processes may do this at once: each takes pictures of its own and passes over those that others
    hold. A picture gets its turn only when its own transaction is over, so of any two pictures the one that came
    later sees the other: no pair is missed but by MAX_COPIES. A turn that breaks off leaves no trace and comes
    again. The pairs go in by order, so that no two turns wait for each other in a circle.
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

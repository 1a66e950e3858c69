"""Copies: the same picture in another file, however it was edited, proved by local features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any
from uuid import UUID

from psycopg import Connection, sql
from psycopg.types.json import Jsonb

from core.database.connection import Database
from core.database.embedding_tables import Model
from core.duplicates.star_grouping import Pair
from core.verification.proof import Proof

MAX_DISTANCE = 4
"""Of 64 bits, how many may differ between the perceptual hashes of likely copies. Of 300 photos, all copies that were
recompressed (JPEG quality 15, WebP 50), reduced to 50 or 30 %, doubled in size or made grey stayed within 4, as did
98 % of those brightened by 15 %, 99 % of those with 20 % more contrast, 86 % of those brightened by 30 % and 57 % of
those cropped by 2 % on each side. Of the 13,387,725 pairs of 5,175 photos, 89 are within 4, and only one of them, two
motorbikes from the side, shows different things. 46 more are within 6, a third of which do, and another 68 within 8.
See the index in `004_models_and_copies.sql` before changing it."""

MAX_COPIES = 50
"""Likely copies of one picture by hash at most, the nearest first: ten thousand files of the same blank page must not
make fifty million pairs. Grouping still reaches all of them through each other."""

MOST_PROVED = 8
"""Likely copies by hash that are tried where each needs a proof, which takes some 30 ms: a flood of equal pictures must
not hold up the others, and all of it still meets at the same eight."""

NEAREST, MIN_COSINE = 4, 0.5
"""Likely copies of one picture by their copy embeddings, and how near they must be: with the built-in encoder, copies
that were cropped, turned or framed are as a rule, and one in a thousand pairs of other pictures is."""

BATCH = 32
"""Pictures in one transaction. Among 100,000 pictures their hashes take 5 ms (comparing with all of them would take
240 ms), and 330 ms where 10,000 of those have the same hash."""

Prove = Callable[[Sequence[Pair]], Mapping[Pair, Proof]]
"""Which pairs are proved to be the same picture, such as `core.verification.verifier.Verifier.prove_pairs`."""


def has_unpaired(database: Database) -> bool:
    """Whether there are pictures not yet checked for copies. Raises DatabaseError."""
    with database.connection() as connection:
        return connection.execute("SELECT FROM unpaired LIMIT 1").fetchone() is not None


def pair(database: Database, limit: int = BATCH, *, prove: Prove | None = None, copy_model: Model | None = None) -> int:
    """Find the copies of up to `limit` unchecked pictures; returns how many pictures were checked.

    Likely copies come from the hashes and from the embeddings of `copy_model`; of these, those stay that `prove`
    proves. Without it, which is for measurements, all stay. Raises DatabaseError.

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
        ids = [row[0] for row in taken]
        likely = _near_by_hash(connection, ids, MAX_COPIES if prove is None else MOST_PROVED)
        if copy_model is not None:
            likely |= _near_by_embedding(connection, copy_model, ids)
        pairs = sorted(likely)
        proofs = {} if prove is None else prove(pairs)
        kept = pairs if prove is None else [each for each in pairs if each in proofs]
        connection.execute(
            """INSERT INTO copies (picture, other, distance, proof)
               SELECT one.id, two.id, bit_count((one.phash # two.phash)::bit(64)), pair.proof
               FROM unnest(%s::uuid[], %s::uuid[], %s::jsonb[]) AS pair (picture, other, proof)
               JOIN pictures one ON one.id = pair.picture JOIN pictures two ON two.id = pair.other
               ORDER BY 1, 2 ON CONFLICT DO NOTHING""",
            (
                [one for one, _ in kept],
                [other for _, other in kept],
                [Jsonb(asdict(proofs[each])) if each in proofs else None for each in kept],
            ),
        )
    return len(taken)


def _near_by_hash(connection: Connection[Any], ids: Sequence[UUID], most: int) -> set[Pair]:
    return set(
        connection.execute(
            """SELECT least(mine.id, near.id), greatest(mine.id, near.id)
               FROM pictures mine CROSS JOIN LATERAL (
                   SELECT id
                   FROM pictures, bit_count((pictures.phash # mine.phash)::bit(64)) AS distance
                   WHERE phash_bands(pictures.phash) && phash_bands(mine.phash)
                         AND distance <= %(distance)s AND id <> mine.id
                   ORDER BY distance, id LIMIT %(copies)s) near
               WHERE mine.id = ANY(%(ids)s)""",
            {"ids": list(ids), "distance": MAX_DISTANCE, "copies": most},
        ).fetchall()
    )


def _near_by_embedding(connection: Connection[Any], model: Model, ids: Sequence[UUID]) -> set[Pair]:
    query = sql.SQL(
        """SELECT least(mine.picture, near.picture), greatest(mine.picture, near.picture)
           FROM {table} mine CROSS JOIN LATERAL (
               SELECT picture, e.embedding <=> mine.embedding AS distance FROM {table} e
               ORDER BY e.embedding <=> mine.embedding LIMIT %(nearest)s) near
           WHERE mine.picture = ANY(%(ids)s) AND near.picture <> mine.picture AND distance <= %(distance)s"""
    ).format(table=model.table)
    values = {"ids": list(ids), "nearest": NEAREST + 1, "distance": 1 - MIN_COSINE}
    return set(connection.execute(query, values).fetchall())

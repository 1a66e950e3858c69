"""The tour for first-time visitors: their progress from the sample collection to a saved threshold."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from core.collection.curation import Curation
from core.database.connection import Database
from core.indexing.imports import Imports
from core.media.sample_images import FIRST_QUERY, NAME


@dataclass(frozen=True)
class Tour:
    """The sample's import: `done` of its `total` items, and `first`, a picture to search with once it is indexed.

    `verdicts` is the number of verdicts so far, and `tuned` whether any threshold has been saved.
    """

    import_id: int
    total: int
    done: int
    first: UUID | None
    verdicts: int
    tuned: bool


def read_tour(database: Database) -> Tour | None:
    """The progress of the tour; None while the collection has no sample. Raises DatabaseError."""
    with database.connection() as connection:
        found = connection.execute(
            """SELECT imports.id, count(items.key), count(items.key) FILTER (WHERE status <> 'waiting'),
                      (array_agg(picture) FILTER (WHERE url = %s))[1],
                      (SELECT count(*) FROM verdicts WHERE is_right IS NOT NULL),
                      EXISTS (SELECT FROM thresholds WHERE threshold IS NOT NULL)
               FROM imports LEFT JOIN items ON import = imports.id
               WHERE imports.id = (SELECT max(id) FROM imports WHERE name = %s AND deleted_at IS NULL)
               GROUP BY imports.id""",
            (FIRST_QUERY, NAME),
        ).fetchone()
    return Tour(*found) if found else None


def remove_sample(database: Database, import_id: int) -> int:
    """Delete the sample's import, and permanently its pictures, every verdict on them, and the thresholds for which no
    verdict is left: those would rule the searches of what comes next. Returns how many pictures. Raises DatabaseError.
    """
    Imports(database).delete(import_id)
    with database.connection() as connection:
        rows = connection.execute(
            """SELECT pictures.id, removed_at FROM pictures JOIN imports ON imports.id = %(id)s
               WHERE removed_at = deleted_at AND pictures.id IN (SELECT picture FROM items WHERE import = %(id)s)""",
            {"id": import_id},
        ).fetchall()
    removed = Curation(database).delete([id for id, _ in rows], max((at for _, at in rows), default=None))
    with database.connection() as connection:
        connection.execute(
            """DELETE FROM thresholds WHERE NOT EXISTS (
                   SELECT FROM verdicts JOIN queries ON queries.key = verdicts.query
                   WHERE verdicts.model = thresholds.model AND queries.kind = thresholds.kind
                     AND is_right IS NOT NULL)"""
        )
    return removed

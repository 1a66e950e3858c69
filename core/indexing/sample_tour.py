"""The tour for first-time visitors: their progress from the sample collection to a saved threshold."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from core.database.connection import Database
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

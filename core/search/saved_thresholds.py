"""The thresholds saved by curators for each model and kind of query, and their history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from core.database.connection import Database
from core.database.embedding_tables import Model
from core.search.query_parts import Kind

SHOWN = 20
"""Saved thresholds that the history lists."""


@dataclass(frozen=True)
class SavedThreshold:
    """A saved threshold (a cosine, 0 to 1), the number of verdicts behind it, and a `sentence` on what it meant then.

    `threshold` is None where the saved one was discarded.
    """

    threshold: float | None
    verdicts: int
    sentence: str
    at: datetime


class SavedThresholds:
    """The saved thresholds. The latest one applies, and all are kept."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, model: Model, kind: Kind, threshold: float | None, verdicts: int = 0, sentence: str = "") -> None:
        """Save the threshold that searches suggest; None discards the saved one. Raises DatabaseError."""
        with self._database.connection() as connection:
            connection.execute(
                "INSERT INTO thresholds (model, kind, threshold, verdicts, sentence) VALUES (%s, %s, %s, %s, %s)",
                (model.id, kind, threshold, verdicts, sentence),
            )

    def current(self, model: Model, kind: Kind) -> SavedThreshold | None:
        """The threshold in use, if there is one. Raises DatabaseError."""
        latest = self.history(model, kind, 1)
        return latest[0] if latest and latest[0].threshold is not None else None

    def history(self, model: Model, kind: Kind, limit: int = SHOWN) -> list[SavedThreshold]:
        """What was saved and discarded, latest first. Raises DatabaseError."""
        with (
            self._database.connection() as connection,
            connection.cursor(row_factory=class_row(SavedThreshold)) as cursor,
        ):
            return cursor.execute(
                """SELECT threshold, verdicts, sentence, at FROM thresholds WHERE model = %s AND kind = %s
                   ORDER BY at DESC LIMIT %s""",
                (model.id, kind, limit),
            ).fetchall()

"""The thresholds that curators saved, for each model and kind of query, and their history."""

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
    """A threshold (0 to 1) as it was saved, from so many verdicts; `sentence` says what it meant then.

    `threshold` is None where the saved one was given up.
    """

    threshold: float | None
    verdicts: int
    sentence: str
    at: datetime


class SavedThresholds:
    """The saved thresholds. The latest counts, and none is ever lost."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, model: Model, kind: Kind, threshold: float | None, verdicts: int = 0, sentence: str = "") -> None:
        """Make this the threshold that searches suggest; None gives the saved one up."""
        with self._database.connection() as connection:
            connection.execute(
                "INSERT INTO thresholds (model, kind, threshold, verdicts, sentence) VALUES (%s, %s, %s, %s, %s)",
                (model.id, kind, threshold, verdicts, sentence),
            )

    def current(self, model: Model, kind: Kind) -> SavedThreshold | None:
        """The threshold in use, when there is one."""
        latest = self.history(model, kind, 1)
        return latest[0] if latest and latest[0].threshold is not None else None

    def history(self, model: Model, kind: Kind, limit: int = SHOWN) -> list[SavedThreshold]:
        """What was saved and given up, the latest first."""
        with (
            self._database.connection() as connection,
            connection.cursor(row_factory=class_row(SavedThreshold)) as cursor,
        ):
            return cursor.execute(
                """SELECT threshold, verdicts, sentence, at FROM thresholds WHERE model = %s AND kind = %s
                   ORDER BY at DESC LIMIT %s""",
                (model.id, kind, limit),
            ).fetchall()

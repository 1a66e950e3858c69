"""The models that a collection knows, and the table of each one's embeddings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection, sql

Vector = NDArray[np.float32]


@dataclass(frozen=True)
class Model:
    """A model that has embedded pictures; `dim` is the length of its embeddings.

    `setting` is the CLIP_MODEL that it was last loaded by, "" when that is not known.
    """

    id: int
    name: str
    dim: int
    setting: str

    @property
    def table(self) -> sql.Identifier:
        """The table of this model's embeddings."""
        return sql.Identifier(f"embeddings_{self.id}")


def make_embeddings(connection: Connection, model: Model) -> None:
    """Make the table of a model's embeddings if there is none."""
    connection.execute(
        sql.SQL(
            """CREATE TABLE IF NOT EXISTS {} (
                   picture uuid PRIMARY KEY REFERENCES pictures ON DELETE CASCADE,
                   embedding halfvec({}) NOT NULL
               )"""
        ).format(model.table, sql.Literal(model.dim))
    )

"""The models of a collection, and each one's table of embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection, sql

Vector = NDArray[np.float32]

Purpose = Literal["content", "copy"]
"""What embeddings tell of a picture: what it shows, or which picture it is, however it was edited."""


@dataclass(frozen=True)
class Model:
    """A model that has embedded pictures; `dim` is the length of its embeddings.

    `setting` is the CLIP_MODEL that it was last loaded from, "" if unknown; that of a model whose `purpose` is "copy"
    is the COPY_MODEL.
    """

    id: int
    name: str
    dim: int
    setting: str
    purpose: Purpose = "content"

    @property
    def table(self) -> sql.Identifier:
        """The table of this model's embeddings."""
        return sql.Identifier(f"embeddings_{self.id}")


def make_embeddings(connection: Connection, model: Model) -> None:
    """Create a model's table of embeddings if it does not exist. Raises psycopg.Error."""
    connection.execute(
        sql.SQL(
            """CREATE TABLE IF NOT EXISTS {} (
                   picture uuid PRIMARY KEY REFERENCES pictures ON DELETE CASCADE,
                   embedding halfvec({}) NOT NULL
               )"""
        ).format(model.table, sql.Literal(model.dim))
    )

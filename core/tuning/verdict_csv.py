"""Verdicts as a table, out and in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import pandas as pd

from core.collection.spreadsheets import to_csv, without_apostrophe
from core.database.embedding_tables import Model
from core.errors import LookalikeError, QueryError
from core.indexing.readers.chooser import read_sheets
from core.indexing.readers.table import as_table
from core.search.query_parts import checked_parts, kind_of, read_parts
from core.tuning.verdicts import ImportedVerdicts, JudgedQuery, StoredVerdict, Verdict, query_key

COLUMNS = ["query", "query parts", "picture", "similarity", "right", "model", "time (UTC)"]
_YES, _NO = {"yes", "true", "1"}, {"no", "false", "0"}


@dataclass(frozen=True)
class VerdictTable:
    """What a table of verdicts holds: verdicts, each with its time, and how many rows cannot be used, by reason."""

    verdicts: list[Verdict]
    at: list[datetime]
    refused: Counter[str]


def as_csv(verdicts: Iterable[StoredVerdict], model: Model) -> bytes:
    """A row a verdict, see `core.collection.spreadsheets.to_csv`."""
    rows = [
        (
            *(entry.label, entry.parts, entry.picture, entry.similarity, "yes" if entry.right else "no", model.name),
            entry.at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f"),
        )
        for entry in verdicts
    ]
    return to_csv(pd.DataFrame(rows, columns=COLUMNS), {"similarity": 6})


def read_csv(name: str, data: bytes, model: Model) -> VerdictTable:
    """The verdicts in such a table that are about this model. Raises LookalikeError when it is no such table."""
    table = as_table(read_sheets(name, data), header=True).frame.map(without_apostrophe)
    heads = [str(head).strip().lower() for head in table.columns]
    if absent := [column for column in COLUMNS if column.lower() not in heads]:
        raise LookalikeError(
            f"{name} is no table of verdicts: there is no column “{absent[0]}”. Choose a file that was downloaded here."
        )
    places = [heads.index(column.lower()) for column in COLUMNS]
    verdicts, times, refused = list[Verdict](), list[datetime](), Counter[str]()
    for cells in table.iloc[:, places].itertuples(index=False, name=None):
        if cells[5] != model.name:
            refused["given with another model"] += 1
            continue
        try:
            verdict, at = _verdict(cells)
        except (ValueError, QueryError):
            refused["that cannot be read"] += 1
            continue
        verdicts.append(verdict)
        times.append(at)
    return VerdictTable(verdicts, times, refused)


def import_summary(taken: ImportedVerdicts, refused: Counter[str]) -> str:
    """In a sentence or two, what became of a table's rows, the refused ones too."""
    counts = [
        (taken.known, "known already"),
        (taken.strange, "about pictures that are not in this collection"),
        *((count, reason) for reason, count in sorted(refused.items())),
    ]
    left = ", ".join(f"{count:,} {reason}" for count, reason in counts if count)
    return f"{taken.new:,} verdict{'' if taken.new == 1 else 's'} taken." + (f" Left out: {left}." if left else "")


def _verdict(cells: Sequence[str]) -> tuple[Verdict, datetime]:
    parts = checked_parts(read_parts(cells[1]))
    similarity, answer = float(cells[3]), cells[4].strip().lower()
    if not -1.001 <= similarity <= 1.001 or answer not in _YES | _NO:
        raise ValueError(answer)
    at = datetime.fromisoformat(cells[6].strip()).replace(tzinfo=UTC)
    asked = JudgedQuery(query_key(parts), kind_of(parts), cells[0], parts)
    return Verdict(asked, UUID(cells[2].strip()), similarity, answer in _YES), at

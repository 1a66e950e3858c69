"""Verdicts to and from CSV."""

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
    """A table of verdicts as read: verdicts, their times, and the number of unusable rows by reason."""

    verdicts: list[Verdict]
    at: list[datetime]
    refused: Counter[str]


def as_csv(verdicts: Iterable[StoredVerdict], model: Model) -> bytes:
    """A table with one row per verdict, see `core.collection.spreadsheets.to_csv`."""
    rows = [
        (
            *(entry.label, entry.parts, entry.picture, entry.similarity, "yes" if entry.right else "no", model.name),
            entry.at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f"),
        )
        for entry in verdicts
    ]
    return to_csv(pd.DataFrame(rows, columns=COLUMNS), {"similarity": 6})


def read_csv(name: str, data: bytes, model: Model) -> VerdictTable:
    """The verdicts on this model in such a table. Raises LookalikeError if it is not one."""
    table = as_table(read_sheets(name, data), header=True).frame.map(without_apostrophe)
    heads = [str(head).strip().lower() for head in table.columns]
    if absent := [column for column in COLUMNS if column.lower() not in heads]:
        raise LookalikeError(
            f"{name} is not a table of verdicts: it has no column “{absent[0]}”. Choose one that was downloaded here."
        )
    places = [heads.index(column.lower()) for column in COLUMNS]
    verdicts, times, refused = list[Verdict](), list[datetime](), Counter[str]()
    for cells in table.iloc[:, places].itertuples(index=False, name=None):
        if cells[5] != model.name:
            refused["made with another model"] += 1
            continue
        try:
            verdict, at = _verdict(cells)
        except (ValueError, QueryError):
            refused["that cannot be read"] += 1
            continue
        verdicts.append(verdict)
        times.append(at)
    return VerdictTable(verdicts, times, refused)


def import_summary(imported: ImportedVerdicts, refused: Counter[str]) -> str:
    """The result of importing a table, including refused rows, in a sentence or two."""
    counts = [
        (imported.known, "already known"),
        (imported.unknown, "about pictures that are not in this collection"),
        *((count, reason) for reason, count in sorted(refused.items())),
    ]
    skipped = ", ".join(f"{count:,} {reason}" for count, reason in counts if count)
    return f"{imported.new:,} verdict{'' if imported.new == 1 else 's'} imported." + (
        f" Left out: {skipped}." if skipped else ""
    )


def _verdict(cells: Sequence[str]) -> tuple[Verdict, datetime]:
    parts = checked_parts(read_parts(cells[1]))
    similarity, answer = float(cells[3]), cells[4].strip().lower()
    if not -1.001 <= similarity <= 1.001 or answer not in _YES | _NO:
        raise ValueError(answer)
    at = datetime.fromisoformat(cells[6].strip()).replace(tzinfo=UTC)
    query = JudgedQuery(query_key(parts), kind_of(parts), cells[0], parts)
    return Verdict(query, UUID(cells[2].strip()), similarity, answer in _YES), at
